"""Who decides whether one end may reach another, in each family? Rules of the policy, and what is built in. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from netaddr import AddrFormatError, IPAddress

from inventories import hosts
from inventories.plan import AddressPlan
from inventories.policy.records import Action
from inventories.policy.resolve import INTERNET, MANAGEMENT, NO_ADDRESSES, PUBLIC, Addresses, ResolvedPolicy
from inventories.policy.spans import Spans, contains, to_prefixes, union
from inventories.policy.verdict import WITHIN_NETWORK, Flow, Part, decide, networks_at, seen_outside
from inventories.problems import Suggestions
from inventories.records import City, Family
from inventories.topology import build_topology


class UnknownEnd(Exception):
    """A word that names no end of a connection; the message says what would."""


class End(NamedTuple):
    """One end of a connection: where it stands, and its own addresses there."""

    name: str
    zone: str
    addresses: Addresses
    nodes: tuple[str, ...] = ()


class Question(NamedTuple):
    """What is asked: may `source` reach a port of `destination` on a day (of the city's time zone)?"""

    source: End
    destination: End
    protocol: str
    port: int
    at: date


class Decision(NamedTuple):
    """What one decider says about some or all of the connections of one family.

    `decider` is the id of a rule, `built in: NAME`, or `default`; `line` is the rule's, 0 for others.
    """

    family: Family
    allowed: bool
    decider: str
    line: int
    why: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]


class Explanation(NamedTuple):
    """The decisions of each family, and what else is worth knowing."""

    decisions: list[Decision]
    notes: list[str]

    @property
    def allowed(self) -> bool:
        """Whether every connection that was asked for is allowed."""
        return bool(self.decisions) and all(decision.allowed for decision in self.decisions)


def explain(city: City, plan: AddressPlan, resolved: ResolvedPolicy, asked: Question) -> Explanation:
    """Who decides about a port, in every family that both ends have."""
    opened = _Opened(city, plan, asked)
    decisions: list[Decision] = []
    for family in Family:
        if asked.source.addresses[family] and asked.destination.addresses[family]:
            decisions += _in_family(resolved, asked, family, opened)
    notes = list(opened.notes())
    deciders = {f: {(d.decider, d.allowed) for d in decisions if d.family is f} for f in Family}
    if all(deciders.values()) and deciders[Family.IPV4] != deciders[Family.IPV6]:
        notes.insert(0, "IPv4 and IPv6 differ: see `jizuo policy lint`")
    return Explanation(decisions, notes)


def _in_family(resolved: ResolvedPolicy, asked: Question, family: Family, opened: _Opened) -> list[Decision]:
    source, destination = asked.source, asked.destination
    sources, destinations = source.addresses[family], destination.addresses[family]

    def decision(allowed: bool, decider: str, why: str) -> list[Decision]:
        ends = to_prefixes(sources, family), to_prefixes(destinations, family)
        return [Decision(family, allowed, f"built in: {decider}", 0, why, *ends)]

    if source.zone == destination.zone and source.zone.startswith("network:"):
        return decision(
            True, WITHIN_NETWORK, "within a private network everything may talk, no rule is asked"
        )
    if MANAGEMENT in (source.zone, destination.zone):
        destinations = opened.management_addresses(family) or destinations
        return decision(*opened.to_management())
    if destination.zone.startswith("network:"):
        return decision(False, WITHIN_NETWORK, "a private network is no destination from another zone")
    if source.zone.startswith("network:"):
        own = sources
        sources = seen_outside(resolved, source.zone.partition(":")[2], family, own)
        if not sources:
            sources = own
            return decision(False, WITHIN_NETWORK, "the city has no border: nothing comes out of the network")
    flow = Flow(sources, destinations, ((asked.port, asked.port),))
    parts = decide(resolved.rules, family, asked.protocol, flow, asked.at)
    return _merged(_decision(family, part) for part in parts)


def _decision(family: Family, part: Part) -> tuple[Decision, Flow]:
    rule = part.rule
    if rule is None:
        return Decision(family, False, "default", 0, "no rule matches: denied", (), ()), part.flow
    allowed = rule.action is Action.ALLOW
    return Decision(family, allowed, rule.id, rule.line, rule.record.reason, (), ()), part.flow


