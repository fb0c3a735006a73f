"""Which of a drill's records count: for figures the newest that was played, for its date one that came to its end."""

from __future__ import annotations

from collections.abc import Callable

from checks.drills.record import DrillRecord, Kind
from exporters.collectors.drill import drill_metrics
from exporters.drills import due_at, last_of_each
from exporters.readings import epoch_seconds
from exporters.status.drills import drills_view
from exporters.status.states import State

DAY = 86400.0
NAME = "restore-system-offsite"
Make = Callable[..., DrillRecord]


def on(make: Make, day: str, **fields: object) -> DrillRecord:
    moment = f"2026-{day}T09:00:00+08:00"
    due = f"2027-{day}T09:00:00+08:00"
    return make(**{"started_at": moment, "ended_at": moment, "next_due_at": due, **fields})


def due(*records: DrillRecord) -> float:
    return due_at(records)[NAME]


def test_a_drill_is_due_when_its_last_record_says(drill: Make) -> None:
    assert due(on(drill, "01-01"), on(drill, "03-01")) == epoch_seconds("2027-03-01T09:00:00+08:00")


def test_one_that_was_aborted_or_on_paper_puts_off_nothing(drill: Make) -> None:
    real = on(drill, "01-01")
    assert due(real, on(drill, "02-01", aborted=True)) == due(real)
    assert due(real, on(drill, "02-01", kind=Kind.TABLETOP)) == due(real)
    assert due(on(drill, "01-01", kind=Kind.TABLETOP), on(drill, "02-01", kind=Kind.TABLETOP)) > due(real)


def test_one_that_never_came_to_its_end_is_due(drill: Make) -> None:
    assert due(on(drill, "01-01", aborted=True)) == epoch_seconds("2026-01-01T09:00:00+08:00")


def test_a_record_of_the_first_version_is_good_for_half_a_year(drill: Make) -> None:
    held = on(drill, "01-01", next_due_at=None)
    assert due(held) == epoch_seconds(held.started_at) + 180 * DAY


def test_figures_are_those_of_the_last_that_was_played(drill: Make) -> None:
    played, paper = on(drill, "01-01"), on(drill, "02-01", kind=Kind.TABLETOP)
    assert last_of_each([played, paper]) == [played]
    assert last_of_each([paper, played]) == [played]
    families = {family.name: family for family in drill_metrics([played, paper])}
    (sample,) = families["jizuo_drill_due_timestamp_seconds"].samples
    assert sample.value == epoch_seconds("2027-01-01T09:00:00+08:00")
    assert families["jizuo_drill_rto_seconds"].samples[0].value == 42.0


def test_the_page_says_when_one_is_overdue(drill: Make) -> None:
    record = on(drill, "01-01")
    at = epoch_seconds("2027-01-01T09:00:00+08:00")
    assert drills_view([record], at).last[0].state is State.OK
    late = drills_view([record], at + 1).last[0]
    assert (late.state, late.problem) == (State.WARNING, "已逾期未演练")
