"""Private networks where the kernel has VRF devices, with real packets, on Debian's own kernel in a virtual machine.

In it every router and host of this test is a network namespace with mounts of its own, in which the same script runs as
on a router, with the same files: those that the lab's inventory gives to yufang, fengcheng and the border. In place of
the routing daemons stand static routes over one bridge.

No part of `jizuo test`: where KVM cannot be used it takes minutes. Run it with `sudo ./jizuo bench vrf`, or
`pytest tests/lab/vrf.py`.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.base.ruleset import ruleset
from deploy.private.configuration import rules, settings, vrf_rules
from inventories.hosts import HostData, host_data
from inventories.load import load_city
from inventories.plan import AddressPlan, build_plan
from inventories.private import network_of
from inventories.records import City, Family

from .virtual_machine import Machine, booted

ROOT = Path(__file__).resolve().parents[2]
ROUTERS = ("yufang", "fengcheng", "border-1")
SCRIPT = "/usr/local/libexec/jizuo-private-network"
COUNTERS = "/usr/local/libexec/jizuo-firewall-counters"
FLAG = {Family.IPV4: "-4", Family.IPV6: "-6"}
#: Tells everybody who connects as whom it sees him, and holds the line until he hangs up.
SERVER = """
import os, socket
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::", 80))
s.listen()
while True:
    c, peer = s.accept()
    if os.fork() == 0:
        name = peer[0].removeprefix("::ffff:")
        c.sendall(f"{name} {peer[1]}".encode())
        c.recv(1)
        os._exit(0)
    c.close()
"""
#: Connects from one port, prints what the server says, and hangs up a second later.
CLIENT = """
import socket, sys, time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 40000))
s.settimeout(5)
s.connect((sys.argv[1], 80))
print(s.recv(100).decode())
time.sleep(1)
"""


@dataclass
class Network:
    """The routers and hosts in the machine."""

    machine: Machine
    city: City
    plan: AddressPlan
    hosts: dict[str, HostData]

    def on(
        self, host: str, script: str, *, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a script on a router or host."""
        return self.machine.run(entering(host, script), check=check, timeout=timeout)

    def address(self, host: str, family: Family) -> str:
        return str(self.plan.host(host, family))

    def ping(self, host: str, target: str, options: str = "") -> bool:
        done = self.on(host, f"ping -n -q -c 3 -i 0.2 -W 1 {options} {target}", check=False)
        return done.returncode == 0

    def echoes(self, host: str, family: Family) -> int:
        """How many echo requests a host has got."""
        if family is Family.IPV6:
            return int(self.on(host, "sed -n 's/^Icmp6InEchos *//p' /proc/net/snmp6").stdout)
        names, values = (
            line.split() for line in self.on(host, "grep ^Icmp: /proc/net/snmp").stdout.splitlines()
        )
        return int(values[names.index("InEchos")])

    def faults(self, router: str = "yufang") -> str:
        """What a router lacks."""
        return self.on(router, f"for n in health civil; do {SCRIPT} check $n; done").stdout

    def up(self, router: str, network: str) -> str:
        return self.on(router, f"{SCRIPT} up {network}").stdout

    def state(self, router: str) -> str:
        """What a router's kernel knows of networks, without what changes by itself."""
        return self.on(
            router,
            "set -e; ip -details link | grep -v '^    bridge'; ip address; ip -4 rule; ip -6 rule; "
            "ip -4 route show table all; ip -6 route show table all; ip neigh show nud permanent; bridge fdb; "
            "nft list tables | sort | while read -r table; do nft --stateless list $table; done",
        ).stdout


def entering(host: str, script: str) -> str:
    return f"nsenter -t $(cat /places/{host}) -n -m -- sh -s <<'END-OF-HOST'\n{script}\nEND-OF-HOST"


