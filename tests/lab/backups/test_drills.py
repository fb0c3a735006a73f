"""The seven live drills, each with a real fault: each is detected by an alert, met, put back, and left as a record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.lab import lab as labs

from .conftest import INVENTORY, TOLERATED, jizuo

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


@pytest.fixture(scope="module")
def records(lab: labs.Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of these drills' records."""
    return tmp_path_factory.mktemp("drills")


@pytest.mark.parametrize("name", DRILLS)
def test_a_drill_is_detected_met_and_put_back(records: Path, name: str) -> None:
    run = ("drill", "run", name, "--yes", "--json", "--records", str(records), "--healthy-within", "240")
    done = jizuo(*run, *TOLERATED)
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
    assert jizuo("drill", "verify-records", "--records", str(records)).returncode == 0
    text = held[2].read_text(encoding="utf-8")
    held[2].write_text(text.replace('"success": true', '"success": false', 1), encoding="utf-8")
    found = jizuo("drill", "verify-records", "--records", str(records))
    assert found.returncode == 2
    assert held[2].stem in found.stdout + found.stderr
    held[2].write_text(text, encoding="utf-8")


def test_afterwards_nothing_is_left_to_deploy(records: Path) -> None:
    done = jizuo("deploy", INVENTORY, "--dry")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_kit_alone_is_drilled_without_a_fault(lab: labs.Lab, tmp_path: Path) -> None:
    """Simulated: nothing is broken, the restore on a machine that knows nothing else is for real."""
    run = ("drill", "run", "recovery-kit", "--yes", "--json", "--records", str(tmp_path))
    done = jizuo(*run, "--healthy-within", "240", "--tolerate", "SystemBudgetBurnFast")
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(done.stdout)
    assert [stage["outcome"] for stage in record["stages"]] == ["done", "skipped", "skipped", *["done"] * 3]
    assert record["data_check"]["outcome"] == "done"
    assert record["measured"]["detected_seconds"] is None
    assert record["measured"]["rto_seconds"] <= record["measured"]["rto_objective_seconds"]
    evidence = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "AGE-SECRET-KEY" not in evidence
    assert not (lab.places.state / ".drill-kit").exists()
