"""Are the city's data backed up: lately, completely, elsewhere too, and so that they come back? Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from checks.backup.coverage import coverage
from checks.backup.finding import Finding, record_of, spell
from checks.backup.limits import Limits, load_limits
from checks.backup.places import job_nodes, repositories_of
from checks.backup_state import (
    HostStates,
    JobState,
    MaybeMoment,
    RepositoryState,
    States,
    Step,
    Unknown,
    Unreadable,
)
from checks.record import Record, Status, timestamp
from inventories.backups.records import BackupPolicy
from inventories.records import City

#: The checks of a job; those of a repository are followed by a colon and its node.
BACKUP, LAST_RUN, COPY, REPOSITORY_CHECK, RESTORE_TEST = (
    "backup",
    "backup-last-run",
    "backup-copy",
    "repository-check",
    "restore-test",
)


def evaluate(city: City, states: States, now: datetime, limits: Limits | None = None) -> list[Record]:
    """Hold every job's state against its policy.

    Args:
        city: The city.
        states: What each host's jobs say, from `backup_state.states_of`.
        now: The auditor's time, with offset.
        limits: The kit's own unless given.

    Returns:
        For each job, whose subject is `POLICY@NODE`: `backup` (the age of the newest whole snapshot against
        the RPO), `backup-last-run`, and for each repository `repository-check:NODE`, `restore-test:NODE` and,
        for copies, `backup-copy:NODE`. For each system that the city hosts: `backup-policy`.
    """
    limits = limits or load_limits()
    records = []
    for policy in city.backups.values():
        nodes = job_nodes(city, policy)
        for node in nodes:
            job = _Job(policy, node, now, limits)
            records.extend(job.records(states.get(node, {})))
        if not nodes:
            text = f"none of {', '.join(policy.systems)} stands on a node: nothing is backed up"
            records.append(record_of(policy.id, BACKUP, now, Finding(Status.FAIL, None, text, "no_node")))
    return [*records, *coverage(city, limits, now)]


class _Job:
    """One policy on one node."""

    def __init__(self, policy: BackupPolicy, node: str, now: datetime, limits: Limits) -> None:
        self._policy = policy
        self._now = now
        self._limits = limits
        self._node = node
        self._subject = f"{policy.id}@{node}"

    def records(self, host: HostStates) -> list[Record]:
        """The records of the job, from what its host says."""
        if isinstance(host, Unknown):
            unknown = Finding(Status.ERROR, None, host.why, host.reason)
            return [record_of(self._subject, check, self._now, unknown) for check in self._checks()]
        state = host.get(self._policy.id)
        if state is None:
            missing = f"{self._node} has no state of this job: it never ran there"
            return self._all_failed(missing, "missing_state")
        if isinstance(state, Unreadable):
            return self._all_failed(f"the state cannot be read: {state.why}", "unreadable_state")
        if (state.policy, state.host) != (self._policy.id, self._node):
            other = f"the state is of policy {state.policy} on {state.host}"
            return self._all_failed(other, "foreign_state")
        return [record_of(self._subject, check, self._now, found) for check, found in self._findings(state)]

    def _checks(self) -> list[str]:
        """Every check of the job, whatever its state says, so that none goes missing."""
        checks = [BACKUP, LAST_RUN]
        for node in repositories_of(self._policy):
            if node != self._policy.repository:
                checks.append(f"{COPY}:{node}")
            checks += [f"{REPOSITORY_CHECK}:{node}", f"{RESTORE_TEST}:{node}"]
        return checks

    def _all_failed(self, evidence: str, reason: str) -> list[Record]:
        failed = Finding(Status.FAIL, None, evidence, reason)
        return [record_of(self._subject, check, self._now, failed) for check in self._checks()]

    def _findings(self, state: JobState) -> Iterator[tuple[str, Finding]]:
        due = self._policy.verify
        yield BACKUP, self._age(state.last_success_at, self._policy.rpo, "the newest whole snapshot", "RPO")
        primary = state.repositories.get(self._policy.repository, RepositoryState(role="primary"))
        yield LAST_RUN, self._last_run(state.backup, primary)
        for node in repositories_of(self._policy):
            known = state.repositories.get(node, RepositoryState(role="copy"))
            if node != self._policy.repository:
                copied = self._age(known.snapshot_at, self._policy.rpo, f"the copy on {node}", "RPO")
                yield f"{COPY}:{node}", _unless_failed(known.copy, copied)
            checked = self._age(known.check_success_at, due.check, "the last check", "due after")
            yield f"{REPOSITORY_CHECK}:{node}", _unless_failed(known.check, checked)
            yield f"{RESTORE_TEST}:{node}", self._restore_test(known)

    def _age(self, moment: MaybeMoment, limit: int, what: str, name: str) -> Finding:
        """Hold the age of something against a limit, seconds."""
        if moment is None:
            return Finding(Status.FAIL, None, f"{what}: there is none", "never")
        age = (self._now - moment).total_seconds()
        said = f"{what} is of {timestamp(moment)}"
        if age < -self._limits.clock_tolerance_seconds:
            ahead = f"{said}, {spell(-age)} ahead of the auditor's clock: one of the two is wrong"
            return Finding(Status.FAIL, age, ahead, "future")
        if age > limit:
            return Finding(Status.FAIL, age, f"{said}, {spell(age)} old, {name} {spell(limit)}", "stale")
        return Finding(Status.PASS, max(age, 0), f"{said}, {spell(age)} old, {name} {spell(limit)}")

    def _last_run(self, step: Step | None, primary: RepositoryState) -> Finding:
        if step is None:
            return Finding(Status.FAIL, None, "the job never ran", "never")
        age = (self._now - step.started_at).total_seconds()
        began = f"the run of {timestamp(step.started_at)}"
        if age < -self._limits.clock_tolerance_seconds:
            return Finding(Status.FAIL, age, f"{began} is ahead of the auditor's clock", "future")
        if step.result == "running":
            if age > self._policy.rpo:
                return Finding(Status.FAIL, age, f"{began} has not ended after {spell(age)}", "stuck")
            return Finding(Status.PASS, age, f"{began} is under way for {spell(age)}")
        if step.result != "success":
            why = step.error or step.reason or "no reason given"
            return Finding(Status.FAIL, age, f"{began}: {step.result}: {why}", step.result)
        made = f"{began} made snapshot {step.snapshot[:8]} of {step.files} files"
        if step.repository not in ("", self._policy.repository):
            # The RPO is kept, by a copy; that the primary repository failed is seen all the same.
            why = primary.backup.error if primary.backup else "no reason given"
            text = f"{made} on {step.repository}, because {self._policy.repository} failed: {why}"
            return Finding(Status.FAIL, age, text, "primary_failed")
        return Finding(Status.PASS, age, made)

    def _restore_test(self, known: RepositoryState) -> Finding:
        """A restore counts when files came back and every one had the content that was backed up."""
        step = known.restore_test
        fresh = self._age(
            known.restore_success_at, self._policy.verify.restore, "the last restore", "due after"
        )
        if step is None or step.result == "running":
            return fresh
        if step.mismatched or step.missing:
            bad = ", ".join((*step.mismatched, *step.missing)[:3])
            text = (
                f"{len(step.mismatched)} files came back with other content, {len(step.missing)} not: {bad}"
            )
            return msgspec.structs.replace(fresh, status=Status.FAIL, evidence=text, reason="content_differs")
        if step.result == "success" and not step.files:
            return msgspec.structs.replace(
                fresh, status=Status.FAIL, evidence="the restore compared no file", reason="nothing_compared"
            )
        found = _unless_failed(step, fresh)
        if found.status is Status.PASS:
            text = f"{step.files} files came back with the right content hash; {found.evidence}"
            if known.restored_snapshot_at:
                text += f"; data up to {timestamp(known.restored_snapshot_at)} are proven to come back"
            return msgspec.structs.replace(found, evidence=text)
        return found


def _unless_failed(step: Step | None, finding: Finding) -> Finding:
    """The finding on an age, unless the step's last run failed: then that, however young the last success."""
    if step is None or step.result in ("running", "success"):
        return finding
    text = f"{step.error or step.reason or step.result}; {finding.evidence}"
    return msgspec.structs.replace(
        finding, status=Status.FAIL, evidence=text, reason=step.reason or "failure"
    )
