"""What of the drills does the page show? The last of each, measured against objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from checks.drills.record import DrillRecord
from exporters.drills import due_at, held_at, last_of_each, rpo_met, rto_met
from exporters.status.states import RANK, State


class Drill(NamedTuple):
    """The last record of a drill."""

    title: str
    record: DrillRecord
    at: float
    state: State
    problem: str


class Drills(NamedTuple):
    """The section; the worst first. `held` counts all records."""

    last: Sequence[Drill]
    held: int

    @property
    def newest(self) -> Drill | None:
        """The drill that was held last."""
        return max(self.last, key=lambda drill: drill.at, default=None)


def drills_view(records: Sequence[DrillRecord], now: float) -> Drills:
    """What the page shows of drill records that are the oldest first."""
    due = due_at(records)
    last = [_drill(record, due[record.drill], now) for record in last_of_each(records)]
    return Drills(sorted(last, key=lambda drill: RANK[drill.state]), len(records))


def _drill(record: DrillRecord, due: float, now: float) -> Drill:
    problem = ""
    if record.aborted:
        problem = "被中止"
    elif not rto_met(record.measured):
        problem = "未达到RTO目标"
    elif not rpo_met(record.measured):
        problem = "未达到RPO目标"
    elif not record.success:
        problem = "未成功"
    elif now > due:
        problem = "已逾期未演练"
    state = State.WARNING if problem else State.OK
    return Drill(record.title, record, held_at(record), state, problem)
