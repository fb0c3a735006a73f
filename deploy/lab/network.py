"""The lab's wires: a namespace for each host, a veth pair for each link, a bridge for management."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deploy.lab.places import NAMESPACES, Places
from deploy.lab.run import run
from inventories.records import Link


def create(places: Places, hosts: Iterable[str], links: Iterable[Link], controller: tuple[str, str]) -> None:
    """Make every namespace, veth pair and the management bridge.

    `controller` holds this machine's own management addresses with their prefix lengths (IPv4, IPv6).
    A pair's two ends carry the link's id and stay down until the hosts' own configuration raises them.
    """
    hosts = list(hosts)
    for host in hosts:
        run(["ip", "netns", "add", places.namespace(host)])
    ipv4, ipv6 = controller
    lines = [
        f"link add {places.bridge} type bridge",
        f"link set {places.bridge} up",
        f"address add {ipv4} dev {places.bridge}",
        f"address add {ipv6} dev {places.bridge} nodad",
    ]
    for index, host in enumerate(hosts):
        port = f"{places.bridge}p{index}"
        lines += [
            f"link add {port} type veth peer name mgmt0 netns {places.namespace(host)}",
            f"link set {port} master {places.bridge} up",
        ]
    lines += [
        f"link add {link.id} netns {places.namespace(link.a)} type veth "
        f"peer name {link.id} netns {places.namespace(link.b)}"
        for link in links
    ]
    run(["ip", "-batch", "-"], input="\n".join(lines) + "\n")


def raise_links(places: Places, host: str, links: Iterable[Link]) -> None:
    """Raise a host's ends, management included, as a machine's power supply raises its ports."""
    lines = ["link set lo up", "link set mgmt0 up"]
    lines += [f"link set {link.id} up" for link in links if host in (link.a, link.b)]
    run(["ip", "-netns", places.namespace(host), "-batch", "-"], input="\n".join(lines) + "\n")


def power_off(places: Places, host: str, links: Iterable[Link]) -> None:
    """What a dead machine leaves: no carrier on any port, and nothing of its state in the kernel."""
    namespace = places.namespace(host)
    lines = ["link set mgmt0 down"]
    lines += [f"link set {link.id} down" for link in links if host in (link.a, link.b)]
    run(["ip", "-netns", namespace, "-batch", "-"], input="\n".join(lines) + "\n")
    for device in own_devices(namespace, {link.id for link in links} | {"mgmt0", "lo"}):
        run(["ip", "-netns", namespace, "link", "delete", device], check=False)
    for flush in (
        ["address", "flush", "scope", "global"],
        ["route", "flush", "table", "main"],
        ["-6", "route", "flush", "table", "main"],
        # Down and up again makes the loopback's own routes anew, as a new machine has them.
        ["link", "set", "lo", "down"],
    ):
        run(["ip", "-netns", namespace, *flush], check=False)
    run(["nsenter", f"--net={NAMESPACES / namespace}", "nft", "flush", "ruleset"], check=False)


def own_devices(namespace: str, wires: set[str]) -> list[str]:
    """The devices that the host itself made: bridges, dummies, tunnels."""
    listed = run(["ip", "-netns", namespace, "-oneline", "link", "show"]).stdout
    names = [line.split(": ", 2)[1].split("@")[0] for line in listed.splitlines()]
    return [name for name in names if name not in wires]


def set_link(places: Places, link: Link, *, up: bool) -> None:
    """Cut or heal a link at its upper end: both ends see the carrier go or come."""
    run(["ip", "-netns", places.namespace(link.a), "link", "set", link.id, "up" if up else "down"])


def link_states(places: Places, links: Mapping[str, Link]) -> dict[str, str]:
    """Each link's state as its upper end sees it: up, down, or absent."""
    states = {}
    by_host: dict[str, str] = {}
    for link in links.values():
        if link.a not in by_host:
            by_host[link.a] = run(
                ["ip", "-netns", places.namespace(link.a), "-oneline", "link", "show"], check=False
            ).stdout
        line = next((x for x in by_host[link.a].splitlines() if f": {link.id}@" in x), "")
        flags = line[line.find("<") : line.find(">")]
        states[link.id] = "absent" if not line else "up" if "LOWER_UP" in flags else "down"
    return states


def remove(places: Places) -> None:
    """Remove every namespace and interface of this lab, whatever state it is in."""
    if NAMESPACES.is_dir():
        for path in NAMESPACES.glob(f"{places.namespace_prefix}*"):
            run(["ip", "netns", "delete", path.name], check=False)
            path.unlink(missing_ok=True)
    listed = run(["ip", "-oneline", "link", "show"]).stdout
    for line in listed.splitlines():
        name = line.split(": ", 2)[1].split("@")[0]
        if name == places.bridge or name.startswith(f"{places.bridge}p"):
            run(["ip", "link", "delete", name], check=False)
