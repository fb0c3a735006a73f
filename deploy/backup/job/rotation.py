"""Which parts of a repository's data are to be read now, so that all are read within the policy's time? Pure.

`restic check --read-data-subset=N/PARTS` reads the packs of one part; to which part a pack belongs follows from
its name and never changes. What counts is when each part was last read, not the calendar and not how many
checks there were: runs may be missed and clocks may jump, and no part is passed over.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

#: The most parts that restic 0.14 knows (one byte of a pack's name).
MOST_PARTS = 256


def parts_for(read_all_seconds: int, every_seconds: int) -> int:
    """In how many parts the data are read: one at each check, all within the time."""
    return min(MOST_PARTS, max(1, read_all_seconds // max(1, every_seconds)))


def reading(known: Any, parts: int, at: str) -> dict[str, Any]:
    """What is known of the reading of each part: `parts`, and `read_at` of each.

    Of a repository that is new, nothing stands in it that is older than now. When the number of parts changes,
    each new part counts as read when the oldest of the old ones was.
    """
    if not isinstance(known, dict) or not isinstance(known.get("read_at"), list) or not known["read_at"]:
        return {"parts": parts, "read_at": [at] * parts, "began_at": at}
    if known.get("parts") == parts and len(known["read_at"]) == parts:
        return known
    return {"parts": parts, "read_at": [oldest(known)] * parts, "began_at": known.get("began_at", at)}


def oldest(known: dict[str, Any]) -> str:
    """All that was in the repository at this moment has been read since; empty when a part has to be read."""
    moments = {text: _moment(text) for text in known["read_at"]}
    found = {moment: text for text, moment in moments.items() if moment is not None}
    return found[min(found)] if len(found) == len(moments) else ""


def due(known: dict[str, Any], now: datetime, read_all_seconds: int, horizon_seconds: int) -> list[int]:
    """The parts to read now, longest unread first, numbered from 1.

    Always one; and each that would be overdue before the next check, which is at most a horizon away. A part
    that was read in the future was read under a clock that was wrong: it is read again.
    """
    ages = {}
    for number, text in enumerate(known["read_at"], 1):
        moment = _moment(text)
        age = float("inf") if moment is None else (now - moment).total_seconds()
        ages[number] = age if age >= 0 else float("inf")
    order = sorted(ages, key=lambda number: (-ages[number], number))
    return [number for number in order if ages[number] + horizon_seconds > read_all_seconds] or order[:1]


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
