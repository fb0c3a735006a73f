"""Backup jobs on hosts that lose power, on a way that is gone, and what a job sees of its host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from tests.lab.conftest import Execute

JOB = "jizuo-backup@gov-service.service"
LARGE = "/srv/systems/yichun-gov-service-net/large"


def state_of(on: Execute) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(on("cloud-1", "cat", "/var/lib/jizuo/backup/gov-service.json").stdout)
    return found


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def well(on: Execute, host: str, *command: str) -> bool:
    return bool(on(host, *command, check=False).returncode == 0)


@pytest.fixture(autouse=True)
def no_timer_beside(on: Execute) -> Iterator[None]:
    on("cloud-1", "systemctl", "stop", "jizuo-backup@gov-service.timer")
    on("cloud-1", "systemctl", "start", JOB)
    yield
    on("cloud-1", "rm", "-f", LARGE)
    on("cloud-1", "systemctl", "start", "jizuo-backup@gov-service.timer")


def test_a_job_sees_its_policys_paths_and_nothing_else_of_its_host(lab: Lab, on: Execute) -> None:
    folder = f"/run/systemd/system/{JOB}.d"
    look = "cat /etc/shadow /etc/ssh/ssh_host_ed25519_key; ls /root /home /var/log; touch /srv/systems/x; ls / /srv"
    unit = f'[Service]\nExecStart=\nExecStart=/bin/sh -c "({look}) >/var/lib/jizuo/backup/seen 2>/dev/null; true"\n'
    on("cloud-1", "mkdir", "-p", folder)
    on("cloud-1", "tee", f"{folder}/zz-look.conf", input=unit)
    try:
        on("cloud-1", "systemctl", "daemon-reload")
        on("cloud-1", "systemctl", "start", JOB)
        seen = on("cloud-1", "cat", "/var/lib/jizuo/backup/seen").stdout.split()
    finally:
        on("cloud-1", "rm", "-rf", folder, "/var/lib/jizuo/backup/seen")
        on("cloud-1", "systemctl", "daemon-reload")
    top = ["bin", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "srv", "sys", "tmp", "usr", "var"]
    assert seen == ["/:", *top, "/srv:", "systems"]
    assert not well(on, "cloud-1", "test", "-e", "/srv/systems/x")


def test_a_client_that_loses_power_in_mid_backup_loses_nothing_that_was_reported_safe(
    lab: Lab, on: Execute
) -> None:
    before = state_of(on)
    on("cloud-1", "sh", "-c", f"head -c 400000000 /dev/urandom >{LARGE}")
    on("cloud-1", "systemctl", "start", "--no-block", JOB)
    until(lambda: well(on, "cloud-1", "pgrep", "-x", "restic"))
    labs.kill(lab, "cloud-1")
    labs.start(lab, "cloud-1")
    until(lambda: well(on, "cloud-1", "systemctl", "is-active", "-q", "nginx"))
    on("cloud-1", "systemctl", "stop", "jizuo-backup@gov-service.timer", check=False)
    on("cloud-1", "systemctl", "stop", "jizuo-backup-scheduled@gov-service.service", check=False)
    state = state_of(on)
    assert state["last_success_at"] == before["last_success_at"]
    assert state["backup"]["result"] in ("running", "failure")
    on("cloud-1", "rm", LARGE)
    until(lambda: well(on, "cloud-1", "systemctl", "start", JOB))
    after = state_of(on)
    assert after["backup"]["result"] == "success"
    assert after["backup"]["repository"] == "backup-1"
    assert after["repositories"]["offsite-1"]["snapshot_at"] == after["last_success_at"]


def test_backups_go_on_while_the_backup_node_is_down_and_come_back_to_it(lab: Lab, on: Execute) -> None:
    labs.kill(lab, "backup-1")
    try:
        on("cloud-1", "systemctl", "start", JOB, check=False)
        during = state_of(on)
    finally:
        labs.start(lab, "backup-1")
    assert during["backup"]["result"] == "success"
    assert during["backup"]["repository"] == "offsite-1"
    assert during["repositories"]["backup-1"]["backup"]["reason"] == "unreachable"
    until(lambda: well(on, "cloud-1", "systemctl", "start", JOB))
    after = state_of(on)
    assert after["backup"]["repository"] == "backup-1"
    assert not after["repositories"]["offsite-1"]["ahead"]
    assert {one["lag_seconds"] for one in after["repositories"].values()} == {0}


def test_the_server_removes_old_snapshots_as_the_repositorys_owner(lab: Lab, on: Execute) -> None:
    library = "PYTHONPATH=/usr/local/lib/jizuo"
    on("backup-1", "env", library, "python3", "-m", "jizuo_backup.repository", "maintain")
    found = json.loads(on("backup-1", "cat", "/var/lib/jizuo/repository/cloud-1-gov-service.json").stdout)
    assert found["prune"]["result"] == "success"
    assert found["snapshots"] >= 1
    assert on("backup-1", "find", "/srv/repositories", "!", "-user", "jizuo-repository").stdout == ""
    # The server that clients talk to cannot read what opens their repositories.
    read = ["cat", "/etc/jizuo/repository/held/cloud-1-gov-service.password"]
    assert not well(on, "backup-1", "runuser", "-u", "jizuo-repository", "--", *read)
    on("cloud-1", "systemctl", "start", JOB)


def test_what_a_repositorys_node_takes_is_written_through_to_its_disk(lab: Lab, on: Execute) -> None:
    for node in ("backup-1", "offsite-1"):
        listed = on(
            node, "lsattr", "-d", "/srv/repositories", "/srv/repositories/cloud-1/gov-service/data"
        ).stdout
        flags = [line.split()[0] for line in listed.splitlines()]
        assert len(flags) == 2 and all("S" in one for one in flags), listed
