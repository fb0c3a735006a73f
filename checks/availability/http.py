"""Does a web server answer a request over one address family (RFC 9110)?"""

from __future__ import annotations

import asyncio
import socket
import time

import aiohttp

from inventories.records import Family

from .outcome import Outcome, Reason, of_error

_DOMAINS = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
#: Bytes of a body that are read: enough for a page, not for a page that never ends.
BODY_BYTES = 256 * 1024
_PORTS = {"http": 80, "https": 443}
_USER_AGENT = "jizuo-availability"


def new_session(family: Family, concurrency: int, *traces: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    """A session that speaks one family only and keeps nothing between requests: no connection, no cookie.

    Args:
        family: The address family.
        concurrency: Requests under way at once; further ones wait.
        traces: Who is told of the phases of each request.
    """
    connector = aiohttp.TCPConnector(
        family=_DOMAINS[family], limit=concurrency, force_close=True, use_dns_cache=False
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": _USER_AGENT},
        trace_configs=list(traces),
    )


def url_of(scheme: str, address: str, port: int, path: str) -> str:
    """A URL at a numeric address; IPv6 in brackets (RFC 3986 section 3.2.2)."""
    literal = f"[{address}]" if ":" in address else address
    return f"{scheme}://{literal}:{port}{path}"


def host_header(scheme: str, host: str, port: int) -> str:
    """The Host header: the port stands in it unless it is the scheme's own (RFC 9110 section 7.2)."""
    return host if port == _PORTS[scheme] else f"{host}:{port}"


async def request(
    session: aiohttp.ClientSession,
    *,
    scheme: str,
    host: str,
    address: str,
    port: int,
    path: str,
    timeout: float,
) -> Outcome:
    """GET a path from the server at an address, under a host's name.

    The name stands in the Host header and is what the certificate must hold; the connection goes to the
    address, so that no resolver and no other family can stand in for a server that is down. A redirect is
    a good answer and is not followed: its target is another subject.

    Args:
        session: Of the address's family, from `new_session`.
        scheme: `http` or `https`.
        host: The server's DNS name.
        address: A numeric address.
        port: The port.
        path: Path and query, beginning with a slash.
        timeout: Seconds for the whole exchange.

    Returns:
        Its seconds run until the body is there (at most `BODY_BYTES` of it).
    """
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            async with session.get(
                url_of(scheme, address, port, path),
                headers={"Host": host_header(scheme, host, port)},
                server_hostname=host if scheme == "https" else None,
                allow_redirects=False,
            ) as response:
                read = len(await read_body(response.content))
        return _outcome_of(response, time.perf_counter() - started, read)
    except (aiohttp.ClientError, OSError) as error:
        return of_client_error(error)


def of_client_error(error: aiohttp.ClientError | OSError) -> Outcome:
    """The outcome that an error of aiohttp's client, or of the socket below it, stands for."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return Outcome(None, f"certificate: {error.certificate_error}", Reason.CERTIFICATE)
        case aiohttp.ClientSSLError():
            return Outcome(None, f"TLS: {error}", Reason.CERTIFICATE)
        case aiohttp.ServerDisconnectedError():
            return Outcome(None, "the server closed the connection without an answer", Reason.RESET)
        case aiohttp.ClientPayloadError():
            return Outcome(None, f"the answer broke off: {error}", Reason.RESET)
        case aiohttp.ClientResponseError():
            return Outcome(None, f"not HTTP: {error.message}", Reason.WRONG_ANSWER)
        case OSError():  # TimeoutError and aiohttp.ClientOSError are OSErrors
            return of_error(error)
    return Outcome(None, str(error), Reason.WRONG_ANSWER)


async def read_body(content: aiohttp.StreamReader) -> bytes:
    """A body, or its first `BODY_BYTES`."""
    read = b""
    while len(read) < BODY_BYTES and (chunk := await content.read(BODY_BYTES - len(read))):
        read += chunk
    return read


def _outcome_of(response: aiohttp.ClientResponse, seconds: float, read: int) -> Outcome:
    status = f"{response.status} {response.reason or ''}".strip()
    if response.status >= 400:
        return Outcome(None, f"status {status}", Reason.BAD_STATUS)
    if 300 <= response.status < 400:
        return Outcome(seconds, f"status {status}, to {response.headers.get('Location', 'nowhere')}")
    return Outcome(seconds, f"status {status}, {read} bytes")
