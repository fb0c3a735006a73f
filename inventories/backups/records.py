"""What may be written in `backups.toml`: policies, repositories, and the reasons why a system has no policy.

The meaning of each key with an example stands in `columns.toml`; `jizuo inventory columns` prints both.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from inventories.records import HostName, Identifier, Record, Seconds

BACKUPS_FILE = "backups.toml"

#: A period of the day, local time, `22:00-06:00`; the end may be on the next day.
Window = Annotated[
    str,
    msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]\Z"),
]
#: Megabits (10^6 bits) per second; 0 is no limit.
Megabits = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
#: How many of something that there must be one of at least.
Count = Annotated[int, msgspec.Meta(ge=1)]


class Medium(StrEnum):
    """On what a repository's data stand: two kinds are asked for by the rule 3-2-1-1-0."""

    DISK = "disk"
    OBJECT = "object"  # an object store, its own system apart from the disks of the cloud
    TAPE = "tape"
    OPTICAL = "optical"  # 蓝光


class Protection(StrEnum):
    """What keeps a repository's history from one who has taken over a client."""

    NONE = "none"
    APPEND_ONLY = "append-only"  # the server takes new data and lets nothing be changed: the kit's own
    WORM = "worm"  # the medium itself: object lock, write once
    OFFLINE = "offline"  # out of reach but for the time of a copy


class Engine(StrEnum):
    """A database system, backed up by its own tools."""

    POSTGRESQL = "postgresql"
    KINGBASE = "kingbase"  # 金仓 KingbaseES
    OPENGAUSS = "opengauss"
    DM8 = "dm8"  # 达梦


class Method(StrEnum):
    """How a database is backed up."""

    DUMP = "dump"  # a consistent dump into the job's snapshot
    CONTINUOUS = "continuous"  # base backups and every WAL segment: restore to any moment


class DatabaseBackup(Record, frozen=True):
    """A database of a policy's systems, an element `[[policy.ID.database]]`.

    `instance` is what the engine's tools call the cluster: `main` for PostgreSQL on Debian, a port or a
    service for others. With `continuous` the whole instance is kept, and `name` is what a restore asks.
    """

    engine: Engine
    name: str
    instance: str = "main"
    method: Method = Method.DUMP


class Verification(Record, frozen=True):
    """How often a policy's repositories are verified, a table `[policy.ID.verify]`.

    `check` is how old the last check of a repository may become, `read_all` within what time the checks
    together read all its data, `restore` how old the last restore test may become, which takes at most
    `files` files of together `megabytes` (10^6 bytes).
    """

    check: Seconds = 86400
    read_all: Seconds = 7 * 86400
    restore: Seconds = 86400
    files: Count = 20
    megabytes: Count = 64


#: How many full (weekly) and differential (daily) base backups of a database are kept where `keep` does not say.
KEPT_FULLS, KEPT_DIFFS = 4, 7


class BackupPolicy(Record, frozen=True):
    """What is backed up, how often and to where, a table `[policy.ID]`.

    `may_be_empty` are paths, or folders directly below one, that need not hold a file.
    `repository` and `copies` are nodes; `schedule` is a systemd calendar expression; `keep` is how many
    snapshots of each period are kept (`last`, `hourly`, `daily`, `weekly`, `monthly`, `yearly`; empty keeps
    all); `window` is the part of the day in which the timer's runs may begin; `bandwidth` what the job may
    take of the way to each repository.
    """

    id: Identifier
    systems: tuple[str, ...]
    schedule: str
    repository: HostName
    rpo: Seconds
    rto: Seconds
    owner: str
    paths: tuple[str, ...] = ()
    database: tuple[DatabaseBackup, ...] = ()
    copies: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    may_be_empty: tuple[str, ...] = ()
    keep: dict[str, int] = msgspec.field(default_factory=dict)
    window: Window | None = None
    bandwidth: Megabits = 0
    verify: Verification = Verification()


class Repository(Record, frozen=True):
    """Where repositories stand, a table `[repository.NODE]`; a node without one has the defaults.

    `window` is the part of the day in which old snapshots are removed there; `bandwidth` what all that is
    copied into it may take of the way there.
    """

    id: HostName
    medium: Medium = Medium.DISK
    protection: Protection = Protection.APPEND_ONLY
    window: Window = "01:00-05:00"
    bandwidth: Megabits = 0


class NoBackup(Record, frozen=True):
    """Why a system that the city hosts has no policy, a table `[without.SYSTEM]`."""

    id: Identifier
    reason: str
    owner: str


class Backups(Record, frozen=True):
    """All that `backups.toml` says but the policies; a city without the file has the defaults."""

    repositories: dict[str, Repository] = msgspec.field(default_factory=dict)
    without: dict[str, NoBackup] = msgspec.field(default_factory=dict)

    def repository(self, node: str) -> Repository:
        """What is known of the repositories on a node."""
        return self.repositories.get(node) or Repository(id=node)
