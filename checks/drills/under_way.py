"""Is a drill under way, and how far had it come when its tool died? One at a time for the hosts of a state folder."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from checks.drills.definition import DrillError
from checks.drills.measuring import Seen
from checks.drills.record import Stage
from checks.record import write_whole

LOCK, JOURNAL = ".drill.lock", ".drill-under-way.json"


class Progress(msgspec.Struct, forbid_unknown_fields=True):
    """How far a drill has come; written to the journal before and after every stage.

    Attributes:
        drill: Its name; `id` is this one time that it is held.
        inventory: The city's folder; `records` the folder of records.
        pid: The process that holds it.
        began: When, ISO 8601.
        stage: The stage that is being played; empty between two.
        done: The stages that have ended.
        seen: What the playbooks have said.
        decide_on: In which state of the alert it goes on to the decision.
        tolerated: Critical alerts that are no obstacle.
        resumed: It goes on after its tool had died.
        scratch: The folder of what is not yet masked, for whoever clears up after a dead tool.
    """

    drill: str
    id: str
    inventory: str
    records: str
    pid: int
    began: str
    decide_on: str = "firing"
    tolerated: list[str] = []
    stage: str = ""
    done: list[Stage] = []
    seen: Seen = msgspec.field(default_factory=Seen)
    resumed: bool = False
    scratch: str = ""


class Journal:
    """Where the progress of the drill that is under way stands, for as long as the lock is held."""

    def __init__(self, state: Path) -> None:
        self._path = state / JOURNAL

    def left(self) -> Progress | None:
        """How far a drill had come that did not end; None where all is as it was.

        Raises:
            DrillError: the journal cannot be read.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Progress)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise DrillError(
                f"{self._path}: {error}; see by hand what that drill left, then remove it"
            ) from error

    def save(self, progress: Progress) -> None:
        """Remember how far it has come.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(self._path, msgspec.json.encode(progress))

    def end(self) -> None:
        """All is as it was: the next drill may begin."""
        self._path.unlink(missing_ok=True)


@contextmanager
def claimed(state: Path) -> Iterator[Journal]:
    """Hold the hosts of a state folder for one drill at a time, whichever records folder it writes to.

    The kernel gives the lock up when the process ends, however it ends.

    Raises:
        DrillError: another drill is under way.
    """
    handle = os.open(state / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DrillError(
                f"{holder(state)}; wait for it to end, or end it with: jizuo drill abort"
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield Journal(state)
    finally:
        os.close(handle)


def holder(state: Path) -> str:
    """Who holds the lock, as a sentence."""
    name, pid = holding(state)
    return (
        f"{f'the drill {name}' if name else 'another drill'} is under way{f' (process {pid})' if pid else ''}"
    )


def holding(state: Path) -> tuple[str, int]:
    """The drill that the journal speaks of, empty before its first stage, and the process that took the lock last."""
    name, pid = "", 0
    with suppress(OSError, ValueError):
        pid = int((state / LOCK).read_text())
    with suppress(OSError, ValueError, KeyError, TypeError):
        name = str(json.loads((state / JOURNAL).read_bytes())["drill"])
    return name, pid
