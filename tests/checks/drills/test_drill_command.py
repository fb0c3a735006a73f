"""`jizuo drill` as a person types it, as far as it goes without hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from checks.drills.chain import write_record
from checks.drills.cli import drill, exit_code
from checks.drills.handing_over import hand_over
from checks.drills.record import Issue, Outcome
from checks.drills.under_way import Journal, Progress
from inventories.load import load_city
from tests.checks.drills.examples import example

LAB = Path(__file__).resolve().parents[3] / "inventories/lab"
NAME = "restore-system-offsite"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JIZUO_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(drill, arguments)


def test_drills_are_listed() -> None:
    assert "YC-DR-001" in run("list").output
    listed = json.loads(run("list", "--json").output)
    example = next(one for one in listed if one["name"] == NAME)
    assert example["nodes"]["recovery"] == "xinchuang-1"
    assert example["detection"]["alert"] == "SystemEndpointDown"


def test_the_list_shows_whole_names_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("list").output.splitlines()
    assert any(NAME in line for line in lines)
    assert max(map(cell_len, lines)) <= 80


def test_a_dry_run_shows_every_step_and_needs_no_host(state: Path) -> None:
    result = run("run", NAME, "--dry")
    assert result.exit_code == 0
    for stage in (
        "health",
        "prepare",
        "inject",
        "detect",
        "decide",
        "recover",
        "verify",
        "fallback (always)",
    ):
        assert f"\n{stage}\n" in result.output
    assert "  xinchuang-1: restore from the other city" in result.output
    assert "RTO 900 s, RPO 3600 s" in result.output
    assert (
        "detected by: SystemEndpointDown, subject=yichun-gov-service-net, as Prometheus on ops-1"
        in result.output
    )
    assert not state.exists()


def test_a_drill_that_there_is_not() -> None:
    result = run("run", "burn-it-down", "--yes")
    assert result.exit_code == 1
    assert "no drill burn-it-down; the drills are: " in result.output


def test_a_city_that_does_not_fit_is_refused(state: Path) -> None:
    yichun = Path(__file__).resolve().parents[3] / "inventories/yichun"
    result = run("run", NAME, "--inventory", str(yichun), "--yes")
    assert result.exit_code == 1
    assert "cannot be held in this city" in result.output


def test_without_a_lab_the_way_out_is_told() -> None:
    result = run("run", NAME, "--yes")
    assert result.exit_code == 1
    assert "start the lab (jizuo lab up), or set JIZUO_STATE" in result.output


def test_a_live_drill_asks_a_person(state: Path) -> None:
    state.mkdir()
    (state / "ssh_config").touch()
    result = run("run", NAME)
    assert result.exit_code == 1
    assert "there is no terminal to ask at: use --yes" in result.output
    assert not (state / "drills").exists()


def test_records_are_listed_and_shown(state: Path) -> None:
    assert "no drill has been held" in run("report").output
    path = write_record(state / "drills", example())
    listed = run("report").output
    assert "12.5秒" in listed
    assert path.stem in listed
    shown = run("report", path.stem)
    assert shown.exit_code == 0
    assert "12.5 s, objective 900 s" in shown.output
    assert "实测RTO" in path.with_suffix(".html").read_text()
    assert json.loads(run("report", path.stem, "--json").output)["measured"]["rpo_seconds"] == 7.5
    assert len(json.loads(run("report", "--json").output)) == 1


def test_a_record_that_is_broken_is_named_and_the_others_shown(state: Path) -> None:
    write_record(state / "drills", example())
    (state / "drills" / "broken-20260101T000000.json").write_text("{}")
    result = run("report")
    assert result.exit_code == 0
    assert "broken-20260101T000000.json" in result.output
    assert "12.5秒" in result.output
    assert run("report", "broken-20260101T000000").exit_code == 1
    assert "no record x" in run("report", "x").output


def test_exit_codes() -> None:
    issue = Issue(what="RTO", owner="市数据局", due="2026-09-01")
    assert exit_code(example()) == 0
    assert exit_code(example(issues=(issue,))) == 2
    assert exit_code(example(reached=4, aborted=True)) == 1
    restore = example().restore
    assert restore is not None
    undone = msgspec.structs.replace(restore, outcome=Outcome.FAILED)
    assert exit_code(msgspec.structs.replace(example(), restore=undone)) == 1


def test_a_drill_is_shown_for_programs() -> None:
    shown = json.loads(run("show", NAME, "--json").output)
    assert shown["objectives"] == {
        "system": "yichun-gov-service-net", "policy": "gov-service", "rto_seconds": 900, "rpo_seconds": 3600
    }  # fmt: skip
    assert shown["every_seconds"] == 180 * 86400
    stages = {stage["name"]: stage["steps"] for stage in shown["stages"]}
    assert {"where": "xinchuang-1", "what": "restore from the other city"} in stages["recover"]
    schema = json.loads(run("show", "--schema", "--json").output)
    assert "rto_seconds" in schema["$defs"]["Measured"]["properties"]
    assert "objectives.system" in run("show", "--schema").output
    assert run("show").exit_code == 1


def test_a_drill_on_paper_touches_nothing_and_is_recorded(state: Path) -> None:
    """Nothing but its record, its page and the chain is written; no host is known here at all."""
    done = run("run", NAME, "--tabletop", "--yes", "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.output)
    assert record["kind"] == "tabletop"
    assert [stage["outcome"] for stage in record["stages"]] == ["done"] * 6
    assert record["timeline"]["fault"] is None
    assert record["measured"]["rto_objective_seconds"] is None
    assert {path.suffix for path in (state / "drills").iterdir() if not path.name.startswith(".")} == {
        ".json",
        ".html",
    }
    assert [path.name for path in state.iterdir()] == ["drills"]
    assert run("verify-records").exit_code == 0
    assert run("overdue").exit_code == 2, "a drill on paper does not stand for a live one"


def test_what_people_note_on_paper_are_issues(state: Path) -> None:
    notes = "\n".join(["", "", "", "值守电话无人接听", "", "", "", "", ""]) + "\n"
    done = CliRunner().invoke(drill, ["run", NAME, "--tabletop"], input=notes)
    assert done.exit_code == 2, done.output
    (path,) = (state / "drills").glob("*.json")
    (issue,) = json.loads(path.read_text())["issues"]
    assert issue["what"] == "决策：值守电话无人接听"
    assert issue["owner"] == "市行政审批局"
    assert "值守电话无人接听" in path.with_suffix(".html").read_text()


def test_a_drill_on_paper_that_is_broken_off_says_so(state: Path) -> None:
    done = CliRunner().invoke(drill, ["run", NAME, "--tabletop"], input="\n")
    assert done.exit_code == 1
    (path,) = (state / "drills").glob("*.json")
    record = json.loads(path.read_text())
    assert record["aborted"]
    assert record["stages"][0]["outcome"] == "done"
    assert record["stages"][2]["outcome"] == "not_reached"


def test_a_drill_that_was_held_is_not_overdue_and_its_record_is_verified(state: Path) -> None:
    now = datetime.now(UTC)
    held = msgspec.structs.replace(example(), ended_at=now.isoformat(), id=f"{NAME}-{now:%Y%m%dT%H%M%S}")
    path = write_record(state / "drills", held)
    overdue = {one["drill"]: one["overdue"] for one in json.loads(run("overdue", "--json").output)}
    assert overdue[NAME] is False
    assert run("verify-records").exit_code == 0
    path.write_text(path.read_text().replace("12.5", "1.5"))
    changed = run("verify-records", "--json")
    assert changed.exit_code == 2
    assert path.stem in json.loads(changed.output)["misfit"]
    assert run("verify-records", "--records", str(state / "none")).exit_code == 0


def test_with_nothing_left_there_is_nothing_to_abort_or_resume(state: Path) -> None:
    state.mkdir()
    (state / "ssh_config").touch()
    assert "no drill is under way" in run("abort").output
    assert run("abort").exit_code == 0
    resumed = run("resume", "--yes")
    assert resumed.exit_code == 1
    assert "no drill was left" in resumed.output


def test_abort_stops_a_drill_of_another_process_and_waits_for_its_end(state: Path) -> None:
    """Also one that only asks whether the city is healthy: it ends as soon as it is told to."""
    state.mkdir()
    (state / "ssh_config").touch()
    code = (
        "import signal, sys; from pathlib import Path; from checks.drills.under_way import claimed\n"
        "with claimed(Path(sys.argv[1])):\n"
        "    signal.signal(signal.SIGINT, lambda *_: sys.exit(7)); print('held', flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", code, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=LAB.parents[1]) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        done = run("abort")
        assert other.wait(30) == 7
    assert done.exit_code == 0
    assert f"process {other.pid}" in done.output


def test_what_a_dead_tool_left_is_to_be_dealt_with_first(state: Path) -> None:
    state.mkdir()
    (state / "ssh_config").touch()
    left = Progress(
        NAME, f"{NAME}-1", str(LAB), str(state / "drills"), 1, "2026-08-01T09:30:00+08:00", stage="recover"
    )
    Journal(state).save(left)
    again = run("run", NAME, "--yes")
    assert again.exit_code == 1
    assert "its tool died in the stage recover" in again.output
    assert "jizuo drill abort" in again.output
    resumed = run("resume", "--yes")
    assert resumed.exit_code == 1
    assert "may be half done" in resumed.output
    assert Journal(state).left() == left


def test_a_record_of_any_name_is_handed_over_whole(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remote command runs in a real shell; only the way there and the account's rights are left out."""
    kept = tmp_path / "kept"
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text('#!/bin/sh\nshift 3\nexec sh -c "$*"\n')
    (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr("checks.drills.handing_over.REMOTE", str(kept))
    path = tmp_path / "it's $(touch x); a record.json"
    path.write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert hand_over(load_city(LAB), state, path) == []
    assert [(one.name, one.read_text()) for one in kept.iterdir()] == [(path.name, "{}")]
    assert not (tmp_path / "x").exists()


def test_what_is_simulated_is_told_before() -> None:
    shown = run("run", "recovery-kit", "--dry").output
    assert "simulated: no fault is made (inject), and detection is not measured" in shown
    assert "\ninject" not in shown
    assert "no fault is made" not in run("run", NAME, "--dry").output


def test_a_record_is_signed_by_name_and_role_and_its_page_shows_it(state: Path) -> None:
    path = write_record(state / "drills", example())
    assert "has no role 厨师" in run("sign", path.stem, "--name", "王敏", "--role", "厨师").output
    done = run("sign", path.stem, "--name", "王敏", "--role", "演练指挥", "--json")
    assert done.exit_code == 0, done.output
    signed = json.loads(done.output)
    assert signed["record"] == path.stem
    shown = path.with_suffix(".html").read_text()
    assert f"<td>王敏</td><td>{signed['signed_at'][:4]}年" in shown
    assert run("report", path.stem).exit_code == 0
    assert "王敏" in path.with_suffix(".html").read_text(), "the page written anew forgets who signed"
    assert len(json.loads(run("report", "--json").output)) == 1
    assert run("verify-records").exit_code == 0
    signature = state / "drills" / f"{signed['id']}.json"
    signature.write_text(signature.read_text().replace("王敏", "李强"))
    assert run("verify-records").exit_code == 2
    assert run("sign", "no-such", "--name", "a", "--role", "b").exit_code == 1
