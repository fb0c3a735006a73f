"""Does a cluster come back on another host? From the repository that stands there, asked, and removed again.

Run as the repository's keeper, with no way to the cluster's own node, which may be lost: nothing but what stands on
this host is used. The answer is compared by whoever has it from the cluster's node (`expect`).
"""

from __future__ import annotations

import configparser
import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from . import keep, recovery, stamps
from .commands import CommandError
from .configuration import Configuration, Place
from .keep import Keeping

#: Debian's folder of a version's programs.
PROGRAMS = "/usr/lib/postgresql/{version}/bin"
#: The repository that stands here, as the keeper's settings number it.
HERE = 1


def reproduce(
    keeping: Keeping, target: datetime, folder: str, rows: int, databases: Sequence[str]
) -> dict[str, Any]:
    """Restore the cluster below `folder` to a moment, and ask it for its newest stamps.

    Args:
        keeping: The stanza as its keeper has it.
        target: The moment.
        folder: An empty folder of this account's own; what is put there is removed again.
        rows: How many stamps are asked for.
        databases: The one that holds the stamps, then others, each of which must open.

    Returns:
        `rows` as :func:`stamps.question` answers, `backup` and `last_commit_at` as in :class:`recovery.Recovered`,
        likewise `total_bytes`, `restore_seconds` and `seconds`.

    Raises:
        CommandError: it does not come back; nothing is left.
        KeepError: the repository cannot be read.
    """
    newest = next(iter(reversed(keep.backups(keeping))), None)
    if newest is None:
        raise CommandError("no_backup", f"{keeping.stanza} has no base backup here")
    binaries = _programs(keep.version(keeping))
    data, settings = os.path.join(folder, "data"), os.path.join(folder, "settings")
    recovery.must_fit(newest["info"]["size"], data)
    configuration = Configuration(
        stanza=keeping.stanza,
        host="",
        policy="",
        database=databases[0],
        databases=tuple(databases),
        rpo_seconds=0,
        verify_every_seconds=0,
        places=(Place(HERE, ""),),
        unit="",
        settings=os.path.join(settings, "pgbackrest.conf"),
        # There is no living cluster here that could be written over.
        data=os.path.join(folder, "none"),
        socket=data,
        port=recovery.PORT,
        binaries=binaries,
        state=folder,
        scratch=folder,
        pgbackrest=keeping.pgbackrest,
    )
    try:
        os.mkdir(settings, 0o700)
        _write_settings(keeping, configuration, settings)
        came = recovery.recover(configuration, configuration.places[0], target, data)
        answer = recovery.ask(configuration, data, stamps.question(rows))
        for database in databases:
            recovery.ask(configuration, data, "select count(*) from pg_class", database)
    finally:
        recovery.remove(configuration, data)
        shutil.rmtree(settings, ignore_errors=True)
    told = came._asdict()
    del told["folder"]
    return {**told, "rows": answer.splitlines()}


def _programs(version: str) -> str:
    folder = PROGRAMS.format(version=version)
    if not os.access(os.path.join(folder, "pg_ctl"), os.X_OK):
        raise CommandError("no_program", f"PostgreSQL {version} is not installed here: {folder}")
    return folder


def _write_settings(keeping: Keeping, configuration: Configuration, folder: str) -> None:
    """The keeper's settings without the way to the cluster's node; what is written has a place of its own."""
    read = configparser.RawConfigParser()
    with open(keeping.settings, encoding="utf-8") as file:
        read.read_file(file)
    ours = configparser.RawConfigParser()
    ours["global"] = {
        **{name: value for name, value in read["global"].items() if name.startswith("repo1-")},
        "lock-path": os.path.join(folder, "lock"),
        "spool-path": os.path.join(folder, "spool"),
        "log-level-file": "off",
    }
    ours[keeping.stanza] = {
        **{name: value for name, value in read[keeping.stanza].items() if not name.startswith("pg1-")},
        "pg1-path": configuration.socket,
    }
    with open(configuration.settings, "w", encoding="utf-8") as file:
        ours.write(file, space_around_delimiters=False)
