"""Which addresses of both families does each rule of the policy mean? Pure.

A selector is resolved for both families at once, from the same sites, nodes and networks: a rule cannot mean
one thing in IPv4 and another in IPv6. The public zone is what the routers of the public part carry, less what
only looks like it: the management network and the addresses as which private networks show outside stand within
the city's own IPv4 prefix, not within its IPv6 prefix in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec
from netaddr import IPNetwork

from inventories.plan import AddressPlan
from inventories.policy.records import Action, Policy, PolicyRule, PolicyService
from inventories.policy.selectors import Selector, SelectorKind, parse_selector
from inventories.policy.spans import (
    NOTHING,
    Spans,
    difference,
    everything,
    from_prefixes,
    intersection,
    union,
)
from inventories.private import crossing_prefixes, network_of
from inventories.records import City, Family, NodeRole, Site, SiteRole

#: A set of addresses in both families.
Addresses = dict[Family, Spans]

NO_ADDRESSES: Addresses = dict.fromkeys(Family, NOTHING)
#: Names of the zones; private networks are zones too, `network:ID`.
PUBLIC, INTERNET, MANAGEMENT = "public", "internet", "management"


class ResolvedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule with its addresses in both families and its ports by protocol.

    `ends` is the first second, since the epoch, in which the rule does not hold any more; None for no end.
    """

    id: str
    line: int
    action: Action
    record: PolicyRule
    sources: Addresses
    destinations: Addresses
    ports: dict[str, Spans]
    ends: int | None


class ResolvedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A city's policy in addresses.

    `zones` are `public`, `internet`, `management` and `network:ID`, the last with the network's own prefixes;
    `crossing` is as what a private network's hosts show outside of it, by network. `hosts` and `lans` are the
    addresses of nodes and of the sites' public LANs; `host_zones` the zone in which each node stands.
    `selectors` is what each selector stands for as a source and as a destination.
    """

    file: str
    time_zone: str
    rules: tuple[ResolvedRule, ...]
    services: dict[str, PolicyService]
    zones: dict[str, Addresses]
    crossing: dict[str, Addresses]
    hosts: dict[str, Addresses]
    host_zones: dict[str, str]
    lans: dict[str, Addresses]
    selectors: dict[tuple[str, bool], Addresses]


def resolve(
    city: City, plan: AddressPlan, crossing: Mapping[str, Mapping[Family, str]] | None = None
) -> ResolvedPolicy:
    """The policy of a city in addresses.

    Args:
        city: the city; without a policy nothing is allowed.
        plan: its address plan.
        crossing: as which prefix each private network shows outside, by family; what the border does if None.
    """
    policy = city.policy or Policy()
    shows = crossing_prefixes(city, plan) if crossing is None else crossing
    scope = _Scope(city, plan, shows)
    rules = tuple(
        ResolvedRule(
            id=rule.id,
            line=policy.lines.get(rule.id, 0),
            action=rule.action,
            record=rule,
            sources=scope.all_of(rule.sources, is_source=True),
            destinations=scope.all_of(rule.destinations, is_source=False),
            ports=ports_of(policy.services[name] for name in rule.services),
            ends=end_of(rule.until, city.layout.time_zone),
        )
        for rule in policy.rules.values()
    )
    return ResolvedPolicy(
        file=policy.file,
        time_zone=city.layout.time_zone,
        rules=rules,
        services=policy.services,
        zones=scope.zones,
        crossing=scope.crossing,
        hosts=scope.hosts,
        host_zones=scope.host_zones,
        lans={site: scope.lan(record) for site, record in city.sites.items()},
        selectors=scope.found,
    )


def end_of(until: date | None, time_zone: str) -> int | None:
    """The first second after the day `until` in a time zone, in seconds since the epoch; None for no end."""
    if until is None:
        return None
    return int(datetime.combine(until + timedelta(days=1), time(), ZoneInfo(time_zone)).timestamp())


def ports_of(services: Iterable[PolicyService]) -> dict[str, Spans]:
    """The ports of services by protocol; protocols without a port are left out."""
    listed = list(services)
    found = {
        protocol: union(*(map(_port, getattr(service, protocol)) for service in listed))
        for protocol in ("tcp", "udp")
    }
    return {protocol: ports for protocol, ports in found.items() if ports}


def _port(port: int | str) -> tuple[int, int]:
    if isinstance(port, int):
        return port, port
    first, last = port.split("-")
    return int(first), int(last)


class _Scope:
    """What selectors stand for in one city."""

    def __init__(self, city: City, plan: AddressPlan, crossing: Mapping[str, Mapping[Family, str]]) -> None:
        self.city = city
        self.plan = plan
        self.found: dict[tuple[str, bool], Addresses] = {}
        self._joined: dict[tuple[tuple[str, ...], bool], Addresses] = {}
        self.crossing = {
            network: {f: from_prefixes([shows[f]] if f in shows else []) for f in Family}
            for network, shows in crossing.items()
        }
        networks = network_of(city)
        self.hosts: dict[str, Addresses] = {}
        self.host_zones: dict[str, str] = {}
        self._members: dict[str, list[str]] = {}
        self._children: dict[str, list[str]] = {}
        for node in city.nodes.values():
            self.hosts[node.id] = {f: _single(int(plan.host(node.id, f))) for f in Family}
            self._members.setdefault(node.site, []).append(node.id)
            is_outside = city.sites[node.site].role is SiteRole.BORDER and node.role is not NodeRole.ROUTER
            zone = INTERNET if is_outside else PUBLIC
            self.host_zones[node.id] = f"network:{networks[node.id]}" if node.id in networks else zone
        for site in city.sites.values():
            self._children.setdefault(site.parent, []).append(site.id)
        self.zones = self._zones()

    def _zones(self) -> dict[str, Addresses]:
        layout = self.city.layout
        management = _addresses([(layout.management.ipv4, layout.management.ipv6)])
        partners = layout.partners.values()
        extranet = _addresses(
            [
                (layout.ipv4.prefix, layout.ipv6.prefix),
                *((partner.ipv4, partner.ipv6) for partner in partners),
            ]
        )
        networks = {
            f"network:{network.id}": _addresses([(network.ipv4, network.ipv6)])
            for network in self.city.networks.values()
        }
        apart = _join(management, *networks.values(), *self.crossing.values())
        inside = _join(extranet, apart)
        return {
            PUBLIC: {f: difference(extranet[f], apart[f]) for f in Family},
            INTERNET: {f: difference(everything(f), inside[f]) for f in Family},
            MANAGEMENT: management,
            **networks,
        }

    def all_of(self, texts: Iterable[str], *, is_source: bool) -> Addresses:
        """The addresses of several selectors."""
        key = (tuple(texts), is_source)
        if key not in self._joined:
            self._joined[key] = _join(*(self.of(text, is_source=is_source) for text in key[0]))
        return self._joined[key]

    def of(self, text: str, *, is_source: bool) -> Addresses:
        """The addresses of a selector."""
        key = (text, is_source)
        if key not in self.found:
            selector = parse_selector(text)
            self.found[key] = self._of(selector, is_source) if selector else NO_ADDRESSES
        return self.found[key]

    def _of(self, selector: Selector, is_source: bool) -> Addresses:
        city, name = self.city, selector.name
        match selector.kind:
            case SelectorKind.PUBLIC | SelectorKind.INTERNET:
                return self.zones[selector.kind]
            case SelectorKind.NETWORK:
                return self.crossing.get(name, NO_ADDRESSES) if is_source else NO_ADDRESSES
            case SelectorKind.UNIT if is_source:
                mine = [network.id for network in city.networks.values() if network.unit == name]
                return _join(*(self.crossing.get(network, NO_ADDRESSES) for network in mine))
            case SelectorKind.UNIT:
                systems = [system for system in city.systems.values() if name in system.owners]
                return self._public(node for system in systems for node in system.nodes)
            case SelectorKind.SYSTEM:
                return self._public(city.systems[name].nodes)
            case SelectorKind.ROLE:
                return self._public(node.id for node in city.nodes.values() if node.role == name)
            case SelectorKind.NODE:
                is_private = self.host_zones[name].startswith("network:")
                return NO_ADDRESSES if is_private else self.hosts[name]
            case SelectorKind.SITE:
                site = city.sites[name]
                return _join(self.lan(site), self._public(self._members.get(name, ())))
            case SelectorKind.BELOW:
                return self._below(name)

    def _public(self, nodes: Iterable[str]) -> Addresses:
        """The addresses of those nodes that stand in the public zone."""
        return _join(
            *(self.hosts[node] for node in dict.fromkeys(nodes) if self.host_zones.get(node) == PUBLIC)
        )

    def lan(self, site: Site) -> Addresses:
        """A site's LAN; a partner's prefixes; nothing at the border, whose LAN is the internet's."""
        if site.role is SiteRole.BORDER:
            return NO_ADDRESSES
        if site.division != self.city.layout.division and site.division in self.city.layout.partners:
            partner = self.city.layout.partners[site.division]
            return self._in_public(_addresses([(partner.ipv4, partner.ipv6)]))
        return self._in_public({f: _network(self.plan.lan(site.id, f)) for f in Family})

    def _below(self, name: str) -> Addresses:
        """The prefixes of a site, and the routers of it and all below it, whose loopbacks stand apart."""
        sites, waiting = [], [name]
        while waiting:
            sites.append(waiting.pop())
            waiting += self._children.get(sites[-1], ())
        nodes = self._public(node for site in sites for node in self._members.get(site, ()))
        if self.city.sites[name].role is not SiteRole.ACCESS:
            return _join(self.lan(self.city.sites[name]), nodes)
        prefixes = {f: union(*map(_network, self.plan.site_prefix(name, f))) for f in Family}
        return _join(self._in_public(prefixes), nodes)

    def _in_public(self, addresses: Addresses) -> Addresses:
        return {f: intersection(addresses[f], self.zones[PUBLIC][f]) for f in Family}


def _join(*parts: Addresses) -> Addresses:
    if len(parts) == 1:
        return parts[0]
    return {f: union(*(part[f] for part in parts)) for f in Family}


def _addresses(pairs: Iterable[tuple[str, str]]) -> Addresses:
    listed = list(pairs)
    return {
        Family.IPV4: from_prefixes(ipv4 for ipv4, _ in listed),
        Family.IPV6: from_prefixes(ipv6 for _, ipv6 in listed),
    }


def _single(address: int) -> Spans:
    return ((address, address),)


def _network(network: IPNetwork) -> Spans:
    return ((network.first, network.last),)
