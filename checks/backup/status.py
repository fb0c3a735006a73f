"""How does every backup job stand, in one line each, the worst first? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from rich.cells import cell_len
from rich.filesize import decimal

from checks.backup.figures import newest_of, seconds_of
from checks.backup.finding import spell
from checks.backup.judging import evaluate
from checks.backup.places import job_nodes
from checks.backup_state import (
    HostStates,
    JobState,
    MaybeMoment,
    RepositoryState,
    States,
    Unreadable,
    read_state,
)
from checks.record import Record, Status, timestamp
from inventories.backups.records import BackupPolicy
from inventories.records import City

#: The columns of the table with their widths; with a space between them they are 80 wide.
COLUMNS = (
    ("job", 26),
    ("backup", 8),
    ("RPO", 5),
    ("last run", 13),
    ("copies", 8),
    ("check", 6),
    ("proven", 8),
)
WIDTH = 80
#: What a wide table has besides; 112 columns in all.
WIDE_COLUMNS = (*COLUMNS, ("took", 6), ("size", 8), ("files", 9), ("lag", 5))
NEVER = "never"
#: ANSI colours (ECMA-48) of a line, by how the job stands; a job that is well has none.
_COLOURS = {Status.FAIL: "\x1b[31m", Status.ERROR: "\x1b[35m"}
_PLAIN = "\x1b[0m"


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """How a repository of a job stands; times are seconds before the auditor's now, None is never.

    Attributes:
        node: Where it is.
        role: `primary`, or `copy`.
        age: Of the newest whole snapshot in it.
        lag: How far its newest snapshot is behind the newest anywhere; 0 for the primary.
        check_age: Since it was last found sound.
        proven_age: Of the newest snapshot of it that was restored and found the same.
    """

    node: str
    role: str
    age: float | None
    lag: float | None
    check_age: float | None
    proven_age: float | None


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a job stands; times are seconds, None is never.

    Attributes:
        job: `POLICY@NODE`.
        policy: The policy's id.
        node: The node on which it runs; empty where the policy has none.
        status: `pass`, `fail`, or `error` where its host could not be asked.
        rpo: What may be lost at most.
        age: Of the newest whole snapshot.
        last_run: How the last run ended, `running`, or `never`.
        last_run_age: Since it began.
        last_run_seconds: What it took for its snapshot; None while it is under way.
        bytes: Size of what the newest whole snapshot holds; None where no snapshot is known.
        files: Number of files in it.
        repositories: The primary one first, as the policy has them.
        proven_age: Of the newest snapshot that was restored, from wherever, and found the same.
        findings: What is not well, in words, by check.
    """

    job: str
    policy: str
    node: str
    status: Status
    rpo: int
    age: float | None
    last_run: str
    last_run_age: float | None
    last_run_seconds: float | None
    bytes: int | None
    files: int | None
    repositories: tuple[Copy, ...]
    proven_age: float | None
    findings: dict[str, str]


def statuses(city: City, states: States, now: datetime, policies: Sequence[str] = ()) -> list[JobStatus]:
    """Every job, the worst first.

    What is not well is what `jizuo check PATH backup` finds: it judges by the same states.

    Args:
        city: The city.
        states: What each host's jobs say.
        now: The auditor's time, with offset.
        policies: Only these; all where none is named.
    """
    findings = _findings(evaluate(city, states, now))
    found = []
    for policy in city.backups.values():
        if policies and policy.id not in policies:
            continue
        for node in job_nodes(city, policy) or [""]:
            known = states.get(node, {})
            state = known.get(policy.id) if isinstance(known, Mapping) else None
            here = state if isinstance(state, JobState) else None
            found.append(_status(policy, node, here, findings, now))
    return sorted(found, key=_badness)


