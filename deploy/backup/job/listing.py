"""Which regular files are there, and is each still as it was? What find(1) says of them, name by name.

Of a hundred thousand files a run with nothing new consists of little else than this: find does it in half the time that
Python takes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable

from .restic import JobError

#: What stays the same as long as a file's content does (as restic sees it), `CHANGED:WRITTEN:BYTES:INODE`, and its
#: name. CHANGED is when its status changed last; both times in seconds since 1970 with a fraction.
_LINE = r"%C@:%T@:%s:%i\0%p\0"
_BYTES = 2
#: What find says where its list is not whole. Of a folder that it may not read it says other things, and ends alike.
_CUT_OFF = re.compile(rb"write error|standard output|failed to read file names|memory exhausted")


def listing(paths: Iterable[str], exclude: Iterable[str] = ()) -> bytes:
    """`IDENTITY NUL NAME NUL` of every regular file at or below the paths, as they are met.

    Symbolic links are not followed. Folders that cannot be read are passed over: restic reports them, and the run is
    partial. What `exclude` names as a whole path is not looked at, so that a policy of the whole host does not read
    `/proc`; what restic leaves out by a pattern is listed here.

    Raises:
        JobError: find is not there, or was stopped before its end.
    """
    # In memory, not through a pipe, into which find writes 4 KiB at a time, and whoever reads is woken for each.
    create = getattr(os, "memfd_create", None)  # Python 3.8, where the C library has it
    room = None if create is None else os.fdopen(create("listing"), "w+b")
    try:
        done = subprocess.run(
            ["find", *paths, *_passed_over(exclude), "-type", "f", "-printf", _LINE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if room is None else room,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            check=False,
        )
        if room is not None:
            room.seek(0)
        listed = done.stdout if room is None else room.read()
    except FileNotFoundError as error:
        raise JobError("no_program", "find is not installed; run: apt-get install findutils") from error
    finally:
        if room is not None:
            room.close()
    if done.returncode not in (0, 1) or _CUT_OFF.search(done.stderr) or listed.count(b"\0") % 2:
        said = done.stderr.decode("utf-8", "replace").strip()[-200:]
        raise JobError("os", f"find ended with {done.returncode}; half a list of files is none: {said}")
    return listed


def _passed_over(exclude: Iterable[str]) -> list[str]:
    """Words of find's command line; -path takes a pattern, which a path without these characters is as it stands."""
    whole = [path for path in exclude if path.startswith("/") and not re.search(r"[*?[\\]", path)]
    alternatives = [["-path", os.path.normpath(path), "-o"] for path in whole]
    words = [word for alternative in alternatives for word in alternative][:-1]
    return ["(", *words, ")", "-prune", "-o"] if words else []


def entries(listed: bytes) -> list[tuple[bytes, bytes]]:
    """Name and identity of each file of a listing, in the order of their names."""
    fields = listed.split(b"\0")
    return sorted(zip(fields[1::2], fields[0::2]))  # noqa: B905 (Python 3.7 knows no strict=)


def size_of(identity: bytes) -> int:
    """How many bytes a file had."""
    return int(identity.split(b":", _BYTES + 1)[_BYTES])


def changed_before(identity: bytes, moment_ns: int) -> bool:
    """Whether a file's status changed last before a moment (ns since 1970).

    As bytes: where the seconds have not as many digits (those before 2001 have nine) the answer is no, which costs a
    reading.
    """
    moment = b"%d.%09d" % divmod(moment_ns, 1_000_000_000)
    return identity.find(b".") == moment.find(b".") and identity < moment
