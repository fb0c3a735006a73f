"""What of the network does the page show? Targets in both families, failures first, counties, systems, IPv6."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from checks.record import Record
from exporters.collectors.availability import answered
from exporters.coverage import LevelCoverage, coverage_by_county
from exporters.places import UNKNOWN_PLACE, Place, county_names, site_name
from exporters.status.states import RANK, State
from exporters.status.words import word
from inventories.records import City, Level

#: From so many targets on, a place that fails as a whole is shown as one outage.
_MANY = 3
_LEVEL_ORDER = {level.value: number for number, level in enumerate(Level)}


class Probe(NamedTuple):
    """A target's answer in one family."""

    well: bool
    seconds: float | None
    reason: str
    evidence: str


class Target(NamedTuple):
    """One check of one subject, in both families."""

    subject: str
    name: str
    check: str
    where: str
    unit: str
    place: Place
    ipv4: Probe | None
    ipv6: Probe | None
    is_outage: bool = False

    @property
    def site(self) -> str:
        """The id of the site where it stands."""
        return self.place.site

    @property
    def state(self) -> State:
        """Critical when a family is down that matters to all; a warning when only IPv6 or one village is."""
        probes = [probe for probe in (self.ipv4, self.ipv6) if probe]
        if all(probe.well for probe in probes):
            return State.OK
        below_county = self.place.level in (Level.TOWNSHIP, Level.VILLAGE)
        only_ipv6 = self.ipv4 is not None and self.ipv4.well
        return State.WARNING if below_county or only_ipv6 else State.CRITICAL


class Family(NamedTuple):
    """All targets of one family."""

    well: int
    total: int
    median_seconds: float | None


class County(NamedTuple):
    """A county: its places by level, and how many of its targets fail; `id` is its site's."""

    id: str
    division: str
    name: str
    levels: Mapping[Level, LevelCoverage]
    total: int
    failing: int
    well_ipv4: int
    well_ipv6: int
    all_ipv4: int
    all_ipv6: int

    @property
    def state(self) -> State:
        """Critical when a whole family is gone, a warning when anything is."""
        if (self.all_ipv4 and not self.well_ipv4) or (self.all_ipv6 and not self.well_ipv6):
            return State.CRITICAL
        return State.WARNING if self.failing else State.OK


class Outage(NamedTuple):
    """A county or township of which nothing answers in a family: one trouble, not a hundred."""

    name: str
    where: str
    total: int
    ipv4: int
    ipv6: int
    state: State
    site: str
    is_outage: bool = True


class Network(NamedTuple):
    """The section; targets, counties and systems have the worst first.

    `failing` has every target that fails; `troubles` the outages, and the targets that fall under none.
    """

    families: Mapping[str, Family]
    targets: Sequence[Target]
    failing: Sequence[Target]
    troubles: Sequence[Outage | Target]
    systems: Sequence[Target]
    counties: Sequence[County]
    only_ipv4: int
    both: int
    degradation: float | None


def network_view(city: City, where: Mapping[str, Place], records: Sequence[Record]) -> Network:
    """What the page shows of one round of probes."""
    targets = _targets(city, where, records)
    failing = [target for target in targets if target.state is not State.OK]
    failing.sort(key=lambda target: (RANK[target.state], _LEVEL_ORDER.get(target.place.level, 9)))
    outages, behind = _outages(city, targets)
    systems = [target for target in targets if target.place.kind == "system"]
    systems.sort(key=lambda target: RANK[target.state])
    return Network(
        families={family: _family(records, family) for family in ("ipv4", "ipv6")},
        targets=targets,
        failing=failing,
        troubles=sorted(
            [*outages, *(target for target in failing if (target.subject, target.check) not in behind)],
            key=lambda trouble: RANK[trouble.state],
        ),
        systems=systems,
        counties=_counties(city, targets, records),
        only_ipv4=sum(_well(target.ipv4) and not _well(target.ipv6) for target in targets),
        both=sum(_well(target.ipv4) and _well(target.ipv6) for target in targets),
        degradation=_degradation(targets),
    )


