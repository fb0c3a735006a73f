"""Is IPv6 readiness what real servers and name servers show, part by part?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import dns.resolver
import pytest
from aiohttp import web
from msgspec import structs

from checks.availability.city_names import names_of
from checks.availability.ipv6 import assess, inner_links
from checks.availability.names import Resolver
from checks.availability.readiness import Measured, Page, Zone, assessment, degradation, judge, score
from checks.availability.targets import Kind, Target
from checks.record import Record, Status
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family

from .servers import LOOPBACK, closed_port, name_server

LAB = Path(__file__).parents[2] / "inventories" / "lab"
NAME = "portal.city.example"
RECORDS: dict[tuple[str, str], tuple[str, ...]] = {
    (NAME, "A"): ("127.0.0.1",),
    (NAME, "AAAA"): ("::1",),
    ("city.example", "NS"): ("ns.city.example.", "old.city.example."),
    ("city.example", "SOA"): ("ns.city.example. hostmaster.city.example. 1 2 3 4 5",),
    ("ns.city.example", "AAAA"): ("::1",),
    ("old.city.example", "A"): ("127.0.0.1",),
}
PAGE = '<a href="/second">2</a> <a href="#top">0</a> <img src="http://elsewhere.example/x.png">\n一网通办\n'
PAGES = {"/": PAGE, "/second": '<a href="/third">3</a>', "/third": "the end"}
PARTS = list(assessment().weights)
#: Other programs on a test's machine may delay an answer by more than what counts in earnest.
LENIENT = structs.replace(assessment(), limits=structs.replace(assessment().limits, negligible_seconds=0.7))


@contextlib.asynccontextmanager
async def pages(family: str, texts: Mapping[str, str], delay: float = 0.0) -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(delay)
        if request.path not in texts:
            return web.Response(status=404)
        return web.Response(text=texts[request.path], content_type="text/html")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK[family], 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def assessed(
    records: Mapping[tuple[str, str], tuple[str, ...]] = RECORDS,
    six: Mapping[str, str] | None = PAGES,
    four: Mapping[str, str] | None = PAGES,
    delay: float = 0.0,
    families: tuple[Family, ...] = tuple(Family),
) -> dict[str, Record]:
    """The records by part, of a portal with such name records and pages; None: nothing listens there."""

    async def run() -> list[Record]:
        async with contextlib.AsyncExitStack() as stack:
            port = await stack.enter_async_context(name_server("ipv6", records))
            ports = {Family.IPV4: closed_port("ipv4"), Family.IPV6: closed_port("ipv6")}
            if four is not None:
                ports[Family.IPV4] = await stack.enter_async_context(pages("ipv4", four))
            if six is not None:
                ports[Family.IPV6] = await stack.enter_async_context(pages("ipv6", six, delay))
            targets = [
                Target(
                    subject="portal",
                    check="http://cloud-1/",
                    kind=Kind.HTTP,
                    family=family,
                    address=LOOPBACK[family],
                    port=ports[family],
                    host=NAME,
                )
                for family in families
            ]
            return await assess(targets, timeout=5.0, resolver=Resolver(("::1",), port), by=LENIENT)

    return {record.check.removeprefix("ipv6-"): record for record in asyncio.run(run())}


def missing(found: Mapping[str, Record]) -> dict[str, str]:
    return {part: found[part].reason for part in PARTS if found[part].status is not Status.PASS}


def test_a_system_that_is_ready() -> None:
    found = assessed()
    assert missing(found) == {}
    assert [*PARTS, "score"] == list(found)
    assert (found["score"].status, found["score"].value, found["score"].reason) == (Status.PASS, 1.0, "")
    assert found["aaaa"].evidence == "::1"
    assert found["authority"].evidence == "city.example.: 1 of 2 name servers answer over IPv6, 1 have AAAA"
    assert found["links"].evidence == "2 of 2 inner links work over IPv6"
    assert {record.family for record in found.values()} == {"ipv6"}


def without(*keys: tuple[str, str]) -> dict[tuple[str, str], tuple[str, ...]]:
    return {key: values for key, values in RECORDS.items() if key not in keys}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"records": without((NAME, "AAAA"))}, {"aaaa": "no_address"}),
        ({"records": without(("ns.city.example", "AAAA"))}, {"authority": "no_ipv6_authority"}),
        (
            {"records": RECORDS | {("ns.city.example", "AAAA"): ("::2",)}},  # a server that does not answer
            {"authority": "no_ipv6_authority"},
        ),
        (
            {"records": without(("city.example", "SOA")) | {("city.example", "NS"): ("broken.city.example.",)}},
            {"authority": "no_ipv6_authority"},
        ),
        ({"six": PAGES | {"/": "another page"}}, {"content": "different"}),
        ({"six": {"/": PAGE, "/second": '<a href="/third">3</a>'}}, {"links": "broken_links"}),
        ({"six": {"/": PAGE}}, {"links": "broken_links"}),
        ({"delay": 0.9}, {"first_byte": "degraded", "page": "degraded"}),
        (
            {"six": None},
            dict.fromkeys(("reachable", "tcp", "first_byte", "page", "content", "links"), "refused"),
        ),
        ({"four": None}, dict.fromkeys(("tcp", "first_byte", "page", "content"), "refused")),
        ({"six": {}}, dict.fromkeys(("reachable", "tcp", "first_byte", "page", "content", "links"), "bad_status")),
    ],
    ids=[
        "no AAAA",
        "authority without AAAA",
        "authority that does not answer",
        "authority that fails",
        "another page",
        "broken third level",
        "broken second level",
        "slow",
        "down",
        "IPv4 down",
        "not found",
    ],
)  # fmt: skip
def test_what_is_missing_is_named(given: dict[str, Any], expected: dict[str, str]) -> None:
    found = assessed(**given)
    assert missing(found) == expected
    weights = assessment().weights
    lost = sum(weights[part] for part in expected)
    assert found["score"].value == pytest.approx(1 - lost / sum(weights.values()), abs=1e-3)
    assert all(part in found["score"].evidence for part in expected)


def test_without_ipv4_a_delay_is_not_told_rather_than_met() -> None:
    found = assessed(four=None)
    assert {found[part].status for part in ("tcp", "first_byte", "page", "content")} == {Status.ERROR}
    only = assessed(families=(Family.IPV6,))
    assert only["tcp"].status is Status.ERROR
    assert only["reachable"].status is Status.PASS


def test_a_name_server_that_is_down_says_nothing_of_the_system() -> None:
    async def run() -> list[Record]:
        async with pages("ipv6", PAGES) as port:
            target = Target(
                subject="portal",
                check="http://cloud-1/",
                kind=Kind.HTTP,
                family=Family.IPV6,
                address="::1",
                port=port,
                host=NAME,
            )
            resolver = Resolver(("::1",), closed_port("ipv6"))
            return await assess([target], timeout=0.5, resolver=resolver)

    found = {record.check: record for record in asyncio.run(run())}
    assert (found["ipv6-aaaa"].status, found["ipv6-aaaa"].reason) == (Status.ERROR, "unresolved")
    assert found["ipv6-authority"].status is Status.ERROR
    assert found["ipv6-reachable"].status is Status.PASS


def test_a_machine_without_a_resolver_asks_the_operations_node_for_the_citys_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    city = load_city(LAB)
    plan = build_plan(city)
    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", _no_resolver)
    names = names_of(city, plan)
    assert names.resolver == Resolver(
        tuple(str(plan.host("ops-1", family)) for family in (Family.IPV6, Family.IPV4))
    )
    assert names.full("cloud-1") == "cloud-1.yichun.example"
    assert names.full("www.city.example") == "www.city.example"
    # A city without such a node has nobody to ask: names cannot be told, pages can.
    bare = structs.replace(city, nodes={})
    assert names_of(bare, plan).resolver is None

    async def run() -> list[Record]:
        async with pages("ipv6", PAGES) as port:
            target = Target(
                subject="portal",
                check="http://cloud-1/",
                kind=Kind.HTTP,
                family=Family.IPV6,
                address="::1",
                port=port,
                host=NAME,
            )
            return await assess([target], timeout=2.0)

    found = {record.check: record for record in asyncio.run(run())}
    assert (found["ipv6-aaaa"].status, found["ipv6-aaaa"].reason) == (Status.ERROR, "unresolved")
    assert found["ipv6-reachable"].status is Status.PASS


def _no_resolver(*_: object) -> None:
    raise dns.resolver.NoResolverConfiguration("cannot open /etc/resolv.conf")


def test_what_is_not_deployed_in_ipv6_is_not_ready() -> None:
    found = assessed(families=(Family.IPV4,))
    assert {part: (record.status, record.reason) for part, record in found.items()} == {
        "score": (Status.FAIL, "not_deployed")
    }


def test_a_small_difference_is_none_however_large_its_share() -> None:
    by = assessment()

    def parts(six: float) -> dict[str, bool | None]:
        page = {Family.IPV4: Page(tcp=0.001), Family.IPV6: Page(tcp=six)}
        measured = Measured("portal", ["::1"], "", [Zone("city.example.", 1, 1, 1)], page, 0, [])
        return {verdict.part: verdict.met for verdict in judge(measured, by)}

    assert parts(0.002)["tcp"] is True, "twice a millisecond"
    assert parts(0.03)["tcp"] is False
    assert degradation(0.15, 0.1) == pytest.approx(0.5)
    assert degradation(0.05, 0.1) == pytest.approx(-0.5)
    assert score([], by) == 0


def test_inner_links_are_those_of_the_same_host() -> None:
    body = '<a href="b">b</a><link href="/c.css"><a href="https://x.example/a/">s</a><a href="//y.example/">y</a>'
    body += '<a href="http://x.example/a/b">twice</a><a href="http://[bad">bad</a><a href="#here">here</a>'
    assert inner_links(body, "http://x.example/a/") == ["http://x.example/a/b", "http://x.example/c.css"]
