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
_USER_AGENT = "jizuo-availability"


def new_session(family: Family, concurrency: int) -> aiohttp.ClientSession:
    """A session that speaks one family only and keeps nothing between requests: no connection, no cookie.

    Args:
        family: The address family.
        concurrency: Requests under way at once; further ones wait.
    """
    connector = aiohttp.TCPConnector(
        family=_DOMAINS[family], limit=concurrency, force_close=True, use_dns_cache=False
    )
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": _USER_AGENT}
    )


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
    literal = f"[{address}]" if ":" in address else address
    default_port = {"http": 80, "https": 443}[scheme]
    host_header = host if port == default_port else f"{host}:{port}"
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            async with session.get(
                f"{scheme}://{literal}:{port}{path}",
                headers={"Host": host_header},
                server_hostname=host if scheme == "https" else None,
                allow_redirects=False,
            ) as response:
                read = await _read_body(response.content)
        return _outcome_of(response, time.perf_counter() - started, read)
    except aiohttp.ClientConnectorCertificateError as error:
        return Outcome(None, f"certificate: {error.certificate_error}", Reason.CERTIFICATE)
    except aiohttp.ClientSSLError as error:
        return Outcome(None, f"TLS: {error}", Reason.CERTIFICATE)
    except aiohttp.ServerDisconnectedError:
        return Outcome(None, "the server closed the connection without an answer", Reason.RESET)
    except aiohttp.ClientPayloadError as error:
        return Outcome(None, f"the answer broke off: {error}", Reason.RESET)
    except aiohttp.ClientResponseError as error:
        return Outcome(None, f"not HTTP: {error.message}", Reason.WRONG_ANSWER)
    except OSError as error:  # TimeoutError and aiohttp.ClientOSError are OSErrors
        return of_error(error)
    except aiohttp.ClientError as error:
        return Outcome(None, str(error), Reason.WRONG_ANSWER)


async def _read_body(content: aiohttp.StreamReader) -> int:
    read = 0
    while read < BODY_BYTES and (chunk := await content.read(BODY_BYTES - read)):
        read += len(chunk)
    return read


def _outcome_of(response: aiohttp.ClientResponse, seconds: float, read: int) -> Outcome:
    status = f"{response.status} {response.reason or ''}".strip()
    if response.status >= 400:
        return Outcome(None, f"status {status}", Reason.BAD_STATUS)
    if 300 <= response.status < 400:
        return Outcome(seconds, f"status {status}, to {response.headers.get('Location', 'nowhere')}")
    return Outcome(seconds, f"status {status}, {read} bytes")
