"""Which rules does one point of enforcement need: a host, a LAN's router, the border? Pure.

A point gets the policy's rules in their order, less what cannot concern it, each narrowed to the addresses that
can pass there. The first rule that matches decides; what no rule matches is denied.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from inventories.policy.records import Action
from inventories.policy.resolve import INTERNET, PUBLIC, Addresses, ResolvedPolicy
from inventories.policy.spans import NOTHING, difference, everything, intersection, to_prefixes, union
from inventories.records import Family


class AddressMatch(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of both families: those of the prefixes, or, negated, all but those (the internet).

    A family without a prefix matches nothing; negated, everything: :data:`ANY` is a match that need not be asked.
    """

    prefixes: dict[Family, tuple[str, ...]]
    negated: bool = False

    @property
    def is_any(self) -> bool:
        """Whether every address matches, in both families."""
        return self.negated and not any(self.prefixes.values())


ANY = AddressMatch(prefixes=dict.fromkeys(Family, ()), negated=True)


class EdgeRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as one point enforces it: one protocol, both families.

    `ports` are first and last of each range; `ends` the second since the epoch from which on the rule does not
    hold, None for no end.
    """

    rule: str
    action: Action
    sources: AddressMatch
    destinations: AddressMatch
    protocol: str
    ports: tuple[tuple[int, int], ...]
    ends: int | None
    owner: str
    reason: str


def rules_for_host(resolved: ResolvedPolicy, node: str) -> tuple[EdgeRule, ...]:
    """The rules of a host's own firewall: those whose destination includes the host; any of its addresses is it.

    Raises:
        KeyError: there is no such node.
    """
    place = resolved.hosts[node]
    if resolved.host_zones[node].startswith("network:"):
        return ()
    return _rules(resolved, (None, False), (place, True))


def rules_for_lan(resolved: ResolvedPolicy, site: str) -> tuple[EdgeRule, ...]:
    """The rules of the router before a site's public LAN, for what goes to the hosts there.

    Raises:
        KeyError: there is no such site.
    """
    lan = resolved.lans[site]
    return _rules(resolved, (None, False), (lan, True))


def rules_from_zone(resolved: ResolvedPolicy, zone: str) -> tuple[EdgeRule, ...]:
    """The rules of the border for what comes from a zone: `internet` or `network:ID` (or `public`).

    A private network's sources are what they show outside of it.

    Raises:
        KeyError: there is no such zone.
    """
    sources = resolved.zones[zone]
    if zone.startswith("network:"):
        sources = resolved.crossing.get(zone.partition(":")[2], dict.fromkeys(Family, NOTHING))
    return _rules(resolved, (sources, True), (None, False))


def rules_to_internet(resolved: ResolvedPolicy) -> tuple[EdgeRule, ...]:
    """The rules of the border for what goes out to the internet, from the public zone and private networks."""
    parts = [resolved.zones[PUBLIC], *resolved.crossing.values()]
    sources = {f: union(*(part[f] for part in parts)) for f in Family}
    return _rules(resolved, (sources, False), (resolved.zones[INTERNET], True))


def _rules(
    resolved: ResolvedPolicy,
    sources: tuple[Addresses | None, bool],
    destinations: tuple[Addresses | None, bool],
) -> tuple[EdgeRule, ...]:
    begin = _Side(resolved, sources[0], guards=sources[1])
    end = _Side(resolved, destinations[0], guards=destinations[1])
    return tuple(_edge_rules(resolved, begin, end))


class _Side:
    """The sources, or the destinations, of rules at one point.

    `limit` is what can stand on this side at all, None for anything; of a rule that covers a limit that the point
    itself `guards`, nothing is asked: what else would pass there is kept away before (anti-spoofing), or is no
    other thing (a host's own addresses).
    """

    def __init__(self, resolved: ResolvedPolicy, limit: Addresses | None, *, guards: bool) -> None:
        self._internet = resolved.zones[INTERNET]
        self._limit = limit
        self._guards = guards
        # By identity: selectors' addresses are shared between rules, and alive as long as the policy is.
        self._found: dict[int, tuple[Addresses, AddressMatch | None]] = {}

    def narrowed(self, addresses: Addresses) -> Addresses:
        """The addresses of a rule that can stand on this side."""
        return self._find(addresses)[0]

    def match(self, addresses: Addresses) -> AddressMatch:
        """What the point asks for a rule's addresses."""
        narrowed, match = self._find(addresses)
        if match is None:
            match = ANY if self._guards and narrowed == self._limit else self._prefixes(narrowed)
            self._found[id(addresses)] = narrowed, match
        return match

    def _find(self, addresses: Addresses) -> tuple[Addresses, AddressMatch | None]:
        found = self._found.get(id(addresses))
        if found is None:
            limit = self._limit
            narrowed = (
                addresses if limit is None else {f: intersection(addresses[f], limit[f]) for f in Family}
            )
            found = self._found[id(addresses)] = narrowed, None
        return found

    def _prefixes(self, addresses: Addresses) -> AddressMatch:
        """Prefixes for a set of addresses; of one that holds the whole internet, those that it does not hold."""
        negated = all(not difference(self._internet[f], addresses[f]) for f in Family)
        shown = {f: difference(everything(f), addresses[f]) if negated else addresses[f] for f in Family}
        return AddressMatch(prefixes={f: to_prefixes(shown[f], f) for f in Family}, negated=negated)


def _edge_rules(resolved: ResolvedPolicy, sources: _Side, destinations: _Side) -> Iterator[EdgeRule]:
    """The rules that can match between the two sides of a point, in their order, one for each protocol."""
    for rule in resolved.rules:
        begin, end = sources.narrowed(rule.sources), destinations.narrowed(rule.destinations)
        if not any(begin[f] and end[f] for f in Family):
            continue
        for protocol, ports in rule.ports.items():
            yield EdgeRule(
                rule=rule.id,
                action=rule.action,
                sources=sources.match(rule.sources),
                destinations=destinations.match(rule.destinations),
                protocol=protocol,
                ports=ports,
                ends=rule.ends,
                owner=rule.record.owner,
                reason=rule.record.reason,
            )
