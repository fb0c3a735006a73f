"""When a drill is due: by its last record that counts, and its `every`."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest

from checks.drills.definition import Definition, read_definition
from checks.drills.due import Due, due_of_each
from checks.drills.record import DrillRecord, Kind
from tests.checks.drills.examples import example

NAME = "restore-system-offsite"
HELD = datetime.fromisoformat(example().ended_at)


def due(records: list[DrillRecord], days: float, **fields: object) -> Due:
    definition: Definition = msgspec.structs.replace(read_definition(NAME), **fields)
    (found,) = due_of_each({NAME: definition}, records, HELD + timedelta(days=days))
    return found


def test_a_drill_is_overdue_after_its_period() -> None:
    assert not due([example()], 179.9).overdue
    assert due([example()], 180.1).overdue
    assert due([example()], 1).due_at == "2027-01-28T09:30:40+08:00"
    assert due([example()], 31, every="30d").overdue


def test_a_drill_that_was_never_held_is_overdue() -> None:
    found = due([], 0)
    assert found.overdue
    assert found.last_held_at is None


@pytest.mark.parametrize(
    ("changes", "meant", "counts"),
    [
        ({"kind": Kind.TABLETOP}, Kind.LIVE, False),
        ({"kind": Kind.TABLETOP}, Kind.TABLETOP, True),
        ({"kind": Kind.LIVE}, Kind.SIMULATED, True),
        ({"aborted": True}, Kind.LIVE, False),
        ({"drill": "another"}, Kind.LIVE, False),
    ],
)
def test_which_records_count(changes: dict[str, object], meant: Kind, counts: bool) -> None:
    record = msgspec.structs.replace(example(), **changes)
    assert due([record], 1, kind=meant).overdue is not counts


def test_the_newest_record_counts_whatever_their_order() -> None:
    later = msgspec.structs.replace(example(), ended_at="2026-12-01T09:00:00+08:00", id="later")
    assert due([later, example()], 200).last_record == "later"


def test_the_most_urgent_comes_first() -> None:
    definition = read_definition(NAME)
    found = due_of_each({"b": definition, NAME: definition, "a": definition}, [example()], HELD)
    assert [one.drill for one in found] == ["b", "a", NAME]
