"""Does a piece of work in a process of its own, so that the memory it took is free again when it has ended."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

from .restic import JobError


def apart(work: Callable[[], None]) -> None:
    """Do the work in a child of this process and wait; what it leaves are files.

    Python gives back to the system little of what it once held, and restic, which runs next, needs the room: what
    a manifest of a million files takes is more than all that restic does.

    Raises:
        JobError: as the work raised it, or the child ended without a word (it was killed).
        OSError: as the work raised it.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_child(work, writer)
    os.close(writer)
    try:
        with os.fdopen(reader, encoding="utf-8") as file:
            said = file.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.waitpid(child, 0)
    told: dict[str, Any] = json.loads(said) if said else {"reason": "os", "error": "the scan was killed"}
    if "errno" in told:
        raise OSError(told["errno"], told["error"], os.fsdecode(bytes.fromhex(told["path"])))
    if told:
        raise JobError(told["reason"], told["error"])


def _be_child(work: Callable[[], None], writer: int) -> None:
    """Do the work, say how it ended, and end without what a whole job does at its end."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        told: dict[str, Any] = {}
        try:
            work()
        except JobError as error:
            told = {"reason": error.reason, "error": str(error)}
        except OSError as error:
            path = os.fsencode(error.filename or "").hex()
            told = {"errno": error.errno, "error": error.strerror, "path": path}
        with os.fdopen(writer, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(told, file)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
