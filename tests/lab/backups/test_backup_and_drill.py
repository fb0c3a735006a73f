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
from tests.lab.conftest import ROOT, Execute, read

from .conftest import TOLERATED

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


def drill(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of `jizuo drill` as a person types it."""
    return subprocess.run(
        [sys.executable, str(ROOT / "jizuo.py"), "drill", *arguments],
        capture_output=True, text=True, check=False, timeout=300, env=labs.environment(lab.places.name),
    )  # fmt: skip


class Run:
    """A drill that was begun, or goes on, as a person has it; it decides when monitoring has noticed the fault."""

    def __init__(self, lab: Lab, folder: Path, *arguments: str) -> None:
        self.output = folder / "output"
        given = arguments or (
            "run",
            DRILL,
            "--decide-on",
            "pending",
            "--healthy-within",
            "240",
            *TOLERATED,
            "--records",
            str(folder),
        )
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "jizuo.py"), "drill", *given, "--yes"],
                stdout=file, stderr=file, env=labs.environment(lab.places.name), start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        return self.output.read_text()

    def until(self, text: str) -> None:
        deadline = time.monotonic() + 420
        while text not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def end(self) -> int:
        return self.process.wait(240)


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


@pytest.mark.parametrize("how", ["ctrl-c", "abort"])
def test_a_drill_that_is_stopped_puts_all_back_and_is_recorded(
    lab: Lab, records: Path, tmp_path: Path, how: str
) -> None:
    """At its own terminal, or from another one; meanwhile no other drill begins, wherever its records go."""
    records.mkdir()
    run = Run(lab, records)
    run.until("inject: done")
    other = drill(lab, "run", DRILL, "--yes", "--records", str(tmp_path / "elsewhere"))
    assert other.returncode == 1
    assert f"the drill {DRILL} is under way (process {run.process.pid})" in other.stderr
    if how == "ctrl-c":
        run.process.send_signal(signal.SIGINT)
    else:
        assert drill(lab, "abort").returncode == 0
    assert run.end() == 1, run.said()
    record = json.loads(next(records.glob("*.json")).read_text())
    assert record["aborted"]
    assert record["timeline"]["fault"]
    assert record["timeline"]["serving"] is None
    assert record["fallback"]["outcome"] == "done"


def test_a_tool_that_was_killed_goes_on_and_one_that_died_in_mid_recovery_is_put_back(
    lab: Lab, on: Execute, records: Path
) -> None:
    records.mkdir()
    run = Run(lab, records)
    run.until("detect: done")
    run.process.kill()
    run.end()
    assert on("cloud-1", "test", "-e", DATA, check=False).returncode == 1, "the fault was not there to undo"
    again = drill(lab, "run", DRILL, "--yes")
    assert again.returncode == 1
    assert "was not put back: its tool died" in again.stderr

    run = Run(lab, records, "resume")
    run.until("decide: done")
    run.process.kill()
    run.end()
    scratch = Path(json.loads((lab.places.state / ".drill-under-way.json").read_bytes())["scratch"])
    assert scratch.exists()
    refused = drill(lab, "resume", "--yes")
    assert refused.returncode == 1
    assert "died in the stage recover" in refused.stderr

    assert drill(lab, "abort").returncode == 1, "a drill that did not come to its end is no success"
    record = json.loads(next(records.glob("*.json")).read_text())
    assert (record["aborted"], record["resumed"]) == (True, True)
    assert record["timeline"]["noticed"]
    assert record["fallback"]["outcome"] == "done"
    assert drill(lab, "verify-records", "--records", str(records)).returncode == 0
    artifacts = records / record["artifacts"]
    assert {"inject", "detect", "decide", "fallback"} <= {path.name for path in artifacts.iterdir()}
    evidence = "".join(path.read_text() for path in artifacts.rglob("*") if path.is_file())
    secrets = [
        path.read_text().strip() for path in (lab.places.state / "secrets").rglob("*") if path.is_file()
    ]
    assert secrets
    assert not [secret for secret in secrets if secret in evidence]
    assert not scratch.exists(), "what is not masked was left behind"


def test_a_sick_city_is_refused(lab: Lab, on: Execute, records: Path) -> None:
    records.mkdir()
    on("xinchuang-1", "systemctl", "stop", "nginx")
    try:
        run = Run(lab, records)
        assert run.end() == 1
    finally:
        on("xinchuang-1", "systemctl", "start", "nginx")
    assert "not begun, and nothing was broken: xinchuang-1: it serves" in run.said()
    assert not list(records.glob("*.json"))


def test_a_city_with_a_critical_alert_is_refused(lab: Lab, on: Execute, records: Path) -> None:
    """A rule that fires at once is put among Prometheus's own, and taken away again."""
    rule = "groups: [{name: drill-test, rules: [{alert: DrillTest, expr: vector(1), labels: {severity: critical}}]}]"
    place = "/etc/prometheus/rules/drill-test.yml"
    on("ops-1", "sh", "-c", f"cat >{place} && systemctl reload prometheus", input=rule)
    try:
        until(lab, "firing")
        refused = drill(
            lab, "run", DRILL, "--yes", "--healthy-within", "0", *TOLERATED, "--records", str(records)
        )
    finally:
        on("ops-1", "sh", "-c", f"rm {place} && systemctl reload prometheus")
        until(lab, "")
    assert refused.returncode == 1
    assert "the city is not healthy: DrillTest" in refused.stderr
    assert not records.exists() or not list(records.glob("*.json"))


def until(lab: Lab, state: str) -> None:
    """Wait until the rule of the test above is in a state, as Prometheus itself says."""

    def states() -> list[str]:
        answer = json.loads(read(lab, f"https://[{lab.record.hosts['ops-1'][1]}]:9090/api/v1/alerts"))
        alerts = answer["data"]["alerts"]
        return [alert["state"] for alert in alerts if alert["labels"]["alertname"] == "DrillTest"]

    deadline = time.monotonic() + 60
    while " ".join(states()) != state:
        assert time.monotonic() < deadline, f"the rule is not {state or 'gone'}"
        time.sleep(1)