def file(path: str, content: str) -> str:
    return f"mkdir -p {Path(path).parent}\ncat >{path} <<'END-OF-FILE'\n{content}END-OF-FILE"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if os.geteuid() != 0:
        pytest.fail("the lab's tests need root: run them so, or leave them out with --fast")
    if platform.machine() != "x86_64":
        pytest.skip(f"the virtual machine is an x86_64, this machine is not ({platform.machine()})")
    folder = tmp_path_factory.mktemp("vrf")
    shutil.copytree(ROOT / "inventories/lab", folder / "city", ignore=shutil.ignore_patterns("*.py"))
    policy = folder / "city/policy.toml"
    text = policy.read_text(encoding="utf-8")
    assert text.count('"network:health"') == 1
    policy.write_text(text.replace('"network:health"', '"network:health", "network:civil"'), encoding="utf-8")
    city = load_city(folder / "city")
    plan = build_plan(city)
    with booted(folder) as machine:
        found = Network(machine, city, plan, host_data(city, plan))
        machine.run(set_up(found), timeout=120)
        for router in ROUTERS:
            found.on(router, router_files(found.hosts[router]), timeout=120)
            for site in found.hosts[router].networks:
                found.up(router, site.network)
        for site in found.hosts["border-1"].networks:  # as FRR has them
            assert site.crossing is not None
            way = (
                f"{site.prefixes[Family.IPV6]} via {site.crossing.private[Family.IPV6]} dev to-{site.network}"
            )
            found.on("border-1", f"ip route add {way}")
        yield found


