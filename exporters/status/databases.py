"""How do continuously kept databases stand? Each with its repositories: what would come back, what is proven."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from checks.backup_databases import BASE_BACKUP, ELSEWHERE, LOG, RESTORABLE, RESTORE_TEST, RETENTION
from checks.record import Record, Status
from exporters.backups import DATABASE
from exporters.readings import epoch_seconds
from exporters.status.states import RANK, State, worst
from exporters.status.words import word

#: What is wrong by these costs nothing today: it would come back all the same.
UNHURRIED = (ELSEWHERE, RETENTION)


class Proof(NamedTuple):
    """One check of a repository: the moment that it speaks of (0 for never, None for unknown), and how it is."""

    at: float | None
    state: State
    reason: str


class Repository(NamedTuple):
    """What one repository would give back; None for a check of which there is no record."""

    node: str
    restorable: Proof | None
    base_backup: Proof | None
    restore_test: Proof | None
    elsewhere: Proof | None


class Database(NamedTuple):
    """A cluster, `NODE-INSTANCE`: whether its log is on its way, and its repositories."""

    cluster: str
    log: Proof | None
    repositories: Sequence[Repository]
    state: State
    problems: Sequence[str]
    evidence: str

    @property
    def headline(self) -> str:
        """The first thing that is wrong, and how many more there are."""
        more = f"等{len(self.problems)}项" if len(self.problems) > 1 else ""
        return f"{self.problems[0]}{more}" if self.problems else ""


def databases_view(records: Sequence[Record]) -> list[Database]:
    """The clusters that records speak of, the worst first."""
    clusters: dict[str, list[Record]] = {}
    for record in records:
        if record.check.startswith(DATABASE):
            clusters.setdefault(record.subject, []).append(record)
    found = [_database(cluster, ours) for cluster, ours in clusters.items()]
    return sorted(found, key=lambda database: RANK[database.state])


def _database(cluster: str, records: Sequence[Record]) -> Database:
    log: Proof | None = None
    by_node: dict[str, dict[str, Proof]] = {}
    problems: dict[str, None] = {}
    evidence = ""
    for record in records:
        check, _, node = record.check.partition(":")
        proof = _proof(record)
        if check == LOG:
            log = proof
        else:
            by_node.setdefault(node, {})[check] = proof
        if proof.state is not State.OK:
            problems[f"{node} {word('backup_check', check)}：{proof.reason}".strip()] = None
            evidence = evidence or record.evidence
    repositories = [
        Repository(node, *(checks.get(check) for check in (RESTORABLE, BASE_BACKUP, RESTORE_TEST, ELSEWHERE)))
        for node, checks in by_node.items()
    ]
    proofs = [proof for checks in by_node.values() for proof in checks.values()]
    state = worst(proof.state for proof in (*proofs, *([log] if log else [])))
    return Database(cluster, log, repositories, state, tuple(problems), evidence)


def _proof(record: Record) -> Proof:
    if record.status is Status.ERROR:
        return Proof(None, State.UNKNOWN, word("backup_reason", record.reason))
    known = isinstance(record.value, (int, float))
    at = epoch_seconds(record.at) - float(record.value or 0) if known else 0.0
    if record.status is Status.PASS:
        return Proof(at, State.OK, "")
    check = record.check.partition(":")[0]
    state = State.WARNING if check in UNHURRIED else State.CRITICAL
    return Proof(at, state, word("backup_reason", record.reason))
