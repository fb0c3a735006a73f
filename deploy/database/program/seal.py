"""Takes the log that has arrived out of the reach of who brought it.

The server that clients reach runs as an account of its own, which owns what it has just written, and a client
that is taken over can have that server do anything that the account may do. So every segment and every folder
that is whole goes to the keeper: readable to the server, and, in a folder of the keeper's with the sticky bit,
neither to be written, renamed nor removed by it.

A segment that is sent again is known by the hash in its name, and passed over. Other files are written anew, by the
same name: one that was sealed would be refused, and with it all that a database wants to send after it. A database
sends them again whenever an answer was lost. So a timeline's history stays open for an hour, and the note of a base
backup (`.backup`), which no restore reads, for ever.
"""

from __future__ import annotations

import os
import re
import stat
import time
from typing import NamedTuple

#: How long what has arrived stays with the account that brought it, in seconds.
INTERVAL = 2.0
FOLDER_MODE, FILE_MODE = 0o1770, 0o440
#: How long a timeline's history may be sent again, in seconds.
TIMELINE_SECONDS = 3600.0
TIMELINE = re.compile(r"[0-9A-F]{8}\.history\Z")
NOTE = re.compile(r"[0-9A-F]{24}\.[0-9A-F]{8}\.backup\Z")
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
                elif entry.name.endswith(UNFINISHED) or _may_come_again(entry):
                    settled = False
                elif NOTE.match(entry.name):
                    _give_back(sealer, folder, entry.name)
                else:
                    sealed += _seal_file(sealer, folder, entry.name)
            if settled:
                seen[path] = changed
            else:
                seen.pop(path, None)
        finally:
            os.close(folder)
    return sealed


def _may_come_again(entry: os.DirEntry[str]) -> bool:
    """Whether it is the history of a timeline that arrived lately."""
    if not TIMELINE.match(entry.name):
        return False
    try:
        return abs(time.time() - entry.stat(follow_symlinks=False).st_ctime) < TIMELINE_SECONDS
    except OSError:
        return True


def _give_back(sealer: Sealer, folder: int, name: str) -> None:
    """Let the server replace a note that was sealed, as earlier releases did."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return
    try:
        status = os.fstat(file)
        if status.st_uid == sealer.keeper and stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            os.fchown(file, sealer.server, sealer.group)
            os.fchmod(file, 0o640)
    finally:
        os.close(file)


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
