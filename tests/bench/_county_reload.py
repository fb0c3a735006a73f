"""What does a county router's reload with one changed village cost, and whom? Measured on a lab that is deployed.

Of a village below a township a county router knows no more than a limit of prefixes: it takes from the township any
part of the county's own prefix. What it has to be told are changes of a village that hangs on the county router
itself, as four of Yichun's do. So the lab's village is moved there, with all that the inventory then renders for both
ends, but the county router still has the filter for the LAN that the village had before: its LAN is cut off until the
reload brings the filter for the LAN that it has.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec
from netaddr import IPNetwork

from deploy.base.ruleset import ruleset
from deploy.extranet.configuration import frr_configuration
from deploy.extranet.passwords import session_password
from deploy.extranet.role import RELOAD
from deploy.lab import lab as labs
from deploy.lab import network
from deploy.lab.failover import INTERVAL, lost, probe, sessions_down
from deploy.lab.run import LabError, run
from deploy.secrets import SecretStore
from inventories.hosts import HostData, host_data
from inventories.plan import build_plan
from inventories.records import Family, Link, LinkKind, Plane
from inventories.topology import RoutedNode

COUNTY, VILLAGE, SITE = "yuanzhou", "yufang", "360902105201"
WIRE = Link(id="yz-yufang", a=COUNTY, b=VILLAGE, kind=LinkKind.UPLINK, plane=Plane.BOTH)
BEFORE = "yufang-up"
#: The clients whose packets are counted, and what they send to: of another village, and of the changed one.
OTHER, CHANGED, TARGET = "client-2", "client-1", "cloud-1"
PACKETS = 600


def measure(name: str) -> None:
    """Print what the reload of the lab's county router costs; leaves the lab as it was.

    Raises:
        LabError: the lab is not up, or a router does not do what it is told.
    """
    lab = labs.open_lab(name)
    links = {name: link for name, link in lab.city.links.items() if name != BEFORE}
    city = msgspec.structs.replace(lab.city, links={**links, WIRE.id: WIRE})
    plan = build_plan(city)
    hosts = host_data(city, plan)
    lans = {family: plan.lan(SITE, family) for family in Family}
    with wired(lab, hosts):
        bring(lab, VILLAGE, routing(hosts[VILLAGE]))
        bring(lab, COUNTY, with_old_lan(routing(hosts[COUNTY]), lans))
        wait_for_sessions(lab)
        dropped = sessions_dropped(lab)
        running = {client: probe(lab, client, TARGET, PACKETS) for client in (OTHER, CHANGED)}
        time.sleep(0.5)
        watcher = watch(lab, lans)
        began = time.time()
        bring(lab, COUNTY, routing(hosts[COUNTY]))
        seconds = time.time() - began
        said = watcher.communicate(timeout=30)[0]
        if not said:
            raise LabError(f"{COUNTY} does not take the changed village's LAN")
        packets = {
            client: {family: lost(process) for family, process in processes.items()}
            for client, processes in running.items()
        }
        dropped = sessions_dropped(lab) - dropped
    print(f"{'reload of a county router with one changed village':<52} {seconds:7.2f} s")
    print(
        f"{'load of this machine meanwhile, of ' + str(os.cpu_count()) + ' cores':<52} {os.getloadavg()[0]:7.2f}"
    )
    print(
        f"{'packets for its LAN go there, both families':<52} {float(said) - began:7.2f} s after the reload began, of 1"
    )
    print(f"{'sessions of the county router that ended':<52} {dropped:7}")
    for client, what in ((OTHER, "another"), (CHANGED, "the changed")):
        counts = packets[client]
        print(
            f"{f'lost by {what} village, of {PACKETS}, {INTERVAL * 1000:.0f} ms apart':<52} "
            f"{counts[Family.IPV4]:>4} IPv4, {counts[Family.IPV6]} IPv6"
        )


def routing(data: HostData) -> RoutedNode:
    """A router's part of the topology."""
    if data.routing is None:
        raise LabError(f"{data.name} takes no part in routing")
    return data.routing