def _targets(city: City, where: Mapping[str, Place], records: Iterable[Record]) -> list[Target]:
    pairs: dict[tuple[str, str], dict[str, Probe]] = {}
    for record in records:
        seconds = record.value if isinstance(record.value, (int, float)) else None
        probe = Probe(answered(record), seconds, word("reason", record.reason), record.evidence)
        pairs.setdefault((record.subject, record.check), {})[record.family] = probe
    found = []
    for (subject, check), probes in pairs.items():
        place = where.get(subject, UNKNOWN_PLACE)
        found.append(
            Target(
                subject,
                place.name or subject,
                check,
                _path(city, place),
                _owner(city, place),
                place,
                probes.get("ipv4"),
                probes.get("ipv6"),
            )
        )
    return found


def _path(city: City, place: Place) -> str:
    """The place from the county down: `袁州区 慈化镇 余坊村委会`."""
    sites = dict.fromkeys(site for site in (place.county, place.township, place.site) if site)
    if not place.county:
        return word("level", place.level)
    return " ".join(site_name(city, site) for site in sites)


def _owner(city: City, place: Place) -> str:
    unit = city.units.get(place.unit)
    return unit.name if unit else place.unit


def _well(probe: Probe | None) -> bool:
    return probe is not None and probe.well


def _outages(city: City, targets: Iterable[Target]) -> tuple[list[Outage], set[tuple[str, str]]]:
    """Counties, then townships of other counties, that are gone in a family; and the targets behind them."""
    outages: list[Outage] = []
    behind: set[tuple[str, str]] = set()
    for level in ("county", "township"):
        places: dict[str, list[Target]] = {}
        for target in targets:
            site = getattr(target.place, level)
            if site and (target.subject, target.check) not in behind:
                places.setdefault(site, []).append(target)
        for site, ours in places.items():
            ipv4 = [target.ipv4 for target in ours if target.ipv4]
            ipv6 = [target.ipv6 for target in ours if target.ipv6]
            gone = [family for family in (ipv4, ipv6) if family and not any(map(_well, family))]
            if len(ours) < _MANY or not gone:
                continue
            where = word("level", level) if level == "county" else site_name(city, ours[0].place.county)
            state = State.CRITICAL if level == "county" else State.WARNING
            well = sum(map(_well, ipv4)), sum(map(_well, ipv6))
            outages.append(Outage(site_name(city, site), where, len(ours), *well, state, site))
            behind.update((target.subject, target.check) for target in ours)
    return outages, behind


def _family(records: Iterable[Record], family: str) -> Family:
    ours = [record for record in records if record.family == family]
    times = [record.value for record in ours if answered(record) and isinstance(record.value, (int, float))]
    return Family(sum(map(answered, ours)), len(ours), median(times) if times else None)


def _degradation(targets: Iterable[Target]) -> float | None:
    """How much slower IPv6 is, as assessors measure it: (v6 - v4) / v4 of the targets that answer in both."""
    pairs = [
        (target.ipv4.seconds, target.ipv6.seconds)
        for target in targets
        if target.ipv4 and target.ipv6 and target.ipv4.seconds and target.ipv6.seconds
    ]
    if not pairs:
        return None
    ipv4, ipv6 = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    return (ipv6 - ipv4) / ipv4


def _counties(city: City, targets: Iterable[Target], records: Sequence[Record]) -> list[County]:
    names = county_names(city)
    by_county: dict[str, list[Target]] = {county: [] for county in names}
    for target in targets:
        if target.place.county in by_county:
            by_county[target.place.county].append(target)
    levels = coverage_by_county(city, records)
    counties = []
    for county, ours in by_county.items():
        ipv4 = [target.ipv4 for target in ours if target.ipv4]
        ipv6 = [target.ipv6 for target in ours if target.ipv6]
        counties.append(
            County(
                county,
                division := city.sites[county].division,
                names[county],
                levels[division],
                len(ours),
                sum(target.state is not State.OK for target in ours),
                sum(map(_well, ipv4)),
                sum(map(_well, ipv6)),
                len(ipv4),
                len(ipv6),
            )
        )
    return sorted(counties, key=lambda county: RANK[county.state])
