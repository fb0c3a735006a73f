"""Does a piece of work in a process of its own, so that the memory it took is free again when it has ended.

What the job itself holds while restic runs is what it costs beside restic for hours: so it also loads no module that
only such a piece of work, or a command that is not asked for, needs.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from .restic import JobError

STOPS = (signal.SIGTERM, signal.SIGINT)


def apart(work: Callable[[], Any]) -> Any:
    """Do the work in a child of this process and wait; what it gave back (as JSON has it), else it leaves files.

    Python gives back to the system little of what it once held, and restic, which runs next, needs the room: what
    a manifest of a million files takes is more than all that restic does.

    Raises:
        JobError: as the work raised it, or the child ended without a word (it was killed).
        OSError: as the work raised it.
    """
    reader, writer = os.pipe()
    # Whoever stops the job stops this work too, also when that comes between the fork and the wait.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_child(work, writer, mask)
    os.close(writer)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with os.fdopen(reader, encoding="utf-8") as file:
            said = file.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.waitpid(child, 0)
    nothing = {"reason": "os", "error": "a part of the job was killed"}
    told: dict[str, Any] = json.loads(said) if said else nothing
    if "errno" in told:
        raise OSError(told["errno"], told["error"], os.fsdecode(bytes.fromhex(told["path"])))
    if "reason" in told:
        raise JobError(told["reason"], told["error"])
    return told["given"]


def _be_child(work: Callable[[], Any], writer: int, mask: Iterable[int]) -> None:
    """Do the work, say how it ended, and end without what a whole job does at its end."""
    try:
        for number in STOPS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            told: dict[str, Any] = {"given": work()}
        except JobError as error:
            told = {"reason": error.reason, "error": str(error)}
        except OSError as error:
            path = os.fsencode(error.filename or "").hex()
            told = {"errno": error.errno, "error": error.strerror, "path": path}
        with os.fdopen(writer, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(told, file)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)
