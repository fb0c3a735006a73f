"""A stage through the real ansible-runner, on this machine: what tasks print, failures, time limit, stop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks.drills.masking import mask_of
from checks.drills.playing import Played, Player, remove_scratch

#: With characters that JSON writes otherwise.
SECRET = 'Tr0ub4dor&"3\\ü'
Make = Callable[[str], Player]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A player of one stage, `stage`, whose tasks are given; it runs on this machine."""
    players: list[Player] = []

    def make(tasks: str) -> Player:
        playbooks = tmp_path / "playbooks"
        playbooks.mkdir()
        head = "- hosts: lost\n  gather_facts: false\n  tasks:\n"
        body = "".join(f"    {line}\n" for line in tasks.splitlines())
        (playbooks / "stage.yml").write_text(head + body)
        variables = {"folder": "/srv/with space", "recovery_command": ["true"]}
        players.append(
            Player(
                {"stage": playbooks / "stage.yml"},
                {"lost": ["localhost"]},
                variables,
                tmp_path / "ssh_config",
                tmp_path / "artifacts",
                mask_of([SECRET]),
            )
        )
        return players[-1]

    yield make
    for player in players:
        player.close()


def never() -> bool:
    return False


def test_what_tasks_print_is_read(make: Make, tmp_path: Path) -> None:
    player = make(
        "- raw: printf 'drill-moment fault %s\\n' 2026-08-01T09:30:00+08:00; echo {{ folder | quote }}\n"
        "- debug: { msg: 'drill-moment snapshot {{ moments.copied }}' }"
    )
    played = player.play("stage", 30, never, {"moments": {"copied": "2026-08-01T09:29:00+08:00"}})
    assert played.problem == ""
    assert "drill-moment fault 2026-08-01T09:30:00+08:00" in played.lines
    assert "drill-moment snapshot 2026-08-01T09:29:00+08:00" in played.lines
    assert "/srv/with space" in played.lines
    assert list((tmp_path / "artifacts/stage/job_events").iterdir()), "no evidence was kept"


def test_a_task_that_fails_is_named_with_what_it_said(make: Make) -> None:
    played = make("- { name: the copy answers, raw: 'echo nobody there >&2; exit 3' }").play(
        "stage", 30, never
    )
    assert played.problem == "localhost: the copy answers: nobody there"


def test_a_host_that_cannot_be_reached_is_named(make: Make, tmp_path: Path) -> None:
    make("- raw: echo").close()
    (tmp_path / "ssh_config").write_text("Host gone\n    HostName 127.0.0.1\n    Port 1\n")
    player = Player(
        {"stage": tmp_path / "playbooks/stage.yml"},
        {"lost": ["gone"]},
        {},
        tmp_path / "ssh_config",
        tmp_path / "artifacts",
    )
    played = player.play("stage", 30, never)
    player.close()
    assert played.problem.startswith("gone: ")
    assert "refused" in played.problem


def test_a_playbook_with_an_error_is_a_failure(make: Make) -> None:
    played = make("- no_such_module: {}").play("stage", 30, never)
    assert "no_such_module" in played.problem


def test_a_stage_that_takes_too_long_is_ended(make: Make) -> None:
    began = time.monotonic()
    played = make("- raw: sleep 60").play("stage", 2, never)
    assert played.problem == "no end within 2 s"
    assert time.monotonic() - began < 20


def test_a_stage_is_stopped_when_somebody_asks(make: Make) -> None:
    began = time.monotonic()
    played = make("- raw: sleep 60").play("stage", 60, lambda: time.monotonic() - began > 2)
    assert played.problem == "stopped"
    assert time.monotonic() - began < 20


def test_nothing_is_left_on_the_controller(make: Make) -> None:
    player = make("- raw: echo")
    player.play("stage", 30, never)
    scratch = player.scratch
    assert scratch.exists()
    player.close()
    assert not scratch.exists()


def test_a_stage_without_a_playbook_has_nothing_to_play(make: Make) -> None:
    assert make("- raw: 'false'").play("restore", 30, never) == Played((), "")


def test_no_secret_is_in_the_evidence(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of the state folder on a command line, in output and in an error; one in the environment."""
    monkeypatch.setenv("SOMEBODYS_KEY", "environment-of-whoever-runs-it")
    (tmp_path / "secret").write_text(SECRET)
    player = make(
        f"- raw: cat {tmp_path}/secret; echo RESTIC_PASSWORD=swordfish-17; echo seen\n"
        f"- {{ name: leaks, raw: 'cat {tmp_path}/secret >&2; exit 1' }}"
    )
    played = player.play("stage", 30, never)
    assert SECRET in "\n".join(played.lines), "the task did not print it: nothing is shown by this test"
    assert SECRET not in played.problem
    kept = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    evidence = "\n".join(path.read_text() for path in kept)
    assert "seen" in evidence
    assert "********" in evidence
    for secret in (SECRET, json.dumps(SECRET)[1:-1], "swordfish-17", "environment-of-whoever-runs-it"):
        assert secret not in evidence
    events = [json.loads(path.read_text()) for path in kept if path.suffix == ".json"]
    assert events, "masked evidence is still JSON"
    assert {path.stat().st_mode & 0o077 for path in kept} == {0}


def test_what_a_killed_tool_left_is_removed_and_nothing_else(make: Make, tmp_path: Path) -> None:
    player = make("- raw: echo")
    (player.scratch / "artifacts").mkdir()
    for path in (str(player.scratch), str(tmp_path), ""):
        remove_scratch(path)
    assert not player.scratch.exists()
    assert tmp_path.exists()
