"""Runs an exporter: the monitor and the web server, from the first reading to the last signal."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path

from aiohttp import web

from checks.drills.page import page
from exporters.access import PLAIN, Access
from exporters.discovery import Discovery
from exporters.history import HistoryLoop
from exporters.inside import InsideLoop
from exporters.monitor import Collectors, Monitor
from exporters.runbooks.pages import runbook_page
from exporters.status.page import NO_HISTORY, StatusPage
from exporters.status.words import zone_of
from exporters.web.answers import answer
from exporters.web.server import WebServer

_LOG = logging.getLogger(__name__)


class Exporter:
    """A monitor and the server of its paths.

    `/metrics`, `/healthz` (and `/-/healthy`, as Prometheus has it), the status page at `/` with its pages below it
    and `/status.json` for programs, `/runbooks/ALERT`, and `/sd/JOB`: the targets of a job of Prometheus's, for its
    `http_sd_configs`.
    """

    def __init__(
        self,
        collectors: Collectors,
        addresses: list[str],
        config_file: Path | None,
        prometheus: str = "",
        access: Access = PLAIN,
    ) -> None:
        """Takes what to collect, where to listen, web.yml, and the Prometheus that knows the past (empty: none)."""
        self.monitor = Monitor(collectors, lambda: self.server.reload_state)
        self._history = HistoryLoop(prometheus, self._zone, access) if prometheus else None
        self._inside = InsideLoop(prometheus, access) if prometheus else None
        self._asking: list[asyncio.Task[None]] = []
        self._page = StatusPage(
            self.monitor,
            lambda: self._history.reading if self._history else NO_HISTORY,
            lambda: self._inside.reading if self._inside else None,
        )
        self._rendering = asyncio.Lock()
        self._discovery = Discovery()
        routes = {
            "/metrics": self._metrics,
            "/healthz": self._healthy,
            "/-/healthy": self._healthy,
            "/sd/{job}": self._targets,
            "/": self._status,
            "/{page:units|backups|security|drills|(?:city|county|township|village|unit)/[^/]+}": self._status,
            "/drill/{id}": self._drill,
            "/status.json": self._summary,
            "/runbooks/{alert}": self._runbook,
        }
        self.server = WebServer(routes, addresses, config_file)

    async def start(self) -> None:
        """Reads all sources once, then listens.

        Raises:
            WebConfigError: web.yml cannot be used.
            ListenError: An address cannot be listened on.
        """
        await self.monitor.start()
        await self.server.start()
        self._running = asyncio.create_task(self.monitor.run(), name="monitor")
        self._asking = [asyncio.create_task(loop.run()) for loop in (self._history, self._inside) if loop]

    async def stop(self) -> None:
        """Ends the server, then the monitor."""
        await self.server.stop()
        tasks = [self._running, *self._asking]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def run_until_signal(self, on_ready: Callable[[list[str]], None]) -> None:
        """Serves until SIGTERM or SIGINT; `on_ready` is told the URLs.

        Raises:
            BaseExceptionGroup: The monitor ended by itself, which it never should.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self.start()
        on_ready(self.server.urls)
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait([waiting, self._running], return_when=asyncio.FIRST_COMPLETED)
        ended_itself = self._running.done() and not stop.is_set()
        await self.stop()
        if ended_itself:
            self._running.result()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        body = self.monitor.exposition.body(request.headers.get("Accept", ""))
        return await answer(request, body)

    async def _healthy(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="jizuo exporter is healthy.\n")

    async def _targets(self, request: web.Request) -> web.StreamResponse:
        """The whole list, always (HTTP SD); no inventory and no such job are errors, never an empty list."""
        inventory = self.monitor.snapshot.inventory.value
        if inventory is None:
            return web.Response(status=503, text="the inventory was not read yet\n")
        jobs = await asyncio.to_thread(self._discovery.jobs, inventory.city)
        document = jobs.get(request.match_info["job"])
        if document is None:
            return web.Response(status=404, text=f"no such job; the jobs are {', '.join(jobs)}\n")
        return web.Response(body=document, content_type="application/json", charset="utf-8")

    async def _runbook(self, request: web.Request) -> web.StreamResponse:
        page = runbook_page(request.match_info["alert"].removesuffix(".html"))
        if page is None:
            return web.Response(status=404, text="there is no alert of this name\n")
        return web.Response(text=page, content_type="text/html", charset="utf-8")

    async def _status(self, request: web.Request) -> web.StreamResponse:
        refresh = request.query.get("refresh") != "off"
        path = request.match_info.get("page", "")
        async with self._rendering:  # of many who ask at once, one renders; scrapes go on meanwhile
            body = await asyncio.to_thread(self._page.body, refresh, path)
        if body is None:
            return web.Response(status=404, text=f"there is no page {path}; begin at the first one: /\n")
        return await answer(request, body)

    async def _drill(self, request: web.Request) -> web.StreamResponse:
        """A drill's record as its own page; the digest that is signed stands on the one beside the record's file."""
        snapshot, id = self.monitor.snapshot, request.match_info["id"]
        records = (snapshot.drill.value if snapshot.drill else None) or []
        record = next((one for one in records if one.id == id), None)
        if record is None:
            return web.Response(status=404, text="there is no drill record of this id; see /drills\n")
        html = await asyncio.to_thread(page, record)
        return web.Response(text=html, content_type="text/html", charset="utf-8")

    async def _summary(self, request: web.Request) -> web.StreamResponse:
        """What the first page says, for programs; an exporter that has read no inventory knows nothing."""
        async with self._rendering:
            document = await asyncio.to_thread(self._page.summary)
        if document is None:
            return web.Response(status=503, text="the inventory was not read yet\n")
        return web.Response(body=document, content_type="application/json", charset="utf-8")

    def _zone(self) -> tzinfo:
        inventory = self.monitor.snapshot.inventory.value
        return zone_of(inventory.city.layout.time_zone if inventory else "")
