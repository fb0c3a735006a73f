"""The seven live drills, in a lab of their own: each is detected by an alert, met, put back, and left as a record."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import lab as labs
from inventories.records import Management

from .conftest import LENT, ROOT, jizuo

pytestmark = pytest.mark.drill

NAME = LENT or "test-drills"
MANAGEMENT = Management(ipv4="198.19.252.0/24", ipv6="2001:db8:ff00:c::/64")
INVENTORY = str(ROOT / "inventories/lab")
#: In this order: what ends hosts comes last.
DRILLS = (
    "plane-lost",
    "table-dropped",
    "ransomware",
    "restore-system-offsite",
    "data-centre-lost",
    "backup-node-lost",
    "operations-node-lost",
)
#: What a drill must bring back of all that a writer was told is kept, at least; the others have no writer.
WITH_RECORDS = (
    "table-dropped",
    "ransomware",
    "restore-system-offsite",
    "data-centre-lost",
    "backup-node-lost",
)


def command(*arguments: str, timeout: float = 600) -> Any:
    return jizuo(*arguments, timeout=timeout, lab=NAME)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lab that is deployed and backed up; the folder of its drills' records."""
    if os.geteuid() != 0:
        pytest.fail("the lab's tests boot hosts: run them as root, or leave them out with --fast")
    folder = tmp_path_factory.mktemp("drills")
    if LENT:
        yield folder
        return
    labs.down(NAME)
    try:
        up = command("lab", "up", "--name", NAME, "--management", f"{MANAGEMENT.ipv4},{MANAGEMENT.ipv6}")
        assert up.returncode == 0, up.stderr
        deployed = command("deploy", INVENTORY, timeout=900)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        backed_up = command("backup", "run", INVENTORY, "--all")
        assert backed_up.returncode == 0, backed_up.stdout + backed_up.stderr
        wait_for_base_backups()
        yield folder
    finally:
        labs.down(NAME)


def wait_for_base_backups(seconds: float = 300) -> None:
    """The keepers of a new city take the first base backup of a database within minutes."""
    lab, deadline = labs.open_lab(NAME), time.monotonic() + seconds
    file = lab.places.host("cloud-1") / "upper/var/lib/jizuo/database/cloud-1-main.json"
    while True:
        known = json.loads(file.read_bytes())["repositories"] if file.exists() else {}
        if known and all(one.get("full_at") for one in known.values()):
            return
        assert time.monotonic() < deadline, known
        time.sleep(2)


@pytest.mark.parametrize("name", DRILLS)
def test_a_drill_is_detected_met_and_put_back(records: Path, name: str) -> None:
    done = command(
        "drill", "run", name, "--yes", "--json", "--records", str(records), "--healthy-within", "240"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(done.stdout)
    measured = record["measured"]
    assert not record["aborted"]
    assert record["fallback"]["outcome"] == "done"
    # Prometheus fired, after the fault, and before anybody decided.
    timeline = record["timeline"]
    assert measured["detected_seconds"] is not None
    assert timeline["fault"] < timeline["detected"] <= timeline["decided"], timeline
    assert measured["rto_seconds"] <= measured["rto_objective_seconds"]
    if name in WITH_RECORDS:
        assert measured["rpo_seconds"] <= measured["rpo_objective_seconds"]
    print(name, {figure: measured[figure] for figure in ("detected_seconds", "rto_seconds", "rpo_seconds")})


def test_afterwards_the_chain_of_records_holds_until_one_is_changed(records: Path) -> None:
    held = sorted(records.glob("*.json"))
    assert len(held) == len(DRILLS)
    assert command("drill", "verify-records", "--records", str(records)).returncode == 0
    text = held[2].read_text(encoding="utf-8")
    held[2].write_text(text.replace('"success": true', '"success": false', 1), encoding="utf-8")
    found = command("drill", "verify-records", "--records", str(records))
    assert found.returncode == 2
    assert held[2].stem in found.stdout + found.stderr
    held[2].write_text(text, encoding="utf-8")


def test_afterwards_nothing_is_left_to_deploy(records: Path) -> None:
    done = command("deploy", INVENTORY, "--dry")
    assert done.returncode == 0, done.stdout + done.stderr
