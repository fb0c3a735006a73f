"""The record of a check of drift, who is held to have been read, and the timer's units."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

import click
import pytest

from deploy.cli import DeployResult, HostResult
from deploy.controller.units import DRIFT, RESTORES, Chore, unit_files
from deploy.drift.cli import _mark_of_deploys
from deploy.drift.record import record_of
from deploy.secrets import PassingSecrets, SecretStore
from inventories.load import load_city
from tests.deploy.fake_hosts import LAB

CITY = load_city(LAB)
AT = "2026-11-23T08:00:00+08:00"


def result(error: str = "", **hosts: HostResult) -> DeployResult:
    named = {name.replace("_", "-"): host for name, host in hosts.items()}
    return DeployResult(at="later", dry=True, roles=[], seconds=2.5, hosts=named, error=error)


def test_operations_are_by_role_and_every_role_of_a_host_shows() -> None:
    changed = ["base | SSH server", "backup | client", "base | logs"]
    record = record_of(CITY, result(cloud_1=HostResult(changed), core_a=HostResult()), AT)
    assert record.hosts["cloud-1"].pending == {
        "base": ["base | SSH server", "base | logs"],
        "extranet": [],
        "cloud": [],
        "database": [],
        "backup": ["backup | client"],
    }
    assert record.hosts["core-a"].pending == {"base": [], "extranet": [], "private": []}
    assert (record.at, record.pending, record.unread, record.exit_code) == (AT, 3, [], 2)


def test_what_was_not_read_is_neither_well_nor_drifted() -> None:
    down = HostResult(["base | logs"], failed="connect", detail="no route")
    record = record_of(CITY, result(cloud_1=down, core_a=HostResult()), AT)
    assert record.hosts["cloud-1"].unread == "connect: no route"
    assert record.hosts["cloud-1"].pending == {}
    assert (record.pending, record.unread, record.exit_code) == (0, ["cloud-1"], 1)


def test_a_run_that_ended_early_read_no_host() -> None:
    record = record_of(CITY, result("the run ended before its end", core_a=HostResult()), AT)
    assert record.hosts["core-a"].unread == "the run ended before its end"
    assert record.exit_code == 1


def test_nothing_pending_is_0() -> None:
    assert record_of(CITY, result(core_a=HostResult()), AT).exit_code == 0


def test_a_deploy_goes_first_and_is_seen(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    assert _mark_of_deploys(tmp_path) == 0
    lock = tmp_path / "deploy" / ".lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(click.ClickException, match="a jizuo deploy is at work"):
            _mark_of_deploys(tmp_path)
    before = _mark_of_deploys(tmp_path)
    assert _mark_of_deploys(tmp_path) == before
    lock.open("w").close()
    assert _mark_of_deploys(tmp_path) != before


def test_a_dry_run_keeps_no_secret(tmp_path: Path) -> None:
    SecretStore(tmp_path).get("kept", lambda: b"kept")
    store = PassingSecrets(tmp_path)
    assert store.get("kept", lambda: b"other") == b"kept"
    assert store.get("new", lambda: b"first") == store.get("new", lambda: b"second") == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("chore", [DRIFT, RESTORES], ids=lambda chore: chore.name)
def test_the_units_are_systemds(tmp_path: Path, chore: Chore) -> None:
    state = tmp_path / "a city's 100% state"
    (state / "deploy").mkdir(parents=True)
    for name, text in unit_files(chore, "3609", LAB, state, 6).items():
        (tmp_path / name).write_text(text)
    service, timer = (tmp_path / f"jizuo-{chore.name}-3609.{kind}" for kind in ("service", "timer"))
    assert "OnUnitInactiveSec=6h" in timer.read_text()
    words = " ".join(f'"{word}"' for word in chore.command(str(LAB.resolve())))
    assert words in service.read_text()
    assert ("SuccessExitStatus=2" in service.read_text()) == (chore is DRIFT)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", service, timer], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
