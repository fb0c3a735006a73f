"""A file that is replaced whole, also where the power is cut, and the moments that stand in it; shared with databases'.

The programs of databases (deploy/database/program), which are a package of their own on a host, have this very file.
"""

from __future__ import annotations

import contextlib
import os
from datetime import datetime


def now() -> datetime:
    """This moment with the offset of the time zone that the unit sets (TZ)."""
    return datetime.now().astimezone()


def text(moment: datetime) -> str:
    """ISO 8601 with offset, in milliseconds."""
    return moment.isoformat(timespec="milliseconds")


def seconds_since(moment: str) -> float:
    """Seconds from an ISO 8601 moment until now; infinite where there is none or it cannot be read."""
    try:
        return (now() - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return float("inf")


def write_whole(path: str, content: str) -> None:
    """Replace a file: a reader sees the old content or the new one, also after a power cut.

    Raises:
        OSError: the folder cannot be written; the old file stays as it was.
    """
    folder, name = os.path.split(path)
    # Of one writer only; what one that was killed left is written over once its number comes again.
    scratch = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        with open(scratch, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
