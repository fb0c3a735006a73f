"""Figures of jobs: what is known is told, and nothing that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from checks.backup.figures import evaluate
from checks.backup_state import Unknown, read_state
from checks.record import Status

from .portal import CITY, NOW
from .test_judging import FAILURE, ago, good_state, put


def told(state: dict[str, Any]) -> dict[str, float | str | None]:
    records = evaluate(CITY, {"cloud-1": {"gov": read_state(json.dumps(state))}}, NOW)
    assert {(record.subject, record.status) for record in records} <= {("gov@cloud-1", Status.PASS)}
    return {record.check: record.value for record in records}


def measured() -> dict[str, Any]:
    """A state whose copy is a quarter of an hour behind."""
    state = good_state()
    state["last_snapshot"] = {"snapshot_at": ago(minutes=10), "files": 40, "total_bytes": 123_456_789}
    state["repositories"]["offsite-1"]["snapshot_at"] = ago(minutes=25)
    return state


ALL = {
    "backup-duration": 60.0,
    "backup-size": 123_456_789,
    "backup-files": 40,
    "backup-lag:backup-1": 0.0,
    "backup-lag:offsite-1": 900.0,
    "backup-copy-duration:offsite-1": 60.0,
}
UNDER_WAY = {"result": "running", "started_at": ago(minutes=1)}
COPY = ("repositories", "offsite-1")


def test_each_figure_of_a_job_is_told() -> None:
    assert told(measured()) == ALL


@pytest.mark.parametrize(
    ("change", "without"),
    [
        # A run under way, or one that failed, leaves the newest whole snapshot as large as it was.
        (put("backup", value=UNDER_WAY), {"backup-duration"}),
        (put("backup", value=FAILURE), {"backup-duration"}),
        (put("backup", value=None), {"backup-duration"}),
        (put("backup", "seconds", value=-3600.0), {"backup-duration"}),
        (put("last_snapshot", value=None), {"backup-size", "backup-files"}),
        (put("last_snapshot", "snapshot_at", value=ago(hours=5)), {"backup-size", "backup-files"}),
        (put(*COPY, "snapshot_at", value=""), {"backup-lag:offsite-1"}),
        (put(*COPY, "copy", value=UNDER_WAY), {"backup-copy-duration:offsite-1"}),
        (put("repositories", value={}), {check for check in ALL if ":" in check}),
        (put("host", value="cloud-2"), set(ALL)),
        (put("version", value=2), set(ALL)),
    ],
)
def test_what_is_not_known_has_no_figure(change: Callable[[dict[str, Any]], None], without: set[str]) -> None:
    state = measured()
    change(state)
    assert told(state) == {check: number for check, number in ALL.items() if check not in without}


def test_how_long_a_failed_run_took_is_known_too() -> None:
    state = measured()
    state["backup"] = {**FAILURE, "seconds": 7.5}
    assert told(state)["backup-duration"] == 7.5


def test_a_host_that_could_not_be_asked_has_no_figures() -> None:
    assert evaluate(CITY, {"cloud-1": Unknown("timeout", "no answer")}, NOW) == []
    assert evaluate(CITY, {}, NOW) == []
