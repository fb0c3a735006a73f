"""Which grade of GB/T 20988 does a system need, which does a policy give it, and what is missing between them? Pure."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from checks.backup.finding import spell
from checks.backup.places import offsite_of
from inventories.backups.calendar import parse, runs_a_day
from inventories.backups.records import BackupPolicy, Method
from inventories.cells import Refused, seconds
from inventories.records import City, System

#: The file of a city's folder that adds or replaces editions.
OWN_FILE = "recovery-grades.toml"
#: What "several times a day" is at least.
_BATCHES = 2


class GradesError(Exception):
    """Editions that cannot be used; the message names the file and the way out."""


class Transfer(StrEnum):
    """How data get to the other site, weakest first; `grades.toml` has the standard's words."""

    MEDIA = "media"
    BATCHES = "batches"
    REAL_TIME = "real-time"


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Span(_Table, frozen=True):
    """The times that a grade stands for, seconds; `worst` is None where the standard has no upper bound."""

    best: int
    worst: int | None = None


class Grade(_Table, frozen=True):
    """A grade, as far as the inventory can show it."""

    grade: int
    name: str
    transfer: Transfer
    rpo: Span
    rto: Span


class Edition(_Table, frozen=True):
    """An edition of the standard; without grades where its figures are not known here."""

    title: str
    status: str
    by_person: tuple[str, ...] = ()
    floor: dict[str, int] = {}
    grades: tuple[Grade, ...] = msgspec.field(default=(), name="grade")

    def grade(self, number: int) -> Grade:
        """The grade of that number."""
        return next(grade for grade in self.grades if grade.grade == number)


class Required(NamedTuple):
    """The grade that a system needs, and what asks for it."""

    grade: int
    because: tuple[str, ...]


class Missing(NamedTuple):
    """An element that keeps a system from a grade, or from the rule 3-2-1-1-0, and why."""

    element: str
    what: str


def load_editions(folder: Path | None = None) -> dict[str, Edition]:
    """The kit's editions, and those of `recovery-grades.toml` in a city's folder, which go first.

    Raises:
        GradesError: the city's file is no TOML, or not of this form.
    """
    kit = (resources.files("checks") / "backup" / "grades.toml").read_text(encoding="utf-8")
    editions = _editions(kit)
    own = folder / OWN_FILE if folder else None
    if own and own.is_file():
        try:
            editions |= _editions(own.read_text(encoding="utf-8"))
        except (OSError, ValueError, Refused, msgspec.ValidationError) as error:
            raise GradesError(f"{own}: {error}; write it as checks/backup/grades.toml is") from error
    return editions


def _editions(text: str) -> dict[str, Edition]:
    tables = _in_seconds(tomllib.loads(text).get("edition", {}))
    editions = msgspec.convert(tables, dict[str, Edition])
    for name, edition in editions.items():
        numbers = [grade.grade for grade in edition.grades]
        if numbers != sorted(set(numbers)):
            raise ValueError(f"edition {name}: the grades do not ascend: {numbers}")
        if unknown := set(edition.floor.values()) - set(numbers):
            raise ValueError(f"edition {name}: the floor names unknown grades: {sorted(unknown)}")
    return editions


def _in_seconds(value: Any, key: str = "") -> Any:
    """The tables with each duration, `best` and `worst`, in seconds."""
    if isinstance(value, dict):
        return {name: _in_seconds(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [_in_seconds(part, key) for part in value]
    return seconds(key, value) if key in ("best", "worst") else value


def required(edition: Edition, system: System) -> Required | None:
    """The least grade that stands for a system's RPO and RTO, and is not below its MLPS level's floor.

    None where neither is set, or the edition's figures are not known.
    """
    asked: list[tuple[int, str]] = []
    for field in ("rpo", "rto"):
        objective = getattr(system, field)
        able = [grade.grade for grade in edition.grades if getattr(grade, field).best <= objective]
        if objective and able:
            asked.append((able[0], f"{field.upper()} {spell(objective)}"))
        elif objective and edition.grades:
            asked.append((edition.grades[-1].grade, f"{field.upper()} {spell(objective)}"))
    if floor := edition.floor.get(str(system.mlps)):
        asked.append((floor, f"等保 {system.mlps}"))
    if not asked:
        return None
    least = max(number for number, _ in asked)
    return Required(least, tuple(why for number, why in asked if number == least))


def missing_at(grade: Grade, city: City, system: System, policy: BackupPolicy) -> list[Missing]:
    """The elements that a policy lacks for a grade, as far as they can be planned; whether it is verified is apart."""
    found = []
    for field, span, value in (("RPO", grade.rpo, policy.rpo), ("RTO", grade.rto, policy.rto)):
        if span.worst is not None and value > span.worst:
            limit = spell(span.worst)
            found.append(
                Missing(field.lower(), f"{field} {spell(value)}, at most {limit} at grade {grade.grade}")
            )
    if not offsite_of(city, system, policy):
        found.append(Missing("offsite", "no copy in another prefecture city"))
    if lacking := _transfer(grade.transfer, policy):
        found.append(Missing("transfer", lacking))
    return found


def _transfer(asked: Transfer, policy: BackupPolicy) -> str:
    """What a policy's way of getting data to the other site lacks; empty where it suffices."""
    continuous = [database.method is Method.CONTINUOUS for database in policy.database]
    if continuous and all(continuous):
        return ""  # more than batches
    if asked is Transfer.REAL_TIME:
        return "no real-time replication: no databases, or not all of method continuous"
    schedule = parse(policy.schedule)
    times = runs_a_day(schedule, policy.window) if schedule else 0
    if asked is Transfer.BATCHES and times < _BATCHES:
        return "no transfer several times a day"
    return ""


def had(edition: Edition, city: City, system: System, policy: BackupPolicy) -> int:
    """The highest grade for which a policy lacks nothing; 0 for none."""
    reached = [g.grade for g in edition.grades if not missing_at(g, city, system, policy)]
    return max(reached, default=0)
