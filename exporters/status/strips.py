"""How does a year look in one line? A bar a day whose height and colour say how much answered, and the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import groupby
from typing import NamedTuple

from exporters.alerting.burn_rate import read_objectives
from exporters.history import DAYS, History, midnights_of
from exporters.places import county_names
from exporters.status.words import percent
from inventories.records import City

#: How a day went, with the height of its bar of 20: what is worse is lower, so that no colour is needed to see it.
HEIGHTS = {"ok": 20, "warning": 13, "critical": 6}
WORDS = {"ok": "达标", "warning": "未达标", "critical": "低于95%"}
#: Below this share a day was bad, not only short of the objective.
_BAD = 0.95
_DAY = 86400.0


class Strip(NamedTuple):
    """One family's year: SVG paths by how the days went, `label` for who hears it, `figure` beside it."""

    days: int
    paths: Sequence[tuple[str, str]]
    label: str
    figure: str


def strips_of(history: History, city: City, now: float, zone: tzinfo) -> dict[str, list[Strip]]:
    """The strips of every county by its site's id, and of the city by the empty one: IPv4's, then IPv6's."""
    objective = float(read_objectives()["county"].objective)
    starts = [end - _DAY for end in midnights_of(now, zone, DAYS)]
    names = {"": city.layout.name, **county_names(city)}
    found: dict[str, list[Strip]] = {}
    for family, spelled in (("ipv4", "IPv4"), ("ipv6", "IPv6")):
        for site, name in names.items():
            shares = history.shares.get((site, family))
            if shares:
                strip = _strip(f"{name} {spelled}", spelled, shares, starts, objective, zone)
                found.setdefault(site, []).append(strip)
    return found


def _strip(
    title: str,
    spelled: str,
    shares: Mapping[float, float],
    starts: Sequence[float],
    objective: float,
    zone: tzinfo,
) -> Strip:
    kinds = [_kind(shares.get(start), objective) for start in starts]
    paths: dict[str, str] = {}
    for kind, run in groupby(enumerate(kinds), key=lambda pair: pair[1]):
        days = [number for number, _ in run]
        if kind:
            height = HEIGHTS[kind]
            bar = f"M{days[0]} {20 - height}h{len(days)}v{height}h-{len(days)}z"
            paths[kind] = paths.get(kind, "") + bar
    known = [shares[start] for start in starts if start in shares]
    mean = sum(known) / len(known) if known else 0.0
    counted = "，".join(f"{WORDS[kind]}{kinds.count(kind)}天" for kind in HEIGHTS if kind in kinds)
    worst = min(known, default=1.0)
    label = f"{title} 近一年可用率{_share(mean)}，有记录{len(known)}天，{counted}"
    if worst < objective:
        day = next(start for start in starts if shares.get(start) == worst)
        label += f"；最低为{datetime.fromtimestamp(day, zone):%m-%d}的{_share(worst)}"
    return Strip(len(starts), list(paths.items()), label, f"{spelled} {_share(mean)}")


def _kind(share: float | None, objective: float) -> str:
    if share is None:
        return ""
    return "ok" if share >= objective else "warning" if share >= _BAD else "critical"


def _share(share: float) -> str:
    """A share with two decimals, where availability is told apart; 100% is all."""
    if 0.9999 <= share < 1:
        return "99.99%"
    return percent(share, 1) if share in (0, 1) else f"{100 * share:.2f}%"
