"""How do the backup jobs stand? The records of each job put together: age, last run, copies, proven restores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from checks.backup.figures import DURATION, LAG, SIZE
from checks.record import Record, Status
from exporters.readings import epoch_seconds

#: The checks of a job (checks/backup/); those of a repository are followed by a colon and its node.
AGE, LAST_RUN, COPY, REPOSITORY_CHECK, RESTORE_TEST, COVERED = (
    "backup",
    "backup-last-run",
    "backup-copy",
    "repository-check",
    "restore-test",
    "backup-policy",
)
#: How the checks of continuously kept databases begin (checks/backup_databases.py): those are no jobs.
DATABASE = "database-"
#: How a last run can have ended. A partial one is no success; unknown is what could not be asked.
RESULTS = ("success", "partial", "failure", "stuck", "never", "unknown")
_NEVER_RAN = frozenset({"never", "missing_state"})


class Finding(NamedTuple):
    """What one check of a job says: the moment it speaks of (0 for never, None for unknown), and how it is."""

    at: float | None
    record: Record

    @property
    def well(self) -> bool:
        """Whether the check passed."""
        return self.record.status is Status.PASS


class BackupJob(NamedTuple):
    """One policy on one node; findings by repository where a job has several. None for a missing record.

    `seconds` is what the last run took for its snapshot, `size` the bytes in the newest whole one, `lags` the seconds
    by which each repository is behind it.
    """

    policy: str
    node: str
    age: Finding | None
    last_run: Finding | None
    copies: dict[str, Finding]
    checks: dict[str, Finding]
    restores: dict[str, Finding]
    seconds: float | None
    size: float | None
    lags: dict[str, float]

    @property
    def result(self) -> str:
        """How the last run ended, one of :data:`RESULTS`."""
        if self.last_run is None or self.last_run.record.status is Status.ERROR:
            return "unknown"
        if self.last_run.well:
            return "success"
        reason = self.last_run.record.reason
        if reason in _NEVER_RAN:
            return "never"
        return reason if reason in RESULTS else "failure"

    @property
    def findings(self) -> list[Finding]:
        """Every finding of the job."""
        single = [finding for finding in (self.age, self.last_run) if finding]
        return [*single, *self.copies.values(), *self.checks.values(), *self.restores.values()]

    @property
    def restored_at(self) -> float | None:
        """When a sample was last restored with the right content, from whichever repository is the latest."""
        known = [finding.at for finding in self.restores.values() if finding.at is not None]
        return max(known, default=None)


def backup_jobs(records: Iterable[Record]) -> list[BackupJob]:
    """The jobs that records speak of, in the records' order."""
    by_subject: dict[str, dict[str, Finding]] = {}
    for record in records:
        if record.check != COVERED and not record.check.startswith(DATABASE):
            by_subject.setdefault(record.subject, {})[record.check] = _finding(record)
    jobs = []
    for subject, found in by_subject.items():
        policy, _, node = subject.partition("@")
        jobs.append(
            BackupJob(
                policy,
                node,
                found.get(AGE),
                found.get(LAST_RUN),
                _by_repository(found, COPY),
                _by_repository(found, REPOSITORY_CHECK),
                _by_repository(found, RESTORE_TEST),
                _figure(found.get(DURATION)),
                _figure(found.get(SIZE)),
                {
                    repository: lag
                    for repository, finding in _by_repository(found, LAG).items()
                    if (lag := _figure(finding)) is not None
                },
            )
        )
    return jobs


def _by_repository(found: dict[str, Finding], check: str) -> dict[str, Finding]:
    prefix = f"{check}:"
    return {name.removeprefix(prefix): one for name, one in found.items() if name.startswith(prefix)}


def _figure(finding: Finding | None) -> float | None:
    """The number that was measured; None where it was not."""
    number = finding.record.value if finding else None
    return float(number) if isinstance(number, (int, float)) else None


def _finding(record: Record) -> Finding:
    """The record with its moment: its value is an age in seconds, counted from its time."""
    if isinstance(record.value, (int, float)):
        return Finding(epoch_seconds(record.at) - record.value, record)
    # A check that could not be made knows nothing; one that failed without an age found nothing there.
    return Finding(None if record.status is Status.ERROR else 0.0, record)
