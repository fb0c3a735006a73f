"""Which files did a server leave half written when it was killed? Moves them aside before the server starts again.

rclone 1.60 writes an upload straight to the name that it will have, and removes it when the client goes away; when
the server itself is killed, or its host loses power, the half file stays (a file that it acknowledged is whole: the
folder is written through, see the deploy's server.py). Append-only, the server then refuses the
whole one for ever (403), and a client that sends the same file again gives its repository up for that run.

Every file of a repository but `config` is named after the SHA-256 of its content, so that half a file shows without
any password. Nothing is deleted: what is moved aside lies where :mod:`healing` puts what is damaged.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator

from .holding import as_named, aside_of

#: An upload takes at most so long (rclone's --server-read-timeout, which is for a whole request), in seconds.
UPLOAD_SECONDS = 3600
#: The folders whose files a client uploads.
FOLDERS = ("data", "index", "keys", "locks", "snapshots")
_NAME = re.compile(r"[0-9a-f]{64}$")


def settle(root: str, say: Callable[[str], None]) -> list[str]:
    """Move aside what is half written in any client's repository below `root`; where each of them is now.

    What was under way when the server died was begun no more than an upload's time before, and nothing was written
    after: so it is among the files of the last hour before the newest of its repository, by the times that this
    server wrote. Those alone are read, however large the repository is and whatever the clock says now. What a disk
    loses later is for the repository's check to find.
    """
    moved = []
    for client in _folders(root):
        for policy in _folders(client):
            moved += [_move(root, policy, path) for path in half_files(policy)]
    for path in moved:
        say(f"half written when the server died, moved aside: {path}")
    return moved


def half_files(repository: str) -> list[str]:
    """The files of the last hour of a repository whose content is not what their name says."""
    written = dict(_files(repository))
    newest = max(written.values(), default=0.0)
    return [
        path
        for path, moment in written.items()
        # A disk that cannot be read now proves nothing against a file.
        if moment >= newest - UPLOAD_SECONDS and not as_named(path, unreadable=True)
    ]


def _files(repository: str) -> Iterator[tuple[str, float]]:
    """Each uploaded file, and when it was last written; what goes meanwhile is passed over.

    What the maintenance, which may be at work, has under way has a name of another kind until it is whole.
    """
    for kind in FOLDERS:
        for folder, _, names in os.walk(os.path.join(repository, kind)):
            for name in filter(_NAME.match, names):
                path = os.path.join(folder, name)
                try:
                    yield path, os.lstat(path).st_mtime
                except OSError:
                    continue


def _folders(folder: str) -> list[str]:
    """The folders in a folder, without those of no client."""
    with os.scandir(folder) as entries:
        return sorted(
            one.path for one in entries if one.is_dir(follow_symlinks=False) and not one.name.startswith(".")
        )


def _move(root: str, repository: str, path: str) -> str:
    name = f"{os.path.basename(os.path.dirname(repository))}-{os.path.basename(repository)}"
    stamp = time.strftime("%Y%m%dT%H%M%S")
    target = os.path.join(aside_of(root, name, stamp), os.path.relpath(path, repository))
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    os.replace(path, target)
    return target
