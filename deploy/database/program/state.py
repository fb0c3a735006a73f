"""What a cluster says of itself, kept over restarts: one small JSON file, replaced whole.

Its form is `inventories/database_state.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from .configuration import Configuration

VERSION = 1


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


@contextlib.contextmanager
def changing(configuration: Configuration) -> Iterator[dict[str, Any]]:
    """The state, to be changed in place and written at the end; one at a time.

    Raises:
        OSError: the folder cannot be written; the old file stays as it was.
    """
    path = os.path.join(configuration.state, configuration.stanza + ".json")
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        data = _read(path)
        repositories = data.get("repositories") or {}
        data.update(
            version=VERSION,
            stanza=configuration.stanza,
            host=configuration.host,
            policy=configuration.policy,
            database=configuration.database,
            rpo_seconds=configuration.rpo_seconds,
            repositories={place.node: repositories.get(place.node, {}) for place in configuration.places},
        )
        yield data
        data["written_at"] = text(now())
        write_whole(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")


def read(configuration: Configuration) -> dict[str, Any]:
    """The state as it was written last; empty when there is none."""
    return _read(os.path.join(configuration.state, configuration.stanza + ".json"))


def write_whole(path: str, content: str) -> None:
    """Replace a file: a reader sees the old content or the new one, also after a power cut."""
    folder = os.path.dirname(path)
    handle, scratch = tempfile.mkstemp(dir=folder, prefix=".state.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
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


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}
