"""Metrics of continuously kept databases, and that they are no backup jobs to what reads those."""

from __future__ import annotations

from checks.record import Status
from exporters.backups import backup_jobs
from exporters.collectors.database import database_metrics
from tests.exporters.exposition import record, samples

SUBJECT = "cloud-1-main"
RECORDS = [
    record(SUBJECT, "database-log", Status.PASS, 10),
    record(SUBJECT, "database-restorable:backup-1", Status.FAIL, 7200),
    record(SUBJECT, "database-restorable:offsite-1", Status.PASS, 60),
    record(SUBJECT, "database-base-backup:backup-1", Status.FAIL, None),
    record(SUBJECT, "database-restore-test:offsite-1", Status.ERROR, None),
    record(SUBJECT, "database-retention:backup-1", Status.FAIL, 15),
]


def test_each_repository_has_its_own_moment_and_what_is_unknown_has_none() -> None:
    lines = samples(database_metrics(RECORDS))
    assert lines == [
        'jizuo_database_log_sending{cluster="cloud-1-main"} 1.0',
        'jizuo_database_restorable_timestamp_seconds{cluster="cloud-1-main",repository="backup-1"} 1.7956008e+09',
        'jizuo_database_restorable_timestamp_seconds{cluster="cloud-1-main",repository="offsite-1"} 1.79560794e+09',
        'jizuo_database_base_backup_timestamp_seconds{cluster="cloud-1-main",repository="backup-1"} 0.0',
        'jizuo_database_base_backups{cluster="cloud-1-main",repository="backup-1"} 15.0',
        'jizuo_database_repository_ok{check="database-restorable",cluster="cloud-1-main",repository="backup-1"} 0.0',
        'jizuo_database_repository_ok{check="database-restorable",cluster="cloud-1-main",repository="offsite-1"} 1.0',
        'jizuo_database_repository_ok{check="database-base-backup",cluster="cloud-1-main",repository="backup-1"} 0.0',
        'jizuo_database_repository_ok{check="database-retention",cluster="cloud-1-main",repository="backup-1"} 0.0',
    ]


def test_databases_are_no_jobs() -> None:
    assert backup_jobs(RECORDS) == []