def _findings(records: Iterable[Record]) -> dict[str, list[Record]]:
    """What is not well, by job."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.status in (Status.FAIL, Status.ERROR):
            found.setdefault(record.subject, []).append(record)
    return found


def _status(
    policy: BackupPolicy,
    node: str,
    state: JobState | None,
    findings: Mapping[str, Sequence[Record]],
    now: datetime,
) -> JobStatus:
    job = f"{policy.id}@{node}" if node else policy.id
    bad = findings.get(job, ())
    status = max((record.status for record in bad), key=lambda one: one is Status.FAIL, default=Status.PASS)
    newest = state.last_success_at if state else None
    repositories = [
        _copy(place, place == policy.repository, state, now) for place in (policy.repository, *policy.copies)
    ]
    proven = [one.proven_age for one in repositories if one.proven_age is not None]
    run = state.backup if state else None
    snapshot = newest_of(state) if state else None
    return JobStatus(
        job=job,
        policy=policy.id,
        node=node,
        status=status,
        rpo=policy.rpo,
        age=_age(newest, now),
        last_run=run.result if run else NEVER,
        last_run_age=_age(run.started_at if run else None, now),
        last_run_seconds=seconds_of(run),
        bytes=snapshot.total_bytes if snapshot else None,
        files=snapshot.files if snapshot else None,
        repositories=tuple(repositories),
        proven_age=min(proven, default=None),
        findings={record.check: f"{record.reason}: {record.evidence}" for record in bad},
    )


def _copy(place: str, primary: bool, state: JobState | None, now: datetime) -> Copy:
    empty = RepositoryState(role="primary" if primary else "copy")
    known = (state.repositories.get(place) if state else None) or empty
    return Copy(
        node=place,
        role=empty.role,
        age=_age(known.snapshot_at, now),
        lag=state.lag(known) if state else None,
        check_age=_age(known.check_success_at, now),
        proven_age=_age(known.restored_snapshot_at, now),
    )


def _age(moment: MaybeMoment, now: datetime) -> float | None:
    return None if moment is None else round((now - moment).total_seconds(), 3)


def _badness(one: JobStatus) -> tuple[int, float, int, str]:
    """The worst first: what is not well, then what is furthest beyond its RPO, then what has most findings."""
    beyond = float("inf") if one.age is None else one.age / max(one.rpo, 1)
    return (one.status is Status.PASS, -beyond, -len(one.findings), one.job)


def states_in(folder: Path) -> States:
    """The states in a folder, `NODE/POLICY.json` each: what `/var/lib/jizuo/backup` of each node holds.

    Raises:
        OSError: the folder or a file in it cannot be read.
    """
    states: dict[str, HostStates] = {}
    for node in sorted(folder.iterdir()):
        if node.is_dir():
            states[node.name] = {path.stem: _state_in(path) for path in sorted(node.glob("*.json"))}
    return states


def _state_in(path: Path) -> JobState | Unreadable:
    try:
        return read_state(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        return Unreadable(str(error))


def lines(found: Sequence[JobStatus], *, colour: bool = False, wide: bool = False) -> Iterator[str]:
    """The table for people, at most 80 columns unless wide: a line a job, and why below those that are not well.

    Written out by hand: rich takes a second and more for the jobs of a large city.
    """
    columns = WIDE_COLUMNS if wide else COLUMNS
    yield _line([name for name, _ in columns])
    yield _line(["-" * width for _, width in columns])
    for one in found:
        cells = [*_cells(one), *(_wide_cells(one) if wide else ())]
        if cell_len(cells[0]) > COLUMNS[0][1]:  # a name is never cut: it is what the other commands take
            yield _coloured(cells[0], one, colour)
            cells[0] = ""
        yield _coloured(_line(cells), one, colour)
        for text in _grouped(one.findings):
            yield from _wrapped(text, 4)


def summary(found: Sequence[JobStatus]) -> str:
    """How many jobs there are and how they stand."""
    well = sum(one.status is Status.PASS for one in found)
    unknown = sum(one.status is Status.ERROR for one in found)
    proven = [one.proven_age for one in found]
    oldest = max((age for age in proven if age is not None), default=None)
    unproven = sum(age is None for age in proven)
    parts = [f"{len(found)} jobs: {well} well, {len(found) - well - unknown} not, {unknown} unknown"]
    if oldest is not None:
        parts.append(f"oldest proven restorable state {spell(oldest)}")
    if unproven:
        parts.append(f"{unproven} not proven")
    return "; ".join(parts)


def _cells(one: JobStatus) -> list[str]:
    copies = one.repositories[1:]
    began = "" if one.last_run_age is None else f" {_short(one.last_run_age)}"
    return [
        one.job,
        _short(one.age),
        _short(one.rpo),
        f"{one.last_run}{began}",
        _worst(copy.age for copy in copies) if copies else "none",
        _worst(copy.check_age for copy in one.repositories),
        _short(one.proven_age),
    ]


def _wide_cells(one: JobStatus) -> list[str]:
    copies = one.repositories[1:]
    return [
        "-" if one.last_run_seconds is None else _short(one.last_run_seconds),
        "-" if one.bytes is None else decimal(one.bytes),
        "-" if one.files is None else f"{one.files:,}",
        _worst(copy.lag for copy in copies) if copies else "none",
    ]


def _worst(times: Iterable[float | None]) -> str:
    """The longest of some times; `never` where one of them never was."""
    found = list(times)
    return NEVER if None in found else _short(max(one for one in found if one is not None))


def _short(seconds: float | None) -> str:
    """Seconds in one unit, for a narrow column; two where the first is small."""
    if seconds is None:
        return NEVER
    if seconds < 0:
        return "future"
    spelt = spell(seconds).split()
    return spelt[0] if len(spelt) == 1 or len(spelt[0]) > 2 else "".join(spelt)[:6]


def _grouped(findings: Mapping[str, str]) -> list[str]:
    """Checks that came to the same are told once."""
    checks: dict[str, list[str]] = {}
    for check, text in findings.items():
        checks.setdefault(text, []).append(check)
    return [
        f"{', '.join(names) if len(names) < 3 else f'{len(names)} checks'}: {text}"
        for text, names in checks.items()
    ]


def _line(cells: Sequence[str]) -> str:
    widths = [width for _, width in WIDE_COLUMNS[: len(cells)]]
    padded = (text + " " * (width - cell_len(text)) for text, width in zip(cells, widths, strict=True))
    return " ".join(padded).rstrip()


def _wrapped(text: str, indent: int) -> Iterator[str]:
    """A text in lines of the table's width, broken between words, or within one that is too long."""
    room, line = WIDTH - indent, ""
    for word in text.split():
        while cell_len(word) > room:
            if line:
                yield " " * indent + line
                line = ""
            yield " " * indent + word[: room // 2]
            word = word[room // 2 :]
        if line and cell_len(line) + 1 + cell_len(word) > room:
            yield " " * indent + line
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield " " * indent + line


def _coloured(text: str, one: JobStatus, colour: bool) -> str:
    code = _COLOURS.get(one.status) if colour else None
    return f"{code}{text}{_PLAIN}" if code else text


def as_json(found: Sequence[JobStatus], now: datetime) -> bytes:
    """For programs: the moment, and the jobs in the table's order."""
    return msgspec.json.encode({"at": timestamp(now), "jobs": found})
