"""What do the drills' records say? All of a folder, the newest of every drill, and when each is due again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from checks.drills.record import DrillRecord, Kind, Measured, read_record
from exporters.readings import epoch_seconds
from exporters.sources import Parsed

#: When a drill is due whose record does not say it (those of version 1), in seconds after it was held.
PERIOD = 180 * 86400.0


def held_at(record: DrillRecord) -> float:
    """When a drill began, in seconds since the epoch."""
    return epoch_seconds(record.started_at)


def rto_met(measured: Measured) -> bool:
    """Whether service came back in time; a time that could not be measured is not in time."""
    return _met(measured.rto_seconds, measured.rto_objective_seconds)


def rpo_met(measured: Measured) -> bool:
    """Whether no more was lost than promised; likewise."""
    return _met(measured.rpo_seconds, measured.rpo_objective_seconds)


def _met(value: float | None, objective: float | None) -> bool:
    """Whether an objective was met; one that was not set is."""
    return objective is None or (value is not None and value <= objective)


def parse_drills(files: Sequence[Path]) -> Parsed[list[DrillRecord]]:
    """The records of a folder, the oldest first. One that is broken is named, and the others count.

    Raises:
        OSError: A file cannot be read.
    """
    records, broken = [], []
    for file in files:
        try:
            record = read_record(file)
            held_at(record)
        except (msgspec.DecodeError, ValueError) as error:
            broken.append(f"{file}: {error}")
        else:
            records.append(record)
    records.sort(key=held_at)
    return Parsed(records, held_at(records[-1]) if records else None, tuple(broken))


def last_of_each(records: Iterable[DrillRecord]) -> list[DrillRecord]:
    """The newest record of every drill, of records that are the oldest first.

    One on paper, which measures nothing, does not stand before one that was played.
    """
    last: dict[str, DrillRecord] = {}
    for record in records:
        known = last.get(record.drill)
        if known is None or record.kind is not Kind.TABLETOP or known.kind is Kind.TABLETOP:
            last[record.drill] = record
    return list(last.values())


def due_at(records: Iterable[DrillRecord]) -> dict[str, float]:
    """When every drill is to be held again, in seconds since the epoch, of records that are the oldest first.

    One that was aborted, or held on paper after a real one, puts off nothing; one that never came to its end is due
    since it was first tried.
    """
    due: dict[str, float] = {}
    counted: dict[str, DrillRecord] = {}
    for record in records:
        due.setdefault(record.drill, held_at(record))
        before = counted.get(record.drill)
        on_paper = record.kind is Kind.TABLETOP and before is not None and before.kind is not Kind.TABLETOP
        if not record.aborted and not on_paper:
            counted[record.drill] = record
            due[record.drill] = (
                epoch_seconds(record.next_due_at) if record.next_due_at else held_at(record) + PERIOD
            )
    return due
