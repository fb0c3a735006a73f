"""When is each drill to be held again? From its last record and its `every`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from checks.drills.definition import Definition
from checks.drills.record import DrillRecord, Kind

#: How real each kind is: a drill on paper does not stand for a live one.
_REALITY = {Kind.TABLETOP: 0, Kind.SIMULATED: 1, Kind.LIVE: 2}


class Due(NamedTuple):
    """When a drill was last held and is due; null where it never was: it is due now."""

    drill: str
    title: str
    every: str
    last_held_at: str | None
    last_record: str | None
    due_at: str | None
    overdue: bool


def due_of_each(
    definitions: Mapping[str, Definition], records: Iterable[DrillRecord], now: datetime
) -> list[Due]:
    """Every drill that there is, the one that is due first before the others."""
    last: dict[str, DrillRecord] = {}
    for record in records:
        definition = definitions.get(record.drill)
        if definition is None or not counts(record, definition.kind):
            continue
        known = last.get(record.drill)
        if known is None or _at(record) > _at(known):
            last[record.drill] = record
    found = [_due(name, definition, last.get(name), now) for name, definition in definitions.items()]
    return sorted(found, key=lambda due: due.due_at or "")


def counts(record: DrillRecord, kind: Kind) -> bool:
    """Whether a record says that the drill was held: to its end, and as real as it is meant."""
    return not record.aborted and _REALITY[record.kind] >= _REALITY[kind]


def _due(name: str, definition: Definition, record: DrillRecord | None, now: datetime) -> Due:
    if record is None:
        return Due(name, definition.title, definition.every, None, None, None, True)
    due = _at(record) + timedelta(seconds=definition.every_seconds)
    text = due.isoformat(timespec="seconds")
    return Due(name, definition.title, definition.every, record.ended_at, record.id, text, now > due)


def _at(record: DrillRecord) -> datetime:
    return datetime.fromisoformat(record.ended_at)
