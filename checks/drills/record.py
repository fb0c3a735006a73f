"""What is kept of a drill: the fields of a drill record, one JSON file each; exporters read it, scripts may.

Field names are stable. Times are ISO 8601 with an offset; durations are seconds. A field that could not be
measured is null, never a number that looks well.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import msgspec

#: The version of the form of the file.
VERSION = 1


class Kind(StrEnum):
    """How a drill is held."""

    TABLETOP = "tabletop"
    SIMULATED = "simulated"
    LIVE = "live"


class Outcome(StrEnum):
    """How a stage, a data check or a fall back ended."""

    DONE = "done"
    FAILED = "failed"
    NOT_REACHED = "not_reached"


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a record."""


class PlanReference(_Part, frozen=True):
    """Which contingency plan was exercised."""

    id: str
    version: str


class Participant(_Part, frozen=True):
    """A role in the drill, and who has it."""

    role: str
    unit: str
    duty: str = ""


class Timeline(_Part, frozen=True):
    """The five moments that are measured; null where it did not come to that.

    Attributes:
        fault: The system was lost.
        detected: A client had seen it fail repeatedly in both families.
        decided: It was decided to recover.
        started: Recovery began.
        serving: A client got the right content again, in both families.
    """

    fault: str | None = None
    detected: str | None = None
    decided: str | None = None
    started: str | None = None
    serving: str | None = None


class Stage(_Part, frozen=True):
    """One stage as it went."""

    name: str
    started_at: str
    seconds: float
    outcome: Outcome
    detail: str = ""


class Measured(_Part, frozen=True):
    """Measured against the objective; RTO is fault to serving, RPO the time whose data are lost."""

    rto_seconds: float | None
    rto_objective_seconds: float
    rpo_seconds: float | None
    rpo_objective_seconds: float


class DataCheck(_Part, frozen=True):
    """The recovered data against the data that were lost, by SHA-256 of every file.

    Attributes:
        outcome: `done` when all that is older than the copy came back with the same content.
        files: Files that came back.
        same: Those whose content is the same.
        differing: Paths of those whose content is another one, at most 20.
        missing: Paths that should have come back and did not, at most 20.
        lost: Files that did not come back because they are newer than the copy.
        newest_recovered_at: Moment of the newest record that came back; what is newer is lost.
    """

    outcome: Outcome
    files: int = 0
    same: int = 0
    differing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    lost: int = 0
    newest_recovered_at: str | None = None


class Issue(_Part, frozen=True):
    """Something to put right: what, who, until when (a date)."""

    what: str
    owner: str
    due: str


class DrillRecord(_Part, frozen=True):
    """A drill as a whole; `drill` is its name, `id` this one time that it was held."""

    version: int
    id: str
    drill: str
    title: str
    plan: PlanReference
    scope: str
    kind: Kind
    planned: bool
    city: str
    system: str
    system_name: str
    policy: str
    nodes: dict[str, str]
    participants: tuple[Participant, ...]
    stop_conditions: tuple[str, ...]
    started_at: str
    ended_at: str
    success: bool
    aborted: bool
    timeline: Timeline
    serving_by_family: dict[str, str]
    stages: tuple[Stage, ...]
    measured: Measured
    data_check: DataCheck
    fallback: Stage
    issues: tuple[Issue, ...] = ()


def write_record(folder: Path, record: DrillRecord) -> Path:
    """Write a record into the folder, whole or not at all, and return its path.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.id}.json"
    write_whole(path, msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing (rename, POSIX); others may read it.

    Raises:
        OSError: it cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def read_record(path: Path) -> DrillRecord:
    """Read a record.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: it is no record; the message names the field.
    """
    return msgspec.json.decode(path.read_bytes(), type=DrillRecord)


def record_paths(folder: Path) -> list[Path]:
    """The records of a folder, the oldest first (their names hold the time)."""
    found = [path for path in folder.glob("*.json") if not path.name.startswith(".")]
    return sorted(found, key=lambda path: path.stem.rsplit("-", 1)[-1])
