"""Takes the log that has arrived out of the reach of who brought it.

The server that clients reach runs as an account of its own, which owns what it has just written, and a client
that is taken over can have that server do anything that the account may do. So every segment and every folder
that is whole goes to the keeper: readable to the server, and, in a folder of the keeper's with the sticky bit,
neither to be written, renamed nor removed by it.
"""

from __future__ import annotations

import os
import stat
import time
from typing import NamedTuple

#: How long what has arrived stays with the account that brought it, in seconds.
INTERVAL = 2.0
FOLDER_MODE, FILE_MODE = 0o1770, 0o440
#: pgBackRest writes under this name and renames what is whole.
UNFINISHED = ".pgbackrest.tmp"


class Sealer(NamedTuple):
    """Which folder is sealed, from whom, and for whom; numbers of accounts and their common group."""

    folder: str
    server: int
    keeper: int
    group: int


def seal_for_ever(sealer: Sealer) -> None:
    """Seal what arrives, again and again; folders in which nothing changed are not read."""
    seen: dict[str, int] = {}
    while True:
        seal(sealer, seen)
        time.sleep(INTERVAL)


def seal(sealer: Sealer, seen: dict[str, int]) -> int:
    """Seal all that has arrived since the last pass, which `seen` remembers; returns how many it were."""
    sealed = 0
    waiting = [sealer.folder]
    while waiting:
        path = waiting.pop()
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            sealed += _seal_folder(sealer, folder)
            changed = os.fstat(folder).st_mtime_ns
            with os.scandir(folder) as entries:
                found = (
                    list(entries)
                    if seen.get(path) != changed
                    else [e for e in entries if e.is_dir(follow_symlinks=False)]
                )
            settled = True
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(os.path.join(path, entry.name))
                elif entry.name.endswith(UNFINISHED):
                    settled = False
                else:
                    sealed += _seal_file(sealer, folder, entry.name)
            if settled:
                seen[path] = changed
            else:
                seen.pop(path, None)
        finally:
            os.close(folder)
    return sealed


def _seal_folder(sealer: Sealer, folder: int) -> int:
    status = os.fstat(folder)
    if status.st_uid == sealer.keeper and stat.S_IMODE(status.st_mode) == FOLDER_MODE:
        return 0
    os.fchown(folder, sealer.keeper, sealer.group)
    os.fchmod(folder, FOLDER_MODE)
    return 1


def _seal_file(sealer: Sealer, folder: int, name: str) -> int:
    """Seal a file that the server's account owns; what has a second name, or is none, is left as it is."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return 0
    try:
        status = os.fstat(file)
        if status.st_uid != sealer.server or not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return 0
        os.fchown(file, sealer.keeper, sealer.group)
        os.fchmod(file, FILE_MODE)
        return 1
    finally:
        os.close(file)