def with_old_lan(node: RoutedNode, lans: dict[Family, IPNetwork]) -> RoutedNode:
    """The county router as it was when the village had another LAN, the next prefix of the same length."""
    neighbors = []
    for neighbor in node.neighbors:
        if neighbor.link == WIRE.id:
            accept = {
                family: tuple(
                    (str(lans[family].next()) if prefix == str(lans[family]) else prefix, longest)
                    for prefix, longest in prefixes
                )
                for family, prefixes in neighbor.accept.items()
            }
            neighbor = msgspec.structs.replace(neighbor, accept=accept)
        neighbors.append(neighbor)
    return msgspec.structs.replace(node, neighbors=tuple(neighbors))


@contextmanager
def wired(lab: labs.Lab, hosts: dict[str, HostData]) -> Iterator[None]:
    """The village's link moved to the county router, with addresses and firewalls; afterwards all is as it was."""
    before = host_data(lab.city, lab.plan)
    ends = {end: lab.places.namespace(end) for end in (COUNTY, VILLAGE)}
    # Undone in the reverse order, each step whatever became of the one before.
    with ExitStack() as undo:
        add = (
            f"ip link add {WIRE.id} netns {ends[COUNTY]} type veth peer name {WIRE.id} netns {ends[VILLAGE]}"
        )
        run(add.split())
        undo.callback(run, ["ip", "-netns", ends[COUNTY], "link", "delete", WIRE.id])
        network.set_link(lab.places, lab.link(BEFORE), up=False)
        undo.callback(network.set_link, lab.places, lab.link(BEFORE), up=True)
        for end, namespace in ends.items():
            undo.callback(on, lab, end, "nft", "-f", "/etc/nftables.conf")
            undo.callback(bring, lab, end, routing(before[end]))
            interface = next(i for i in hosts[end].interfaces if i.name == WIRE.id)
            lines = [f"address add {address} dev {WIRE.id}" for address in interface.addresses]
            lines.append(f"link set {WIRE.id} up")
            run(["ip", "-netns", namespace, "-batch", "-"], input="\n".join(lines) + "\n")
            on(lab, end, "nft", "-f", "-", input=ruleset(hosts[end]))
        yield


def on(lab: labs.Lab, host: str, *command: str, input: str | None = None) -> str:
    """Run a command on a host; returns what it printed."""
    return run([*labs.enter(lab, host), *command], input=input, timeout=60).stdout


def bring(lab: labs.Lab, host: str, node: RoutedNode) -> None:
    """Give a router its configuration as the deploy does: the file, then the reload."""
    store = SecretStore(lab.places.state / "secrets")
    passwords = {neighbor.link: session_password(store, neighbor.link) for neighbor in node.neighbors}
    text = frr_configuration(node, passwords)
    on(lab, host, "sh", "-c", "cat >/etc/frr/frr.conf; " + RELOAD, input=text)


def wait_for_sessions(lab: labs.Lab, seconds: float = 30) -> None:
    """Wait until every session of both ends is up.

    Raises:
        LabError: one stays down.
    """
    deadline = time.monotonic() + seconds
    for end in (COUNTY, VILLAGE):
        while down := sessions_down(lab, end):
            if time.monotonic() > deadline:
                raise LabError(f"{end}: BGP with {', '.join(down)} stays down")
            time.sleep(0.2)


def sessions_dropped(lab: labs.Lab) -> int:
    """How often a session of the county router has ended since its daemon began."""
    shown = json.loads(on(lab, COUNTY, "vtysh", "-c", "show bgp neighbors json"))
    return sum(peer["connectionsDropped"] for peer in shown.values())


def watch(lab: labs.Lab, lans: dict[Family, IPNetwork]) -> subprocess.Popen[str]:
    """Print the time as soon as the county router's kernel sends what is for the village's LAN straight to it."""
    there = " && ".join(
        f"ip {flag} route show exact {lans[family]} | grep -q 'dev {WIRE.id} '"
        for flag, family in (("-4", Family.IPV4), ("-6", Family.IPV6))
    )
    script = f"until {there}; do sleep 0.02; done; date +%s.%N"
    return subprocess.Popen(
        [*labs.enter(lab, COUNTY), "timeout", "20", "sh", "-c", script], stdout=subprocess.PIPE, text=True
    )
