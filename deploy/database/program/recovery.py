"""A cluster as it was at a moment: restored into a new folder beside the living one, to be asked or to take its place.

To be asked it ends its recovery there, on a timeline of its own that no repository gets: while it is paused, what was
under way at the moment still holds its locks, and the table that was just being dropped is the one that no one could
read. To take the living one's place it stays paused, and ends its recovery there, where its log is kept again.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from datetime import datetime
from typing import NamedTuple

from .commands import ACCOUNT, CommandError, account, must, pgbackrest, query, run
from .configuration import Configuration, Place
from .state import read

#: The port names the socket file in the restored cluster's own folder; it listens on no address.
PORT = 5499
#: How long recovery may take, in seconds.
PATIENCE = 6 * 3600
#: Reasons for which a recovery did not even begin.
NOTHING_WRITTEN = ("living", "exists", "tablespaces", "disk_full")
#: Settings of the primary that a cluster in recovery must not have less of (PostgreSQL 15, 27.4.3), as
#: pg_controldata calls them.
_AT_LEAST = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}


class Recovered(NamedTuple):
    """A restored cluster that stands at its moment.

    Attributes:
        folder: Its data directory.
        backup: The base backup that it began from.
        last_commit_at: The time of the last transaction that is in it; empty when none was replayed.
        total_bytes: Its size.
        restore_seconds: How long the base backup took to come back.
        seconds: How long all took, replay included.
    """

    folder: str
    backup: str
    last_commit_at: str
    total_bytes: int
    restore_seconds: float
    seconds: float


def new_folder(configuration: Configuration, target: datetime) -> str:
    """Where a recovery goes when nothing else is said."""
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(target.timestamp()))
    return os.path.join(configuration.scratch, f"{configuration.stanza}-{moment}Z")


def recover(
    configuration: Configuration, place: Place, target: datetime, folder: str, paused: bool = False
) -> Recovered:
    """Restore the cluster into `folder` and replay its log up to `target`; it stands there, to be read.

    Raises:
        CommandError: `folder` is not new, the disk is too small, the repository does not have it, or the log
            ends before the target; what was restored so far is left there.
    """
    began = time.monotonic()
    _must_be_new(configuration, folder)
    known = read(configuration).get("repositories", {})
    must_fit(known.get(place.node, {}).get("total_bytes", 0), folder)
    must(["mkdir", "-p", "-m", "700", os.path.dirname(folder), folder], "new data directory")
    said = pgbackrest(
        configuration,
        "restore",
        f"--repo={place.key}",
        f"--pg1-path={folder}",
        "--type=time",
        f"--target={target.isoformat(sep=' ', timespec='microseconds')}",
        f"--target-action={'pause' if paused else 'promote'}",
        "--log-level-console=info",
    )
    restored = time.monotonic()
    label = re.search(r"restore backup set (\S+?),", said)
    _start(configuration, place, folder)
    commit = _await_end(configuration, folder, paused)
    return Recovered(
        folder=folder,
        backup=label.group(1) if label else "",
        last_commit_at=commit,
        total_bytes=_size(folder),
        restore_seconds=round(restored - began, 3),
        seconds=round(time.monotonic() - began, 3),
    )


def ask(configuration: Configuration, folder: str, sql: str, database: str = "") -> str:
    """What the restored cluster answers."""
    return query(configuration, sql, database, socket=folder, port=PORT)


def stop(configuration: Configuration, folder: str) -> None:
    """Stop the restored cluster; one that does not run is left."""
    run([_program(configuration, "pg_ctl"), "stop", "-D", folder, "-m", "fast", "-w", "-t", "120"])


def remove(configuration: Configuration, folder: str) -> None:
    """Stop the restored cluster and remove its folder.

    Raises:
        CommandError: it is the living cluster's.
    """
    if os.path.realpath(folder) == os.path.realpath(configuration.data):
        raise CommandError("living", f"{folder} is the living cluster: it is not removed")
    stop(configuration, folder)
    must(["rm", "-rf", "--one-file-system", "--", folder], "removing the restored cluster")


def must_fit(need: int, folder: str) -> None:
    """See that a cluster of so many bytes has room where `folder` will be.

    Raises:
        CommandError: it has not.
    """
    above = folder
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    free = shutil.disk_usage(above).free
    # The log is replayed segment by segment; a tenth and 256 MiB are its share.
    if need * 1.1 + 256 * 1024**2 > free:
        raise CommandError("disk_full", f"{above} has {free} bytes free, and the cluster takes {need}")


def restore_command(configuration: Configuration, place: Place) -> str:
    """How PostgreSQL asks for a segment of the log."""
    return (
        f"{configuration.pgbackrest} --config={configuration.settings} --stanza={configuration.stanza} "
        f'--repo={place.key} archive-get %f "%p"'
    )


def _must_be_new(configuration: Configuration, folder: str) -> None:
    if os.path.realpath(folder) == os.path.realpath(configuration.data):
        raise CommandError("living", f"{folder} is the living cluster; restore beside it and promote then")
    done = run(["ls", "-A", folder])
    if done.returncode == 0 and done.stdout.strip():
        raise CommandError("exists", f"{folder} is not empty; nothing was written")
    spaces = run(["ls", "-A", os.path.join(configuration.data, "pg_tblspc")])
    if spaces.returncode == 0 and spaces.stdout.strip():
        raise CommandError(
            "tablespaces",
            "the cluster has tablespaces, which a copy beside it would write into: restore by hand",
        )


def _start(configuration: Configuration, place: Place, folder: str) -> None:
    control = must([_program(configuration, "pg_controldata"), folder], "pg_controldata")
    least = {
        _AT_LEAST[name]: value
        for name, value in re.findall(r"^(\w+) setting:\s+(\d+)$", control, re.M)
        if name in _AT_LEAST
    }
    # On the command line of the server these stand above what the folder's postgresql.auto.conf says.
    settings = {
        **least,
        "port": str(PORT),
        "listen_addresses": "",
        "unix_socket_directories": folder,
        "archive_mode": "off",
        "hot_standby": "on",
        "default_transaction_read_only": "on",
        "lock_timeout": "60s",
        "ssl": "off",
        "shared_preload_libraries": "",
        "logging_collector": "off",
        "restore_command": restore_command(configuration, place),
    }
    files = {
        "config_file": ("conf", "".join(f"{name} = '{value}'\n" for name, value in settings.items())),
        "hba_file": ("hba", "local all all peer map=jizuo\n"),
        "ident_file": ("ident", f"jizuo {account()} {ACCOUNT}\n"),
    }
    for name, (ending, content) in files.items():
        settings[name] = f"{folder}/jizuo-recovery.{ending}"
        must(["sh", "-c", 'umask 077; cat >"$1"', "sh", settings[name]], name, given=content)
    # postgresql.auto.conf may say otherwise, and only the command line stands above it.
    above = (
        *files,
        "port",
        "listen_addresses",
        "unix_socket_directories",
        "archive_mode",
        "ssl",
    )
    options = " ".join(f"-c {name}='{settings[name]}'" for name in above)
    done = run(
        [
            _program(configuration, "pg_ctl"), "start", "-D", folder, "-s", "-w", "-t", str(PATIENCE),
            "-l", f"{folder}/jizuo-recovery.log", "-o", options,
        ]
    )  # fmt: skip
    if done.returncode:
        raise _why(folder, done.stderr.strip())


def _await_end(configuration: Configuration, folder: str, paused: bool) -> str:
    end = "paused" if paused else "ended"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            state, _, commit = ask(
                configuration,
                folder,
                "select case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() else 'ended' end, "
                "coalesce(pg_last_xact_replay_timestamp()::text, '')",
                "postgres",
            ).partition("|")
        except CommandError as error:
            raise _why(folder, str(error)) from error
        if state == end:
            return commit
        if time.monotonic() > deadline:
            raise CommandError("timeout", f"the log was not replayed within {PATIENCE} s")
        time.sleep(0.1)


def _why(folder: str, otherwise: str) -> CommandError:
    """What the server's log says of its end."""
    log = run(["cat", f"{folder}/jizuo-recovery.log"]).stdout
    fatal = [line.partition("FATAL:")[2].strip() for line in log.splitlines() if "FATAL:" in line]
    if any("recovery ended before configured recovery target" in line for line in fatal):
        return CommandError("target_not_reached", "the archived log ends before that moment")
    own = [line for line in fatal if "the database system is" not in line]
    return CommandError("recovery", (own or [otherwise])[-1])


def _program(configuration: Configuration, name: str) -> str:
    return os.path.join(configuration.binaries, name)


def _size(folder: str) -> int:
    told = run(["du", "-sb", folder]).stdout.split()
    return int(told[0]) if told else 0