def set_up(network: Network) -> str:
    """The script that makes namespaces, links, public addresses and routes."""
    city, plan = network.city, network.plan
    private = network_of(city)
    public = {name: {family: str(plan.loopback(name, family)) for family in Family} for name in ROUTERS} | {
        "cloud-1": {family: str(plan.host("cloud-1", family)) for family in Family}
    }
    script = (ROOT / "deploy/private/jizuo-private-network").read_text()
    counters = (ROOT / "deploy/base/jizuo-firewall-counters").read_text()
    lines = [
        "set -e",
        file(SCRIPT, script),
        file(COUNTERS, counters),
        f"chmod 755 {SCRIPT} {COUNTERS}",
        "mkdir -p /etc/jizuo /places; ip link add core type bridge; ip link set core up",
    ]
    for place in (*public, *private):
        lines += [
            "unshare --net --mount sh -ec 'mount -t tmpfs t /run; mount -t tmpfs t /etc/jizuo; : >/run/there; "
            "exec sleep infinity' </dev/null >/dev/null 2>&1 &",
            f"echo $! >/places/{place}",
        ]
    lines.append("sleep 1")
    for place, own in public.items():
        lines.append(
            f"ip link add c-{place} type veth peer name core0 netns $(cat /places/{place}); "
            f"ip link set c-{place} master core up"
        )
        inner = ["set -e", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"]
        inner += ["sysctl -qw net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.default.rp_filter=2"]
        inner += ["sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"]
        inner += ["ip link set lo up; ip link set core0 up"]
        inner += [f"ip address add {address} dev core0" for address in own.values()]
        for other, addresses in public.items():
            inner += [f"ip route add {a} dev core0" for a in addresses.values() if other != place]
        if place == "cloud-1":
            border = public["border-1"]
            for site in network.hosts["border-1"].networks:
                assert site.crossing is not None
                outside = (
                    (Family.IPV4, site.crossing.private[Family.IPV4]),
                    (Family.IPV6, site.prefixes[Family.IPV6]),
                )
                inner += [f"ip route add {to} via {border[f]} dev core0 onlink" for f, to in outside]
        lines.append(entering(place, "\n".join(inner)))
    for link in city.links.values():
        if link.network and link.b in private:
            lines += [
                f"ip link add {link.id} netns $(cat /places/{link.a}) type veth peer name {link.id} "
                f"netns $(cat /places/{link.b})",
                entering(link.a, f"ip link add br-{link.network} type bridge; ip link set br-{link.network} up; "
                f"ip link set {link.id} master br-{link.network} up"),
                entering(link.b, host_script(network, link.a, link.b, link.id, link.network)),
            ]  # fmt: skip
    lines += [
        file("/server.py", SERVER),
        file("/client.py", CLIENT),
        "nsenter -t $(cat /places/cloud-1) -n -- python3 /server.py </dev/null >/dev/null 2>&1 &",
    ]
    return "\n".join(lines)


def host_script(network: Network, router: str, host: str, link: str, name: str) -> str:
    """A host of a private network: its address and its gateway."""
    site = next(site for site in network.hosts[router].networks if site.network == name)
    lines = ["set -e", "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"]
    lines += [f"ip link set lo up; ip link set {link} up"]
    for family in Family:
        gateway, _, length = site.gateway[family].partition("/")
        lines += [
            f"ip address add {network.address(host, family)}/{length} dev {link} nodad",
            f"ip {FLAG[family]} route add default via {gateway}",
        ]
    return "\n".join(lines).replace("nodad", "").replace("  ", " ")


def router_files(data: HostData) -> str:
    """The files of a router, and its own firewall in force."""
    lines = ["set -e", file("/etc/jizuo/nftables.conf", ruleset(data)), "nft -f /etc/jizuo/nftables.conf"]
    for site in data.networks:
        place = f"/etc/jizuo/networks/{site.network}"
        lines += [
            file(f"{place}.conf", settings(site)),
            file(f"{place}.nft", rules(site)),
            file(f"{place}.vrf.nft", vrf_rules(site)),
        ]
    return "\n".join(lines)


def test_the_script_says_which_way_it_goes_and_why(network: Network) -> None:
    assert network.on("yufang", f"{SCRIPT} mode").stdout.startswith("vrf: kernel 6.")
    for router in ROUTERS:
        assert network.faults(router) == ""
    assert network.on("yufang", "ls /run/netns", check=False).stdout == ""


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize(
    ("here", "there", "other"), [("health-1", "health-2", "civil-2"), ("civil-1", "civil-2", "health-2")]
)
def test_a_network_reaches_its_own_and_not_its_twin(
    network: Network, here: str, there: str, other: str, family: Family
) -> None:
    address = network.address(there, family)
    assert (network.address(other, family) == address) == (family is Family.IPV4)
    before = {host: network.echoes(host, family) for host in (there, other)}
    assert network.ping(here, address)
    assert network.echoes(there, family) == before[there] + 3
    assert network.echoes(other, family) == before[other]


@pytest.mark.parametrize("family", list(Family))
def test_fragments_arrive(network: Network, family: Family) -> None:
    assert network.ping("health-1", network.address("health-2", family), "-s 4000")


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("target", ["yufang", "fengcheng", "cloud-1"])
def test_a_private_host_reaches_nothing_of_the_public_zone(
    network: Network, family: Family, target: str
) -> None:
    """Not even its own router, whose addresses the kernel would look up first."""
    address = (
        network.address(target, family) if target == "cloud-1" else str(network.plan.loopback(target, family))
    )
    before = network.echoes(target, family)
    assert not network.ping("health-1", address)
    assert network.echoes(target, family) == before


def test_a_private_host_reaches_its_gateway(network: Network) -> None:
    site = next(site for site in network.hosts["yufang"].networks if site.network == "health")
    for family in Family:
        assert network.ping("health-1", site.gateway[family].partition("/")[0])


@pytest.mark.parametrize("family", list(Family))
def test_the_public_zone_reaches_no_private_host(network: Network, family: Family) -> None:
    address = network.address("health-2", family)
    before = network.echoes("health-2", family)
    for source in ("cloud-1", "fengcheng", "border-1"):
        assert not network.ping(source, address)
    assert network.echoes("health-2", family) == before
    if family is Family.IPV6:  # it has a way to the border, where nothing but answers comes in
        denied = network.on("border-1", "nft list chain inet jizuo forward").stdout.splitlines()[-3]
        assert '"denied"' in denied
        assert "packets 0" not in denied


@pytest.mark.parametrize("family", list(Family))
def test_a_spoofed_source_is_dropped_by_the_network_s_own_rules(network: Network, family: Family) -> None:
    """The bridge refuses it before; without the bridge's rules the network's refuse it."""
    prefix = network.city.networks["health"]
    spoofed = "198.51.100.250" if family is Family.IPV4 else f"{prefix.ipv6.partition('/')[0]}bad"
    before = network.echoes("health-2", family)
    network.on("health-1", f"ip address add {spoofed} dev lo")
    network.on("yufang", "nft delete table bridge jizuo")
    try:
        assert not network.ping("health-1", network.address("health-2", family), f"-I {spoofed}")
    finally:
        network.on("yufang", "nft -f /etc/jizuo/nftables.conf")
        network.on("health-1", f"ip address delete {spoofed} dev lo")
    listed = network.on("yufang", "nft list chain inet vpn-health forward").stdout.splitlines()
    word = "ip saddr" if family is Family.IPV4 else "ip6 saddr"
    rule = next(line for line in listed if 'sdifname "lan-health"' in line and word in line)
    assert "packets 3 " in rule
    assert network.echoes("health-2", family) == before


@pytest.mark.parametrize("family", list(Family))
def test_twins_with_the_same_address_and_port_reach_one_server_at_once(
    network: Network, family: Family
) -> None:
    """The border keeps their connections apart, translates IPv4, and each gets its own answer."""
    server = network.address("cloud-1", family)
    clients = [
        f"nsenter -t $(cat /places/{name}-1) -n -- python3 /client.py {server} >/tmp/{name} 2>&1 &"
        for name in ("health", "civil")
    ]
    network.machine.run("\n".join([*clients, "wait $(jobs -p | tail -n 2)", "sleep 1"]), check=False)
    seen = {
        name: network.machine.run(f"cat /tmp/{name}").stdout.strip().rpartition(" ")
        for name in ("health", "civil")
    }
    for site in network.hosts["border-1"].networks:
        assert site.crossing is not None
        own = (
            site.crossing.private[family]
            if family is Family.IPV4
            else network.address(f"{site.network}-1", family)
        )
        assert seen[site.network] == (own, " ", "40000")


def test_without_its_rules_a_network_carries_nothing_and_its_neighbour_does(network: Network) -> None:
    network.on("yufang", "nft delete table inet vpn-health")
    assert "health: no firewall" in network.faults()
    for family in Family:
        assert not network.ping("health-1", network.address("health-2", family))
        assert network.ping("civil-1", network.address("civil-2", family))
    network.up("yufang", "health")
    assert network.ping("health-1", network.address("health-2", Family.IPV4))
    assert network.faults() == ""


def test_what_the_network_does_not_know_is_not_looked_up_outside(network: Network) -> None:
    """Without the way to the border the private table ends, and no default route of before is left."""
    conf = "/etc/jizuo/networks/health.conf"
    address = network.address("cloud-1", Family.IPV4)
    network.on("yufang", f"cp {conf} /run/conf; sed -i '/^way-out/d' {conf}")
    try:
        network.up("yufang", "health")
        assert network.faults() == ""
        for family in Family:
            listed = network.on("yufang", f"ip {FLAG[family]} route show vrf vpn-health default").stdout
            assert [line.split()[0] for line in listed.splitlines()] == ["unreachable"], listed
        assert (
            "unreachable"
            in network.on("health-1", f"ping -n -c 1 -W 1 {address}", check=False).stdout.lower()
        )
    finally:
        network.on("yufang", f"mv /run/conf {conf}")
        network.up("yufang", "health")
    assert network.faults() == ""


@pytest.mark.parametrize("router", ROUTERS)
def test_a_second_run_changes_nothing(network: Network, router: str) -> None:
    before = network.state(router)
    for name in ("health", "civil"):
        assert network.up(router, name).startswith(f"{name} as vrf: ")
    assert network.state(router).splitlines() == before.splitlines()


@pytest.mark.parametrize("router", ["yufang", "border-1"])
def test_what_the_kernel_lost_comes_back_and_the_neighbour_loses_nothing(
    network: Network, router: str
) -> None:
    devices = next(site.devices for site in network.hosts[router].networks if site.network == "health")
    for family in Family:
        probe = f"ping -n -q -i 0.01 -W 2 {network.address('civil-2', family)}"
        network.machine.run(
            f"nsenter -t $(cat /places/civil-1) -n -- {probe} >/tmp/probe{FLAG[family]} 2>&1 </dev/null &\n"
            f"echo $! >/tmp/pid{FLAG[family]}"
        )
    for device in devices:
        network.on(router, f"ip link delete {device}")
        assert network.faults(router).startswith("health: "), device
        network.up(router, "health")
        assert network.faults(router) == "", device
    for family in Family:
        said = network.machine.run(
            f"kill -INT $(cat /tmp/pid{FLAG[family]}); sleep 1; cat /tmp/probe{FLAG[family]}"
        ).stdout
        sent, received = re.findall(r"(\d+) packets transmitted, (\d+) received", said)[0]
        assert int(sent) == int(received) > 100, said
        assert network.ping("health-1", network.address("health-2", family))


def assert_all_reached(network: Network) -> None:
    """Every network reaches its own in both families, and the server by the border."""
    for name in ("health", "civil"):
        for family in Family:
            assert network.ping(f"{name}-1", network.address(f"{name}-2", family))
        said = network.on(f"{name}-1", f"python3 /client.py {network.address('cloud-1', Family.IPV4)}").stdout
        (site,) = (site for site in network.hosts["border-1"].networks if site.network == name)
        assert site.crossing is not None
        assert said.split()[0] == site.crossing.private[Family.IPV4]


@pytest.mark.parametrize("router", ["yufang", "border-1"])
def test_networks_move_over_to_namespaces_and_back(network: Network, router: str) -> None:
    """One router may go the one way and its neighbours the other: on the wire both are the same."""
    override = "/etc/jizuo/private-networks.mode"
    before = network.state(router)
    network.on(router, f"echo namespace >{override}")
    assert network.on(router, f"{SCRIPT} mode").stdout == f"namespace: {override} says so\n"
    assert "health: no namespace of its own" in network.faults(router)
    for name in ("health", "civil"):
        network.up(router, name)
    assert network.faults(router) == ""
    moved = network.state(router)
    assert "vrf" not in moved
    assert "table inet vpn-" not in moved
    assert "32765:" not in moved
    assert_all_reached(network)
    network.on(router, f"rm {override}")
    for name in ("health", "civil"):
        network.up(router, name)
    assert network.faults(router) == ""
    assert network.on(router, "ls /run/netns").stdout == ""
    assert_all_reached(network)
    if router != "border-1":  # whose ways to the networks' IPv6 prefixes are not the script's
        assert len(network.state(router).splitlines()) == len(before.splitlines())


def test_a_word_that_is_no_way_is_refused(network: Network) -> None:
    override = "/etc/jizuo/private-networks.mode"
    done = network.on("yufang", f"echo vfr >{override}; {SCRIPT} up health", check=False)
    network.on("yufang", f"rm {override}")
    assert (done.returncode, done.stderr) == (1, f"{override}: neither vrf nor namespace\n")


def test_the_counters_bear_the_network_s_name(network: Network) -> None:
    said = network.on("yufang", f"{COUNTERS} /run/counters; cat /run/counters").stdout
    within = [line for line in said.splitlines() if 'rule="within the network"' in line]
    assert {line.split("{")[1].split(",chain")[0] for line in within} == {
        'network="health",table="inet jizuo"',
        'network="civil",table="inet jizuo"',
    }


def test_down_leaves_nothing(network: Network) -> None:
    """The last of the tests: the networks stay down."""
    for name in ("health", "civil"):
        network.on("fengcheng", f"{SCRIPT} down {name}")
    left = network.state("fengcheng")
    assert "vrf" not in left
    assert "table inet vpn" not in left
    assert [line.split(":")[0] for line in left.splitlines() if "lookup local" in line] == ["0", "0"]
    assert network.on("fengcheng", f"ip link show lan-{name}", check=False).returncode == 1
