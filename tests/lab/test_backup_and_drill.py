"""Backups over the extranet in either family, and drills that are stopped, killed, or begun at a bad time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import lab as labs
from deploy.lab.lab import Lab

from .conftest import ROOT, Execute

DRILL = "restore-system-offsite"
DATA = "/srv/systems/yichun-gov-service-net"


def state_of(on: Execute, host: str = "cloud-1", policy: str = "gov-service") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(on(host, "cat", f"/var/lib/jizuo/backup/{policy}.json").stdout)
    return found


def back_up(on: Execute) -> dict[str, Any]:
    on("cloud-1", "systemctl", "start", "jizuo-backup@gov-service.service")
    return state_of(on)


def test_a_backup_goes_over_ipv6_and_over_ipv4_when_that_is_all_there_is(lab: Lab, on: Execute) -> None:
    assert back_up(on)["backup"]["family"] == "ipv6"
    rule = [
        "nft",
        "insert",
        "rule",
        "inet",
        "jizuo",
        "input",
        "meta",
        "nfproto",
        "ipv6",
        "tcp",
        "dport",
        "8443",
    ]
    on("backup-1", *rule, "reject", "with", "tcp", "reset")
    try:
        state = back_up(on)
    finally:
        listed = on("backup-1", "nft", "-a", "list", "chain", "inet", "jizuo", "input").stdout
        handle = next(
            line.rsplit(" ", 1)[1] for line in listed.splitlines() if "reject with tcp reset" in line
        )
        on("backup-1", "nft", "delete", "rule", "inet", "jizuo", "input", "handle", handle)
    assert state["backup"]["family"] == "ipv4"
    assert state["backup"]["result"] == "success"
    assert state["repositories"]["offsite-1"]["copy"]["family"] == "ipv6"


def test_files_that_only_their_owner_may_read_are_backed_up(lab: Lab, on: Execute) -> None:
    path = f"{DATA}/data/private"
    on("cloud-1", "sh", "-c", f"echo secret >{path}; chmod 600 {path}")
    try:
        assert back_up(on)["backup"]["result"] == "success"
    finally:
        on("cloud-1", "rm", path)


def test_nobody_outside_the_extranet_reaches_the_repositories(lab: Lab) -> None:
    for address in lab.record.hosts["backup-1"]:
        with pytest.raises(OSError, match=r"timed out|refused|unreachable"):
            labs.socket.create_connection((address, 8443), timeout=1)


class Run:
    """A drill that was begun as a person begins it."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.output = folder / "output"
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "jizuo.py"), "drill", "run", DRILL, "--yes", "--records", str(folder)],
                stdout=file, stderr=file, env=labs.environment(lab.places.name), start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        return self.output.read_text()

    def until(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def end(self) -> int:
        return self.process.wait(120)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "drills"


@pytest.fixture(autouse=True)
def all_is_as_it_was(on: Execute) -> Iterator[None]:
    """Whatever a test did, at its end the system is whole in its place and nothing of a drill is left."""
    listing = on("cloud-1", "find", DATA, "-type", "f", "-exec", "sha256sum", "{}", "+").stdout
    yield
    assert on("cloud-1", "find", DATA, "-type", "f", "-exec", "sha256sum", "{}", "+").stdout == listing
    assert on("xinchuang-1", "find", "/srv/systems", "-mindepth", "1", "-maxdepth", "1").stdout.split() == [
        "/srv/systems/collab-office"
    ]
    assert on("cloud-1", "find", "/srv/systems", "-name", ".*").stdout == ""
    for host, path in (("xinchuang-1", "/etc/jizuo/recovery"), ("xinchuang-1", "/etc/nginx/systems.d")):
        assert on(host, "find", path, "-type", "f", check=False).stdout == ""
    assert on("client-1", "ls", "/run/jizuo-drill", check=False).stdout == ""


def test_ctrl_c_in_mid_recovery_puts_all_back_and_is_recorded(lab: Lab, records: Path) -> None:
    records.mkdir()
    drill = Run(lab, records)
    drill.until("decide: done")
    drill.process.send_signal(signal.SIGINT)
    assert drill.end() == 1, drill.said()
    record = json.loads(next(records.glob("*.json")).read_text())
    assert record["aborted"]
    assert record["timeline"]["fault"]
    assert record["timeline"]["serving"] is None
    assert record["fallback"]["outcome"] == "done"


def test_a_tool_that_was_killed_is_undone_by_the_next_which_refuses_a_sick_city(
    lab: Lab, on: Execute, records: Path
) -> None:
    records.mkdir()
    drill = Run(lab, records)
    drill.until("detect: done")
    drill.process.kill()
    drill.end()
    assert on("cloud-1", "test", "-e", DATA, check=False).returncode == 1, "the fault was not there to undo"
    on("xinchuang-1", "systemctl", "stop", "nginx")
    try:
        again = Run(lab, records)
        assert again.end() == 1
    finally:
        on("xinchuang-1", "systemctl", "start", "nginx")
    assert "falling back for it first" in again.said()
    assert "not begun, and nothing was broken: xinchuang-1: it serves" in again.said()
    assert not list(records.glob("*.json"))
