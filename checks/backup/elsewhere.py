"""Do backups come back on another host than the one that was backed up? Which is next, and what is proven. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Literal
from zlib import crc32

import msgspec

from checks.backup.finding import Finding, record_of, spell
from checks.backup.hosts import Job
from checks.backup.limits import Limits, load_limits
from checks.backup.places import job_nodes, repositories_of
from checks.backup_state import Unknown
from checks.record import Record, Status, timestamp
from checks.security.run import Captures, NotCollected
from inventories.backups.records import BackupPolicy, Method
from inventories.hosts import linux_nodes
from inventories.records import City, NodeRole

#: The check, followed by a colon and the node of the repository that was restored from.
CHECK = "restore-elsewhere"
#: Where a dump is in a snapshot; the deploy says the same.
DUMPS = "/var/lib/jizuo/backup/dumps"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """One restore on another host.

    Attributes:
        host: Where it was restored.
        repository: From whose repository.
        result: How it ended; a success means that every file had the content hash of backup time.
        started_at: When it began, ISO 8601 with offset; likewise `ended_at`.
        seconds: How long the restore itself took.
        snapshot: The snapshot's id.
        snapshot_at: Its time: the age that is proven restorable.
        files: Files that were compared and the same, of together `total_bytes`.
        rows: Rows of a database that it was asked for and gave back; it has no files.
        sampled: Only a sample was restored, for the data are large.
        error: Why it is no success, in words; never a password.
    """

    host: str
    repository: str
    result: Literal["success", "failure"]
    started_at: str
    ended_at: str
    seconds: float = 0.0
    snapshot: str = ""
    snapshot_at: str = ""
    files: int = 0
    total_bytes: int = 0
    rows: int = 0
    sampled: bool = False
    error: str = ""

    @property
    def what(self) -> str:
        """What was compared."""
        if self.rows:
            return f"the newest {self.rows} rows of a cluster of {self.total_bytes} bytes"
        return f"{self.files} files{' (a sample)' if self.sampled else ''}, {self.total_bytes} bytes"

    @property
    def proves(self) -> bool:
        """Whether something was compared, and all of it was the same."""
        return self.result == "success" and bool(self.files or self.rows)


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one job or cluster: the last test on each host from each repository, the newest last.

    Where that one proves nothing, the last that did stands before it.
    """

    version: Literal[1] = 1
    policy: str
    client: str
    tests: tuple[Restored, ...] = ()

    def with_test(self, test: Restored) -> Proof:
        """The record after one more test."""

        def same(one: Restored) -> bool:
            return (one.host, one.repository) == (test.host, test.repository)

        others = [one for one in self.tests if not same(one)]
        good = [] if test.proves else [one for one in self.tests if same(one) and one.proves][-1:]
        return msgspec.structs.replace(self, tests=(*others, *good, test))


class Turn(msgspec.Struct, frozen=True):
    """What is tested next: on which host, from whose repository."""

    host: str
    repository: str


def hosts_for(city: City, job: Job) -> list[str]:
    """The hosts on which a job's data have to come back: what could take over when its client is lost.

    That is every other node of the clouds, and the off-site node that holds a copy. One that holds none is let to
    no repository by the firewalls, and could not take over either.
    """
    held = repositories_of(city.backups[job.policy])
    return [
        name
        for name, node in linux_nodes(city).items()
        if name != job.node
        and (node.role is NodeRole.CLOUD or (node.role is NodeRole.OFFSITE and name in held))
    ]


def paths_of(policy: BackupPolicy) -> list[str]:
    """What of a policy is restored: all its folders and dumps. Databases kept continuously have tests of their own."""
    dumped = any(one.method is Method.DUMP for one in policy.database)
    return [*policy.paths, *([f"{DUMPS}/{policy.id}"] if dumped else [])]


def turn(city: City, job: Job, tests: Sequence[Restored], day: date) -> Turn | None:
    """Whose turn it is: the host that was not tried for longest, from the repository that was not for longest.

    Among those that were never tried the day decides, differently for each job, so that even a controller without
    records comes to all of them. A node that holds a repository restores from its own: it is let to no other.

    Returns:
        None where there is no other host.
    """
    hosts = _rotated(hosts_for(city, job), job, day)
    if not hosts:
        return None
    host = min(hosts, key=lambda one: _last(test for test in tests if test.host == one))
    places = repositories_of(city.backups[job.policy])
    from_there = [host] if host in places else _rotated(places, job, day)
    return Turn(host, longest_untried(from_there, tests))


def longest_untried(repositories: Sequence[str], tests: Sequence[Restored]) -> str:
    """The repository from which nothing was restored for longest; the first of those."""
    return min(repositories, key=lambda one: _last(test for test in tests if test.repository == one))


def _rotated(names: Sequence[str], job: Job, day: date) -> list[str]:
    """The names in their order, beginning with the day's."""
    start = (day.toordinal() + crc32(job.name.encode())) % max(1, len(names))
    return [*names[start:], *names[:start]]


def _last(tests: Iterable[Restored]) -> float:
    """When the last of these began; before all times where there is none."""
    return max((datetime.fromisoformat(test.started_at).timestamp() for test in tests), default=0.0)


#: The records of jobs by `POLICY@CLIENT`; why, of one that cannot be read.
Proofs = Mapping[str, Proof | str]


