"""Is this a moment at which a run of the timer may begin?"""

from __future__ import annotations

from datetime import datetime


def inside(window: str, moment: datetime) -> bool:
    """Whether a moment lies in a part of the day, `HH:MM-HH:MM` local time; its end is no more part of it.

    The end may be on the next day; a window that ends when it begins is the whole day. Empty is any time.
    """
    if not window:
        return True
    begins, ends = (_minutes(text) for text in window.split("-"))
    minute = moment.hour * 60 + moment.minute
    if begins < ends:
        return begins <= minute < ends
    return minute >= begins or minute < ends


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
