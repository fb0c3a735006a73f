"""Which bytes is the status page? The template filled from the newest snapshot, kept for a few seconds."""

from __future__ import annotations

import gzip
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from exporters.exposition import Body
from exporters.snapshot import Inventory, Snapshot
from exporters.status import words
from exporters.status.overview import overview

if TYPE_CHECKING:
    from exporters.monitor import Monitor

#: Ages on the page are at most this much behind, in seconds, whoever asks how often.
_KEPT = 5.0
#: How often the page renews itself, in seconds.
REFRESH = 30
#: Rows that tables show before they fold the rest.
ROWS = {"failures": 12, "systems": 12, "jobs": 12, "findings": 10, "drills": 6}
_CONTENT_TYPE = "text/html; charset=utf-8"


class StatusPage:
    """The page of one monitor. It is rendered when it is asked for, not more often than every few seconds."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._kept: dict[bool, tuple[tuple[int, int], Body]] = {}

    def body(self, refresh: bool = True) -> Body:
        """The page as it stands; with `refresh` it renews itself."""
        now = time.time()
        key = (self._monitor.version, int(now / _KEPT))
        kept = self._kept.get(refresh)
        if kept is None or kept[0] != key:
            kept = key, _body(self._monitor.snapshot, now, refresh)
            self._kept[refresh] = kept
        return kept[1]


def _body(snapshot: Snapshot, now: float, refresh: bool) -> Body:
    plain = render(snapshot, now, refresh).encode()
    return Body(_CONTENT_TYPE, plain, gzip.compress(plain, compresslevel=1, mtime=0))


def render(snapshot: Snapshot, now: float, refresh: bool = True) -> str:
    """The page of a snapshot at a moment (seconds since the epoch); pure.

    What comes from records and inventories is escaped: a system's name can hold any character.
    """
    inventory = snapshot.inventory.value
    if inventory is None:
        return _environment().get_template("empty.html.j2").render(message=snapshot.inventory.message)
    return _environment().get_template("page.html.j2").render(_context(snapshot, inventory, now, refresh))


def _context(snapshot: Snapshot, inventory: Inventory, now: float, refresh: bool) -> dict[str, Any]:
    zone = words.zone_of(inventory.city.layout.time_zone)
    view = overview(snapshot, inventory, now)
    return {
        "view": view,
        "network": view.network,
        "backups": view.backups,
        "security": view.security,
        "now": now,
        "refresh": REFRESH if refresh else 0,
        "rows": ROWS,
        "age": lambda at: words.age(at, now),
        "moment": partial(words.moment, zone=zone),
        "short_moment": partial(words.short_moment, zone=zone),
        "offset": words.offset(now, zone),
    }


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        word=words.word, duration=words.duration, percent=words.percent, milliseconds=words.milliseconds
    )
    return environment
