"""Metrics of the keeping of repositories, and that they are no findings of jobs."""

from __future__ import annotations

import subprocess

from checks.record import Status
from exporters.backups import backup_jobs
from exporters.collectors.repository import repository_metrics
from tests.exporters.exposition import exposed, record, samples

SUBJECT = "gov@cloud-1"
RECORDS = [
    record(SUBJECT, "repository-maintenance:backup-1", Status.FAIL, 200_000),
    record(SUBJECT, "repository-damage:backup-1", Status.FAIL, 2),
    record(SUBJECT, "repository-lock:backup-1", Status.PASS, 60),
    record(SUBJECT, "repository-foreign:backup-1", Status.FAIL, 3),
    record(SUBJECT, "repository-size:backup-1", Status.PASS, 123456),
    record(SUBJECT, "repository-read:backup-1", Status.FAIL, None),
    record(SUBJECT, "repository-clock:backup-1", Status.PASS, -0.3),
    record(SUBJECT, "restore-elsewhere:backup-1", Status.PASS, 600),
    record(SUBJECT, "restore-elsewhere:offsite-1", Status.FAIL, None),
    # held since today, no window yet: neither never nor now
    record(SUBJECT, "repository-maintenance:offsite-1", Status.PASS, None),
    record(SUBJECT, "repository-damage:offsite-1", Status.NOT_APPLICABLE, None),
    record(SUBJECT, "repository-read:offsite-1", Status.ERROR, None),
    # a check of the job, which begins alike
    record(SUBJECT, "repository-check:backup-1", Status.PASS, 5),
]


def test_each_figure_is_as_it_is_and_what_is_unknown_has_none() -> None:
    where = 'node="cloud-1",policy="gov",repository="backup-1"'
    lines = samples(repository_metrics(RECORDS))
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
    given = exposed(repository_metrics(RECORDS))
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=given,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_change_nothing_of_a_job() -> None:
    [job] = backup_jobs(RECORDS)
    assert [finding.record.check for finding in job.findings] == ["repository-check:backup-1"]
