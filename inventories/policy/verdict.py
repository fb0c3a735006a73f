"""Which rule decides about a connection, or about many at once? Pure.

The rules are gone through in the file's order, the first that matches decides, what none matches is denied.
What the firewalls do is another matter: they are compiled (:mod:`inventories.policy.points`), and tests and
checks hold them against what is said here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from netaddr import IPAddress

from inventories.policy.records import Action
from inventories.policy.resolve import ResolvedPolicy, ResolvedRule
from inventories.policy.spans import Spans, contains, difference, intersection
from inventories.records import Family

#: Within a private network everything may talk: it is a routing table of its own, no rule is asked.
WITHIN_NETWORK = "private-network"


class Verdict(NamedTuple):
    """Whether a connection is allowed, and why: by a rule, by what is built in, or because no rule matches."""

    allowed: bool
    rule: ResolvedRule | None = None
    built_in: str = ""


class Flow(NamedTuple):
    """Connections of one family and protocol: every source with every destination and port."""

    sources: Spans
    destinations: Spans
    ports: Spans


class Part(NamedTuple):
    """Connections about which one rule decides; None where no rule matches."""

    rule: ResolvedRule | None
    flow: Flow


def holds(rule: ResolvedRule, at: date | None) -> bool:
    """Whether a rule holds on a day of the city's time zone; without a day, as long as it has not ended."""
    return at is None or rule.record.until is None or at <= rule.record.until


def evaluate(
    resolved: ResolvedPolicy,
    source: str,
    destination: str,
    protocol: str,
    port: int,
    at: date | None = None,
    network: str = "",
) -> Verdict:
    """The verdict about one connection.

    Args:
        resolved: the policy.
        source: the address that opens the connection; in a private network its own address there.
        destination: the service address to which it is opened.
        protocol: tcp or udp.
        port: the destination's port.
        at: the day, in the city's time zone; None: a day before any rule ends.
        network: the private network from which it is opened; needed only where two have the same range.

    Raises:
        ValueError: the addresses are not of one family, or the source may stand in several private networks.
    """
    begin, end = IPAddress(source), IPAddress(destination)
    if begin.version != end.version:
        raise ValueError(f"{source} and {destination} are not of one address family")
    family = Family.IPV4 if begin.version == 4 else Family.IPV6
    networks = [network] if network else networks_at(resolved, int(begin), family)
    if any(contains(resolved.zones[f"network:{name}"][family], int(end)) for name in networks):
        return Verdict(True, built_in=WITHIN_NETWORK)
    if len(networks) > 1:
        raise ValueError(f"{source} is an address of the private networks {', '.join(networks)}: say which")
    sources: Spans = ((int(begin), int(begin)),)
    if networks:
        sources = seen_outside(resolved, networks[0], family, sources)
    for rule in resolved.rules:
        if (
            holds(rule, at)
            and contains(rule.ports.get(protocol, ()), port)
            and contains(rule.destinations[family], int(end))
            and intersection(rule.sources[family], sources)
        ):
            return Verdict(rule.action is Action.ALLOW, rule)
    return Verdict(False)


def networks_at(resolved: ResolvedPolicy, address: int, family: Family) -> list[str]:
    """The private networks in whose own prefixes an address stands."""
    return [
        zone.partition(":")[2]
        for zone, addresses in resolved.zones.items()
        if zone.startswith("network:") and contains(addresses[family], address)
    ]


def seen_outside(resolved: ResolvedPolicy, network: str, family: Family, sources: Spans) -> Spans:
    """As what hosts of a private network show outside of it: themselves, or the address they are translated to."""
    shows = resolved.crossing.get(network, {}).get(family, ())
    return intersection(sources, shows) or shows


def decide(
    rules: Iterable[ResolvedRule], family: Family, protocol: str, flow: Flow, at: date | None = None
) -> list[Part]:
    """Every rule that decides about some of many connections, in order, each with those that it decides about."""
    found = []
    rest = [flow] if all(flow) else []
    for rule in rules:
        if not rest:
            break
        ports = rule.ports.get(protocol, ())
        if not ports or not holds(rule, at):
            continue
        mine = Flow(rule.sources[family], rule.destinations[family], ports)
        left: list[Flow] = []
        for piece in rest:
            common = overlap(piece, mine)
            if common is None:
                left.append(piece)
            else:
                found.append(Part(rule, common))
                left += without(piece, mine)
        rest = left
    return [*found, *(Part(None, piece) for piece in rest)]


def overlap(one: Flow, other: Flow) -> Flow | None:
    """The connections that are in both; None when there is none."""
    ports = intersection(one.ports, other.ports)
    destinations = ports and intersection(one.destinations, other.destinations)
    sources = destinations and intersection(one.sources, other.sources)
    return Flow(sources, destinations, ports) if sources else None


def without(one: Flow, other: Flow) -> list[Flow]:
    """The connections of `one` that are not in `other`, as at most three flows that are apart from each other."""
    sources = intersection(one.sources, other.sources)
    destinations = intersection(one.destinations, other.destinations)
    pieces = (
        Flow(difference(one.sources, other.sources), one.destinations, one.ports),
        Flow(sources, difference(one.destinations, other.destinations), one.ports),
        Flow(sources, destinations, difference(one.ports, other.ports)),
    )
    return [piece for piece in pieces if all(piece)]
