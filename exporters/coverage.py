"""How far does the extranet reach? The five levels: planned, built, reachable in each address family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from checks.record import Record, Status
from exporters.places import ancestor, division_name
from inventories.records import City, Family, Level, NodeRole, SiteRole


class Reach(StrEnum):
    """What the newest probes say of a built place in one family."""

    REACHABLE = "reachable"
    SILENT = "no answer"
    UNPROBED = "not probed"


class Place(NamedTuple):
    """A division among the five levels.

    Every division of the inventory from the province down to the villages is one, whether a site of the
    extranet stands there or not: that is what is planned. The city is one place, however many sites its core
    has. A place is built when a router stands there, and reachable when one of its nodes answers; `reach` is
    empty for a place that is not built. `level` is the site's where there is one: a functional zone is a
    township in the statistics and a county here. `county` is the county-level division at or above it, empty
    for the city and the province.
    """

    division: str
    name: str
    level: Level
    county: str
    built: bool
    reach: Mapping[Family, Reach]


class LevelCoverage(NamedTuple):
    """The places of one level; a `reachable` count is None where nothing was probed in that family yet."""

    planned: int
    built: int
    reachable_ipv4: int | None
    reachable_ipv6: int | None


#: Sites that make a division part of the five levels; clouds and partners are not places of their own.
_ROLES = frozenset({SiteRole.ACCESS, SiteRole.CORE, SiteRole.PROVINCE})
#: Who answered an echo request (True) and who was asked in vain (False), by family.
_Answers = dict[Family, dict[str, bool]]


def coverage(city: City, records: Iterable[Record] | None) -> dict[Level, LevelCoverage]:
    """All five levels of the city, from the province down; None for records when none were made yet."""
    return by_level(places_of(city, records))


def coverage_by_county(city: City, records: Iterable[Record] | None) -> dict[str, dict[Level, LevelCoverage]]:
    """The levels from the county down, keyed by the county's code in the inventory's order of sites."""
    return counties_of(places_of(city, records))


def counties_of(places: Iterable[Place]) -> dict[str, dict[Level, LevelCoverage]]:
    """The places counted by county, the levels from the county down."""
    groups: dict[str, list[Place]] = {}
    for place in places:
        if place.county:
            groups.setdefault(place.county, []).append(place)
    counted = {county: by_level(found) for county, found in groups.items()}
    below = (Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE)
    return {county: {level: levels[level] for level in below} for county, levels in counted.items()}


def by_level(places: Iterable[Place]) -> dict[Level, LevelCoverage]:
    """The places counted, all five levels from the province down."""
    levels: dict[Level, list[Place]] = {level: [] for level in Level}
    for place in places:
        levels[place.level].append(place)
    return {level: count(found) for level, found in levels.items()}


def count(places: Iterable[Place]) -> LevelCoverage:
    """Places counted together.

    Of a family in which none of the built places was probed nothing is said: that none answers would be false.
    """
    listed = list(places)
    built = [place for place in listed if place.built]

    def reachable(family: Family) -> int | None:
        states = [place.reach[family] for place in built]
        if states and all(state is Reach.UNPROBED for state in states):
            return None
        return states.count(Reach.REACHABLE)

    return LevelCoverage(len(listed), len(built), reachable(Family.IPV4), reachable(Family.IPV6))


def places_of(city: City, records: Iterable[Record] | None) -> list[Place]:
    """Every place, in the inventory's order of sites, then those divisions that have none."""
    answers = _answers(records or ())
    nodes: dict[str, list[str]] = {}
    routers: set[str] = set()
    for node in city.nodes.values():
        nodes.setdefault(node.site, []).append(node.id)
        if node.role is NodeRole.ROUTER:
            routers.add(node.site)
    sites: dict[str, list[str]] = {}
    for site in city.sites.values():
        if site.role in _ROLES:
            sites.setdefault(site.division, []).append(site.id)
    levels = {code: city.sites[ids[0]].level for code, ids in sites.items()}
    levels.update((code, city.divisions[code].level) for code in _planned(city) if code not in sites)
    return [
        Place(
            division=code,
            name=division_name(city, code),
            level=level,
            county=_county(city, levels, sites, code),
            built=(built := any(site in routers for site in sites.get(code, ()))),
            reach=_reach(answers, [node for site in sites[code] for node in nodes.get(site, ())])
            if built
            else {},
        )
        for code, level in levels.items()
    ]


def _planned(city: City) -> list[str]:
    """The divisions that the five levels are planned for: the city, all below it, and the province above it."""
    top = city.layout.division
    inside: dict[str, bool] = {top: True}

    def is_inside(code: str) -> bool:
        if code not in inside:
            division = city.divisions.get(code)
            inside[code] = bool(division and division.parent) and is_inside(
                division.parent if division else ""
            )
        return inside[code]

    codes = [code for code in city.divisions if is_inside(code)]
    above = city.divisions[top].parent if top in city.divisions else ""
    return [above, *codes] if above in city.divisions else codes


def _county(city: City, levels: Mapping[str, Level], sites: Mapping[str, list[str]], code: str) -> str:
    """The county-level division at or above one: by its site, else by the divisions above it."""
    if code in sites:
        site = ancestor(city, sites[code][0], Level.COUNTY)
        return site.division if site else ""
    while code and levels.get(code) is not Level.COUNTY:
        division = city.divisions.get(code)
        code = division.parent if division else ""
    return code


def _answers(records: Iterable[Record]) -> _Answers:
    found: _Answers = {family: {} for family in Family}
    for record in records:
        # A probe that could not be made (error) says nothing of whom it was for.
        if record.check == "icmp" and record.family != "none" and record.status in (Status.PASS, Status.FAIL):
            found[Family(record.family)][record.subject] = record.status is Status.PASS
    return found


def _reach(answers: _Answers, nodes: list[str]) -> dict[Family, Reach]:
    states: dict[Family, Reach] = {}
    for family, answered in answers.items():
        asked = [answered[node] for node in nodes if node in answered]
        states[family] = Reach.REACHABLE if any(asked) else Reach.SILENT if asked else Reach.UNPROBED
    return states
