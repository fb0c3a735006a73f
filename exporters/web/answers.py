"""How does a large answer reach a client that reads slowly? In pieces, each with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from exporters.exposition import Body

#: Bytes handed to a connection at once: what a client that does not read costs at most, beside the body that
#: all clients share.
PIECE = 64 * 1024
#: Seconds in which a client has to take a piece; then its connection is cut.
PIECE_TIMEOUT = 10.0


async def answer(request: web.Request, body: Body) -> web.StreamResponse:
    """The body, gzipped for whoever takes it (RFC 9110 section 12.5.3); it was compressed beforehand."""
    headers = {
        "Content-Type": body.content_type,
        "Vary": "Accept, Accept-Encoding",
        "Cache-Control": "no-cache",
    }
    if takes_gzip(request.headers.get("Accept-Encoding", "")):
        return await _send(request, body.gzipped, headers | {"Content-Encoding": "gzip"})
    return await _send(request, body.plain, headers)


async def _send(request: web.Request, data: bytes, headers: Mapping[str, str]) -> web.StreamResponse:
    if len(data) <= PIECE or request.method == "HEAD":
        return web.Response(body=data, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_length = len(data)
    await response.prepare(request)
    view = memoryview(data)
    try:
        for start in range(0, len(data), PIECE):
            async with asyncio.timeout(PIECE_TIMEOUT):
                await response.write(view[start : start + PIECE])
        await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for offer in accept_encoding.split(","):
        name, _, weight = offer.partition(";")
        if name.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
