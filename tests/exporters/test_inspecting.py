"""Certificates, suites and IPv6 readiness as metrics, of real servers on loopback."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from prometheus_client import Metric

from checks.availability import tls
from checks.availability.city_names import CityNames
from checks.availability.names import Resolver
from checks.availability.targets import Kind, Target
from checks.record import Record, Status
from exporters import inspecting
from exporters.collectors.inspection import Inspection, inspection_metrics
from exporters.inspecting import InspectLoop
from exporters.places import Place
from inventories.records import Family

WHERE = {"portal": Place("system", "门户", "city", "", "", "", "data-bureau")}


def samples(families: list[Metric], name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def target(port: int, family: Family, kind: Kind = Kind.HTTPS) -> Target:
    address = "::1" if family is Family.IPV6 else "127.0.0.1"
    return Target(
        subject="portal",
        check="https://x/",
        kind=kind,
        family=family,
        address=address,
        port=port,
        host="localhost",
    )


def test_a_web_server_s_certificate_and_readiness(
    authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    for cached in (tls._verifying, tls._unnamed):
        cached.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(tmp_path, "server", "server"))

    async def hello(request: web.Request) -> web.StreamResponse:
        return web.Response(text="hello")

    async def run() -> Inspection:
        application = web.Application()
        application.router.add_get("/", hello)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        port = runner.addresses[0][1]
        # No name server: the loop must live with that too.
        loop = InspectLoop(600, 2.0, lambda: None, Resolver(("127.0.0.1",), 1))
        loop.targets = [target(port, Family.IPV4), target(port, Family.IPV6)]
        await loop.inspect()
        await runner.cleanup()
        assert loop.reading.value is not None
        return loop.reading.value

    families = inspection_metrics(asyncio.run(run()), WHERE)
    for cached in (tls._verifying, tls._unnamed):
        cached.cache_clear()
    four, six = ("https://x/", "ipv4", "portal"), ("https://x/", "ipv6", "portal")
    assert samples(families, "jizuo_tls_handshake_success") == {four: 1, six: 0}
    assert set(samples(families, "jizuo_tls_certificate_not_after_timestamp_seconds")) == {four}
    assert samples(families, "jizuo_tls_certificate_trusted") == {four: 1}
    assert samples(families, "jizuo_tls_certificate_named") == {four: 1}
    suites = samples(families, "jizuo_tls_chinese_suite_offered")
    assert len(suites) == 6, "of IPv6, where nothing listens, nothing is said"
    assert set(suites.values()) == {0}
    met = samples(families, "jizuo_ipv6_readiness_met")
    assert met["reachable", "portal", "data-bureau"] == 0
    assert not [key for key in met if key[0] == "aaaa"], "what could not be told has no series"
    assert samples(families, "jizuo_ipv6_readiness_unit_systems") == {
        ("yes", "data-bureau"): 0,
        ("no", "data-bureau"): 1,
    }


def test_an_edit_of_the_inventory_is_inspected_without_waiting_for_the_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inspecting, "_FIRST", 0.01)
    seen: list[set[str]] = []

    async def run() -> None:
        done = asyncio.Event()

        def note() -> None:
            seen.append({one.key[0] for one in loop.reading.value.shown} if loop.reading.value else set())
            done.set()

        loop = InspectLoop(600, 0.5, note, Resolver(("127.0.0.1",), 1))
        before = [target(1, Family.IPV4)]
        loop.follow(before, CityNames())
        running = asyncio.create_task(loop.run())
        await asyncio.wait_for(done.wait(), 10)
        done.clear()
        loop.follow(list(before), CityNames())  # read again, and the same: nobody is asked again
        loop.follow([msgspec.structs.replace(before[0], subject="renamed")], CityNames())
        await asyncio.wait_for(done.wait(), 10)
        running.cancel()

    asyncio.run(run())
    assert seen == [{"portal"}, {"renamed"}]


def test_degradation_and_score_are_numbers_by_system() -> None:
    def record(check: str, value: float | None, status: Status = Status.PASS) -> Record:
        return Record(
            subject="portal", check=check, family="ipv6", status=status, value=value, at="", evidence=""
        )

    records = [
        record("ipv6-tcp", -0.2),
        record("ipv6-page", 0.5, Status.FAIL),
        record("ipv6-score", 0.95, Status.FAIL),
    ]
    families = inspection_metrics(Inspection([], records), WHERE)
    assert samples(families, "jizuo_ipv6_degradation_ratio") == {
        ("tcp", "portal", "data-bureau"): -0.2,
        ("page", "portal", "data-bureau"): 0.5,
    }
    assert samples(families, "jizuo_ipv6_readiness_ratio") == {("portal", "data-bureau"): 0.95}
