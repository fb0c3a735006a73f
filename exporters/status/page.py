"""Which bytes is a page of the status site? Templates filled from the newest snapshot, kept for a few seconds."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import msgspec

from exporters.exposition import Body
from exporters.history import History
from exporters.inside import Inside
from exporters.places import site_path
from exporters.readings import Reading
from exporters.snapshot import Inventory, Snapshot
from exporters.status import words
from exporters.status.content import content_of
from exporters.status.overview import Overview, overview
from exporters.status.strips import strips_of
from exporters.status.summary import summary_of
from exporters.status.views import compared

if TYPE_CHECKING:
    from exporters.monitor import Monitor

#: Ages on the page are at most this much behind, in seconds, whoever asks how often.
_KEPT = 5.0
#: Pages kept at most: a city has three thousand, and nobody looks at more than a few within seconds.
_PAGES = 64
#: How often the page renews itself, in seconds.
REFRESH = 30
#: Rows that tables show before they fold the rest.
ROWS = {"failures": 12, "systems": 12, "jobs": 12, "databases": 6, "findings": 10, "drills": 6}
#: Rows that a page of its own shows of one thing at most, and hosts that a finding names.
_MOST = 400
_HOSTS = {"security": 12}
_CONTENT_TYPE = "text/html; charset=utf-8"
#: What an exporter without a Prometheus to ask says of the past.
NO_HISTORY: Reading[History] = Reading(message="")


class StatusPage:
    """The pages of one monitor. They are rendered when asked for, not more often than every few seconds."""

    def __init__(
        self,
        monitor: Monitor,
        history: Callable[[], Reading[History]] = lambda: NO_HISTORY,
        inside: Callable[[], Reading[Inside] | None] = lambda: None,
    ) -> None:
        self._monitor = monitor
        self._history = history
        self._inside = inside
        self._key: tuple[int, int] | None = None
        self._view: Overview | None = None
        self._summary: bytes | None = None
        self._kept: dict[tuple[str, bool], Body | None] = {}

    def body(self, refresh: bool = True, path: str = "") -> Body | None:
        """The page of a path as it stands; with `refresh` it renews itself. None where there is no such page."""
        now = self._renew()
        if (path, refresh) not in self._kept:
            self._kept[path, refresh] = self._make(path, now, refresh)
        return self._kept[path, refresh]

    def summary(self) -> bytes | None:
        """What the first page says, as JSON; None while no inventory was read."""
        now = self._renew()
        inventory = self._monitor.snapshot.inventory.value
        if inventory is None:
            return None
        if self._summary is None:
            self._summary = msgspec.json.encode(summary_of(self._overview(inventory, now), now))
        return self._summary

    def _renew(self) -> float:
        """Drops what is too old, and gives the time."""
        now = time.time()
        key = (self._monitor.version, int(now / _KEPT))
        if key != self._key or len(self._kept) >= _PAGES:
            self._key, self._view, self._summary, self._kept = key, None, None, {}
        return now

    def _overview(self, inventory: Inventory, now: float) -> Overview:
        if self._view is None:
            self._view = overview(self._monitor.snapshot, inventory, now)
        return self._view

    def _make(self, path: str, now: float, refresh: bool) -> Body | None:
        snapshot = self._monitor.snapshot
        inventory = snapshot.inventory.value
        view = self._overview(inventory, now) if inventory else None
        html = render(snapshot, now, refresh, path, self._history(), view, self._inside())
        if html is None:
            return None
        plain = html.encode()
        return Body(_CONTENT_TYPE, plain, gzip.compress(plain, compresslevel=1, mtime=0))


def render(
    snapshot: Snapshot,
    now: float,
    refresh: bool = True,
    path: str = "",
    history: Reading[History] = NO_HISTORY,
    view: Overview | None = None,
    inside: Reading[Inside] | None = None,
) -> str | None:
    """The page of a snapshot at a moment (seconds since the epoch); pure. None where there is no such page.

    What comes from records and inventories is escaped: a system's name can hold any character. `view` is the
    snapshot's overview where it was made before; `inside` is what counties' agents say.
    """
    inventory = snapshot.inventory.value
    if inventory is None:
        return _environment().get_template("empty.html.j2").render(message=snapshot.inventory.message)
    view = view or overview(snapshot, inventory, now)
    content = content_of(path, view, inventory)
    if content is None:
        return None
    context = _context(view, inventory, now, refresh, path, history)
    context["compared"] = partial(compared, inventory.city, inside=inside)
    context |= {"title": content.title, "section": content.section, "crumbs": content.crumbs}
    return _environment().get_template(content.template).render(context | dict(content.more))


def _context(
    view: Overview, inventory: Inventory, now: float, refresh: bool, path: str, history: Reading[History]
) -> dict[str, Any]:
    zone = words.zone_of(inventory.city.layout.time_zone)
    return {
        "view": view,
        "network": view.network,
        "backups": view.backups,
        "security": view.security,
        "map": "",
        "years": strips_of(history.value, inventory.city, now, zone) if history.value else {},
        "history": history.message,
        "now": now,
        "refresh": REFRESH if refresh else 0,
        "root": "../" * path.count("/"),
        "rows": ROWS,
        "most": _MOST,
        "hosts_named": _HOSTS.get(path, 3),
        "path_of": partial(site_path, inventory.city),
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
