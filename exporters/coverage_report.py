"""How does coverage look to a person (a table of 80 columns) and to a program (CSV, JSON)?"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from exporters.coverage import LevelCoverage, Place, Reach, by_level, count, counties_of
from exporters.places import division_name
from inventories.records import City, Family, Level

#: The columns of the CSV; new ones come at the end.
COLUMNS = (
    "scope",
    "code",
    "name",
    "level",
    "planned",
    "built",
    "reachable_ipv4",
    "reachable_ipv6",
    "probed_at",
)
#: The level of a line that counts all five.
ALL = "all"
_FAMILIES = {Family.IPV4: "IPv4", Family.IPV6: "IPv6"}
#: How many places a line below the table names before it counts the rest.
_NAMED = 8


class Probed(NamedTuple):
    """When the newest probe was made, and whether that is too long ago."""

    at: str
    age: float
    is_old: bool


class Report(NamedTuple):
    """All that is to be said; `probed` is None where no probe was made yet."""

    city: City
    places: Sequence[Place]
    counties: dict[str, dict[Level, LevelCoverage]]
    probed: Probed | None

    def missing(self, family: Family, reach: Reach) -> list[Place]:
        """The built places in a state in a family."""
        return [place for place in self.places if place.built and place.reach[family] is reach]

    @property
    def has_findings(self) -> bool:
        """Whether something built is not shown to be reachable; nothing is found where nothing was probed."""
        reaches = (Reach.SILENT, Reach.UNPROBED)
        return self.probed is not None and any(
            self.missing(family, reach) for family in Family for reach in reaches
        )


class Line(NamedTuple):
    """A line of the table and of the CSV."""

    scope: str
    code: str
    name: str
    level: str
    counts: LevelCoverage


def report(city: City, places: Sequence[Place], probed: Probed | None) -> Report:
    """The places with their counties."""
    return Report(city, places, counties_of(places), probed)


def lines(found: Report) -> Iterator[Line]:
    """The counties' levels, then the city's, then all together; levels without a place have no line."""
    for county, levels in found.counties.items():
        name = division_name(found.city, county)
        for level, counts in levels.items():
            if counts.planned:
                yield Line("county", county, name, level.value, counts)
    layout = found.city.layout
    for level, counts in by_level(found.places).items():
        yield Line("city", layout.division, layout.name, level.value, counts)
    yield Line("city", layout.division, layout.name, ALL, count(found.places))


def as_csv(found: Report) -> str:
    """One line a county and level, then the city's; a count is empty where nothing was probed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    at = found.probed.at if found.probed else ""
    for scope, code, name, level, counts in lines(found):
        writer.writerow([scope, code, name, level, *counts, at])  # csv writes None as an empty field
    return text.getvalue()


def as_json(found: Report) -> str:
    """The document that `jizuo coverage --help` describes."""
    layout, probed = found.city.layout, found.probed
    unreachable = [
        {**_named(place), "family": family.value, "state": reach.value}
        for family in Family
        for reach in (Reach.SILENT, Reach.UNPROBED)
        for place in (found.missing(family, reach) if probed else ())
    ]
    document = {
        "city": {"name": layout.name, "division": layout.division},
        "probed_at": probed.at if probed else None,
        "age_seconds": round(probed.age) if probed else None,
        "is_old": probed.is_old if probed else None,
        "all": count(found.places)._asdict(),
        "levels": _levels(by_level(found.places)),
        "counties": [
            {"county": county, "name": division_name(found.city, county), "levels": _levels(levels)}
            for county, levels in found.counties.items()
        ],
        "not_built": [_named(place) for place in found.places if not place.built],
        "not_reachable": unreachable,
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _levels(levels: dict[Level, LevelCoverage]) -> dict[str, Any]:
    return {level.value: counts._asdict() for level, counts in levels.items()}


def _named(place: Place) -> dict[str, str]:
    return {
        "division": place.division,
        "name": place.name,
        "level": place.level.value,
        "county": place.county,
    }


def print_report(found: Report, to: Console) -> None:
    """The table, and below it who is not built and who does not answer."""
    layout = found.city.layout
    to.print(f"[bold]{escape(layout.name)}[/] {layout.division}: five-level coverage")
    to.print(_said_of_probes(found.probed))
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("county", overflow="fold", max_width=34)
    table.add_column("level", no_wrap=True)
    for name in ("planned", "built", *_FAMILIES.values()):
        table.add_column(name, justify="right", no_wrap=True)
    before = ""
    listed = list(lines(found))
    for number, (scope, code, name, level, counts) in enumerate(listed):
        following = listed[number + 1] if number + 1 < len(listed) else None
        table.add_row(
            "" if code == before else escape(name if scope == "county" else f"{name} in all"),
            level,
            str(counts.planned),
            _part(counts.built, counts.planned),
            _part(counts.reachable_ipv4, counts.built),
            _part(counts.reachable_ipv6, counts.built),
            style="bold" if scope == "city" else "",
            end_section=following is not None and following.code != code,
        )
        before = code
    to.print(table)
    for line in _findings(found):
        to.print(line)


def _said_of_probes(probed: Probed | None) -> str:
    if probed is None:
        return "[yellow]nothing was probed yet[/]: whether what is built is reachable is not known"
    said = f"probed {age_words(probed.age)} ago, at {probed.at}"
    return f"[yellow]{said}: old, run the check again[/]" if probed.is_old else said


def age_words(seconds: float) -> str:
    """An age in its largest unit, rounded down: `3 min`, `2 h`, `5 d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def _part(number: int | None, whole: int) -> str:
    """A count; where it is not the whole, of how many; that nothing was probed is no number."""
    if number is None:
        return "[dim]not probed[/]"
    return str(number) if number == whole else f"[red]{number} of {whole}[/]"


def _findings(found: Report) -> Iterator[str]:
    not_built = [place for place in found.places if not place.built]
    if not_built:
        yield f"planned, no router yet {_places(not_built)}"
    if found.probed is None:
        return
    for reach in (Reach.SILENT, Reach.UNPROBED):
        for family, name in _FAMILIES.items():
            places = found.missing(family, reach)
            if places:
                yield f"[red]built, {reach} over {name}[/] {_places(places)}"


def _places(places: Sequence[Place]) -> str:
    named = ", ".join(f"{escape(place.name)} {place.division}" for place in places[:_NAMED])
    return f"({len(places)}): {named}" + (" ... (all: --format json)" if len(places) > _NAMED else "")
