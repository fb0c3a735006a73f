"""What backups say of themselves: the job's state file on its client, the maintenance's on the repository's server.

They are `/var/lib/jizuo/backup/<policy>.json` and `/var/lib/jizuo/repository/<client>-<policy>.json`.

The job (deploy's) writes the file whole after every step and renames it into place; the check (the
auditor's) and the exporter read it. It is the interface between rooms that do not import each other, so it
stands here. All times are ISO 8601 with the offset of the city's time zone; all sizes are bytes.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path, PurePosixPath

import msgspec

#: The folder of the state files on every client.
STATE_FOLDER = PurePosixPath("/var/lib/jizuo/backup")
#: The folder of the state files on every server of repositories.
REPOSITORY_STATE_FOLDER = PurePosixPath("/var/lib/jizuo/repository")
#: The version of the form of the file; a reader refuses others.
VERSION = 1


class Result(StrEnum):
    """How a step of a job ended.

    `partial` is a snapshot that lacks files which could not be read (restic's exit code 3): never a success.
    `running` that outlives its job's process means that the job was killed or its host lost power.
    """

    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILURE = "failure"


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """Unknown fields are let pass: a newer job's file stays readable."""


class Backup(_State, frozen=True):
    """The last attempt to take a snapshot.

    Attributes:
        repository: The node whose repository the snapshot was made in: a copy's, while the primary one failed.
        snapshot: The snapshot's id in the repository; empty when there is none.
        snapshot_at: The moment that the snapshot shows.
        files: Files in it.
        total_bytes: Their size.
        added_bytes: What the repository grew by.
        family: The address family that reached the repository, `ipv4` or `ipv6`; empty when none did.
        reason: One word for programs; empty for a success. `unreachable`, `empty_source`, `unread_files`,
            `wrong_password`, `unauthorized`, `certificate`, `repository_missing`, `locked`, `disk_full` (here),
            `not_stored` (the server took no more: its disk is full), `interrupted`, `os`, `no_program`, `restic`.
        error: What went wrong, in words; never holds a password.
        unread: Paths that could not be read, at most 20.
    """

    result: Result
    started_at: str
    ended_at: str = ""
    seconds: float = 0.0
    repository: str = ""
    snapshot: str = ""
    snapshot_at: str = ""
    files: int = 0
    total_bytes: int = 0
    added_bytes: int = 0
    family: str = ""
    reason: str = ""
    error: str = ""
    unread: tuple[str, ...] = ()


class Snapshot(_State, frozen=True):
    """The newest whole snapshot, wherever it is: its figures stay known while later runs are under way or fail."""

    snapshot_at: str
    files: int
    total_bytes: int


class Step(_State, frozen=True):
    """The last attempt of a copy, a check or a restore test.

    `reason` and `error` are as those of :class:`Backup`; a restore test also fails with `content_differs`, and
    with `no_sample` where every file changed while it was backed up.
    """

    result: Result
    started_at: str
    ended_at: str = ""
    seconds: float = 0.0
    family: str = ""
    reason: str = ""
    error: str = ""


class Copy(Step, frozen=True):
    """`restic copy` into a repository from that on the node `source`; into the primary one, what only a copy held."""

    source: str = ""


class Check(Step, frozen=True):
    """`restic check`: structure whole, and of the data in `parts` parts those that were `read` (the first: `part`).

    `reason` is `damaged` when the repository answered and is not whole.
    """

    part: int = 0
    parts: int = 0
    read: tuple[int, ...] = ()


class Damage(_State, frozen=True):
    """What a check found damaged and no check has found well since: names of packs, at most 20."""

    found_at: str
    packs: tuple[str, ...] = ()


class Reading(_State, frozen=True):
    """When each part of the data was last read, in the order of the parts; empty for a part that is to be read."""

    parts: int
    read_at: tuple[str, ...]


class NotBegun(_State, frozen=True):
    """A run of the timer that was not begun, and why: `reason` is `outside_window`."""

    at: str
    reason: str
    error: str


class RestoreTest(Step, frozen=True):
    """A sample that was restored from the repository and compared by digest with the manifest.

    Attributes:
        snapshot: Which snapshot it came from.
        snapshot_at: Its time: the age that is proven restorable.
        files: Files that were restored and compared.
        total_bytes: Their size.
        mismatched: Paths whose content is not what was backed up, at most 20.
        missing: Paths that the snapshot should hold and does not, at most 20.
    """

    snapshot: str = ""
    snapshot_at: str = ""
    files: int = 0
    total_bytes: int = 0
    mismatched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Repository(_State, frozen=True):
    """What is known of one repository: the primary one, or a copy.

    Attributes:
        role: `primary` or `copy`.
        snapshot: Id of the newest complete snapshot that is known to be in it.
        snapshot_at: Its time; what would be lost is all that is newer.
        lag_seconds: By how much that is behind the newest whole snapshot in any repository; None before the first.
        backup: How the last run's attempt to make its snapshot here went; None where none was made: a copy is
            tried only when the primary repository failed.
        copy: The last attempt to copy into it; for the primary, to bring back what only a copy held.
        whole: The last copy left nothing out.
        ahead: It holds snapshots that the primary repository lacks: made here while that one failed.
        damage: What is damaged in it; None when its last check went well.
        reading: When its data were last read.
        clock_offset_seconds: By how much the client's clock was ahead of the server's; None where unknown.
        check: The last check.
        check_success_at: When a check last ended well.
        restore_test: The last restore test.
        restore_success_at: When a restore test last ended well.
        restored_snapshot_at: The time of the snapshot that it proved.
    """

    role: str
    snapshot: str = ""
    snapshot_at: str = ""
    lag_seconds: int | None = None
    backup: Step | None = None
    copy: Copy | None = None
    whole: bool = False
    ahead: bool = False
    damage: Damage | None = None
    reading: Reading | None = None
    clock_offset_seconds: float | None = None
    check: Check | None = None
    check_success_at: str = ""
    restore_test: RestoreTest | None = None
    restore_success_at: str = ""
    restored_snapshot_at: str = ""


class BackupState(_State, frozen=True):
    """The file as a whole.

    Attributes:
        host: The client, by its name in the inventory.
        written_at: When the file was written.
        not_begun: The timer's run that was not begun since the last that was; None when there was none.
        last_success_at: The snapshot time of the last complete backup, wherever it is; empty when there was none.
        last_snapshot: What is in that backup; None when there was none.
        repositories: By node name; the primary first.
    """

    version: int
    policy: str
    host: str
    rpo_seconds: int
    written_at: str
    backup: Backup | None = None
    not_begun: NotBegun | None = None
    last_success_at: str = ""
    last_snapshot: Snapshot | None = None
    repositories: dict[str, Repository] = {}


class MaintenanceResult(StrEnum):
    """How a step of a repository's maintenance ended; `refused`: nothing was removed, because that would be wrong."""

    RUNNING = "running"
    SUCCESS = "success"
    REFUSED = "refused"
    FAILURE = "failure"


class MaintenanceStep(_State, frozen=True):
    """The last time that a step was tried.

    `reason` is one word for programs: of a refusal `future_snapshots`, `clock`, `nothing_new` or `damaged`; of a
    failure `damaged`, `locked` (a client is at work), `wrong_password`, `os`, `restic` and others of restic.
    """

    result: MaintenanceResult
    started_at: str
    ended_at: str = ""
    seconds: float = 0.0
    reason: str = ""
    error: str = ""


class Prune(MaintenanceStep, frozen=True):
    """The removal of snapshots: how many were kept and removed, the first 20 of these, and the space that it freed."""

    kept: int = 0
    removed_count: int = 0
    removed: tuple[str, ...] = ()
    freed_bytes: int = 0


class Healing(MaintenanceStep, frozen=True):
    """What was moved aside because it was damaged: files and snapshots (the first 20 of each), and to where.

    `newest_lost_at` is the time of the newest snapshot that needed what was damaged; a copy brings them back.
    """

    aside: str = ""
    files: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    snapshots_count: int = 0
    newest_lost_at: str = ""


class RepositoryState(_State, frozen=True):
    """What a repository's server says of it.

    Attributes:
        host: The server, by its name in the inventory.
        keep: The policy's retention.
        snapshots: How many of the policy there are; `partial` of them lack files.
        foreign: Snapshots of another host or tag: not the job's, and never removed by itself.
        arrived_last_day: How many arrived within a day before the last maintenance: a flood shows here.
        bytes: What the repository takes of the disk.
        oldest_lock_at: Since when the oldest lock has stood that was left alone; empty when there was none.
        locks_removed: Locks of dead owners that the last maintenance removed.
        damage: What is damaged; None when the last check went well.
    """

    version: int
    host: str
    client: str
    policy: str
    keep: dict[str, int]
    written_at: str
    check: MaintenanceStep | None = None
    check_success_at: str = ""
    damage: Damage | None = None
    prune: Prune | None = None
    prune_success_at: str = ""
    healing: Healing | None = None
    snapshots: int = 0
    partial: int = 0
    foreign: int = 0
    arrived_last_day: int = 0
    newest_at: str = ""
    oldest_at: str = ""
    bytes: int = 0
    oldest_lock_at: str = ""
    locks_removed: int = 0


def decode_repository_state(content: bytes | str) -> RepositoryState:
    """Read the content of a repository's state file.

    Raises:
        msgspec.DecodeError: it is not JSON, or not this form.
    """
    state = msgspec.json.decode(content, type=RepositoryState)
    if state.version != VERSION:
        raise msgspec.ValidationError(
            f"the repository's state has version {state.version} and this kit reads {VERSION}; deploy the kit's own"
        )
    return state


def read_repository_state(path: Path) -> RepositoryState:
    """Read a repository's state file.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: as :func:`decode_repository_state`.
    """
    return decode_repository_state(path.read_bytes())


def decode_state(content: bytes | str) -> BackupState:
    """Read a state file's content.

    Raises:
        msgspec.DecodeError: it is not JSON, or not this form; the message names the field.
    """
    state = msgspec.json.decode(content, type=BackupState)
    if state.version != VERSION:
        raise msgspec.ValidationError(
            f"the backup state has version {state.version} and this kit reads {VERSION}; deploy the kit's own job"
        )
    return state


def read_state(path: Path) -> BackupState:
    """Read a state file.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: as :func:`decode_state`.
    """
    return decode_state(path.read_bytes())
