"""What do the exporters cost whoever scrapes them? A large answer over HTTP, and a Prometheus beside each exporter.

Three Prometheus run in turn, with nothing to scrape, with jizuo's exporter, and with blackbox_exporter, which are asked
of the same targets. What the first takes is taken off the others.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from aiohttp import web

from checks.availability.targets import Kind, Target
from exporters.exposition import Exposition
from exporters.web.answers import answer
from exporters.web.server import WebServer

#: Seconds between two scrapes, and for how long a Prometheus is left to it.
INTERVAL, SECONDS = 5, 60


class Scraped(NamedTuple):
    """What a Prometheus takes that has been scraping for a while."""

    resident_bytes: int
    cpu_seconds: float
    series: int


def scrape_milliseconds(exposition: Exposition, rounds: int = 50) -> tuple[float, int]:
    """The median of scrapes over HTTP on the loopback, compressed as Prometheus asks for it; series of an answer."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        return await answer(request, exposition.body(request.headers.get("Accept", "")))

    with _serving(metrics) as port:
        taken = []
        for _ in range(rounds):
            begun = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            accepted = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}
            connection.request("GET", "/metrics", headers=accepted)
            body = connection.getresponse().read()
            connection.close()
            taken.append(time.perf_counter() - begun)
    series = sum(not line.startswith(b"#") for line in gzip.decompress(body).splitlines())
    return statistics.median(taken) * 1000, series


@contextmanager
def _serving(handler: Any) -> Iterator[int]:
    """The exporter's own server with one path, in a thread; its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> WebServer:
        server = WebServer({"/metrics": handler}, ["127.0.0.1:0"], None)
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield int(server.urls[0].rsplit(":", 1)[1].strip("/"))
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def prometheus_of_jizuo(port: int) -> Scraped:
    """A Prometheus that scrapes the exporter on a port."""
    return _prometheus({"static_configs": [{"targets": [f"127.0.0.1:{port}"]}]})


def prometheus_of_blackbox(port: int, targets: Sequence[Target]) -> Scraped:
    """A Prometheus that has blackbox_exporter probe each target, as its own documentation configures it."""
    groups: dict[str, list[str]] = {}
    for target in targets:
        version = 6 if ":" in target.address else 4
        host = f"[{target.address}]" if target.port and version == 6 else target.address
        named = f"{host}:{target.port}" if target.port else host
        groups.setdefault(f"{'tcp' if target.kind is not Kind.ICMP else 'icmp'}{version}", []).append(named)
    return _prometheus(
        {
            "metrics_path": "/probe",
            "static_configs": [
                {"targets": names, "labels": {"__param_module": module}} for module, names in groups.items()
            ],
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": f"127.0.0.1:{port}"},
            ],
        }
    )


def prometheus_of_nothing() -> Scraped:
    """A Prometheus without anything to scrape."""
    return _prometheus({"static_configs": []})


def _prometheus(job: dict[str, Any]) -> Scraped:
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.close()
        config = {
            "global": {"scrape_interval": f"{INTERVAL}s", "scrape_timeout": f"{INTERVAL}s"},
            "scrape_configs": [{"job_name": "x", **job}],
        }
        file = Path(folder) / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder}/data", "--log.level=error",
             f"--web.listen-address=127.0.0.1:{port}"]
        )  # fmt: skip
        try:
            time.sleep(SECONDS)
            status = Path(f"/proc/{process.pid}/status").read_text()
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/api/v1/status/tsdb", timeout=30
            ) as response:
                series = json.load(response)["data"]["headStats"]["numSeries"]
            return Scraped(
                int(status.partition("VmRSS:")[2].split()[0]) * 1024,
                (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
                series,
            )
        finally:
            process.terminate()
            process.wait(30)
