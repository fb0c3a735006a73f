"""At which moments does a schedule run: what does a calendar expression of systemd say? (systemd.time(7))

The expressions that a policy may hold are those with weekdays, a date and a time, or one of the shorthands; a
time zone may follow. A moment without one is local: the city's.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY = 86400

_NUMBERS = r"[0-9*/.,]+"
_WEEKDAY = r"(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)"
_SHORTHANDS = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
}
_EXPRESSION = re.compile(
    rf"""^(?=\S)
    (?:(?P<days>{_WEEKDAY}(?:(?:\.\.|,){_WEEKDAY})*)(?:\s+|\Z))?
    (?:(?:(?P<year>{_NUMBERS})-)?(?P<month>{_NUMBERS})(?P<from>[-~])(?P<day>{_NUMBERS})(?:\s+|\Z))?
    (?:(?P<hour>{_NUMBERS}):(?P<minute>{_NUMBERS})(?::(?P<second>{_NUMBERS}))?)?
    (?:(?:\s+|(?<=\s))(?P<zone>UTC|[A-Z][A-Za-z_]+(?:/[A-Za-z0-9_+-]+)+))?\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: No rule for leap years or months' lengths needs more years than this to come round.
_YEARS = 8


class Schedule(NamedTuple):
    """A calendar expression taken apart.

    Attributes:
        weekdays: 0 for Monday.
        years: empty for every year.
        from_end: whether `days` count from the month's end (`~`), where 1 is the last day.
        seconds: the moments of a matching day, in seconds after midnight, ascending.
        zone: an IANA name; empty for the city's.
        is_plain: whether the time of day is written out, without a star, range or step.
    """

    weekdays: frozenset[int]
    years: frozenset[int]
    months: frozenset[int]
    days: frozenset[int]
    from_end: bool
    seconds: tuple[int, ...]
    zone: str
    is_plain: bool

    def on(self, day: date) -> bool:
        """Whether it runs on a day."""
        length = calendar.monthrange(day.year, day.month)[1]
        number = length - day.day + 1 if self.from_end else day.day
        return (
            day.weekday() in self.weekdays
            and (not self.years or day.year in self.years)
            and day.month in self.months
            and number in self.days
        )


@cache
def parse(expression: str) -> Schedule | None:
    """A calendar expression, or None where it is none that ever runs."""
    shorthand, _, zone = expression.partition(" ")
    if shorthand.lower() in _SHORTHANDS:
        expression = f"{_SHORTHANDS[shorthand.lower()]} {zone}".strip()
    match = _EXPRESSION.match(expression)
    if match is None or not any(match[part] for part in ("days", "month", "hour")):
        return None
    try:
        time = [match["hour"] or "0", match["minute"] or "0", match["second"] or "0"]
        hours, minutes, seconds = (
            sorted(_numbers(part, 0, last)) for part, last in zip(time, (23, 59, 59), strict=True)
        )
        years = match["year"] or "*"
        return Schedule(
            weekdays=_weekdays(match["days"]),
            years=frozenset() if years == "*" else frozenset(_numbers(years, 1970, 2199)),
            months=frozenset(_numbers(match["month"] or "*", 1, 12)),
            days=frozenset(_numbers(match["day"] or "*", 1, 31)),
            from_end=match["from"] == "~",
            seconds=tuple(h * 3600 + m * 60 + s for h in hours for m in minutes for s in seconds),
            zone=match["zone"] or "",
            is_plain=not set("*/.") & set("".join(time)),
        )
    except (ValueError, KeyError):
        return None


def _numbers(text: str, first: int, last: int) -> set[int]:
    """The numbers of `*`, `3`, `1,5`, `8..18`, `0/15`, `8..18/2`."""
    found: set[int] = set()
    for part in text.split(","):
        values, _, step = part.partition("/")
        low, dots, high = values.partition("..")
        if values == "*":
            begin, end = first, last
        else:
            begin = int(low)
            end = int(high) if dots else (last if step else begin)
        if not first <= begin <= end <= last or (step and int(step) < 1):
            raise ValueError(part)
        found.update(range(begin, end + 1, int(step) if step else 1))
    return found


def _weekdays(text: str | None) -> frozenset[int]:
    if not text:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        low, dots, high = part.partition("..")
        begin = _NAMES.index(low[:3].lower())
        end = _NAMES.index(high[:3].lower()) if dots else begin
        if end < begin:  # systemd refuses Fri..Mon too
            raise ValueError(part)
        found.update(range(begin, end + 1))
    return frozenset(found)


def runs(schedule: Schedule, after: datetime, local: tzinfo) -> Iterator[datetime]:
    """The moments after `after` at which a schedule runs, in its own time zone, for some years."""
    zone = ZoneInfo(schedule.zone) if schedule.zone else local
    day = after.astimezone(zone).date()
    for number in range(_YEARS * 366):
        today = day + timedelta(days=number)
        if not schedule.on(today):
            continue
        midnight = datetime(today.year, today.month, today.day)
        for seconds in schedule.seconds:
            moment = (midnight + timedelta(seconds=seconds)).replace(tzinfo=zone)
            if moment > after:
                yield moment


def longest_pause(schedule: Schedule, window: str | None = None) -> int | None:
    """The longest time between two runs, in seconds; None where it does not run again and again.

    Args:
        schedule: a calendar expression.
        window: the part of the day in which a run may begin; runs at other times do not count.
    """
    moments = [second for second in schedule.seconds if window is None or within(window, second)]
    if not moments or (schedule.years and not _runs_for_years(schedule)):
        return None
    within_day = max((later - one for one, later in pairwise(moments)), default=0)
    return max(within_day, _days_between(schedule) * DAY - moments[-1] + moments[0])


def runs_a_day(schedule: Schedule, window: str | None = None) -> int:
    """How often it runs on each day; 0 where there are days on which it does not."""
    if schedule.years or _days_between(schedule) != 1:
        return 0
    return sum(window is None or within(window, second) for second in schedule.seconds)


def _runs_for_years(schedule: Schedule) -> bool:
    return set(range(2026, 2026 + _YEARS)) <= schedule.years


def _days_between(schedule: Schedule) -> int:
    """The most days from one day on which it runs to the next."""
    if len(schedule.weekdays) == 7 and len(schedule.months) == 12 and len(schedule.days) == 31:
        return 1
    start = date(2026, 1, 1)
    matching = [number for number in range(_YEARS * 366) if schedule.on(start + timedelta(days=number))]
    gaps = [later - one for one, later in pairwise(matching)]
    return max(gaps, default=_YEARS * 366)


def bounds(window: str) -> tuple[int, int]:
    """Begin and end of a window in seconds after midnight; the end is past a day where it is on the next."""
    begin, end = (int(part[:2]) * 3600 + int(part[3:]) * 60 for part in window.split("-"))
    return begin, end if end > begin else end + DAY


def within(window: str, second: int) -> bool:
    """Whether a moment, in seconds after midnight, lies in a window; its end does not."""
    begin, end = bounds(window)
    return begin <= second < end or begin <= second + DAY < end


def window_seconds(window: str) -> int:
    """How long a window is; equal ends are a whole day."""
    begin, end = bounds(window)
    return end - begin


def next_run(expression: str, window: str | None, now: datetime, local: tzinfo) -> datetime | None:
    """When a timer with that schedule may next begin a run, local time; None for never."""
    schedule = parse(expression)
    if schedule is None:
        return None
    for moment in runs(schedule, now, local):
        at = moment.astimezone(local)
        if window is None or within(window, at.hour * 3600 + at.minute * 60 + at.second):
            return at
    return None
