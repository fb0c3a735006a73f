"""Do probes tell what is the matter with real servers on loopback, in each family, each in its own time?"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from checks.availability.dns import Question
from checks.availability.names import Resolver
from checks.availability.run import Limits, probe, probe_all
from checks.availability.targets import Kind, Target
from checks.record import Record, Status
from inventories.records import Family

from .servers import LOOPBACK, closed_port, name_server, resetter, tarpit, web_server

FAMILIES = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


def target(kind: Kind, family: str, port: int = 0, **fields: object) -> Target:
    return Target(
        subject="subject",
        check=kind.value,
        kind=kind,
        family=Family(family),
        address=LOOPBACK[family],
        port=port,
        **fields,  # type: ignore[arg-type]
    )


async def probe_one(probed: Target, **limits: float) -> Record:
    (record,) = await probe_all([probed], **{"timeout": 0.5, "echo_timeout": 0.3, **limits})  # type: ignore[arg-type]
    return record


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())


@FAMILIES
def test_tcp(family: str) -> None:
    async def test() -> None:
        async with tarpit(family) as port:  # it accepts: that is all a TCP probe asks for
            record = await probe_one(target(Kind.TCP, family, port))
            assert (record.status, record.family, record.reason) == (Status.PASS, family, "")
            assert isinstance(record.value, float)
            assert 0 < record.value < 0.5
        record = await probe_one(target(Kind.TCP, family, closed_port(family)))
        assert (record.status, record.reason, record.value) == (Status.FAIL, "refused", None)

    run(test)


def test_a_server_of_one_family_is_down_in_the_other() -> None:
    async def test() -> None:
        for up, down in (("ipv4", "ipv6"), ("ipv6", "ipv4")):
            async with web_server(up, {}) as port:
                kinds = (Kind.TCP, Kind.HTTP)
                records = await probe_all(
                    [target(kind, family, port, host="h") for kind in kinds for family in (up, down)]
                )
                assert [record.status for record in records] == ["pass", "fail", "pass", "fail"]
                assert [record.reason for record in records] == ["", "refused", "", "refused"]
                assert [record.family for record in records] == [up, down, up, down]

    run(test)


@FAMILIES
def test_http(family: str) -> None:
    pages: dict[str, web.StreamResponse | float] = {
        "/moved": web.Response(status=302, headers={"Location": "https://elsewhere.example/"}),
        "/gone": web.Response(status=404),
        "/ill": web.Response(status=503),
        "/slow": 5.0,
    }

    async def test() -> None:
        async with web_server(family, pages) as port:

            async def get(path: str) -> Record:
                return await probe_one(
                    target(Kind.HTTP, family, port, host="cloud-1.city.example", path=path)
                )

            good = await get("/page?a=1")
            expected = f"host cloud-1.city.example:{port} path /page?a=1"
            assert (good.status, good.reason) == (Status.PASS, "")
            assert good.evidence.endswith(f"status 200 OK, {len(expected)} bytes")
            moved = await get("/moved")
            assert moved.status is Status.PASS
            assert "https://elsewhere.example/" in moved.evidence
            assert [(await get(page)).reason for page in ("/gone", "/ill", "/slow")] == [
                "bad_status",
                "bad_status",
                "timeout",
            ]

    run(test)


@FAMILIES
def test_http_servers_in_trouble(family: str) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async def mumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        writer.close()

    async def never_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()

    async def test() -> None:
        async with tarpit(family) as silent, resetter(family) as resetting:
            assert (await probe_one(target(Kind.HTTP, family, silent, host="h"))).reason == "timeout"
            assert (await probe_one(target(Kind.HTTP, family, resetting, host="h"))).reason == "reset"
            assert (await probe_one(target(Kind.HTTPS, family, resetting, host="h"))).reason == "reset"
        for behaviour, reason in (
            (hang_up, "reset"),
            (mumble, "wrong_answer"),
            (break_off, "reset"),
            (never_end, ""),
        ):
            server = await asyncio.start_server(behaviour, LOOPBACK[family], 0)
            async with server:
                port = server.sockets[0].getsockname()[1]
                assert (await probe_one(target(Kind.HTTP, family, port, host="h"))).reason == reason, (
                    behaviour
                )
        async with web_server(family, {}) as port:
            record = await probe_one(target(Kind.HTTPS, family, port, host="h"))
            assert (record.status, record.reason) == (Status.FAIL, "certificate")

    run(test)


@FAMILIES
def test_dns(family: str) -> None:
    addresses = {
        ("cloud-1.city.example", "AAAA"): ("2001:db8::1",),
        ("cloud-1.city.example", "A"): ("198.18.0.1",),
        ("big.city.example", "AAAA"): ("2001:db8::2",),
        ("city.example", "SOA"): ("ns.city.example. hostmaster.city.example. 1 2 3 4 5",),
    }

    async def test() -> None:
        async with name_server(family, addresses) as port:

            async def ask(*questions: Question) -> Record:
                return await probe_one(target(Kind.DNS, family, port, questions=questions))

            both = await ask(
                Question("cloud-1.city.example", "AAAA", ("2001:db8::1",)),
                Question("cloud-1.city.example", "A", ("198.18.0.1",)),
            )
            assert (both.status, both.reason) == (Status.PASS, "")
            assert "AAAA 2001:db8::1; A 198.18.0.1" in both.evidence
            assert (await ask(Question("city.example", "SOA"))).status is Status.PASS
            assert (await ask(Question("big.city.example", "AAAA", ("2001:db8::2",)))).status is Status.PASS
            wrong = await ask(Question("cloud-1.city.example", "AAAA", ("2001:db8::bad",)))
            assert (wrong.status, wrong.reason) == (Status.FAIL, "wrong_answer")
            assert "2001:db8::1, not 2001:db8::bad" in wrong.evidence
            missing = await ask(Question("big.city.example", "A", ("198.18.0.2",)))
            assert missing.reason == "wrong_answer"
            assert (await ask(Question("nowhere.city.example", "A"))).reason == "name_error"
            assert (await ask(Question("broken.city.example", "A"))).reason == "bad_status"
            assert (await ask(Question("cloud-1.city.example", "SOA"))).reason == "wrong_answer"
        dead = closed_port(family, socket.SOCK_DGRAM)
        question = Question("city.example", "SOA")
        refused = await probe_one(target(Kind.DNS, family, dead, questions=(question,)))
        assert refused.reason == "refused"
        domain = socket.AF_INET if family == "ipv4" else socket.AF_INET6
        with socket.socket(domain, socket.SOCK_DGRAM) as silent:
            silent.bind((LOOPBACK[family], 0))
            port = silent.getsockname()[1]
            assert (
                await probe_one(target(Kind.DNS, family, port, questions=(question,)))
            ).reason == "timeout"

    run(test)


def test_the_dead_do_not_delay_the_living() -> None:
    """200 targets, 30 % of them dead in ways that take the whole time limit."""

    async def test() -> None:
        async with contextlib.AsyncExitStack() as stack:
            living = {f: await stack.enter_async_context(web_server(f, {})) for f in LOOPBACK}
            dead = {f: await stack.enter_async_context(tarpit(f)) for f in LOOPBACK}
            targets = []
            for number in range(200):
                family = "ipv6" if number % 2 else "ipv4"
                port = dead[family] if number % 10 < 3 else living[family]
                targets.append(target(Kind.HTTP, family, port, host="h"))
            started = time.monotonic()
            seen: list[tuple[float, Status]] = []

            def note(record: Record) -> None:
                seen.append((time.monotonic() - started, record.status))

            records = await probe_all(targets, timeout=5.0, concurrency=100, deadline=12.0, on_record=note)
            assert time.monotonic() - started < 13.0, "the deadline did not end the run"
            assert [record.status for record in records].count(Status.FAIL) == 60
            assert all(record.reason == "timeout" for record in records if record.status is Status.FAIL)
            order = [status for _, status in sorted(seen, key=lambda item: item[0])]
            first_dead = order.index(Status.FAIL)
            assert Status.PASS not in order[first_dead:], "the living had to wait for the dead"

    run(test)


def test_the_deadline_ends_the_run_and_says_what_was_not_begun() -> None:
    async def test() -> None:
        async with tarpit("ipv4") as port, web_server("ipv4", {}) as living:
            targets = [target(Kind.HTTP, "ipv4", living, host="h")]
            targets += [target(Kind.HTTP, "ipv4", port, host="h") for _ in range(6)]
            started = time.monotonic()
            records = await probe_all(targets, timeout=30, concurrency=3, deadline=0.7)
            assert time.monotonic() - started < 2
            assert [record.reason for record in records] == ["", *["timeout"] * 3, *["deadline"] * 3]
            assert [record.status for record in records][-1] is Status.ERROR

    run(test)


def test_a_probe_that_breaks_leaves_the_others() -> None:
    async def test() -> None:
        async with web_server("ipv4", {}) as port:
            broken = target(Kind.DNS, "ipv4", port, questions=(Question("x" * 70, "A"),))
            odd = target(Kind.TCP, "ipv4", 99999)
            good = target(Kind.HTTP, "ipv4", port, host="h")
            records = await probe_all([broken, odd, good, good])
            assert [record.status for record in records][2:] == ["pass", "pass"]
            assert (records[1].status, records[1].reason) == (Status.ERROR, "fault")
            assert records[0].status is not Status.PASS

    run(test)


def test_names_are_resolved_in_each_family_and_one_that_fails_is_one_failed_target() -> None:
    records = {
        ("both.city.example", "A"): ("127.0.0.1",),
        ("both.city.example", "AAAA"): ("::1",),
        ("old.city.example", "A"): ("127.0.0.1",),
    }

    async def test() -> None:
        async with contextlib.AsyncExitStack() as stack:
            ports = {f: await stack.enter_async_context(web_server(f, {})) for f in LOOPBACK}
            server = await stack.enter_async_context(name_server("ipv4", records))
            names = ("both.city.example", "old.city.example", "gone.city.example", "broken.city.example")
            targets = [
                Target(
                    subject=name,
                    check="http",
                    kind=Kind.HTTP,
                    family=Family(f),
                    address="",
                    host=name,
                    port=ports[f],
                )
                for name in names
                for f in LOOPBACK
            ]
            pings = [
                Target(subject=name, check="icmp", kind=Kind.ICMP, family=Family.IPV4, address="", host=name)
                for name in names[:3]
            ]
            limits = Limits(timeout=2.0, echo_timeout=0.3)
            found = await probe([*targets, *pings], limits, resolver=Resolver(("127.0.0.1",), server))
            reasons = [probed.outcome.reason for probed in found]
            assert reasons[:8] == [None, None, None, "no_address", *["name_error"] * 2, *["unresolved"] * 2]
            assert reasons[8:] in (
                [None, None, "name_error"],
                ["not_permitted", "not_permitted", "name_error"],
            )

    run(test)


def test_a_name_server_that_swallows_questions_holds_up_nobody() -> None:
    async def test() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
            hole.bind(("127.0.0.1", 0))
            async with web_server("ipv4", {}) as port:
                named = [
                    Target(
                        subject=f"{number}",
                        check="http",
                        kind=Kind.HTTP,
                        family=Family.IPV4,
                        address="",
                        host=f"host-{number}.city.example",
                        port=port,
                    )
                    for number in range(60)
                ]
                order: list[int] = []
                targets = [*named, target(Kind.HTTP, "ipv4", port, host="h")]
                limits = Limits(timeout=2.0, concurrency=100)
                resolver = Resolver(("127.0.0.1",), hole.getsockname()[1])
                found = await probe(
                    targets, limits, resolver=resolver, settled=lambda index, _: order.append(index)
                )
                assert order[0] == 60, "the one with an address had to wait for the names"
                assert [probed.outcome.reason for probed in found] == ["unresolved"] * 60 + [None]

    run(test)


def test_nothing_to_probe() -> None:
    assert asyncio.run(probe_all([])) == []
