"""Are the city's data backed up: lately, completely, elsewhere too, and so that they come back? Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from importlib import resources

import msgspec

from checks.record import Record, Status, timestamp
from inventories.backups.records import BackupPolicy
from inventories.records import City, HostedBy, Node, System

from .backup_state import (
    HostStates,
    JobState,
    MaybeMoment,
    RepositoryState,
    States,
    Step,
    Unknown,
    Unreadable,
)

#: The checks of a job; those of a repository are followed by a colon and its node.
BACKUP, LAST_RUN, COPY, REPOSITORY_CHECK, RESTORE_TEST, POLICY = (
    "backup",
    "backup-last-run",
    "backup-copy",
    "repository-check",
    "restore-test",
    "backup-policy",
)


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `backup.toml` says, seconds."""

    check_age_seconds: int
    restore_test_age_seconds: int
    clock_tolerance_seconds: int
    offsite_from_mlps: int


class _Finding(msgspec.Struct, frozen=True):
    """What a check came to; the value is an age in seconds."""

    status: Status
    value: float | None
    evidence: str
    reason: str = ""


@cache
def load_limits() -> Limits:
    """The kit's limits."""
    text = (resources.files("checks") / "backup.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Limits)


def job_nodes(city: City, policy: BackupPolicy) -> list[str]:
    """The nodes on which a policy's job runs: those of its systems."""
    nodes = (node for system in policy.systems for node in city.systems[system].nodes)
    return list(dict.fromkeys(nodes))


def nodes_to_ask(city: City) -> list[str]:
    """Every node on which a backup job runs."""
    return list(dict.fromkeys(node for policy in city.backups.values() for node in job_nodes(city, policy)))


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
        for copies, `backup-copy:NODE`. For each system of the city that has an RPO: `backup-policy`.
    """
    records = []
    for policy in city.backups.values():
        nodes = job_nodes(city, policy)
        for node in nodes:
            job = _Job(policy, node, now, limits or load_limits())
            records.extend(job.records(states.get(node, {})))
        if not nodes:
            text = f"none of {', '.join(policy.systems)} stands on a node: nothing is backed up"
            records.append(_record(policy.id, BACKUP, now, _Finding(Status.FAIL, None, text, "no_node")))
    for system in city.systems.values():
        if system.rpo and system.hosted_by is HostedBy.CITY:
            finding = _policy_of(city, system, limits or load_limits())
            records.append(_record(system.id, POLICY, now, finding))
    return records


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
            unknown = _Finding(Status.ERROR, None, host.why, host.reason)
            return [_record(self._subject, check, self._now, unknown) for check in self._checks()]
        state = host.get(self._policy.id)
        if state is None:
            missing = f"{self._node} has no state of this job: it never ran there"
            return self._all_failed(missing, "missing_state")
        if isinstance(state, Unreadable):
            return self._all_failed(f"the state cannot be read: {state.why}", "unreadable_state")
        if (state.policy, state.host) != (self._policy.id, self._node):
            other = f"the state is of policy {state.policy} on {state.host}"
            return self._all_failed(other, "foreign_state")
        return [_record(self._subject, check, self._now, found) for check, found in self._findings(state)]

    def _checks(self) -> list[str]:
        """Every check of the job, whatever its state says, so that none goes missing."""
        checks = [BACKUP, LAST_RUN]
        for node in (self._policy.repository, *self._policy.copies):
            if node != self._policy.repository:
                checks.append(f"{COPY}:{node}")
            checks += [f"{REPOSITORY_CHECK}:{node}", f"{RESTORE_TEST}:{node}"]
        return checks

    def _all_failed(self, evidence: str, reason: str) -> list[Record]:
        failed = _Finding(Status.FAIL, None, evidence, reason)
        return [_record(self._subject, check, self._now, failed) for check in self._checks()]

    def _findings(self, state: JobState) -> Iterator[tuple[str, _Finding]]:
        limits = self._limits
        yield BACKUP, self._age(state.last_success_at, self._policy.rpo, "the newest whole snapshot", "RPO")
        primary = state.repositories.get(self._policy.repository, RepositoryState(role="primary"))
        yield LAST_RUN, self._last_run(state.backup, primary)
        for node in (self._policy.repository, *self._policy.copies):
            known = state.repositories.get(node, RepositoryState(role="copy"))
            if node != self._policy.repository:
                copied = self._age(known.snapshot_at, self._policy.rpo, f"the copy on {node}", "RPO")
                yield f"{COPY}:{node}", _unless_failed(known.copy, copied)
            checked = self._age(known.check_success_at, limits.check_age_seconds, "the last check", "limit")
            yield f"{REPOSITORY_CHECK}:{node}", _unless_failed(known.check, checked)
            yield f"{RESTORE_TEST}:{node}", self._restore_test(known)

    def _age(self, moment: MaybeMoment, limit: int, what: str, name: str) -> _Finding:
        """Hold the age of something against a limit, seconds."""
        if moment is None:
            return _Finding(Status.FAIL, None, f"{what}: there is none", "never")
        age = (self._now - moment).total_seconds()
        said = f"{what} is of {timestamp(moment)}"
        if age < -self._limits.clock_tolerance_seconds:
            ahead = f"{said}, {spell(-age)} ahead of the auditor's clock: one of the two is wrong"
            return _Finding(Status.FAIL, age, ahead, "future")
        if age > limit:
            return _Finding(Status.FAIL, age, f"{said}, {spell(age)} old, {name} {spell(limit)}", "stale")
        return _Finding(Status.PASS, max(age, 0), f"{said}, {spell(age)} old, {name} {spell(limit)}")

    def _last_run(self, step: Step | None, primary: RepositoryState) -> _Finding:
        if step is None:
            return _Finding(Status.FAIL, None, "the job never ran", "never")
        age = (self._now - step.started_at).total_seconds()
        began = f"the run of {timestamp(step.started_at)}"
        if age < -self._limits.clock_tolerance_seconds:
            return _Finding(Status.FAIL, age, f"{began} is ahead of the auditor's clock", "future")
        if step.result == "running":
            if age > self._policy.rpo:
                return _Finding(Status.FAIL, age, f"{began} has not ended after {spell(age)}", "stuck")
            return _Finding(Status.PASS, age, f"{began} is under way for {spell(age)}")
        if step.result != "success":
            why = step.error or step.reason or "no reason given"
            return _Finding(Status.FAIL, age, f"{began}: {step.result}: {why}", step.result)
        made = f"{began} made snapshot {step.snapshot[:8]} of {step.files} files"
        if step.repository not in ("", self._policy.repository):
            # The RPO is kept, by a copy; that the primary repository failed is seen all the same.
            why = primary.backup.error if primary.backup else "no reason given"
            text = f"{made} on {step.repository}, because {self._policy.repository} failed: {why}"
            return _Finding(Status.FAIL, age, text, "primary_failed")
        return _Finding(Status.PASS, age, made)

    def _restore_test(self, known: RepositoryState) -> _Finding:
        """A restore counts when files came back and every one had the content that was backed up."""
        step = known.restore_test
        fresh = self._age(
            known.restore_success_at, self._limits.restore_test_age_seconds, "the last restore", "limit"
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
            return msgspec.structs.replace(found, evidence=text)
        return found


def _unless_failed(step: Step | None, finding: _Finding) -> _Finding:
    """The finding on an age, unless the step's last run failed: then that, however young the last success."""
    if step is None or step.result in ("running", "success"):
        return finding
    text = f"{step.error or step.reason or step.result}; {finding.evidence}"
    return msgspec.structs.replace(
        finding, status=Status.FAIL, evidence=text, reason=step.reason or "failure"
    )


def _policy_of(city: City, system: System, limits: Limits) -> _Finding:
    """Whether a policy keeps what a system's RPO and level promise."""
    policies = [policy for policy in city.backups.values() if system.id in policy.systems]
    if not policies:
        text = f"RPO {spell(system.rpo)}, but no policy in backups.toml names it"
        return _Finding(Status.FAIL, None, text, "no_policy")
    best = min(policies, key=lambda policy: policy.rpo)
    if best.rpo > system.rpo:
        text = f"RPO {spell(system.rpo)}, but policy {best.id} has {spell(best.rpo)}"
        return _Finding(Status.FAIL, float(best.rpo), text, "rpo_too_long")
    offsite = [node for policy in policies for node in policy.copies if _is_offsite(city, system, node)]
    if system.mlps >= limits.offsite_from_mlps and not offsite:
        text = f"MLPS level {system.mlps}, but no copy of policy {best.id} is in another prefecture city"
        return _Finding(Status.FAIL, float(best.rpo), text, "no_offsite_copy")
    copies = f"off-site on {', '.join(dict.fromkeys(offsite))}" if offsite else "no off-site copy due"
    return _Finding(Status.PASS, float(best.rpo), f"policy {best.id}, RPO {spell(best.rpo)}, {copies}")


def _is_offsite(city: City, system: System, copy: str) -> bool:
    """Another prefecture city, not another rack: the first four digits of the division codes differ."""
    prefectures = {_prefecture(city, city.nodes[node]) for node in system.nodes if node in city.nodes}
    return copy in city.nodes and _prefecture(city, city.nodes[copy]) not in prefectures


def _prefecture(city: City, node: Node) -> str:
    return city.sites[node.site].division[:4]


def _record(subject: str, check: str, now: datetime, finding: _Finding) -> Record:
    return Record(
        subject=subject,
        check=check,
        family="none",
        status=finding.status,
        value=None if finding.value is None else round(finding.value, 3),
        at=timestamp(now),
        evidence=finding.evidence,
        reason=finding.reason,
    )


def spell(seconds: float) -> str:
    """Seconds in the two largest units, as people say them: `3d 4h`, `15m`, `8s`."""
    rest = int(timedelta(seconds=max(0.0, seconds)).total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
