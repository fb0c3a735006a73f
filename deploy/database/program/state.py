"""What a cluster says of itself, kept over restarts: one small JSON file, replaced whole.

Its form is `inventories/database_state.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from typing import Any

from .configuration import Configuration
from .lasting import now, text, write_whole

VERSION = 1


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


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}
