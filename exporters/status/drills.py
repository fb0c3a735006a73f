"""What of the drills does the page show? The last of each, measured against objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from checks.drills.record import DrillRecord
from exporters.drills import due_at, held_at, last_of_each, rpo_met, rto_met
from exporters.status.states import RANK, State


class Drill(NamedTuple):
    """A record of a drill; `is_overdue` is said of the last one of each."""

    title: str
    record: DrillRecord
    at: float
    state: State
    problem: str
    is_overdue: bool


class Drills(NamedTuple):
    """The section; the worst first. `records` are all, the newest first, each as it went; `held` counts them."""

    last: Sequence[Drill]
    records: Sequence[Drill]

    @property
    def held(self) -> int:
        """How many records there are."""
        return len(self.records)

    @property
    def newest(self) -> Drill | None:
        """The drill that was held last."""
        return max(self.last, key=lambda drill: drill.at, default=None)


def drills_view(records: Sequence[DrillRecord], now: float) -> Drills:
    """What the page shows of drill records that are the oldest first."""
    due = due_at(records)
    last = [_drill(record, due[record.drill], now) for record in last_of_each(records)]
    # Whether a drill is overdue is said of its last record alone: an old one is not wrong for being old.
    all_of_them = [_drill(record, float("inf"), now) for record in reversed(records)]
    return Drills(sorted(last, key=lambda drill: RANK[drill.state]), all_of_them)


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
    return Drill(record.title, record, held_at(record), state, problem, now > due)
