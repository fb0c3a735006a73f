"""Would the city's continuously kept databases come back, to within their RPO and from every repository? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from checks.backup.finding import spell
from checks.backup.places import job_nodes
from checks.record import Record, Status, timestamp
from checks.security.run import Captures, NotCollected
from inventories.backup_state import Result
from inventories.backups.records import KEPT_DIFFS, KEPT_FULLS, BackupPolicy, DatabaseBackup, Method
from inventories.database_state import DatabaseRepository, DatabaseState, decode_state
from inventories.records import City

#: The checks; each is followed by a colon and the repository's node, but the first.
LOG, RESTORABLE, BASE_BACKUP, RESTORE_TEST, RETENTION = (
    "database-log",
    "database-restorable",
    "database-base-backup",
    "database-restore-test",
    "database-retention",
)
#: The checks of a repository, each followed by a colon and its node.
OF_REPOSITORY = (RESTORABLE, BASE_BACKUP, RESTORE_TEST, RETENTION)
#: Restores on another host, of which the controller has the records (checks/backup/elsewhere_databases.py).
ELSEWHERE = "database-restore-elsewhere"
#: A base backup of any kind is taken daily; one may be missed.
BASE_BACKUP_LIMIT = 2 * 86400
#: How many base backups more than the policy keeps may stand: they are removed in the window, once a day.
NOT_YET_REMOVED = 3
#: Two hosts' clocks may differ by so much, seconds.
CLOCK_TOLERANCE = 60


class _Finding(msgspec.Struct, frozen=True):
    status: Status
    value: float | None
    evidence: str
    reason: str = ""


def evaluate(city: City, states: Mapping[str, Mapping[str, str] | str], now: datetime) -> list[Record]:
    """Hold the state of every cluster that is kept continuously against its policy.

    Args:
        city: The city.
        states: By node the content of each state file by stanza, or why the node could not be asked.
        now: The auditor's time, with offset.

    Returns:
        For each cluster, whose subject is `NODE-INSTANCE`: `database-log` (whether the log is being sent), and for
        each repository `database-restorable:NODE` (the age of the newest moment that would come back, against the
        RPO), `database-base-backup:NODE`, `database-restore-test:NODE` and `database-retention:NODE` (how many base
        backups there are: many more than the policy keeps stand where their removal is withheld, or does not run).
    """
    records = []
    for policy, node, database in continuous(city):
        subject = f"{node}-{database.instance}"
        said = states.get(node, {})
        if isinstance(said, str):
            findings = _everywhere(policy, Status.ERROR, said, "not_collected")
        elif subject not in said:
            text = f"{node} has no state of this cluster: it was never watched there"
            findings = _everywhere(policy, Status.FAIL, text, "missing_state")
        else:
            findings = _of_content(policy, subject, said[subject], now)
        records += [
            Record(
                subject=subject,
                check=check,
                family="none",
                status=found.status,
                value=None if found.value is None else round(found.value, 3),
                at=timestamp(now),
                evidence=found.evidence,
                reason=found.reason,
            )
            for check, found in findings
        ]
    return records


def contents_of(captures: Captures) -> dict[str, dict[str, str] | str]:
    """The state files that the collectors of hosts printed, by node and stanza; why, of a host that gave none."""
    found: dict[str, dict[str, str] | str] = {}
    for node, capture in captures.items():
        if isinstance(capture, NotCollected):
            found[node] = capture.evidence
            continue
        section = capture.get("database-states")
        pairs = (line.partition("\t") for line in (section.lines if section else ()))
        found[node] = {name.removesuffix(".json"): text for name, tab, text in pairs if tab}
    return found


def continuous(city: City) -> Iterator[tuple[BackupPolicy, str, DatabaseBackup]]:
    """Every cluster that a policy keeps continuously, on each of its nodes; an instance once a node."""
    seen = set()
    for policy in city.backups.values():
        for node in job_nodes(city, policy):
            for database in policy.database:
                if database.method is Method.CONTINUOUS and (node, database.instance) not in seen:
                    seen.add((node, database.instance))
                    yield policy, node, database


def _everywhere(policy: BackupPolicy, status: Status, text: str, reason: str) -> list[tuple[str, _Finding]]:
    """The same finding for every check, so that none goes missing."""
    found = _Finding(status, None, text, reason)
    places = (policy.repository, *policy.copies)
    return [
        (LOG, found),
        *((f"{check}:{node}", found) for node in places for check in OF_REPOSITORY),
    ]


def _of_content(
    policy: BackupPolicy, subject: str, content: str, now: datetime
) -> list[tuple[str, _Finding]]:
    try:
        state = decode_state(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _everywhere(policy, Status.FAIL, f"the state cannot be read: {error}", "unreadable_state")
    if (state.stanza, state.policy) != (subject, policy.id):
        text = f"the state is of {state.stanza} by policy {state.policy}"
        return _everywhere(policy, Status.FAIL, text, "foreign_state")
    return list(_findings(policy, state, now))


def _findings(policy: BackupPolicy, state: DatabaseState, now: datetime) -> Iterator[tuple[str, _Finding]]:
    yield LOG, _log(policy, state, now)
    for node in (policy.repository, *policy.copies):
        known = state.repositories.get(node, DatabaseRepository())
        yield f"{RESTORABLE}:{node}", _restorable(policy, node, known, now)
        base = _age(known.backup_at, BASE_BACKUP_LIMIT, now, f"the newest base backup on {node}", "limit")
        yield f"{BASE_BACKUP}:{node}", base
        yield f"{RESTORE_TEST}:{node}", _proof(policy, known, now)
        yield f"{RETENTION}:{node}", _retention(policy, node, known)


def _log(policy: BackupPolicy, state: DatabaseState, now: datetime) -> _Finding:
    """The cluster answers, and what it wrote is on its way: a segment that waits longer than the RPO is not."""
    if state.error:
        age = _seconds(state.stamp_at, now)
        return _Finding(Status.FAIL, age, f"the cluster does not answer: {state.error}", "database")
    fresh = _age(state.stamp_at, policy.rpo, now, "the newest stamp", "RPO")
    if fresh.status is not Status.PASS:
        return fresh
    wal = state.wal
    if wal.failed_at and (not wal.archived_at or _moment(wal.failed_at) > _moment(wal.archived_at)):
        text = (
            f"sending the log failed last at {wal.failed_at}: {wal.waiting} segments, {wal.waiting_bytes} bytes, "
            "wait on the node"
        )
        waited = _seconds(wal.archived_at, now)
        # One attempt that failed is tried again at once; nothing is lost before the RPO is over.
        status = Status.PASS if waited is not None and waited <= policy.rpo else Status.FAIL
        return _Finding(status, waited, text, "" if status is Status.PASS else "not_archived")
    return msgspec.structs.replace(fresh, evidence=f"{wal.archived or 'nothing'} was sent; {fresh.evidence}")


def _restorable(policy: BackupPolicy, node: str, known: DatabaseRepository, now: datetime) -> _Finding:
    """What would be lost if the node were lost now and this repository were all that is left."""
    found = _age(known.restorable_at, policy.rpo, now, f"the newest moment that {node} gives back", "RPO")
    if found.status is not Status.PASS and known.error:
        return msgspec.structs.replace(found, evidence=f"{known.error}; {found.evidence}")
    return found


def _retention(policy: BackupPolicy, node: str, known: DatabaseRepository) -> _Finding:
    """The keeper removes nothing while a clock is wrong or backups came in a flood; meanwhile the disk fills."""
    kept = policy.keep.get("weekly", KEPT_FULLS) + policy.keep.get("daily", KEPT_DIFFS)
    if not known.backups:
        return _Finding(Status.FAIL, None, f"{node} has no base backup", "never")
    said = f"{node} has {known.backups} base backups, and the policy keeps {kept} at most"
    if known.backups <= kept + NOT_YET_REMOVED:
        return _Finding(Status.PASS, known.backups, said)
    return _Finding(
        Status.FAIL,
        known.backups,
        f"{said}: ask its keeper why it removes none (journalctl -u 'jizuo-database-keep@*')",
        "not_expired",
    )


def _proof(policy: BackupPolicy, known: DatabaseRepository, now: datetime) -> _Finding:
    limit = policy.verify.restore * max(1, len((policy.repository, *policy.copies))) + 86400
    fresh = _age(known.restore_success_at, limit, now, "the last restore that answered rightly", "limit")
    test = known.restore_test
    if test is not None and test.result is Result.FAILURE:
        text = f"{test.error or test.reason}; {fresh.evidence}"
        return msgspec.structs.replace(
            fresh, status=Status.FAIL, evidence=text, reason=test.reason or "failure"
        )
    if fresh.status is Status.PASS:
        text = f"{fresh.evidence}; proven for {known.restored_moment_at}"
        return msgspec.structs.replace(fresh, evidence=text)
    return fresh


def _age(at: str, limit: int, now: datetime, what: str, name: str) -> _Finding:
    """Hold the age of something against a limit, seconds."""
    age = _seconds(at, now)
    if age is None:
        return _Finding(Status.FAIL, None, f"{what}: there is none", "never")
    said = f"{what} is of {at}"
    if age < -CLOCK_TOLERANCE:
        ahead = f"{said}, {spell(-age)} ahead of the auditor's clock: one of the two is wrong"
        return _Finding(Status.FAIL, age, ahead, "future")
    if age > limit:
        return _Finding(Status.FAIL, age, f"{said}, {spell(age)} old, {name} {spell(limit)}", "stale")
    return _Finding(Status.PASS, max(age, 0.0), f"{said}, {spell(age)} old, {name} {spell(limit)}")


def _seconds(at: str, now: datetime) -> float | None:
    return (now - _moment(at)).total_seconds() if at else None


def _moment(at: str) -> datetime:
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise msgspec.ValidationError(f"{at} has no offset from UTC")
    return moment
