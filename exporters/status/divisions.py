"""What does the page of a county, township or village show? Both families side by side, and what is not built."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from exporters.coverage import places_of
from exporters.places import division_name
from exporters.status.network import Network, Probe, Target
from exporters.status.states import RANK, State
from inventories.records import City, Level, SiteRole

#: The levels that have pages, from the city down.
LEVELS = (Level.CITY, Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE)


class Count(NamedTuple):
    """How many targets of one family answer."""

    well: int
    total: int

    @property
    def is_gone(self) -> bool:
        """Whether there are some and none answers."""
        return self.total > 0 and not self.well


class Division(NamedTuple):
    """A division with all below it as a row.

    Attributes:
        site: The id of its site of the extranet; empty where it has none.
        is_built: Whether a router stands there. Without one the division is planned, and nothing is wrong with it.
        state: Unknown where it is built and nothing of it was probed.
        planned: Divisions below it, of all levels.
        built: How many of them are built.
    """

    code: str
    name: str
    level: Level
    site: str
    is_built: bool
    state: State
    ipv4: Count
    ipv6: Count
    planned: int
    built: int

    @property
    def path(self) -> str:
        """Where its page is, from the pages' root."""
        return f"{self.level}/{self.code}"

    @property
    def trouble(self) -> str:
        """What is wrong, in short; empty where nothing is."""
        gone = [name for name, count in (("IPv4", self.ipv4), ("IPv6", self.ipv6)) if count.is_gone]
        if len(gone) == 2 or (gone and not (self.ipv4.total and self.ipv6.total)):
            return "全部不可达"
        if gone:
            return f"{gone[0]}不通"
        return "部分不可达" if self.state in (State.WARNING, State.CRITICAL) else ""


class DivisionPage(NamedTuple):
    """The page of a division: the way down to it, what stands there itself, what lies below; the worst first."""

    itself: Division
    above: Sequence[Division]
    below: Sequence[Division]
    own: Sequence[Target]
    failing: Sequence[Target]


class Divisions:
    """All divisions of a city as a tree, with what answers in each."""

    def __init__(self, city: City, network: Network | None) -> None:
        """Derive the tree; without a network nothing was probed yet."""
        self._city = city
        self._top = city.layout.division
        self._places = {place.division: place for place in places_of(city, None) if place.level in LEVELS}
        self._sites = {site.division: site.id for site in city.sites.values() if site.role is SiteRole.ACCESS}
        self._parents = {code: self._parent(code) for code in self._places if code != self._top}
        self._children: dict[str, list[str]] = {}
        for code, parent in self._parents.items():
            self._children.setdefault(parent, []).append(code)
        self._own: dict[str, list[Target]] = {}
        self._below: dict[str, list[Target]] = {}
        for target in network.targets if network else ():
            code = self._code(target)
            self._own.setdefault(code, []).append(target)
            for above in (code, *self._way(code)):
                self._below.setdefault(above, []).append(target)

    def counties(self) -> list[Division]:
        """The county-level divisions, planned ones too, in the inventory's order."""
        return [self._division(code) for code, place in self._places.items() if place.level is Level.COUNTY]

    def children(self, code: str) -> list[Division]:
        """The divisions directly below one, the worst first and what is only planned last."""
        found = [self._division(child) for child in self._children.get(code, ())]
        return sorted(found, key=lambda one: (not one.is_built, RANK[one.state]))

    def page(self, level: str, code: str) -> DivisionPage | None:
        """The page of a division by its code; None where the city has no such division of that level."""
        place = self._places.get(code)
        if place is None or place.level != level:
            return None
        targets = self._below.get(code, ())
        return DivisionPage(
            self._division(code),
            [self._division(above) for above in reversed(self._way(code))],
            self.children(code),
            sorted(self._own.get(code, ()), key=lambda target: RANK[target.state]),
            sorted(
                (target for target in targets if target.state is not State.OK),
                key=lambda target: RANK[target.state],
            ),
        )

    def _parent(self, code: str) -> str:
        """By its site where it has one: a functional zone is a township in the statistics and a county here."""
        above = ""
        if code in self._sites:
            site = self._city.sites.get(self._city.sites[self._sites[code]].parent)
            above = site.division if site else ""
        elif code in self._city.divisions:
            above = self._city.divisions[code].parent
        return above if above in self._places else self._top

    def _way(self, code: str) -> list[str]:
        """The divisions above one, the nearest first."""
        way: list[str] = []
        while code in self._parents and len(way) < len(LEVELS):  # a loop in bad data ends too
            code = self._parents[code]
            way.append(code)
        return way

    def _code(self, target: Target) -> str:
        """The division where a target stands; the city for what is no division's, and for the province."""
        site = self._city.sites.get(target.place.site)
        return site.division if site and site.role is SiteRole.ACCESS else self._top

    def _division(self, code: str) -> Division:
        place = self._places[code]
        targets = self._below.get(code, ())
        ipv4 = _count(target.ipv4 for target in targets)
        ipv6 = _count(target.ipv6 for target in targets)
        planned, built = 0, 0
        waiting = list(self._children.get(code, ()))
        while waiting:
            child = waiting.pop()
            planned += 1
            built += self._places[child].built
            waiting += self._children.get(child, ())
        return Division(
            code,
            division_name(self._city, code),
            place.level,
            self._sites.get(code, ""),
            place.built,
            _state(place.level, targets, ipv4, ipv6),
            ipv4,
            ipv6,
            planned,
            built,
        )


def _count(probes: Iterable[Probe | None]) -> Count:
    known = [probe for probe in probes if probe]
    return Count(sum(probe.well for probe in known), len(known))


def _state(level: Level, targets: Sequence[Target], ipv4: Count, ipv6: Count) -> State:
    """Critical when a county is gone in a family; a township, a village or a single target is a warning."""
    if not targets:
        return State.UNKNOWN
    if level in (Level.CITY, Level.COUNTY) and (ipv4.is_gone or ipv6.is_gone):
        return State.CRITICAL
    return State.OK if all(target.state is State.OK for target in targets) else State.WARNING