def proofs_of(city: City, captures: Captures) -> Proofs | Unknown:
    """The records that operations nodes hold, the newest of each job; why, where none of those nodes could be asked."""
    found: dict[str, Proof | str] = {}
    silent: Unknown | None = None
    answered = False
    for node, capture in captures.items():
        if node in city.nodes and city.nodes[node].role is not NodeRole.OPERATIONS:
            continue
        if isinstance(capture, NotCollected):
            silent = Unknown(capture.reason, capture.evidence)
            continue
        answered = True
        section = capture.get("restores-elsewhere")
        for name, tab, text in (line.partition("\t") for line in (section.lines if section else ())):
            if tab:
                job = name.removesuffix(".json")
                found[job] = _newer(found.get(job), read_proof(text))
    return found if answered or silent is None else silent


def read_proof(text: str | bytes) -> Proof | str:
    """A record; why, of one that cannot be read."""
    try:
        proof = msgspec.json.decode(text, type=Proof)
        for test in proof.tests:
            if datetime.fromisoformat(test.started_at).tzinfo is None:
                return f"{test.started_at} has no offset from UTC"
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        return str(error)
    return proof


def _newer(one: Proof | str | None, other: Proof | str) -> Proof | str:
    if isinstance(one, Proof) and (isinstance(other, str) or _last(one.tests) > _last(other.tests)):
        return one
    return other


def evaluate(
    city: City, proofs: Proofs | Unknown, now: datetime, limits: Limits | None = None
) -> list[Record]:
    """Hold the tests of every job against the limit.

    Returns:
        For each job that has something to restore, whose subject is `POLICY@NODE`, and each of its repositories
        `restore-elsewhere:NODE`: the age of the last restore from there on another host, seconds. The newest test
        from a repository counts: a failure is not hidden by an older success on another host.
    """
    limits = limits or load_limits()
    records = []
    for policy in city.backups.values():
        for client in job_nodes(city, policy) if paths_of(policy) else []:
            job = f"{policy.id}@{client}"
            for node in repositories_of(policy):
                found = _judge(city, client, node, proofs, job, now, limits)
                records.append(record_of(job, f"{CHECK}:{node}", now, found))
    return records


def _judge(
    city: City, client: str, node: str, proofs: Proofs | Unknown, job: str, now: datetime, limits: Limits
) -> Finding:
    if isinstance(proofs, Unknown):
        return Finding(Status.ERROR, None, proofs.why, proofs.reason)
    if not hosts_for(city, Job(job.partition("@")[0], client)):
        text = f"the city has no host that could take over from {client}"
        return Finding(Status.FAIL, None, text, "no_host")
    return judge_proof(proofs, job, node, now, limits)


def judge_proof(proofs: Proofs, name: str, node: str, now: datetime, limits: Limits) -> Finding:
    """Hold what is on record of a job or a cluster, as it came back from one repository, against the limit."""
    proof = proofs.get(name, Proof(policy="", client=""))
    if isinstance(proof, str):
        return Finding(Status.FAIL, None, f"the record cannot be read: {proof}", "unreadable_record")
    tests = [test for test in proof.tests if test.repository == node]
    good = [test for test in tests if test.proves]
    if not tests:
        text = f"nothing from {node} was ever restored on another host; run: jizuo backup verify PATH --elsewhere"
        return Finding(Status.FAIL, None, text, "never")
    age = now.timestamp() - _last(good) if good else None
    last = max(tests, key=lambda test: datetime.fromisoformat(test.started_at))
    if not last.proves:
        text = f"on {last.host} at {last.started_at}: {last.error or 'nothing was compared'}"
        return Finding(Status.FAIL, age, text, "failure" if last.result != "success" else "nothing_compared")
    return _aged(last, age or 0.0, limits)


def _aged(last: Restored, age: float, limits: Limits) -> Finding:
    limit = limits.elsewhere_seconds
    how = "as they were" if last.rows else "with the right content hash"
    text = (
        f"{last.what}, of {last.snapshot_at} came back on {last.host} in {last.seconds:.1f} s {how}, "
        f"{spell(age)} ago, due after {spell(limit)}"
    )
    if age < -limits.clock_tolerance_seconds:
        return Finding(Status.FAIL, age, f"{text}: ahead of the auditor's clock", "future")
    if age > limit:
        return Finding(Status.FAIL, age, text, "stale")
    return Finding(Status.PASS, max(age, 0.0), text)


def result_of(
    where: Turn, told: Sequence[Mapping[str, object]], began: datetime, ended: datetime, error: str = ""
) -> Restored:
    """What restores of a job's folders on a host come to; `told` is what the restore program reported of each."""

    def number(key: str) -> float:
        return sum(float(str(one.get(key) or 0)) for one in told)

    newest = told[-1] if told else {}
    return Restored(
        host=where.host,
        repository=where.repository,
        result="failure" if error else "success",
        started_at=timestamp(began),
        ended_at=timestamp(ended),
        seconds=round(number("seconds"), 3),
        snapshot=str(newest.get("snapshot", "")),
        snapshot_at=str(newest.get("snapshot_at", "")),
        files=int(number("files")),
        total_bytes=int(number("total_bytes")),
        rows=int(number("rows")),
        sampled=any(bool(one.get("sampled")) for one in told),
        error=error,
    )
