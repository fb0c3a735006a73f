"""Which snapshots may be removed, and when is it wrong to remove any? Pure; the server's side.

A client adds snapshots and cannot remove one, but whoever has taken it over can add many, and so have the good
ones counted out. What a client cannot choose is when a snapshot arrived: the server's file has that time. So

- the policy is applied twice, to all snapshots of the policy and to those alone that arrived in their own time,
  and what either keeps is kept: a snapshot with a time of the past, sent today, takes no place from one that
  stood there before;
- while any snapshot has a time of the future nothing is removed at all, nor while the clocks make no sense;
- a flood at present fills no more than the present hour, day, week, month: `last` counts at most one an hour;
- snapshots of another host or tag than the policy's count for nothing, and stay;
- the newest whole snapshot stays, whatever came after it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

#: How far ahead a snapshot's time may be: clocks differ.
CLOCK_TOLERANCE = timedelta(minutes=10)
#: A snapshot arrives in its own time: within its job's run, which the unit ends after six hours.
IN_TIME = timedelta(hours=6)
#: When nothing has arrived for so long, or three times the usual gap, nothing is removed.
QUIET = timedelta(days=2)
QUIET_GAPS = 3


class Held(NamedTuple):
    """A snapshot as the server sees it: its own time, and when it arrived; `whole` is False for a partial one.

    `original` is the id that it was first taken as, where it was copied here from another repository.
    """

    id: str
    time: datetime
    arrived: datetime
    whole: bool = True
    original: str = ""

    def is_of(self, mark: str) -> bool:
        """Whether a mark means this one: marks name the id that a snapshot was first taken as (:mod:`.snapshot`)."""
        return self.id.startswith(mark) or self.original.startswith(mark)

    @property
    def in_time(self) -> bool:
        """Whether it arrived when it says that it was taken; those that are copied later have no such proof."""
        return -CLOCK_TOLERANCE <= self.arrived - self.time <= IN_TIME


#: Two snapshots are of the same period when these are the same, in the snapshot's own time zone (as restic has it).
PERIODS: dict[str, Callable[[datetime], tuple[int, ...]]] = {
    "hourly": lambda time: (time.year, time.month, time.day, time.hour),
    "daily": lambda time: (time.year, time.month, time.day),
    "weekly": lambda time: tuple(time.isocalendar())[:2],
    "monthly": lambda time: (time.year, time.month),
    "yearly": lambda time: (time.year,),
}


class Objection(NamedTuple):
    """Why nothing may be removed: one word for programs, and words."""

    reason: str
    text: str


def counted(snapshots: list[Held], keep: dict[str, int]) -> set[str]:
    """What `restic forget --keep-...` keeps: the newest of each of the last so many periods that have any."""
    newest_first = sorted(snapshots, key=lambda one: (one.time, one.id), reverse=True)
    kept = {one.id for one in newest_first[: keep.get("last", 0)]}
    for name, period_of in PERIODS.items():
        left, period = keep.get(name, 0), None
        for one in newest_first:
            if left and period_of(one.time) != period:
                period, left = period_of(one.time), left - 1
                kept.add(one.id)
    return kept


def kept_of(snapshots: list[Held], keep: dict[str, int]) -> set[str]:
    """The ids of the policy's snapshots that stay; never fewer than restic itself would keep."""
    if not any(keep.values()):
        return {one.id for one in snapshots}
    # One an hour, so that a flood of snapshots needs as many hours as the policy counts.
    slow = {**keep, "hourly": max(keep.get("hourly", 0), keep.get("last", 0))}
    kept = counted(snapshots, keep) | counted([one for one in snapshots if one.in_time], slow)
    whole = [one for one in snapshots if one.whole]
    for some in (whole, [one for one in whole if one.in_time]):
        if some:
            kept.add(max(some, key=lambda one: (one.time, one.id)).id)
    return kept


def objection(snapshots: list[Held], now: datetime) -> Objection | None:
    """Why nothing may be removed of these now; None when nothing speaks against it."""
    if not snapshots:
        return None
    ahead = [one for one in snapshots if one.time > now + CLOCK_TOLERANCE]
    if ahead:
        latest = max(one.time for one in ahead)
        return Objection(
            "future_snapshots",
            f"{len(ahead)} snapshots have a time of the future, up to {latest.isoformat()}: the client's clock or "
            f"this server's is wrong, or someone counts the good ones out; correct the clock, look at "
            f"{', '.join(one.id[:8] for one in ahead[:3])}, and remove them by hand if they are nothing",
        )
    arrived = sorted(one.arrived for one in snapshots)
    if arrived[-1] > now + CLOCK_TOLERANCE:
        text = f"a snapshot arrived at {arrived[-1].isoformat()}, which this server's clock has not reached"
        return Objection("clock", text)
    gaps = sorted(arrived[number] - arrived[number - 1] for number in range(1, len(arrived)))
    usual = gaps[len(gaps) // 2] if gaps else timedelta()
    limit = max(QUIET, QUIET_GAPS * usual)
    if now - arrived[-1] > limit:
        return Objection(
            "nothing_new",
            f"the newest snapshot arrived at {arrived[-1].isoformat()}, more than {limit} ago: no backup comes, or "
            f"this server's clock is ahead; nothing is removed until one arrives",
        )
    return None
