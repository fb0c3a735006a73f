"""What is doubtful in a policy that can be enforced as it is? Rules that do nothing, end, or open too much. Pure.

What cannot be enforced at all is no finding but an error of the inventory (:mod:`inventories.rules.policy`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

from inventories.policy.records import Action
from inventories.policy.resolve import INTERNET, PUBLIC, Addresses, ResolvedPolicy, ResolvedRule
from inventories.policy.shadows import Shadows
from inventories.policy.spans import difference, intersection
from inventories.policy.verdict import holds
from inventories.records import City, Family, NetworkZone

#: A rule that ends within this time is announced.
SOON = timedelta(days=30)
#: A service with more ports than this in one protocol opens more than services have.
MANY_PORTS = 1000


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"  # the policy does not do what it says
    WARNING = "warning"  # it opens more than it should, or has dead parts
    NOTICE = "notice"  # somebody has to think of it


class Finding(NamedTuple):
    """One thing that is doubtful; `rule` is empty for a service."""

    check: str
    severity: Severity
    rule: str
    line: int
    why: str
    fix: str


def lint(city: City, resolved: ResolvedPolicy, at: date) -> list[Finding]:
    """Every finding, in the order of the file's lines; `at` is a day in the city's time zone."""
    found: list[Finding] = []
    shadows = Shadows()
    for rule in resolved.rules:
        if not holds(rule, at):
            why = f"the rule ended with {rule.record.until}: it matches nothing any more"
            found.append(_finding("expired", Severity.WARNING, rule, why, "remove it, or write a later day"))
            continue
        for check in _CHECKS:
            found += check(city, resolved, rule)
        until = rule.record.until
        if until is not None and until - at <= SOON:
            why = f"the rule ends in {(until - at).days} days, with {until}"
            fix = f"ask {rule.record.owner} whether it is still needed; write a later day or let it end"
            found.append(_finding("expiring", Severity.NOTICE, rule, why, fix))
        found += _shadowed(shadows, rule)
        shadows.add(rule)
    found += _unused_services(city, resolved)
    return sorted(found, key=lambda finding: finding.line)


def _finding(check: str, severity: Severity, rule: ResolvedRule, why: str, fix: str) -> Finding:
    return Finding(check, severity, rule.id, rule.line, why, fix)


def _shadowed(shadows: Shadows, rule: ResolvedRule) -> Iterator[Finding]:
    same = shadows.same(rule)
    if same is not None:
        why = f"the rule is the same as {same.id} in line {same.line}"
        yield _finding("duplicate", Severity.WARNING, rule, why, "remove one of the two")
        return
    covering = shadows.covering(rule)
    if not covering:
        return
    names = ", ".join(f"{other.id} (line {other.line})" for other in covering)
    by = f"by {names}" if len(covering) == 1 else f"jointly by {names}"
    if all(other.action is rule.action for other in covering):
        why = f"all that the rule matches is decided before it, the same way, {by}"
        yield _finding("shadowed", Severity.WARNING, rule, why, "remove it, or narrow the earlier rule")
    else:
        why = f"the rule never decides: all that it matches is decided before it {by}"
        yield _finding("shadowed", Severity.ERROR, rule, why, "move it before them, or remove it")


def _empty_selectors(city: City, resolved: ResolvedPolicy, rule: ResolvedRule) -> Iterator[Finding]:
    for side, texts, is_source in (
        ("from", rule.record.sources, True),
        ("to", rule.record.destinations, False),
    ):
        for text in texts:
            addresses = resolved.selectors[text, is_source]
            there = [family for family in Family if addresses[family]]
            if not there:
                why = f"{side} names {text}, which stands for no address"
                yield _finding("unused", Severity.WARNING, rule, why, _way_out(city, text))
            elif len(there) == 1:
                why = f"{side} names {text}, which stands for {there[0]} addresses only"
                fix = "give it addresses of the other family: a rule has to mean the same in both"
                yield _finding("one-family", Severity.ERROR, rule, why, fix)


def _way_out(city: City, text: str) -> str:
    kind = text.partition(":")[0]
    if kind in ("network", "unit") and not any(city.sites[s].role == "border" for s in city.sites):
        return (
            "private networks come out at a border: add a site with the role border, or remove the selector"
        )
    return "remove the selector, or give it nodes (systems.csv, nodes.csv)"


def _one_family_as_a_whole(city: City, resolved: ResolvedPolicy, rule: ResolvedRule) -> Iterator[Finding]:
    """A rule whose sides each have both families, though not from one selector, means the same in neither."""
    works = [f for f in Family if rule.sources[f] and rule.destinations[f]]
    partly = any(rule.sources[f] or rule.destinations[f] for f in Family)
    if not works and partly and any(rule.sources.values()) and any(rule.destinations.values()):
        why = "its sources have one address family and its destinations the other: it matches nothing"
        yield _finding("one-family", Severity.ERROR, rule, why, "name both ends in both families")


def _too_wide(city: City, resolved: ResolvedPolicy, rule: ResolvedRule) -> Iterator[Finding]:
    if rule.action is Action.DENY:
        return
    zones = [zone for zone in (PUBLIC, INTERNET) if _covers(rule.sources, resolved.zones[zone])]
    wide = [zone for zone in (PUBLIC, INTERNET) if _covers(rule.destinations, resolved.zones[zone])]
    if PUBLIC in wide and zones:
        why = f"everybody of {' and '.join(zones)} may reach everything of the public zone"
        yield _finding(
            "over-wide", Severity.WARNING, rule, why, "name the systems, roles or sites that are meant"
        )
    for protocol, ports in rule.ports.items():
        count = sum(last - first + 1 for first, last in ports)
        if count > MANY_PORTS and (zones or wide):
            why = f"{count} {protocol} ports are open {'from' if zones else 'to'} a whole zone"
            yield _finding("over-wide", Severity.WARNING, rule, why, "name the ports of the service")


def _from_the_internet(city: City, resolved: ResolvedPolicy, rule: ResolvedRule) -> Iterator[Finding]:
    if rule.action is Action.DENY or not _overlap(rule.sources, resolved.zones[INTERNET]):
        return
    if rule.record.until is None:
        why = "the rule lets the internet in and has no end"
        fix = "write until = a day on which the opening is looked at again, at most a year ahead"
        yield _finding("no-end-date", Severity.WARNING, rule, why, fix)
    published = {
        node
        for system in city.systems.values()
        if system.network is NetworkZone.INTERNET
        for node in system.nodes
    }
    open_to_it = [
        node
        for node, addresses in resolved.hosts.items()
        if resolved.host_zones[node] == PUBLIC
        and node not in published
        and _overlap(rule.destinations, addresses)
    ]
    if open_to_it:
        more = f" and {len(open_to_it) - 3} more" if len(open_to_it) > 3 else ""
        why = (
            f"the internet reaches {', '.join(open_to_it[:3])}{more}: no system that is published "
            "(network internet in systems.csv) stands there"
        )
        fix = "name the published system, or give the system the network internet"
        yield _finding("over-wide", Severity.WARNING, rule, why, fix)


def _unused_services(city: City, resolved: ResolvedPolicy) -> Iterator[Finding]:
    used = {name for rule in resolved.rules for name in rule.record.services}
    lines = city.policy.service_lines if city.policy else {}
    for name in resolved.services:
        if name not in used:
            why = f"no rule names the service {name}"
            yield Finding("unused", Severity.NOTICE, "", lines.get(name, 0), why, "remove it")


def _covers(addresses: Addresses, part: Addresses) -> bool:
    return all(part[f] and not difference(part[f], addresses[f]) for f in Family)


def _overlap(one: Addresses, other: Addresses) -> bool:
    return any(intersection(one[f], other[f]) for f in Family)


#: Checks of one rule by itself.
_CHECKS: tuple[Callable[[City, ResolvedPolicy, ResolvedRule], Iterator[Finding]], ...] = (
    _empty_selectors,
    _one_family_as_a_whole,
    _too_wide,
    _from_the_internet,
)
