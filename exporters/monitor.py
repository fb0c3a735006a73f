"""What is the state of the city now? Follows all sources; one snapshot and one exposition, always ready."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from checks.record import Record
from exporters.collectors.availability import Cycle
from exporters.collectors.health import health_metrics, process_metrics
from exporters.deploys import parse_deploy
from exporters.drift import parse_drift
from exporters.drills import parse_drills
from exporters.exposition import Exposition, Family
from exporters.inspecting import InspectLoop
from exporters.parsing import parse_cycle, parse_inventory, parse_records
from exporters.parts import PARTS
from exporters.probing import ProbeLoop
from exporters.readings import Reading, Trouble
from exporters.shards import WHOLE, Shard
from exporters.snapshot import Inventory, Snapshot
from exporters.sources import FileSource
from exporters.web.server import ReloadState

_LOG = logging.getLogger(__name__)
#: How often files are looked at, and how often the exporter's own figures are renewed, in seconds.
_LOOK_INTERVAL = 1.0
_OWN_INTERVAL = 15.0


class Collectors(NamedTuple):
    """What an exporter collects, and from where.

    Attributes:
        inventory: The city's folder.
        records: The folder of check records.
        drills: The folder of drill records.
        deploys: The folder of the records of the last deploy and the last check of drift.
        names: Which collectors run: `availability`, `backup`, `security`, `drill`, `deploy`.
        probe: Whether availability is probed here; otherwise its records are read from `availability.json`.
        interval: Seconds between two rounds of probes.
        timeout: Seconds that one probe may take.
        max_age: The age in seconds at which a collector's records are stale, by collector.
        packets: Echo requests to a target in each round.
        shard: The part of the city that is probed here.
        inspect: Seconds between two inspections of certificates, cipher suites and IPv6 readiness; 0 for none.
    """

    inventory: Path
    records: Path
    drills: Path
    deploys: Path
    names: frozenset[str]
    probe: bool
    interval: float
    timeout: float
    max_age: dict[str, float]
    packets: int = 3
    shard: Shard = WHOLE
    inspect: float = 0.0


class Monitor:
    """Keeps :attr:`snapshot` and :attr:`exposition` up to date; whoever serves them never waits.

    :attr:`version` counts the snapshots, so that what is rendered from one can be kept until the next.
    """

    def __init__(self, collectors: Collectors, reload_state: Callable[[], ReloadState]) -> None:
        self._collectors = collectors
        self._reload_state = reload_state
        self._changed = asyncio.Event()
        parse = partial(parse_inventory, shard=collectors.shard)
        self._inventory = FileSource(collectors.inventory, parse, pattern="*")
        self._rounds = ProbeLoop(
            collectors.interval, collectors.timeout, self._changed.set, collectors.packets
        )
        self._inspections = InspectLoop(collectors.inspect, collectors.timeout, self._changed.set)
        self._cycles = FileSource(
            collectors.records / "availability.json", parse_cycle, collectors.max_age.get("availability")
        )
        self._records = {name: self._record_file(name) for name in ("backup", "security")}
        self._drills = FileSource(collectors.drills, parse_drills, optional=True)
        self._deploys = FileSource(collectors.deploys, parse_deploy, pattern="last.json", optional=True)
        self._drift = FileSource(collectors.deploys, parse_drift, pattern="drift.json", optional=True)
        self._rendered: dict[str, tuple[object, ...]] = {}
        self._failed: dict[str, Reading[object]] = {}
        self._own: tuple[object, ...] = ()
        self.exposition = Exposition()
        self.snapshot = Snapshot(Reading())
        self.version = 0

    async def start(self) -> None:
        """Reads everything once, so that the first scrape has all but the first round of probes."""
        await self.refresh()

    async def run(self) -> None:
        """Follows the sources until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            if self._runs("availability") and self._collectors.probe:
                group.create_task(self._rounds.run())
                if self._inspects():
                    group.create_task(self._inspections.run())

    async def refresh(self) -> None:
        """Looks at every source and renders again what follows from one that changed."""
        await asyncio.to_thread(self._look)
        snapshot = self._take()
        if not _same((*self.snapshot.readings().values(),), (*snapshot.readings().values(),)):
            self.version += 1
            self.snapshot = snapshot
        if snapshot.inventory.value:
            inventory = snapshot.inventory.value
            self._rounds.targets = inventory.targets
            self._inspections.follow(inventory.targets, inventory.names)
        await asyncio.to_thread(self._render, self.snapshot)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _LOOK_INTERVAL)
            self._changed.clear()
            try:
                await self.refresh()
            except Exception:
                _LOG.exception("the state could not be renewed; what was served before is served on")

    def _runs(self, name: str) -> bool:
        return name in self._collectors.names

    def _inspects(self) -> bool:
        return self._runs("availability") and self._collectors.probe and self._collectors.inspect > 0

    def _record_file(self, name: str) -> FileSource[list[Record]]:
        path = self._collectors.records / f"{name}.json"
        return FileSource(path, parse_records, self._collectors.max_age.get(name))

    def _look(self) -> None:
        self._inventory.refresh()
        if self._runs("availability") and not self._collectors.probe:
            self._cycles.refresh()
        for name, source in self._records.items():
            if self._runs(name):
                source.refresh()
        if self._runs("drill"):
            self._drills.refresh()
        if self._runs("deploy"):
            self._deploys.refresh()
            self._drift.refresh()

    def _take(self) -> Snapshot:
        return Snapshot(
            inventory=self._inventory_or_last(),
            availability=self._availability() if self._runs("availability") else None,
            inspection=self._inspections.reading if self._inspects() else None,
            backup=self._records["backup"].reading if self._runs("backup") else None,
            security=self._records["security"].reading if self._runs("security") else None,
            drill=self._drills.reading if self._runs("drill") else None,
            deploy=self._deploys.reading if self._runs("deploy") else None,
            drift=self._drift.reading if self._runs("deploy") else None,
        )

    def _availability(self) -> Reading[Cycle]:
        return self._rounds.reading if self._collectors.probe else self._cycles.reading

    def _inventory_or_last(self) -> Reading[Inventory]:
        """An inventory that became invalid leaves the last one in force: it is what is to be watched."""
        now, last = self._inventory.reading, self.snapshot.inventory
        if now.value is not None or last.value is None:
            return now
        if (now.trouble, now.message) == (last.trouble, last.message):
            return last
        _LOG.error("%s; the inventory before it stays in force", now.message)
        return replace(now, value=last.value, at=last.at)

    def _render(self, snapshot: Snapshot) -> None:
        """Renders the parts whose readings changed; runs in a thread, one at a time."""
        changed = False
        inventory = snapshot.inventory.value
        for name, part in PARTS.items():
            inputs = part.inputs(snapshot)
            if inventory is not None and not _same(self._rendered.get(name, ()), inputs):
                self._rendered[name] = inputs
                self._replace(name, partial(part.families, snapshot, inventory))
                changed = True
        own = (self._reload_state(), int(time.monotonic() / _OWN_INTERVAL))
        readings = snapshot.readings()
        if changed or own != self._own or not _same(self._rendered.get("health", ()), (*readings.values(),)):
            self._own, self._rendered["health"] = own, (*readings.values(),)
            self.exposition.replace("health", health_metrics(readings | self._failed, own[0]))
            self.exposition.replace("process", process_metrics())
            self.exposition.publish()

    def _replace(self, name: str, families: Callable[[], Sequence[Family]]) -> None:
        """Renders one part. One that fails is left out and said to have failed; the others stay up."""
        self._failed.pop(name, None)
        try:
            self.exposition.replace(name, families())
        except Exception as error:
            _LOG.exception("the metrics of %s could not be made", name)
            message = f"{type(error).__name__}: {error}"
            self._failed[name] = Reading(trouble=Trouble.FAILED, message=message)
            self.exposition.replace(name, [])


def _same(before: tuple[object, ...], now: tuple[object, ...]) -> bool:
    """Whether two tuples hold the same objects: readings are replaced when they change, never altered."""
    return len(before) == len(now) and all(one is other for one, other in zip(before, now, strict=True))
