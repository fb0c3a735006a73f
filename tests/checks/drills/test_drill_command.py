"""`jizuo drill` as a person types it, as far as it goes without hosts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from checks.drills.cli import drill, exit_code, hand_over
from checks.drills.record import Issue, write_record
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
    assert [one["name"] for one in listed] == [NAME]
    assert listed[0]["nodes"]["recovery"] == "xinchuang-1"


def test_the_list_shows_whole_names_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("list").output.splitlines()
    assert any(NAME in line for line in lines)
    assert max(map(cell_len, lines)) <= 80


def test_a_dry_run_shows_every_step_and_needs_no_host(state: Path) -> None:
    result = run("run", NAME, "--dry")
    assert result.exit_code == 0
    for stage in ("prepare", "inject", "detect", "decide", "recover", "verify", "fallback (always)"):
        assert f"\n{stage}\n" in result.output
    assert "  xinchuang-1: restore from the other city" in result.output
    assert "RTO 900 s, RPO 3600 s" in result.output
    assert not state.exists()


def test_a_drill_that_there_is_not() -> None:
    result = run("run", "burn-it-down", "--yes")
    assert result.exit_code == 1
    assert f"no drill burn-it-down; the drills are: {NAME}" in result.output


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
    monkeypatch.setattr("checks.drills.cli.REMOTE", str(kept))
    path = tmp_path / "it's $(touch x); a record.json"
    path.write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert hand_over(load_city(LAB), state, path) == []
    assert [(one.name, one.read_text()) for one in kept.iterdir()] == [(path.name, "{}")]
    assert not (tmp_path / "x").exists()
