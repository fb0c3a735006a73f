"""Metrics of continuously kept databases, and that they are no backup jobs to what reads those."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from checks.record import Record, Status
from exporters.backups import backup_jobs
from exporters.collectors.database import database_metrics

AT = "2026-11-25T12:00:00+00:00"


def record(check: str, status: Status, value: float | None) -> Record:
    return Record(
        subject="cloud-1-main",
        check=check,
        family="none",
        status=status,
        value=value,
        at=AT,
        evidence="",
        reason="",
    )


RECORDS = [
    record("database-log", Status.PASS, 10),
    record("database-restorable:backup-1", Status.FAIL, 7200),
    record("database-restorable:offsite-1", Status.PASS, 60),
    record("database-base-backup:backup-1", Status.FAIL, None),
    record("database-restore-test:offsite-1", Status.ERROR, None),
]


class _Collected:
    def collect(self) -> list[object]:
        return list(database_metrics(RECORDS))


def test_each_repository_has_its_own_moment_and_what_is_unknown_has_none() -> None:
    registry = CollectorRegistry()
    registry.register(_Collected())  # type: ignore[arg-type]
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert lines == [
        'jizuo_database_log_sending{cluster="cloud-1-main"} 1.0',
        'jizuo_database_restorable_timestamp_seconds{cluster="cloud-1-main",repository="backup-1"} 1.7956008e+09',
        'jizuo_database_restorable_timestamp_seconds{cluster="cloud-1-main",repository="offsite-1"} 1.79560794e+09',
        'jizuo_database_base_backup_timestamp_seconds{cluster="cloud-1-main",repository="backup-1"} 0.0',
        'jizuo_database_repository_ok{check="database-restorable",cluster="cloud-1-main",repository="backup-1"} 0.0',
        'jizuo_database_repository_ok{check="database-restorable",cluster="cloud-1-main",repository="offsite-1"} 1.0',
        'jizuo_database_repository_ok{check="database-base-backup",cluster="cloud-1-main",repository="backup-1"} 0.0',
    ]


def test_databases_are_no_jobs() -> None:
    assert backup_jobs(RECORDS) == []
