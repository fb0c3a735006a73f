"""What does a backup job say of itself? Reads the state file that a job leaves on its host; pure.

A state says of the primary repository and of each copy what the job last did there: the copy itself, the
check of the repository, the restore of a sample. Fields that this auditor does not read may come and go.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from checks.security.run import Captures, NotCollected

#: A moment with its offset from UTC: without one, +08:00 would look eight hours newer than it is.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
#: A moment, or None (empty in the file) where it never was.
MaybeMoment = Moment | None


class Step(msgspec.Struct, frozen=True):
    """A run of the job, or of one of its parts.

    Attributes:
        result: How it ended.
        started_at: When it began.
        ended_at: When it ended.
        seconds: How long it took; None while it is under way.
        reason: Why it failed, in one word.
        error: The same in words.
        snapshot: The snapshot that it made or used.
        repository: The node in whose repository the snapshot was made; empty in the state of an older job.
        files: Files in the snapshot, or those restored and found the same.
        mismatched: Restored files whose content hash is another than that of the file that was backed up.
        missing: Files that the restore did not bring back.
    """

    result: Literal["running", "success", "partial", "failure"]
    started_at: Moment
    ended_at: MaybeMoment = None
    seconds: float | None = None
    reason: str = ""
    error: str = ""
    repository: str = ""
    snapshot: str = ""
    files: int = 0
    mismatched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Reading(msgspec.Struct, frozen=True):
    """When each part of a repository's data was last read; empty for a part that is to be read."""

    read_at: tuple[str, ...] = ()


class RepositoryState(msgspec.Struct, frozen=True):
    """What a job knows of one repository.

    Attributes:
        role: `primary`, or `copy`.
        snapshot_at: Of what moment the newest whole snapshot in it is.
        check_success_at: When the repository was last found sound.
        restore_success_at: When a sample was last restored from it with the right content.
        restored_snapshot_at: Of what moment the snapshot was from which that sample came: so far is proven.
        backup: The last run's attempt to make its snapshot there.
        copy: The last copy into it.
        check: The last check of it.
        restore_test: The last restore from it.
        reading: When its data were last read.
        clock_offset_seconds: By how much the client's clock was ahead of the server's; None where unknown.
    """

    role: Literal["primary", "copy"]
    snapshot_at: MaybeMoment = None
    check_success_at: MaybeMoment = None
    restore_success_at: MaybeMoment = None
    restored_snapshot_at: MaybeMoment = None
    backup: Step | None = None
    copy: Step | None = None
    check: Step | None = None
    restore_test: Step | None = None
    reading: Reading | None = None
    clock_offset_seconds: float | None = None


class Snapshot(msgspec.Struct, frozen=True):
    """What is in a whole snapshot: of what moment it is, how many files, and their bytes."""

    snapshot_at: Moment
    files: int
    total_bytes: int


class JobState(msgspec.Struct, frozen=True):
    """The state of one policy on one host.

    Attributes:
        version: The form of the file; 1 is what this auditor reads.
        policy: The policy's id.
        host: The node's id.
        backup: The last run; None before the first.
        last_success_at: Of what moment the newest whole snapshot is.
        last_snapshot: What is in it; None in the state of an older job.
        repositories: By the node that each is on.
    """

    version: Literal[1]
    policy: str
    host: str
    backup: Step | None = None
    last_success_at: MaybeMoment = None
    last_snapshot: Snapshot | None = None
    repositories: dict[str, RepositoryState] = {}

    def lag(self, repository: RepositoryState) -> float | None:
        """By how many seconds the newest snapshot of one is behind the newest in any; None before its first."""
        if self.last_success_at is None or repository.snapshot_at is None:
            return None
        return (self.last_success_at - repository.snapshot_at).total_seconds()


class Unreadable(msgspec.Struct, frozen=True):
    """A state that cannot be used, and why."""

    why: str


class Unknown(msgspec.Struct, frozen=True):
    """A host that could not be asked, and why."""

    reason: str
    why: str


#: The states of a host by policy; of a host that could not be asked, why.
HostStates = Mapping[str, JobState | Unreadable] | Unknown
#: The states of all hosts.
States = Mapping[str, HostStates]


def read_state(text: str) -> JobState | Unreadable:
    """A state file's content."""
    try:
        return msgspec.convert(_without_empty_moments(msgspec.json.decode(text)), JobState)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Unreadable(str(error))


def _without_empty_moments(value: Any) -> Any:
    """JSON in which a time that is empty is null."""
    if not isinstance(value, dict):
        return value
    return {
        key: None if part == "" and key.endswith("_at") else _without_empty_moments(part)
        for key, part in value.items()
    }


def states_of(captures: Captures) -> States:
    """The states that the collectors of hosts printed."""
    states: dict[str, HostStates] = {}
    for node, capture in captures.items():
        if isinstance(capture, NotCollected):
            states[node] = Unknown(capture.reason, capture.evidence)
            continue
        section = capture.get("backup-states")
        pairs = (line.partition("\t") for line in (section.lines if section else ()))
        states[node] = {name.removesuffix(".json"): read_state(text) for name, found, text in pairs if found}
    return states
