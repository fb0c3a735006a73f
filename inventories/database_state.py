"""What a continuously kept database says of itself: `/var/lib/jizuo/database/<node>-<instance>.json` on its node.

The node's programs (deploy's) replace the file whole every half minute and after each restore test; the check
(the auditor's) and the exporter read it. All times are ISO 8601 with offset, empty where it never was; all sizes
are bytes.
"""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec

from inventories.backup_state import Result

#: The folder of the state files on every node with databases.
STATE_FOLDER = PurePosixPath("/var/lib/jizuo/database")
#: The version of the form of the file; a reader refuses others.
VERSION = 1


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """PostgreSQL's archiver (`pg_stat_archiver`), and what waits for it.

    Attributes:
        archived: The last WAL segment that all repositories have.
        archived_at: When it was sent.
        failed_at: When sending a segment last failed; it is tried again until it succeeds.
        failures: How often sending failed since the statistics began.
        waiting: Segments that wait to be sent; they take the node's disk.
        waiting_bytes: Their size.
    """

    archived: str = ""
    archived_at: str = ""
    failed_at: str = ""
    failures: int = 0
    waiting: int = 0
    waiting_bytes: int = 0


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The last restore test: the cluster restored beside itself to a moment, and asked what it must know.

    Attributes:
        reason: One word; empty for a success. `no_backup`, `no_moment`, `target_not_reached`, `content_differs`,
            `disk_full`, `unreachable`, `wrong_key`, `recovery`, `command` and pgBackRest's other words.
        moment_at: The moment that it was restored to.
        backup: The base backup that it began from.
        rows: Rows whose value was known and compared.
        restore_seconds: How long the base backup took to come back, of `seconds` in all.
    """

    result: Result
    started_at: str
    ended_at: str = ""
    seconds: float = 0.0
    reason: str = ""
    error: str = ""
    moment_at: str = ""
    backup: str = ""
    total_bytes: int = 0
    rows: int = 0
    restore_seconds: float = 0.0


class DatabaseRepository(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one repository.

    Attributes:
        key: pgBackRest's number for it on the node: 1 is the primary one.
        error: What is wrong with it now; empty when it answered and has a base backup.
        asked_at: When it was last asked; what follows is from the last time that it answered.
        segment: The newest WAL segment in it.
        restorable_at: The newest moment that would come back from it.
        full_at: When its newest full backup ended.
        backup_at: When its newest backup of any kind ended.
        oldest_at: The oldest moment that would come back.
        backups: How many there are.
        total_bytes: The cluster's size in the newest.
        restore_success_at: When a restore test last ended well.
        restored_moment_at: The moment that it proved.
    """

    key: int = 0
    error: str = ""
    asked_at: str = ""
    segment: str = ""
    restorable_at: str = ""
    full_at: str = ""
    backup_at: str = ""
    oldest_at: str = ""
    backups: int = 0
    total_bytes: int = 0
    restore_test: Proof | None = None
    restore_success_at: str = ""
    restored_moment_at: str = ""


class DatabaseState(msgspec.Struct, frozen=True, kw_only=True):
    """The file as a whole; `error` says why the cluster itself did not answer, `stamp_at` when it last did."""

    version: int
    stanza: str
    host: str
    policy: str
    database: str
    rpo_seconds: int
    written_at: str
    error: str = ""
    stamp_at: str = ""
    wal: Log = Log()
    repositories: dict[str, DatabaseRepository] = {}


def decode_state(content: bytes | str) -> DatabaseState:
    """Read a state file's content.

    Raises:
        msgspec.DecodeError: it is not JSON, or not this form; the message names the field.
    """
    state = msgspec.json.decode(content, type=DatabaseState)
    if state.version != VERSION:
        raise msgspec.ValidationError(
            f"the database state has version {state.version} and this kit reads {VERSION}; deploy the kit's own"
        )
    return state
