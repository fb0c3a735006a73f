"""Which page is asked for? From a path to a template, a title, the way to it, and what only that page shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from exporters.snapshot import Inventory
from exporters.status.city_map import city_map
from exporters.status.divisions import LEVELS, Divisions
from exporters.status.overview import Overview
from exporters.status.units import units_view

#: A place on the way to a page: what it is called, and its path from the root (None: the page itself).
Crumb = tuple[str, str | None]
_VERDICTS = {"ok": "运行正常", "warning": "需要关注", "critical": "存在故障", "unknown": "状态不明"}
_TOP: Crumb = ("总览", "")


class Content(NamedTuple):
    """A page: `section` is what the navigation marks as open, `more` what the template needs besides the overview."""

    template: str
    title: str
    section: str
    crumbs: tuple[Crumb, ...]
    more: Mapping[str, Any]


def content_of(path: str, view: Overview, inventory: Inventory) -> Content | None:
    """The page of a path without its first slash; None where there is none."""
    name, _, key = path.partition("/")
    if not path:
        return _overview(view, inventory)
    if key:
        if name in LEVELS:
            return _division(name, key, view, inventory)
        return _unit(key, view, inventory) if name == "unit" else None
    maker = _PAGES.get(name)
    return maker(view, inventory) if maker else None


def _overview(view: Overview, inventory: Inventory) -> Content:
    drawn = ""
    if view.network:
        drawn = city_map(inventory.city, view.network, Divisions(inventory.city, view.network))
    return Content("page.html.j2", _VERDICTS[view.state], "", (), {"map": drawn})


def _division(level: str, code: str, view: Overview, inventory: Inventory) -> Content | None:
    page = Divisions(inventory.city, view.network).page(level, code)
    if page is None:
        return None
    crumbs: list[Crumb] = [_TOP, *((one.name, one.path) for one in page.above), (page.itself.name, None)]
    return Content("division.html.j2", page.itself.name, "city", tuple(crumbs), {"page": page})


def _units(view: Overview, inventory: Inventory) -> Content:
    units = units_view(inventory.city, view.network, view.backups, inventory.unprobed)
    return Content("units.html.j2", "系统与责任单位", "units", (_TOP, ("系统与单位", None)), {"units": units})


def _unit(key: str, view: Overview, inventory: Inventory) -> Content | None:
    units = units_view(inventory.city, view.network, view.backups, inventory.unprobed)
    unit = next((unit for unit in units if unit.id == key), None)
    if unit is None:
        return None
    crumbs: tuple[Crumb, ...] = (_TOP, ("系统与单位", "units"), (unit.name, None))
    return Content("unit.html.j2", unit.name, "units", crumbs, {"unit": unit})


def _plain(name: str, title: str) -> Callable[[Overview, Inventory], Content]:
    """A page that shows more of what the overview has already."""

    def make(view: Overview, inventory: Inventory) -> Content:
        return Content(f"{name}.html.j2", title, name, (_TOP, (title, None)), {})

    return make


_PAGES: dict[str, Callable[[Overview, Inventory], Content]] = {
    "units": _units,
    "backups": _plain("backups", "备份与恢复验证"),
    "security": _plain("security", "安全控制"),
    "drills": _plain("drills", "灾备演练"),
}
