"""Do the firewalls do what the policy says? Packets led through the loaded rules, held against the policy's verdict.

The policy (inventories/policy) says of a source, a destination and a port whether a connection is allowed. What
the hosts have loaded is walked for the same packet (:mod:`checks.extranet.journey`). Each difference is a finding:
a door that the policy does not know, or one that it opens and that is shut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec
from netaddr import IPAddress

from checks.record import Record, Status
from checks.security.run import Captures
from inventories.hosts import HostData
from inventories.plan import AddressPlan
from inventories.policy.resolve import Addresses, ResolvedPolicy, resolve
from inventories.policy.spans import contains
from inventories.policy.verdict import Verdict, evaluate
from inventories.private import network_of
from inventories.records import NO_LINUX, ON_A_LAN, City, Family, Node, NodeRole, SiteRole

from .firewall import UNSERVED
from .journey import End, World
from .judging import Deviation, judge, without_verdict
from .observed import NoLinux, Unreadable
from .ruleset import Packet, UnknownRule

CHECK = "policy"
#: How many ports a finding lists.
_TOLD = 5
#: How many nodes of one kind (level, role, zone) are tried as destinations; hosts of systems are tried all.
_OF_A_KIND = 3


class Try(msgspec.Struct, frozen=True):
    """A connection to try, and what the policy says of it."""

    family: Family
    source: str
    protocol: str
    port: int
    verdict: Verdict


class Case(msgspec.Struct, frozen=True):
    """All connections from one node to another; `guarded` where a router on the way asks the policy, too."""

    source: str
    destination: str
    guarded: bool
    tries: tuple[Try, ...]


def cases_of(
    city: City, plan: AddressPlan, hosts: Mapping[str, HostData], today: date | None = None
) -> Iterator[Case]:
    """What to try, and what the policy says: a source of each zone and kind, against a sample of destinations.

    `today` is the day that rules with an end are held against; now, in the city's time zone, unless given.
    """
    resolved = resolve(city, plan)
    today = today or datetime.now(ZoneInfo(city.layout.time_zone)).date()
    networks = network_of(city)
    ports = _ports(resolved, hosts.values())
    sources, destinations = _sources(city, networks), _destinations(city, networks)
    for rule in resolved.rules:
        sources += _first_of(rule.sources, city, hosts, lambda node: node.role is not NodeRole.ROUTER)
        destinations += _first_of(rule.destinations, city, hosts, lambda node: True)
    sources, destinations = list(dict.fromkeys(sources)), list(dict.fromkeys(destinations))
    for source in sources:
        for destination in destinations:
            if destination == source:
                continue
            tries = []
            for family in Family:
                begin, end = hosts[source].service[family], hosts[destination].service[family]
                if begin == end or _is_hidden(networks, source, destination, family, hosts):
                    continue
                tries += [
                    Try(
                        family,
                        begin,
                        protocol,
                        port,
                        evaluate(
                            resolved, begin, end, protocol, port, today, network=networks.get(source, "")
                        ),
                    )
                    for protocol, found in ports.items()
                    for port in found
                ]
            if tries:
                guarded = _is_guarded(city, networks, source, destination)
                yield Case(source, destination, guarded, tuple(tries))


def _is_guarded(city: City, networks: Mapping[str, str], source: str, destination: str) -> bool:
    """Whether the policy is asked before a packet is at its destination: at the border, or before a LAN."""
    ends = [city.sites[city.nodes[node].site] for node in (source, destination)]
    at_the_border = [site.role is SiteRole.BORDER for site in ends]
    if city.nodes[destination].role is NodeRole.ROUTER and at_the_border[1]:
        return False
    if city.nodes[source].site == city.nodes[destination].site:
        return False
    on_a_lan = city.nodes[destination].role in ON_A_LAN
    return on_a_lan or at_the_border[0] or networks.get(source) != networks.get(destination)


def _is_hidden(
    networks: Mapping[str, str], source: str, destination: str, family: Family, hosts: Mapping[str, HostData]
) -> bool:
    """Whether an address of one private network is another one's too: whom a packet means depends on who sends it."""
    own, other = networks.get(source), networks.get(destination)
    if not own or not other or own == other:
        return False
    address = hosts[destination].service[family]
    return any(
        network == own and hosts[name].service[family] == address for name, network in networks.items()
    )


def _ports(resolved: ResolvedPolicy, hosts: Iterable[HostData]) -> dict[str, list[int]]:
    """The ports to try: the first of every range that the policy names, every service's, and one of nobody."""
    found: dict[str, set[int]] = {"tcp": {UNSERVED}, "udp": {UNSERVED}}
    for rule in resolved.rules:
        for protocol, spans in rule.ports.items():
            found[protocol].update(first for first, _ in spans)
    for data in hosts:
        for service in data.services:
            found[service.protocol].update(service.ports)
    return {protocol: sorted(ports) for protocol, ports in found.items()}