def _merged(parts: Iterator[tuple[Decision, Flow]]) -> list[Decision]:
    """One decision for each decider, with all the addresses that it decides about."""
    flows: dict[Decision, list[Flow]] = {}
    for decision, flow in parts:
        flows.setdefault(decision, []).append(flow)
    return [
        decision._replace(
            sources=to_prefixes(union(*(flow.sources for flow in found)), decision.family),
            destinations=to_prefixes(union(*(flow.destinations for flow in found)), decision.family),
        )
        for decision, found in flows.items()
    ]


class _Opened:
    """What the kit itself opens, beside the policy, on the nodes that a question is about."""

    def __init__(self, city: City, plan: AddressPlan, asked: Question) -> None:
        self._plan = plan
        self._asked = asked
        topology = build_topology(city, plan)
        self._services = [
            (node, service)
            for node in asked.destination.nodes
            for service in hosts.services_of(city.nodes[node], topology)
            if service.protocol == asked.protocol and asked.port in service.ports
        ]
        self._port = f"{asked.protocol} {asked.port}"

    def management_addresses(self, family: Family) -> Spans:
        """The addresses that the nodes have on the management network."""
        addresses = [int(self._plan.management(node, family)) for node in self._asked.destination.nodes]
        return union((address, address) for address in addresses)

    def to_management(self) -> tuple[bool, str, str]:
        """The decision about a connection over the management network: services of the kit itself, out of band."""
        if self._asked.source.zone != MANAGEMENT:
            return False, MANAGEMENT, "nothing passes from another zone into the management network"
        names = self._named(hosts.Source.MANAGEMENT)
        if names and len(names) == len(self._asked.destination.nodes):
            why = f"the kit opens {self._port} on {', '.join(names)} to the management network"
            return True, next(iter(names.values())), why
        return False, MANAGEMENT, f"the kit opens no {self._port} there to the management network"

    def notes(self) -> Iterator[str]:
        """What is open to others than the one who asks."""
        if MANAGEMENT not in (self._asked.source.zone, self._asked.destination.zone):
            for node, name in self._named(hosts.Source.MANAGEMENT).items():
                yield f"built in: {name} opens {self._port} on {node} to the management network"
        for node, name in self._named(hosts.Source.LINKS).items():
            yield f"built in: {name} opens {self._port} on {node} to its neighbours, on their links only"

    def _named(self, source: hosts.Source) -> dict[str, str]:
        return {node: service.name for node, service in self._services if service.source is source}


def find_end(city: City, plan: AddressPlan, resolved: ResolvedPolicy, word: str) -> End:
    """The end that a word names: a node, a system, a zone (public, internet, network:ID, management), an address.

    Raises:
        UnknownEnd: it names none, or an address that may stand in several private networks.
    """
    if word in resolved.zones:
        return End(word, word, resolved.zones[word])
    if word in city.nodes:
        return End(word, resolved.host_zones[word], resolved.hosts[word], (word,))
    if word in city.systems:
        nodes = city.systems[word].nodes
        zones = {resolved.host_zones[node] for node in nodes}
        if len(zones) != 1:
            raise UnknownEnd(
                f"system {word} stands on no node" if not zones else f"system {word} is in {zones}"
            )
        addresses = {f: union(*(resolved.hosts[node][f] for node in nodes)) for f in Family}
        return End(word, zones.pop(), addresses, nodes)
    try:
        address = IPAddress(word)
    except (AddrFormatError, ValueError):
        known = [*resolved.zones, *city.systems, *city.nodes]
        near = Suggestions().nearest(word, known)
        hint = f"did you mean {near!r}? Else name" if near else "name"
        raise UnknownEnd(
            f"{hint} a node, a system, an address, or a zone ({', '.join(resolved.zones)})"
        ) from None
    return _address_end(city, plan, resolved, address)


def _address_end(city: City, plan: AddressPlan, resolved: ResolvedPolicy, address: IPAddress) -> End:
    family = Family.IPV4 if address.version == 4 else Family.IPV6
    span: Spans = ((int(address), int(address)),)
    networks = networks_at(resolved, int(address), family)
    if len(networks) > 1:
        raise UnknownEnd(
            f"{address} may stand in several private networks: name one, network:{', network:'.join(networks)}"
        )
    zone = f"network:{networks[0]}" if networks else ""
    for name in (PUBLIC, INTERNET, MANAGEMENT):
        if not zone and contains(resolved.zones[name][family], int(address)):
            zone = name
    if zone == MANAGEMENT:
        nodes = tuple(n for n in city.nodes if plan.management(n, family) == address)
    else:
        nodes = tuple(n for n, own in resolved.hosts.items() if own[family] == span)
    return End(str(address), zone, {**NO_ADDRESSES, family: span}, nodes)
