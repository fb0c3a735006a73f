"""How long did each job take, how large is what it keeps, and how far behind are its copies? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from checks.backup.finding import Finding, record_of, spell
from checks.backup.places import job_nodes, repositories_of
from checks.backup_state import JobState, Snapshot, States, Step
from checks.record import Record, Status, timestamp
from inventories.records import City

#: Figures of a job; of the newest whole snapshot in any repository the last two.
DURATION, SIZE, FILES = JOB_FIGURES = ("backup-duration", "backup-size", "backup-files")
#: Figures of a job's repository; each is followed by a colon and its node.
LAG, COPY_DURATION = REPOSITORY_FIGURES = ("backup-lag", "backup-copy-duration")


def evaluate(city: City, states: States, now: datetime) -> list[Record]:
    """What the jobs measured; whether that is well, the other checks say.

    Args:
        city: The city.
        states: What each host's jobs say, from `backup_state.states_of`.
        now: The auditor's time, with offset.

    Returns:
        For each job, whose subject is `POLICY@NODE`: `backup-duration` (seconds that the last run took for its
        snapshot, whatever came of it), `backup-size` (bytes) and `backup-files` of the newest whole snapshot; for
        each repository `backup-lag:NODE` (seconds by which its newest whole snapshot is behind the newest
        anywhere) and `backup-copy-duration:NODE` (seconds). What a state does not say has no record: nothing
        known before stands in for it.
    """
    records = []
    for policy in city.backups.values():
        for node in job_nodes(city, policy):
            known = states.get(node, {})
            state = known.get(policy.id) if isinstance(known, Mapping) else None
            if isinstance(state, JobState) and (state.policy, state.host) == (policy.id, node):
                found = [*_of_job(state), *_of_repositories(state, repositories_of(policy))]
                subject = f"{policy.id}@{node}"
                records += [
                    record_of(subject, check, now, Finding(Status.PASS, number, text))
                    for check, number, text in found
                ]
    return records


def _of_job(state: JobState) -> Iterator[tuple[str, float, str]]:
    if (seconds := seconds_of(state.backup)) is not None:
        yield DURATION, seconds, f"the last run took {spell(seconds)} for its snapshot"
    newest = newest_of(state)
    if newest and state.last_success_at:
        of = f"in the newest whole snapshot, of {timestamp(state.last_success_at)}"
        yield SIZE, newest.total_bytes, f"{newest.total_bytes} bytes {of}"
        yield FILES, newest.files, f"{newest.files} files {of}"


def _of_repositories(state: JobState, nodes: list[str]) -> Iterator[tuple[str, float, str]]:
    for node in nodes:
        known = state.repositories.get(node)
        if known is None:
            continue
        if (lag := state.lag(known)) is not None:
            yield f"{LAG}:{node}", lag, f"{node} is {spell(lag)} behind the newest whole snapshot"
        if (seconds := seconds_of(known.copy)) is not None:
            yield f"{COPY_DURATION}:{node}", seconds, f"the last copy to {node} took {spell(seconds)}"


def newest_of(state: JobState) -> Snapshot | None:
    """The figures of the newest whole snapshot; None where the state has those of another one, or none."""
    newest = state.last_snapshot
    return newest if newest and newest.snapshot_at == state.last_success_at else None


def seconds_of(step: Step | None) -> float | None:
    """How long a step took; None while it is under way, or where the clock was set back meanwhile."""
    if step is None or step.result == "running" or step.seconds is None or step.seconds < 0:
        return None
    return step.seconds
