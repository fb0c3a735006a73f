"""One drill at a time on the hosts of a state folder, by real processes; what a dead one leaves is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.drills.definition import DrillError
from checks.drills.measuring import Seen
from checks.drills.record import Outcome, Stage
from checks.drills.under_way import JOURNAL, Journal, Progress, claimed, holder, holding

ROOT = Path(__file__).resolve().parents[3]
#: Another process that holds a drill, says so, and lives until its input ends or it is killed.
OTHER = """
import os, sys
from pathlib import Path
from checks.drills.under_way import Progress, claimed
state = Path(sys.argv[1])
with claimed(state) as journal:
    journal.save(Progress("burn-it-down", "burn-it-down-1", "/city", "/elsewhere", os.getpid(), "", stage="recover"))
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_another_drill_is_refused_whichever_records_folder_it_has(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    with (
        pytest.raises(DrillError, match=f"the drill burn-it-down is under way .process {other.pid}.; wait"),
        claimed(tmp_path),
    ):
        pass


def test_what_a_killed_one_left_is_known(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with claimed(tmp_path) as journal:
        left = journal.left()
        assert left is not None
        assert (left.drill, left.stage, left.records) == ("burn-it-down", "recover", "/elsewhere")
        journal.end()
        assert journal.left() is None


def test_progress_is_read_as_it_was_saved(tmp_path: Path) -> None:
    seen = Seen()
    seen.read(
        [
            "drill-moment fault 2026-08-01T09:30:00.250+08:00",
            "drill-record lost a 1754011810.123",
            "drill-sum lost 9f86 a b",
            "drill-tolerated X",
        ]
    )
    stage = Stage(name="prepare", started_at="2026-08-01T09:29:00+08:00", seconds=1.5, outcome=Outcome.DONE)
    progress = Progress(
        "d", "d-1", "/city", "/records", 1, "2026-08-01T09:29:00+08:00", done=[stage], seen=seen
    )
    journal = Journal(tmp_path)
    journal.save(progress)
    assert journal.left() == progress


def test_a_journal_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    """Whatever it stood for has not been put back."""
    (tmp_path / JOURNAL).write_text("{")
    with pytest.raises(DrillError, match="see by hand what that drill left"):
        Journal(tmp_path).left()


def test_a_drill_that_has_not_begun_its_first_stage_is_known_by_its_process(tmp_path: Path) -> None:
    with claimed(tmp_path):
        assert holding(tmp_path) == ("", os.getpid())
        assert holder(tmp_path) == f"another drill is under way (process {os.getpid()})"
