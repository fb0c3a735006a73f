"""What of backups and security does the page show? Jobs against their RPO, controls by state, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.filesize import decimal

from checks.record import Record, Status
from checks.security.controls import Control
from exporters.backups import COVERED, BackupJob, Finding, backup_jobs
from exporters.collectors.security import STATES, severities, state_of
from exporters.places import UNKNOWN_PLACE, Place
from exporters.status.states import RANK, State, worst
from exporters.status.words import word
from inventories.records import City

_BAD_STATES = ("noncompliant", "partly", "unknown")
_SEVERITY_ORDER = {"high": 0, "medium": 1, "low": 2}


class Job(NamedTuple):
    """A backup job as a row: what it keeps, how old the newest snapshot is, and what is proven of it.

    `share` is the age as a part of the RPO (1 is the limit); None where there is no snapshot or no answer. `seconds` is
    what the last run took, `size` what the newest snapshot holds, in words, and `lags` how far behind it copies are.
    """

    policy: str
    node: str
    systems: str
    owner: str
    rpo: int
    last_success: float | None
    share: float | None
    result: str
    restored_at: float | None
    copies: Mapping[str, Finding]
    restores: Mapping[str, Finding]
    within_rpo: bool
    verified: bool
    state: State
    problem: str
    evidence: str
    seconds: float | None
    size: str
    lags: Mapping[str, float]


class Backups(NamedTuple):
    """The section; jobs have the worst first. `uncovered` are systems whose RPO no policy keeps."""

    jobs: Sequence[Job]
    within_rpo: int
    verified: int
    copied: int
    copies: int
    uncovered: Sequence[str]

    @property
    def state(self) -> State:
        """The worst of the jobs; a warning for systems that no policy keeps."""
        return worst([*(job.state for job in self.jobs), State.WARNING if self.uncovered else State.OK])


def backups_view(city: City, where: Mapping[str, Place], records: Sequence[Record], now: float) -> Backups:
    """What the page shows of backup records; ages are counted up to now, not to the time of the check."""
    jobs = [_job(city, job, now) for job in backup_jobs(records)]
    uncovered = [
        where.get(record.subject, UNKNOWN_PLACE).name or record.subject
        for record in records
        if record.check == COVERED and record.status not in (Status.PASS, Status.NOT_APPLICABLE)
    ]
    copies = [copy for job in jobs for copy in job.copies.values()]
    return Backups(
        jobs=sorted(jobs, key=lambda job: (RANK[job.state], -(job.share or 0))),
        within_rpo=sum(job.within_rpo for job in jobs),
        verified=sum(job.verified for job in jobs),
        copied=sum(copy.well for copy in copies),
        copies=len(copies),
        uncovered=uncovered,
    )


def _job(city: City, job: BackupJob, now: float) -> Job:
    policy = city.backups.get(job.policy)
    rpo = policy.rpo if policy else 0
    at = job.age.at if job.age else None
    share = (now - at) / rpo if at and rpo else None
    within_rpo = bool(job.age and job.age.well and share is not None and share <= 1)
    verified = bool(job.restores) and all(finding.well for finding in job.restores.values())
    names = (
        [city.systems[system].name for system in policy.systems if system in city.systems] if policy else []
    )
    unit = city.units.get(policy.owner) if policy else None
    return Job(
        policy=job.policy,
        node=job.node,
        systems="、".join(names),
        owner=unit.name if unit else (policy.owner if policy else ""),
        rpo=rpo,
        last_success=at,
        share=share,
        result=job.result,
        restored_at=job.restored_at,
        copies=job.copies,
        restores=job.restores,
        within_rpo=within_rpo,
        verified=verified,
        state=_state(job, within_rpo, verified),
        problem=_problem(job),
        evidence=next((finding.record.evidence for finding in job.findings if not finding.well), ""),
        seconds=job.seconds,
        size="" if job.size is None else decimal(int(job.size)),
        lags=job.lags,
    )


def _state(job: BackupJob, within_rpo: bool, verified: bool) -> State:
    if job.result == "unknown":
        return State.UNKNOWN
    sound = all(finding.well for finding in (*job.checks.values(), *job.restores.values()))
    if not within_rpo or not sound:
        return State.CRITICAL
    copied = all(finding.well for finding in job.copies.values())
    return State.OK if copied and verified and job.result == "success" else State.WARNING


def _problem(job: BackupJob) -> str:
    """What is not well, in words: `最近快照：已过期；offsite-1 副本：已过期`."""
    said = []
    for finding in job.findings:
        if not finding.well:
            check, _, repository = finding.record.check.partition(":")
            what = f"{repository} {word('backup_check', check)}".strip()
            said.append(f"{what}：{word('backup_reason', finding.record.reason)}")
    if job.result == "unknown":
        return said[0] if said else word("backup", "unknown")
    return "；".join(said)


class ControlFinding(NamedTuple):
    """A control that is not met, on all the hosts where it is not."""

    control: str
    title: str
    clause: str
    severity: str
    state: str
    hosts: Sequence[str]
    evidence: str


class Security(NamedTuple):
    """The section: how many controls are in each state, by severity, and what is not met, worst first."""

    counts: Mapping[str, int]
    by_severity: Mapping[str, Mapping[str, int]]
    total: int
    hosts: int
    findings: Sequence[ControlFinding]

    @property
    def high(self) -> int:
        """Controls of high severity that are not or partly met."""
        counts = self.by_severity.get("high", {})
        return counts.get("noncompliant", 0) + counts.get("partly", 0)

    @property
    def state(self) -> State:
        """A warning for what is not met; unknown where hosts could not be asked."""
        if self.counts["unknown"]:
            return State.UNKNOWN
        return State.WARNING if self.counts["noncompliant"] + self.counts["partly"] else State.OK


def security_view(records: Sequence[Record], controls: Sequence[Control]) -> Security:
    """What the page shows of control records."""
    severity_of = severities(controls)
    counted = Counter((severity_of[record.check], state_of(record)) for record in records)
    names = sorted({severity for severity, _ in counted}, key=lambda name: _SEVERITY_ORDER.get(name, 9))
    return Security(
        counts={state: sum(counted[severity, state] for severity in names) for state in STATES},
        by_severity={severity: {state: counted[severity, state] for state in STATES} for severity in names},
        total=len(records),
        hosts=len({record.subject for record in records}),
        findings=_findings(records, controls),
    )


def _findings(records: Iterable[Record], controls: Sequence[Control]) -> list[ControlFinding]:
    severity_of = severities(controls)
    known = {control.id: control for control in controls}
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if state_of(record) in _BAD_STATES:
            # A host that could not be asked is one finding, not one for each control.
            check = record.reason if record.status is Status.ERROR else record.check
            groups.setdefault((check, state_of(record)), []).append(record)
    findings = []
    for (check, state), ours in groups.items():
        control = known.get(check.removeprefix("waiver-"))
        findings.append(
            ControlFinding(
                control=check,
                title=_title(check, control),
                clause=control.clause if control else "",
                severity=severity_of[check],
                state=state,
                hosts=list(dict.fromkeys(record.subject for record in ours)),
                evidence=ours[0].evidence,
            )
        )
    return sorted(
        findings,
        key=lambda one: (_SEVERITY_ORDER.get(one.severity, 9), _BAD_STATES.index(one.state), -len(one.hosts)),
    )


def _title(check: str, control: Control | None) -> str:
    if control is None:
        return word("audit_error", check)
    return f"豁免已到期：{control.title}" if check.startswith("waiver-") else control.title
