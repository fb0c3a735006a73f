"""Real servers on loopback that behave as servers in trouble do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from aiohttp import web

LOOPBACK = {"ipv4": "127.0.0.1", "ipv6": "::1"}


@contextlib.asynccontextmanager
async def web_server(family: str, pages: Mapping[str, web.StreamResponse | float]) -> AsyncIterator[int]:
    """An HTTP server; a page that is a number of seconds comes that much later. Yields its port."""

    async def answer(request: web.Request) -> web.StreamResponse:
        page = pages.get(request.path)
        if isinstance(page, float):
            await asyncio.sleep(page)
            return web.Response(text="late")
        if page is None:
            return web.Response(text=f"host {request.headers['Host']} path {request.path_qs}")
        return page

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK[family], 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def tarpit(family: str) -> AsyncIterator[int]:
    """A server that accepts connections and says nothing. Yields its port."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, LOOPBACK[family], 0, backlog=512)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def resetter(family: str) -> AsyncIterator[int]:
    """A server that accepts connections and tears them down with RST. Yields its port."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(reset, LOOPBACK[family], 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def closed_port(family: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port on which nothing listens."""
    domain = socket.AF_INET if family == "ipv4" else socket.AF_INET6
    with socket.socket(domain, kind) as probe:
        probe.bind((LOOPBACK[family], 0))
        return int(probe.getsockname()[1])


class NameServer(asyncio.DatagramProtocol):
    """An authoritative server of some records; `broken...` fails, `big...` is cut off over UDP."""

    def __init__(self, records: Mapping[tuple[str, str], tuple[str, ...]]) -> None:
        self.records = records
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:  # Python 3.11's is no asyncio.DatagramTransport
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        assert self.transport is not None
        self.transport.sendto(self.answer(data, udp=True), address)

    def answer(self, data: bytes, *, udp: bool) -> bytes:
        query = dns.message.from_wire(data)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        if name.startswith("broken"):
            response.set_rcode(dns.rcode.SERVFAIL)
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif name.startswith("big") and udp:
            response.flags |= dns.flags.TC
        elif values := self.records.get((name, kind)):
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *values))
        return response.to_wire()

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        answer = self.answer(await reader.readexactly(length), udp=False)
        writer.write(struct.pack("!H", len(answer)) + answer)
        await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def name_server(family: str, records: Mapping[tuple[str, str], tuple[str, ...]]) -> AsyncIterator[int]:
    """A name server on one port over UDP and TCP. Yields its port."""
    server = NameServer(records)
    tcp = await asyncio.start_server(server.serve_tcp, LOOPBACK[family], 0)
    port = tcp.sockets[0].getsockname()[1]
    udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=(LOOPBACK[family], port)
    )
    try:
        yield port
    finally:
        udp.close()
        tcp.close()
