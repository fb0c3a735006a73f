"""Metrics of the keeping of repositories, and that they are no findings of jobs."""

from __future__ import annotations

import subprocess

from prometheus_client import CollectorRegistry, generate_latest

from checks.record import Record, Status
from exporters.backups import backup_jobs
from exporters.collectors.repository import repository_metrics

AT = "2026-11-25T12:00:00+00:00"


def record(check: str, status: Status, value: float | None) -> Record:
    return Record(
        subject="gov@cloud-1",
        check=check,
        family="none",
        status=status,
        value=value,
        at=AT,
        evidence="",
        reason="",
    )


RECORDS = [
    record("repository-maintenance:backup-1", Status.FAIL, 200_000),
    record("repository-damage:backup-1", Status.FAIL, 2),
    record("repository-lock:backup-1", Status.PASS, 60),
    record("repository-foreign:backup-1", Status.FAIL, 3),
    record("repository-size:backup-1", Status.PASS, 123456),
    record("repository-read:backup-1", Status.FAIL, None),
    record("repository-clock:backup-1", Status.PASS, -0.3),
    record("restore-elsewhere:backup-1", Status.PASS, 600),
    record("restore-elsewhere:offsite-1", Status.FAIL, None),
    # held since today, no window yet: neither never nor now
    record("repository-maintenance:offsite-1", Status.PASS, None),
    record("repository-damage:offsite-1", Status.NOT_APPLICABLE, None),
    record("repository-read:offsite-1", Status.ERROR, None),
    # a check of the job, which begins alike
    record("repository-check:backup-1", Status.PASS, 5),
]


class _Collected:
    def collect(self) -> list[object]:
        return list(repository_metrics(RECORDS))


def exposed() -> bytes:
    registry = CollectorRegistry()
    registry.register(_Collected())  # type: ignore[arg-type]
    return generate_latest(registry)


def test_each_figure_is_as_it_is_and_what_is_unknown_has_none() -> None:
    where = 'node="cloud-1",policy="gov",repository="backup-1"'
    lines = [line for line in exposed().decode().splitlines() if not line.startswith("#")]
    assert lines == [
        f"jizuo_repository_maintenance_timestamp_seconds{{{where}}} 1.795408e+09",
        f"jizuo_repository_data_read_timestamp_seconds{{{where}}} 0.0",
        f"jizuo_restore_elsewhere_timestamp_seconds{{{where}}} 1.7956074e+09",
        'jizuo_restore_elsewhere_timestamp_seconds{node="cloud-1",policy="gov",repository="offsite-1"} 0.0',
        f"jizuo_repository_damaged_files{{{where}}} 2.0",
        f"jizuo_repository_oldest_lock_seconds{{{where}}} 60.0",
        f"jizuo_repository_foreign_snapshots{{{where}}} 3.0",
        f"jizuo_repository_size_bytes{{{where}}} 123456.0",
        f"jizuo_repository_clock_offset_seconds{{{where}}} -0.3",
        f'jizuo_repository_ok{{check="repository-maintenance",{where}}} 0.0',
        f'jizuo_repository_ok{{check="repository-damage",{where}}} 0.0',
        f'jizuo_repository_ok{{check="repository-lock",{where}}} 1.0',
        f'jizuo_repository_ok{{check="repository-foreign",{where}}} 0.0',
        f'jizuo_repository_ok{{check="repository-size",{where}}} 1.0',
        f'jizuo_repository_ok{{check="repository-read",{where}}} 0.0',
        f'jizuo_repository_ok{{check="repository-clock",{where}}} 1.0',
        f'jizuo_repository_ok{{check="restore-elsewhere",{where}}} 1.0',
        'jizuo_repository_ok{check="restore-elsewhere",node="cloud-1",policy="gov",repository="offsite-1"} 0.0',
        'jizuo_repository_ok{check="repository-maintenance",node="cloud-1",policy="gov",repository="offsite-1"} 1.0',
    ]


def test_promtool_has_nothing_to_remark() -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=exposed(), capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_change_nothing_of_a_job() -> None:
    [job] = backup_jobs(RECORDS)
    assert [finding.record.check for finding in job.findings] == ["repository-check:backup-1"]
