"""Which of a policy's folders hold no file although they should: a disk not mounted, or data that are lost?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from . import dumps
from .configuration import Configuration
from .restic import JobError

#: The word for programs where a folder holds no file although it should.
REASON = "empty_source"


def emptied(configuration: Configuration, before: Iterable[bytes], known: Iterable[str]) -> list[str]:
    """Answer the folders that hold no file although they should, while others of the policy do.

    A path of the policy must hold a file. So must each folder directly below one (below /srv/systems each system has
    its own) that held one at the last scan and still stands; one that never did, or that was removed itself, is no
    fault. What the policy's `may_be_empty` names, and what restic leaves out, may be empty. A path that is not there
    or cannot be read is left to restic, which names it (the run is partial), unless that is all there is.

    Args:
        configuration: The job's.
        before: The files that there were at the last scan; none where nothing has changed since.
        known: The folders that this answered at the last scan: they stay a fault until they hold a file again, are
            removed, or may be empty.

    Raises:
        JobError: there is no file in the whole policy (`empty_source`): its backup would be a green one of nothing.
    """
    dumped = dumps.folders_of(configuration.dumps)
    ours = [path for path in configuration.paths if path in dumped]
    paths = [path for path in configuration.paths if path not in ours]
    folders = {folder for path in paths for folder in _folders_below(path, before)} | set(known)
    empty = [one for one in (*paths, *sorted(folders - {*paths})) if _is_empty(one)]
    faults = [one for one in empty if not _may_be(configuration, one)]
    held = [path for path in paths if os.path.lexists(path) and path not in empty]
    if not (ours or held) and (faults or not empty):
        raise JobError(REASON, complaint(faults or paths or ["the policy, which names no path"]))
    return faults


def complaint(folders: Sequence[str]) -> str:
    """Answer what is wrong with these folders, and the way out."""
    others = f" and {len(folders) - 3} more" if len(folders) > 3 else ""
    return (
        f"there is no file in {', '.join(folders[:3])}{others}; mount it or bring its data back. Where it is meant, "
        "remove that folder, or name it in the policy's may_be_empty"
    )


def _folders_below(path: str, names: Iterable[bytes]) -> Iterator[str]:
    """The folders directly below a path that hold one of these files."""
    above = os.path.join(os.fsencode(path), b"")
    start = len(above)
    found = {
        name[start:].partition(b"/")[0] for name in names if name.startswith(above) and b"/" in name[start:]
    }
    return (os.fsdecode(above + one) for one in found)


def _is_empty(path: str) -> bool:
    """Whether a path is there, can be read, and neither is a file nor holds one."""
    try:
        if os.path.isdir(path):
            os.scandir(path).close()
    except OSError:
        return False
    return os.path.lexists(path) and not _holds_a_file(path)


def _holds_a_file(path: str) -> bool:
    """Whether a path is a regular file or one is below it; symbolic links are not followed."""
    if not os.path.isdir(path) or os.path.islink(path):
        return _is_file(path)
    return any(_is_file(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _may_be(configuration: Configuration, path: str) -> bool:
    """Whether the policy says that this folder may hold nothing, or leaves it out."""
    left_out = (
        fnmatchcase(one, pattern)
        for pattern in configuration.exclude
        for one in (path, os.path.basename(path))
    )
    return path in configuration.may_be_empty or any(left_out)
