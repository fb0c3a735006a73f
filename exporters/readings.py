"""What was read, when, and what was wrong with it: how every collector answers for its data's age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Trouble(StrEnum):
    """Why a collector's data cannot be relied on."""

    WAITING = "waiting"  # nothing has been read yet: the first cycle is under way
    MISSING = "missing"  # the file is not there: the check never ran, or its timer does not
    UNREADABLE = "unreadable"  # permissions, a disk that fails
    INVALID = "invalid"  # no JSON, or not the records that were expected
    STALE = "stale"  # readable, but older than its check's interval allows
    FAILED = "failed"  # the collector itself failed


@dataclass(frozen=True)
class Reading(Generic[T]):
    """The newest state of one source.

    Attributes:
        value: What was read; None where nothing usable is there. A broken source gives None, never what it
            said before: a frozen value looks as well as a true one.
        at: When the newest thing in it was seen, in seconds since the epoch.
        read_at: When it was last read with success; kept over later failures.
        seconds: How long the reading took.
        trouble: Why it cannot be relied on, None when it can.
        message: The trouble in words, with file and place.
    """

    value: T | None = None
    at: float | None = None
    read_at: float | None = None
    seconds: float = 0.0
    trouble: Trouble | None = Trouble.WAITING
    message: str = ""

    @property
    def well(self) -> bool:
        """Whether the data can be relied on."""
        return self.trouble is None


def epoch_seconds(text: str) -> float:
    """The moment of an ISO 8601 text in seconds since the epoch.

    Raises:
        ValueError: The text is no such moment, or has no offset: without one, +08:00 would look eight hours
            newer than it is.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset from UTC; write it as 2026-01-31T08:00:00+08:00")
    return moment.timestamp()
