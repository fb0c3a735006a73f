"""Does each host have a firewall of its own that denies what nobody allows? Packets tried on its loaded rules; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from checks.security.stream import Capture
from inventories.hosts import MANAGEMENT_INTERFACE, HostData, InterfaceKind
from inventories.records import Family

from .expected import span
from .journey import read_rulesets
from .judging import Deviation
from .ruleset import Packet, Ruleset

#: A port that nobody serves, and a source that no policy gives it to (RFC 5737, RFC 9637: documentation).
UNSERVED = 65000
STRANGER = {Family.IPV4: "192.0.2.254", Family.IPV6: "3fff:fff::1"}


def firewall_deviations(data: HostData, capture: Capture, family: Family) -> Iterator[Deviation]:
    """What a host lets in or through although nothing allows it.

    Raises:
        Unreadable: The host showed no ruleset.
        UnknownRule: A rule cannot be judged.
    """
    host, inside = read_rulesets(data, capture)
    own, stranger = _number(data.service[family]), _number(STRANGER[family])
    links = [i.name for i in data.interfaces if i.kind in (InterfaceKind.LINK, InterfaceKind.ACCESS)]
    for interface in links:
        for protocol in ("tcp", "udp"):
            packet = _packet(family, stranger, own, protocol, interface)
            if host.passes(packet, "input").passes:
                text = f"{protocol}/{UNSERVED} from anywhere is let in by {interface}; the host's rules deny nothing"
                yield Deviation("no_firewall", text)
    if data.routing is not None and data.routing.forwards:
        yield from _through(host, family, own, stranger, links)
    yield from _into_networks(data, inside, family, stranger)


def _through(host: Ruleset, family: Family, own: int, stranger: int, links: list[str]) -> Iterator[Deviation]:
    """The management network is apart from the extranet, in both directions."""
    for interface in links:
        for come, go in ((MANAGEMENT_INTERFACE, interface), (interface, MANAGEMENT_INTERFACE)):
            packet = _packet(family, own, stranger, "tcp", come, go)
            if host.passes(packet, "forward").passes:
                yield Deviation("not_apart", f"packets pass from {come} to {go}; management is out of band")


def _into_networks(
    data: HostData, inside: Mapping[str, Ruleset], family: Family, stranger: int
) -> Iterator[Deviation]:
    """A LAN of a private network sends with the network's addresses alone."""
    for site in data.networks:
        if not site.ports:
            continue
        lan, overlay = f"lan-{site.network}", f"vx-{site.network}"
        target = span(site.lan[family]).first + 2
        packet = _packet(family, stranger, target, "tcp", lan, overlay)
        if inside[site.network].passes(packet, "forward").passes:
            yield Deviation("spoofable", f"{site.network}: a source that is not of the network passes")


def _packet(family: Family, source: int, target: int, protocol: str, iif: str, oif: str = "") -> Packet:
    return Packet(
        family=family,
        source=source,
        destination=target,
        protocol=protocol,
        port=UNSERVED,
        iif=iif,
        oif=oif,
        sender="02:00:00:ff:ff:ff",
    )


def _number(address: str) -> int:
    return span(address).first
