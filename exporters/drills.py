"""What do the drills' records say? The fields that metrics and the status page need, of every drill held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from exporters.readings import epoch_seconds
from exporters.sources import Parsed


class Measured(msgspec.Struct, frozen=True):
    """Seconds measured against seconds promised."""

    rto_seconds: float | None = None
    rto_objective_seconds: float | None = None
    rpo_seconds: float | None = None
    rpo_objective_seconds: float | None = None

    @property
    def rto_met(self) -> bool:
        """Whether service came back in time; a time that could not be measured is not in time."""
        return _within(self.rto_seconds, self.rto_objective_seconds)

    @property
    def rpo_met(self) -> bool:
        """Whether no more was lost than promised."""
        return _within(self.rpo_seconds, self.rpo_objective_seconds)


class DrillRecord(msgspec.Struct, frozen=True):
    """One drill; unknown fields are let pass, as the record holds much more for the people who read it."""

    drill: str
    started_at: str
    measured: Measured
    title: str = ""
    kind: str = ""
    success: bool = False

    @property
    def at(self) -> float:
        """When it began, in seconds since the epoch."""
        return epoch_seconds(self.started_at)


def _within(measured: float | None, objective: float | None) -> bool:
    return measured is not None and (objective is None or measured <= objective)


def parse_drills(files: Sequence[Path]) -> Parsed[list[DrillRecord]]:
    """The records of a folder, the oldest first. One that is broken is named, and the others count.

    Raises:
        OSError: A file cannot be read.
    """
    records, broken = [], []
    for file in files:
        try:
            record = msgspec.json.decode(file.read_bytes(), type=DrillRecord)
            epoch_seconds(record.started_at)
        except (msgspec.DecodeError, ValueError) as error:
            broken.append(f"{file}: {error}")
        else:
            records.append(record)
    records.sort(key=lambda record: record.at)
    return Parsed(records, records[-1].at if records else None, tuple(broken))


def last_of_each(records: Iterable[DrillRecord]) -> list[DrillRecord]:
    """The newest record of every drill, of records that are the oldest first."""
    return list({record.drill: record for record in records}.values())
