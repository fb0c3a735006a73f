"""Backup records as metrics: timestamps rather than ages, so that they are right at every moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from checks.backup.figures import COPY_DURATION, DURATION, FILES, LAG, SIZE
from checks.record import Record, Status
from exporters.backups import COVERED, RESULTS, BackupJob, Finding, backup_jobs
from inventories.records import City

_JOB = ["policy", "node"]
_REPOSITORY = [*_JOB, "repository"]
#: What was measured, each with what its metric is called and says.
_JOB_FIGURES = {
    DURATION: (
        "jizuo_backup_duration_seconds",
        "How long a job's last run took for its snapshot, whatever came of it; none while it is under way.",
    ),
    SIZE: ("jizuo_backup_snapshot_size_bytes", "The size of the files in a job's newest whole snapshot."),
    FILES: ("jizuo_backup_snapshot_files", "Files in a job's newest whole snapshot."),
}
_REPOSITORY_FIGURES = {
    LAG: (
        "jizuo_backup_copy_lag_seconds",
        "By how much the newest whole snapshot in a repository is behind the newest in any of the job's.",
    ),
    COPY_DURATION: (
        "jizuo_backup_copy_duration_seconds",
        "How long the last copy into a repository took, whatever came of it; none while it is under way.",
    ),
}


def backup_metrics(city: City, records: Sequence[Record]) -> list[Metric]:
    """The families of all jobs. 0 stands for never; what could not be read has no series but `unknown`."""
    jobs = backup_jobs(records)
    covered = GaugeMetricFamily(
        "jizuo_backup_covered",
        "Whether a policy keeps what a system's RPO promises; none for a system with a reason for no backup.",
        labels=["subject"],
    )
    for record in records:
        if record.check == COVERED and record.status not in (Status.ERROR, Status.NOT_APPLICABLE):
            covered.add_metric([record.subject], 1 if record.status is Status.PASS else 0)
    return [
        *_promises(city),
        *_job_metrics(jobs),
        *_repository_metrics(jobs),
        *_figures(records),
        covered,
    ]


def _promises(city: City) -> list[Metric]:
    rpo = GaugeMetricFamily(
        "jizuo_backup_rpo_seconds", "How much time's data a policy may lose.", labels=["policy"]
    )
    rto = GaugeMetricFamily(
        "jizuo_backup_rto_seconds", "How long a policy's restore may take.", labels=["policy"]
    )
    for policy in city.backups.values():
        rpo.add_metric([policy.id], policy.rpo)
        rto.add_metric([policy.id], policy.rto)
    return [rpo, rto]


def _job_metrics(jobs: Iterable[BackupJob]) -> list[Metric]:
    success = GaugeMetricFamily(
        "jizuo_backup_last_success_timestamp_seconds",
        "Of what moment a job's newest whole snapshot is; 0 for none.",
        labels=_JOB,
    )
    run = GaugeMetricFamily(
        "jizuo_backup_last_run_timestamp_seconds", "When a job last began; 0 for never.", labels=_JOB
    )
    result = GaugeMetricFamily(
        "jizuo_backup_result",
        "1 for how a job's last run ended; a partial run is no success.",
        labels=[*_JOB, "result"],
    )
    for job in jobs:
        labels = [job.policy, job.node]
        for family, finding in ((success, job.age), (run, job.last_run)):
            if finding and finding.at is not None:
                family.add_metric(labels, finding.at)
        for name in RESULTS:
            result.add_metric([*labels, name], 1 if name == job.result else 0)
    return [success, run, result]


def _repository_metrics(jobs: Sequence[BackupJob]) -> list[Metric]:
    copied = GaugeMetricFamily(
        "jizuo_backup_copy_timestamp_seconds",
        "Of what moment the newest snapshot in a copy is; 0 for none.",
        labels=_REPOSITORY,
    )
    checked = GaugeMetricFamily(
        "jizuo_backup_repository_check_timestamp_seconds",
        "When a repository was last found whole; 0 for never.",
        labels=_REPOSITORY,
    )
    sound = GaugeMetricFamily(
        "jizuo_backup_repository_check_success",
        "Whether a repository's last check was well and is not overdue.",
        labels=_REPOSITORY,
    )
    verified = GaugeMetricFamily(
        "jizuo_restore_verified_timestamp_seconds",
        "When a sample was last restored and compared well by content hash; 0 for never.",
        labels=_REPOSITORY,
    )
    restored = GaugeMetricFamily(
        "jizuo_restore_test_success",
        "Whether the last restore test was well and is not overdue.",
        labels=_REPOSITORY,
    )
    for job in jobs:
        _add_moments(copied, job, job.copies)
        _add_moments(checked, job, job.checks)
        _add_verdicts(sound, job, job.checks)
        _add_moments(verified, job, job.restores)
        _add_verdicts(restored, job, job.restores)
    return [copied, checked, sound, verified, restored]


def _figures(records: Iterable[Record]) -> list[Metric]:
    """What jobs measured; each is a record of its own, so that what is not known has no series."""
    families = {
        check: GaugeMetricFamily(name, text, labels=labels)
        for labels, figures in ((_JOB, _JOB_FIGURES), (_REPOSITORY, _REPOSITORY_FIGURES))
        for check, (name, text) in figures.items()
    }
    for record in records:
        check, _, repository = record.check.partition(":")
        if check in families and isinstance(record.value, (int, float)):
            policy, _, node = record.subject.partition("@")
            labels = [policy, node, repository] if check in _REPOSITORY_FIGURES else [policy, node]
            families[check].add_metric(labels, record.value)
    return [*families.values()]


def _add_moments(family: GaugeMetricFamily, job: BackupJob, findings: dict[str, Finding]) -> None:
    for repository, finding in findings.items():
        if finding.at is not None:
            family.add_metric([job.policy, job.node, repository], finding.at)


def _add_verdicts(family: GaugeMetricFamily, job: BackupJob, findings: dict[str, Finding]) -> None:
    for repository, finding in findings.items():
        if finding.record.status is not Status.ERROR:
            family.add_metric([job.policy, job.node, repository], 1 if finding.well else 0)
