"""How far does the extranet reach? The five levels: planned, built, reachable in each address family."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from checks.record import Record, Status
from exporters.places import ancestor
from inventories.records import City, Family, Level, SiteRole


class LevelCoverage(NamedTuple):
    """The places of one level; `reachable` counts are None where no probe has been made yet.

    A place is a division with at least one site of the extranet: the city is one place, however many
    sites its core has. It is built when a node stands there, and reachable when one of its nodes answers.
    """

    planned: int
    built: int
    reachable_ipv4: int | None
    reachable_ipv6: int | None


#: Sites that make a division part of the five levels; clouds and partners are not places of their own.
_ROLES = frozenset({SiteRole.ACCESS, SiteRole.CORE})


def reachable_nodes(records: Iterable[Record]) -> dict[Family, set[str]]:
    """The subjects that answered an echo request, by family."""
    found: dict[Family, set[str]] = {family: set() for family in Family}
    for record in records:
        if record.check == "icmp" and record.status is Status.PASS and record.family != "none":
            found[Family(record.family)].add(record.subject)
    return found


def coverage(city: City, records: Iterable[Record] | None) -> dict[Level, LevelCoverage]:
    """All five levels of the city, from the province down; None for records when none were made yet."""
    answering = None if records is None else reachable_nodes(records)
    levels: dict[Level, _Places] = {level: {} for level in Level}
    for groups in _places_by_county(city).values():
        for level, places in groups.items():
            levels[level].update(places)
    return {level: _level(places, answering) for level, places in levels.items()}


def coverage_by_county(city: City, records: Iterable[Record] | None) -> dict[str, dict[Level, LevelCoverage]]:
    """The levels from the county down, keyed by the county's site id in the inventory's order."""
    answering = None if records is None else reachable_nodes(records)
    groups = _places_by_county(city)
    counties = [site.id for site in city.sites.values() if site.level == Level.COUNTY]
    return {
        county: {level: _level(places, answering) for level, places in groups.get(county, {}).items()}
        for county in counties
    }


#: The places of a level: division -> its nodes.
_Places = dict[str, list[str]]


def _places_by_county(city: City) -> dict[str, dict[Level, _Places]]:
    """Divisions and their nodes, by county ("" for the city and above) and level."""
    nodes: dict[str, list[str]] = {}
    for node in city.nodes.values():
        nodes.setdefault(node.site, []).append(node.id)
    groups: dict[str, dict[Level, _Places]] = {}
    for site in city.sites.values():
        if site.role in _ROLES:
            above = ancestor(city, site.id, Level.COUNTY)
            levels = groups.setdefault(above.id if above else "", {})
            levels.setdefault(site.level, {}).setdefault(site.division, []).extend(nodes.get(site.id, ()))
    return groups


def _level(places: _Places, answering: dict[Family, set[str]] | None) -> LevelCoverage:
    def reachable(family: Family) -> int | None:
        if answering is None:
            return None
        return sum(not answering[family].isdisjoint(nodes) for nodes in places.values())

    built = sum(bool(nodes) for nodes in places.values())
    return LevelCoverage(len(places), built, reachable(Family.IPV4), reachable(Family.IPV6))