def _sources(city: City, networks: Mapping[str, str]) -> list[str]:
    """One host of each kind: none that forwards, for routers have tunnels and sessions with each other."""
    found: dict[tuple[object, ...], str] = {}
    for node in city.nodes.values():
        if node.role is not NodeRole.ROUTER and node.os_family not in NO_LINUX:
            site = city.sites[node.site]
            zone = networks.get(node.id, "internet" if site.role is SiteRole.BORDER else "public")
            found.setdefault((zone, node.role, site.level), node.id)
    return list(found.values())


def _first_of(
    addresses: Addresses, city: City, hosts: Mapping[str, HostData], wanted: Callable[[Node], bool]
) -> list[str]:
    """The first host whose address is one of a rule's, so that every rule is tried."""
    for node in city.nodes.values():
        if wanted(node) and node.os_family not in NO_LINUX:
            address = int(IPAddress(hosts[node.id].service[Family.IPV6]))
            if contains(addresses[Family.IPV6], address):
                return [node.id]
    return []


def _destinations(city: City, networks: Mapping[str, str]) -> list[str]:
    """Every host of a system, and some of each other kind."""
    of_systems = {node for system in city.systems.values() for node in system.nodes}
    counted: dict[tuple[object, ...], int] = {}
    found = []
    for node in city.nodes.values():
        if node.os_family in NO_LINUX:
            continue
        kind = (networks.get(node.id), node.role, city.sites[node.site].level)
        counted[kind] = counted.get(kind, 0) + 1
        if node.id in of_systems or counted[kind] <= _OF_A_KIND:
            found.append(node.id)
    return found


def policy_records(
    city: City, cases: Iterable[Case], hosts: Mapping[str, HostData], captures: Captures
) -> list[Record]:
    """A record for each pair of hosts and family: the subject is the one to which connections are tried."""
    world = World(city, hosts, captures)
    return [
        _record(world, case, family, hosts[case.destination].service[family])
        for case in cases
        for family in Family
        if any(each.family is family for each in case.tries)
    ]


def _record(world: World, case: Case, family: Family, address: str) -> Record:
    check = f"{CHECK}@{case.source}"
    tried = [each for each in case.tries if each.family is family]
    ports: dict[Deviation, list[str]] = {}
    try:
        for each in tried:
            packet = Packet(
                family=family,
                source=int(IPAddress(each.source)),
                destination=int(IPAddress(address)),
                protocol=each.protocol,
                port=each.port,
            )
            end = world.send(case.source, packet)
            if deviation := _deviation(case, each, end):
                ports.setdefault(deviation, []).append(f"{each.protocol}/{each.port}")
    except NoLinux as problem:
        return without_verdict(
            case.destination, check, family, Status.NOT_APPLICABLE, "no_linux", str(problem)
        )
    except Unreadable as problem:
        return without_verdict(case.destination, check, family, Status.ERROR, "unreadable", str(problem))
    except UnknownRule as problem:
        why = f"a rule on the way from {case.source} cannot be judged: {problem}"
        return without_verdict(case.destination, check, family, Status.ERROR, "unknown_rule", why)
    allowed = sum(each.verdict.allowed for each in tried)
    well = f"{len(tried)} ports tried from {case.source}, {allowed} open, as the policy says"
    deviations = [
        Deviation(deviation.reason, f"{_listed(found)} {deviation.text}")
        for deviation, found in ports.items()
    ]
    return judge(case.destination, check, family, deviations, well)


def _listed(ports: list[str]) -> str:
    more = len(ports) - _TOLD
    return ", ".join(ports[:_TOLD]) + (f" and {more} more" if more > 0 else "")


def _deviation(case: Case, each: Try, end: End) -> Deviation | None:
    """What is wrong with a try, without its port; None where reality is as the policy has it."""
    whence = f"from {each.source} ({case.source})"
    verdict, rule = each.verdict, each.verdict.rule.id if each.verdict.rule else each.verdict.built_in
    denied = f"rule {rule} denies it" if rule else "no rule of the policy allows it"
    if end.delivered and not verdict.allowed:
        return Deviation("open", f"{whence}: let in, and {denied}")
    if end.arrived and case.guarded and not verdict.allowed:
        return Deviation("unguarded", f"{whence}: stopped by {case.destination} itself alone, and {denied}")
    # Within a private network everything may talk: what a host there takes is its own affair.
    if verdict.allowed and not end.delivered and not (end.arrived and verdict.built_in):
        return Deviation("shut", f"{whence}: ends at {end.where}, {end.why}; the policy allows it ({rule})")
    return None
