"""What does the page call it? Chinese words for values, and how moments, ages and shares are written."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_UNITS = ((86400, "天"), (3600, "小时"), (60, "分"), (1, "秒"))


@cache
def _tables() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


def word(table: str, value: str) -> str:
    """The word for a value; the value itself where there is none, so that nothing is hidden."""
    return _tables()[table].get(value, value)


def duration(seconds: float) -> str:
    """Seconds in the two largest units that count: `15分`, `1小时30分`, `0.8秒`."""
    if 0 < seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f}秒"
    rest = round(abs(seconds))
    for index, (size, unit) in enumerate(_UNITS):
        if rest >= size:
            count, below = divmod(rest, size)
            smaller, name = _UNITS[index + 1] if index + 1 < len(_UNITS) else (1, "")
            part = below // smaller
            return f"{count}{unit}" + (f"{part}{name}" if part and name else "")
    return "0秒"


def age(at: float | None, now: float) -> str:
    """How long ago a moment was; `从未` for 0, `未知` for None."""
    if at is None:
        return "未知"
    if at == 0:
        return "从未"
    if at > now + 5:
        return f"{duration(at - now)}后"
    return "刚刚" if now - at < 3 else f"{duration(now - at)}前"


def milliseconds(seconds: float | None) -> str:
    """A delay as people compare it; a dash for none."""
    if seconds is None:
        return "—"
    shown = seconds * 1000
    return f"{shown:.1f} ms" if shown < 100 else f"{shown:.0f} ms"


def percent(part: float, whole: float) -> str:
    """A share in percent, rounded so that 100% means all and 0% means none."""
    if whole <= 0:
        return "—"
    share = 100 * part / whole
    if part < whole and share > 99.9:
        return "99.9%"
    if part > 0 and share < 0.1:
        return "0.1%"
    return f"{share:.1f}".removesuffix(".0") + "%"


def zone_of(name: str) -> tzinfo:
    """The city's time zone; UTC where the machine does not know it (the page shows the offset)."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def moment(at: float | None, zone: tzinfo) -> str:
    """A moment in the city's time: `2026-11-23 22:06:05`; a dash for none."""
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S") if at else "—"


def short_moment(at: float | None, zone: tzinfo) -> str:
    """A moment to the minute, without the year: `11-23 22:06`; a dash for none."""
    return datetime.fromtimestamp(at, zone).strftime("%m-%d %H:%M") if at else "—"


def offset(at: float, zone: tzinfo) -> str:
    """The zone's offset from UTC at a moment: `UTC+08:00`."""
    return "UTC" + datetime.fromtimestamp(at, zone).isoformat()[-6:]
