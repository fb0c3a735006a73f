"""A stage through the real ansible-runner, on this machine: what tasks print, failures, time limit, stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks.drills.playing import Player

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
                playbooks, {"lost": "localhost"}, variables, tmp_path / "ssh_config", tmp_path / "artifacts"
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
        "- debug: { msg: 'drill-moment snapshot 2026-08-01T09:29:00+08:00' }"
    )
    played = player.play("stage", 30, never)
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
        tmp_path / "playbooks", {"lost": "gone"}, {}, tmp_path / "ssh_config", tmp_path / "artifacts"
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
    scratch = player._scratch
    assert scratch.exists()
    player.close()
    assert not scratch.exists()
