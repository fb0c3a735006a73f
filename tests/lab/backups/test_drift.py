"""Drift: a change by hand is named by host, role and operation; the check itself changes nothing on any host."""

from __future__ import annotations

import json
import time
from typing import Any

from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from deploy.record import REMOTE
from tests.lab.conftest import ROOT, Execute, read

from .conftest import jizuo

INVENTORY = str(ROOT / "inventories/lab")
OPS, HAND = "ops-1", "client-2"
#: Where a running host writes by itself: logs, what is volatile, its databases and what its timers leave.
BY_ITSELF = (
    "/var/log",
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/lib",
    "/var/spool",
    "/var/cache",
    "/proc",
    "/sys",
    "/dev",
)


def drift(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = jizuo("drift", INVENTORY, *arguments, "--json", timeout=400)
    assert done.stdout, done.stderr
    assert "did not take the record" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def metrics(lab: Lab, name: str) -> dict[str, str]:
    said = read(lab, f"https://[{lab.record.hosts[OPS][1]}]:9910/metrics").decode()
    return dict(line.rsplit(" ", 1) for line in said.splitlines() if line.startswith(name))


def written_since(on: Execute, host: str, stamp: str) -> list[str]:
    """Files outside of where a running host writes by itself that are newer than a stamp."""
    apart = " -o ".join(f"-path {folder}" for folder in BY_ITSELF)
    command = f"find / \\( {apart} \\) -prune -o -newercm {stamp} -print"
    return on(host, "sh", "-c", command).stdout.split()


def test_a_change_by_hand_is_named_and_a_host_that_is_down_is_not_guessed(lab: Lab, on: Execute) -> None:
    secrets = sorted((lab.places.state / "secrets").iterdir())
    on(HAND, "sh", "-c", "echo 'net.ipv4.ip_forward = 1' >>/etc/sysctl.d/60-jizuo.conf; touch /run/stamp")
    by_hand = on(HAND, "cat", "/etc/sysctl.d/60-jizuo.conf").stdout
    labs.kill(lab, "client-1")
    try:
        code, record = drift()
    finally:
        labs.start(lab, "client-1")
    assert code == 1, "a host that was not read is a failure of the check"
    assert record["hosts"][HAND]["pending"]["base"] == ["base | kernel settings"]
    assert record["hosts"]["client-1"]["unread"].startswith("connect")
    assert record["hosts"]["client-1"]["pending"] == {}
    others = {name: host for name, host in record["hosts"].items() if name not in (HAND, "client-1")}
    assert [host for host in others.values() if host["unread"] or any(host["pending"].values())] == []
    # Nothing was changed: not the file, not anything else on the host, no secret was made.
    assert on(HAND, "cat", "/etc/sysctl.d/60-jizuo.conf").stdout == by_hand
    assert written_since(on, HAND, "/run/stamp") == []
    assert sorted((lab.places.state / "secrets").iterdir()) == secrets

    assert json.loads(on(OPS, "cat", f"{REMOTE}/drift.json").stdout) == record
    pending = metrics_when(lab, "jizuo_drift_host_read", '{subject="client-1"}', "0.0")
    assert pending[f'jizuo_drift_pending_operations{{role="base",subject="{HAND}"}}'] == "1.0"
    assert not any('subject="client-1"' in name and "pending" in name for name in pending)


def test_after_a_deploy_there_is_none(lab: Lab, on: Execute) -> None:
    assert jizuo("deploy", INVENTORY, "base", "--limit", HAND).returncode == 0
    code, record = drift()
    assert code == 0, record
    found = metrics_when(lab, "jizuo_drift_host_read", '{subject="client-1"}', "1.0")
    assert {value for name, value in found.items() if "pending" in name} == {"0.0"}


def metrics_when(lab: Lab, name: str, labels: str, value: str) -> dict[str, str]:
    """The metrics of drift once the exporter has read the record, which it looks for every second."""
    end = time.monotonic() + 30
    while True:
        found = metrics(lab, "jizuo_drift_")
        if found.get(name + labels) == value:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.5)
