"""The command `jizuo status`: one screen, from files and from a running exporter; what the exit codes say."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from checks.backup_databases import evaluate
from checks.drills.chain import write_record
from checks.drills.record import DrillRecord, Measured
from checks.record import Record, Status, timestamp, write_records
from checks.security.controls import load_controls
from exporters.drift import DriftRecord, HostDrift
from exporters.places import places
from exporters.status.overview import overview
from exporters.status.summary import summary_of
from exporters.status.terminal import lines
from inventories.load import load_city
from inventories.records import City
from jizuo import main
from tests.exporters.status_data import NOW, ROOT, job, probes, reading, snapshot

LAB = ROOT / "inventories" / "lab"


@pytest.fixture(scope="module")
def lab() -> City:
    return load_city(LAB)


def controls(state: str = "compliant") -> list[Record]:
    worst = Status.PASS if state == "compliant" else Status.FAIL
    return [
        Record(
            subject="cloud-1",
            check=control.id,
            family="none",
            status=worst,
            value=state,
            at=timestamp(NOW),
            evidence="",
        )
        for control in load_controls()
    ]


def databases(city: City, status: Status) -> list[Record]:
    records = evaluate(city, {}, NOW)
    return [
        msgspec.structs.replace(
            record, status=status, value=60.0, reason="" if status is Status.PASS else "stale"
        )
        for record in records
    ]


def put(folder: Path, city: City, drill: DrillRecord, **given: list[Record]) -> None:
    """A folder of records in which all is well, but for what is given."""
    well = {
        "availability": probes(city, set()),
        "backup": [*job("gov-service@cloud-1", 60), *databases(city, Status.PASS)],
        "security": controls(),
    }
    for name, records in (well | given).items():
        write_records(folder / "records" / f"{name}.json", records)
    write_record(folder / "drills", drill)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["status", *arguments])


def run(folder: Path, *options: str) -> Result:
    return invoke(str(LAB), "--records", str(folder / "records"), *options)


def fresh(drill: Callable[..., DrillRecord], **given: Any) -> DrillRecord:
    began = timestamp(NOW)
    return drill(started_at=began, ended_at=began, **given)


def test_all_well_is_0(lab: City, tmp_path: Path, drill: Callable[..., DrillRecord]) -> None:
    put(tmp_path, lab, fresh(drill))
    done = run(tmp_path)
    assert done.exit_code == 0, done.output
    assert "+ 宜春市 well" in done.output
    assert "all that are probed answer" in done.output
    assert "1/1 jobs within RPO, 1/1 restores proven" in done.output


def test_findings_are_2_and_named(lab: City, tmp_path: Path, drill: Callable[..., DrillRecord]) -> None:
    dead = {
        (node, "ipv6")
        for node in ("yuanzhou", "cihua", "cihua-juwei", "yufang", "client-1", "client-2", "agent-1")
    }
    dead.add(("collab-office", "ipv4"))
    put(
        tmp_path,
        lab,
        fresh(
            drill,
            measured=Measured(
                rto_seconds=901, rto_objective_seconds=900, rpo_seconds=0, rpo_objective_seconds=1
            ),
        ),
        availability=probes(lab, dead),
        backup=[*job("gov-service@cloud-1", 9000, failed=("backup",)), *databases(lab, Status.FAIL)],
        security=controls("noncompliant"),
    )
    done = run(tmp_path)
    assert done.exit_code == 2
    for said in (
        "X 宜春市 FAULT",
        "X 袁州区",
        "IPv4       一网协同办公系统",
        "0/1 jobs within RPO",
        "gov-service@cloud-1",
        "X databases",
        "controls not or partly met",
        "restore-system-offsite",
    ):
        assert said in done.output, said
    document = json.loads(run(tmp_path, "--json").output)
    assert document["state"] == "critical"
    assert document["systems_down"][0]["families"] == ["ipv4"]
    assert document["backups"]["behind"] == ["gov-service@cloud-1"]
    assert document["databases"]["not_well"]
    assert document["drills"]["not_well"] == ["restore-system-offsite"]
    county = next(one for one in document["counties"] if one["division"] == "360902")
    assert (county["ipv6"]["well"], county["ipv4"]["well"]) == (0, county["ipv4"]["total"])


def test_drift_is_a_finding_once_it_was_checked(
    lab: City, tmp_path: Path, drill: Callable[..., DrillRecord]
) -> None:
    put(tmp_path, lab, fresh(drill))
    hosts = {"cloud-1": {"pending": {"base": ["base | logs"]}}, "core-a": {"pending": {"base": []}}}
    record = tmp_path / "deploy" / "drift.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"at": timestamp(NOW), "seconds": 1, "hosts": hosts}))
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "! drift      1/2 hosts as the inventory says" in done.output
    assert "cloud-1" in done.output
    hosts = {"cloud-1": {"unread": "connect"}, "core-a": {"pending": {"base": []}}}
    record.write_text(json.dumps({"at": timestamp(NOW), "seconds": 1, "hosts": hosts}))
    done = run(tmp_path)
    assert "? drift      1/2 hosts as the inventory says" in done.output
    assert "1 not read" in done.output
    document = json.loads(run(tmp_path, "--json").output)
    assert document["drift"]["unread"] == ["cloud-1"]
    record.unlink()
    assert run(tmp_path).exit_code == 0


def test_an_overdue_drill_is_a_finding(lab: City, tmp_path: Path, drill: Callable[..., DrillRecord]) -> None:
    put(tmp_path, lab, drill(started_at="2024-01-01T09:00:00.000+08:00"))
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "1 overdue" in done.output
    assert "restore-system-offsite (overdue)" in done.output


@pytest.mark.parametrize("spoil", ["missing", "broken"])
def test_what_cannot_be_read_is_1(
    lab: City, tmp_path: Path, drill: Callable[..., DrillRecord], spoil: str
) -> None:
    put(tmp_path, lab, fresh(drill))
    file = tmp_path / "records" / "security.json"
    if spoil == "missing":
        file.unlink()
    else:
        file.write_text('[{"subject": 1}]')
    done = run(tmp_path)
    assert done.exit_code == 1
    assert "? security" in done.output
    assert "security.json" in done.output  # which file, on standard error


def test_old_records_are_a_finding(lab: City, tmp_path: Path, drill: Callable[..., DrillRecord]) -> None:
    old = [
        msgspec.structs.replace(record, at="2024-01-01T00:00:00.000+08:00") for record in probes(lab, set())
    ]
    put(tmp_path, lab, fresh(drill), availability=old)
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "availability: stale" in done.output


def test_a_city_is_named_or_asked() -> None:
    done = invoke()
    assert done.exit_code == 1
    assert "--url" in done.output
    wrong = invoke("--url", "ftp://x")
    assert (wrong.exit_code, "write http://" in wrong.output) == (1, True)
    nobody = invoke("--url", "http://127.0.0.1:9")
    assert (nobody.exit_code, "does `jizuo exporter all` run there?" in nobody.output) == (1, True)


@pytest.mark.parametrize("share", [1, 2, 50])
def test_a_whole_city_is_one_screen(share: int) -> None:
    """However much fails: 80 columns, 40 lines."""
    city = load_city(ROOT / "inventories" / "yichun")
    dead = {(key, family) for key in list(places(city))[::share] for family in ("ipv4", "ipv6")}
    jobs = [one for policy in city.backups for one in job(f"{policy}@cloud-1", 1e6, failed=("backup",))]
    state = snapshot(
        city,
        probes(city, dead),
        backup=reading([*jobs, *databases(city, Status.FAIL)]),
        security=reading(controls("noncompliant")),
        drill=reading([]),
        drift=reading(DriftRecord(timestamp(NOW), 1.0, {"cloud-1": HostDrift(unread="connect")})),
    )
    inventory = state.inventory.value
    assert inventory is not None
    now = NOW.timestamp()
    screen = [line.plain for line in lines(summary_of(overview(state, inventory, now), now))]
    assert 15 <= len(screen) <= 40
    assert max(map(cell_len, screen)) <= 80


def test_a_running_exporter_says_the_same(
    namespace: Any,
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    drill: Callable[..., DrillRecord],
) -> None:
    write_records(tmp_path / "records" / "backup.json", job("gov-service@cloud-1", 600))
    held = write_record(tmp_path / "drills", drill())
    start("all", "--interval", "5s", "--timeout", "1s", "--prometheus", "http://[::1]:9")
    command = [sys.executable, str(ROOT / "jizuo.py"), "status", "--url", "http://[::1]:9910"]
    deadline = time.monotonic() + 180
    while True:
        done = subprocess.run(
            [*namespace.enter, *command, "--json"], capture_output=True, text=True, timeout=300, check=False
        )
        document = json.loads(done.stdout)
        if document["ipv4"] or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert done.returncode == 1  # the audit's records are missing
    assert document["ipv4"]["well"] < document["ipv4"]["total"]
    assert document["backups"]["total"] == 1
    sources = {one["name"]: one["trouble"] for one in document["sources"]}
    assert sources["security"] == "missing"
    for path, code in (
        ("county/360902", "200"),
        ("units", "200"),
        ("drills", "200"),
        (f"drill/{held.stem}", "200"),
        ("county/1", "404"),
        ("drill/nothing", "404"),
        ("units/x", "404"),
    ):
        got = namespace.get(
            f"http://[::1]:9910/{path}", "--output", "/dev/null", "--write-out", "%{http_code}"
        )
        assert got == code, path
    county = namespace.get("http://[::1]:9910/county/360902?refresh=off")
    assert "历史不可用：无法查询Prometheus" in county  # and everything else is there
    assert "http-equiv" not in county
    assert 'content="30"' in namespace.get("http://[::1]:9910/county/360902")
    assert "政务系统异地副本恢复演练" in namespace.get(f"http://[::1]:9910/drill/{held.stem}")
