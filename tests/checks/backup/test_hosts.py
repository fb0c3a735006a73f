"""Are hosts followed line by line over a real SSH, and is what they end with told as what it is?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from checks.backup.hosts import Job, Outcome, RestoreError, restore, run_jobs
from checks.ssh import SecureShell, SshError

from ..test_cli import controller
from .test_judging import ago, good_state

NODE = "cloud-1"


@contextmanager
def host(folder: Path, script: str) -> Iterator[SecureShell]:
    """A host on which a script runs in place of whatever is asked for."""
    with controller(folder, ["sh", "-c", script], [NODE]) as state:
        yield SecureShell(config=state / "ssh_config")


def run(shell: SecureShell) -> tuple[Outcome, list[tuple[str, str]]]:
    said: list[tuple[str, str]] = []
    (outcome,) = asyncio.run(run_jobs([Job("gov", NODE)], shell, lambda *line: said.append(line)))
    return outcome, said


def ends_with(result: str, status: int, state: object) -> str:
    """A host on which a unit ends so, whatever the script does that is sent to it."""
    text = json.dumps(state).replace("'", "")
    return f"cat >/dev/null; echo one; echo two; printf 'jizuo-result\\t{result}\\t{status}\\t%s\\n' '{text}'"


def test_lines_come_with_the_job_s_name_and_the_end_with_its_state(tmp_path: Path) -> None:
    with host(tmp_path, ends_with("success", 0, good_state())) as shell:
        outcome, said = run(shell)
    assert said == [("gov@cloud-1", "one"), ("gov@cloud-1", "two")]
    assert (outcome.result, outcome.error) == ("success", "")
    assert outcome.state is not None
    assert outcome.state.repositories["offsite-1"].role == "copy"


def test_what_went_wrong_in_this_run_is_told_and_nothing_older(tmp_path: Path) -> None:
    state = good_state()
    state["backup"] |= {"result": "partial", "error": "1 file could not be read"}
    old = {"result": "failure", "started_at": ago(days=3), "error": "was full"}
    state["repositories"]["backup-1"]["check"] = old
    with host(tmp_path / "partial", ends_with("exit-code", 3, state)) as shell:
        outcome, _ = run(shell)
    assert (outcome.result, outcome.error) == ("partial", "backup: 1 file could not be read")
    with host(tmp_path / "failed", ends_with("timeout", 0, "no state")) as shell:
        outcome, _ = run(shell)
    assert (outcome.result, outcome.error) == ("failure", "the unit ended with timeout, exit status 0")


def test_a_host_that_is_lost_on_the_way_is_no_failure_of_the_job(tmp_path: Path) -> None:
    with host(tmp_path / "cut", "cat >/dev/null; echo one; exit 255") as shell:
        outcome, said = run(shell)
    assert said == [("gov@cloud-1", "one")]
    assert outcome.result == "unknown"
    assert "the job goes on if it was begun" in outcome.error
    with host(
        tmp_path / "refused", "cat >/dev/null; echo 'sudo: a password is required' >&2; exit 1"
    ) as shell:
        outcome, _ = run(shell)
    assert (outcome.result, outcome.error) == ("unknown", "cloud-1: sudo: a password is required")
    with host(tmp_path / "no-job", "cat >/dev/null; printf 'jizuo-error\\tno such unit\\n'; exit 1") as shell:
        outcome, _ = run(shell)
    assert (outcome.result, outcome.error) == ("failure", "cloud-1: no such unit")


def test_a_restore_s_progress_its_report_and_its_refusal(tmp_path: Path) -> None:
    said: list[str] = []
    good = """echo 'restoring 9 files'; echo '{"files": 9}'"""
    with host(tmp_path / "good", good) as shell:
        found = asyncio.run(restore(NODE, ["--dry"], shell, said.append, "Asia/Shanghai"))
    assert (found, said) == ({"files": 9}, ["restoring 9 files"])
    with (
        host(tmp_path / "bad", "echo 'jizuo_backup: /srv is there; move it away first'; exit 1") as shell,
        pytest.raises(RestoreError, match=r"^cloud-1: /srv is there; move it away first$"),
    ):
        asyncio.run(restore(NODE, [], shell, said.append, "Asia/Shanghai"))


def test_following_reports_status_and_errors_and_a_host_that_is_not_there(tmp_path: Path) -> None:
    lines: list[str] = []
    with host(tmp_path, "cat; echo wrong >&2; exit 7") as shell:
        done = asyncio.run(shell.follow(NODE, "any", lines.append, "first\nsecond\n"))
        assert (lines, done.status, done.stderr) == (["first", "second"], 7, "wrong")
        with pytest.raises(SshError) as caught:
            asyncio.run(shell.follow("cloud-2", "any", lines.append))
    assert caught.value.reason == "refused"
