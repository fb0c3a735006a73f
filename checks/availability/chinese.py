"""Which cipher suites of Chinese cryptography does a server offer? Asked with a ClientHello of our own.

OpenSSL 3.0, which Python is built with, knows SM2, SM3 and SM4 but no suite of them (neither TLCP, GB/T 38636,
nor RFC 8998), so that its own handshake cannot ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from inventories.records import Family

from .hello import MOST_BYTES, Answer, NotTls, client_hello, read_answer, tls13_hello

_DOMAINS = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_RANDOM_BYTES = 32
TLCP, TLS13 = "tlcp", "tls13"
_Hello = Callable[[Sequence[int]], bytes]


class Offered(NamedTuple):
    """What a server offers of one protocol.

    Attributes:
        suites: Every suite that was asked for, and whether the server takes it.
        certificates: TLCP's certificates in DER, to sign and to encrypt; empty where it does not speak it.
    """

    suites: dict[str, bool]
    certificates: tuple[bytes, ...] = ()


@cache
def _known() -> Mapping[str, dict[str, object]]:
    text = Path(__file__).with_name("chinese_suites.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def suites_of(protocol: str) -> dict[str, int]:
    """The suites of `tlcp` or `tls13` by name."""
    suites = _known()[protocol]["suites"]
    assert isinstance(suites, dict)  # noqa: S101 - a data file of this folder
    return suites


async def offered(address: str, port: int, family: Family, host: str, timeout: float) -> dict[str, Offered]:
    """What a server offers of TLCP and of RFC 8998.

    A server chooses one suite of those that it is shown; it is asked again without that one until it takes
    none, so that each suite is known: seven connections at most.

    Args:
        address: A numeric address of the family.
        port: The port.
        family: The address family.
        host: The name to ask for (SNI; TLCP has none).
        timeout: Seconds for one connection.

    Raises:
        OSError: The server cannot be reached, or did not answer in time: nothing is known of its suites.
    """
    tlcp, tls13 = _known()[TLCP], _known()[TLS13]

    def ask_tlcp(suites: Sequence[int]) -> bytes:
        return client_hello(int(str(tlcp["version"])), suites, os.urandom(_RANDOM_BYTES))

    def ask_tls13(suites: Sequence[int]) -> bytes:
        groups, signatures = tls13["groups"], tls13["signatures"]
        assert isinstance(groups, list) and isinstance(signatures, list)  # noqa: S101 - as above
        return tls13_hello(suites, groups, signatures, os.urandom(_RANDOM_BYTES), host)

    where = (address, port, family, timeout)
    return {TLCP: await _enumerate(where, TLCP, ask_tlcp), TLS13: await _enumerate(where, TLS13, ask_tls13)}


async def _enumerate(where: tuple[str, int, Family, float], protocol: str, hello: _Hello) -> Offered:
    names = {code: name for name, code in suites_of(protocol).items()}
    taken: set[int] = set()
    certificates: tuple[bytes, ...] = ()
    while left := [code for code in names if code not in taken]:
        answer = await _exchange(*where, hello(left), certificates=protocol == TLCP)
        if answer.suite not in left:
            break
        taken.add(answer.suite)
        certificates = certificates or answer.certificates
    return Offered({name: code in taken for code, name in names.items()}, certificates)


async def _exchange(
    address: str, port: int, family: Family, timeout: float, hello: bytes, *, certificates: bool
) -> Answer:
    """One connection: a hello, and what the server says to it. One that hangs up or talks otherwise has refused."""
    loop = asyncio.get_running_loop()
    data = b""
    with socket.socket(_DOMAINS[family], socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        async with asyncio.timeout(timeout):
            await loop.sock_connect(connection, (address, port))
            try:
                await loop.sock_sendall(connection, hello)
                while len(data) < MOST_BYTES and (more := await loop.sock_recv(connection, 16384)):
                    data += more
                    answer = read_answer(data, certificates=certificates)
                    if answer is not None:
                        return answer
            except (NotTls, ConnectionError):
                pass
    with contextlib.suppress(NotTls):  # what a server said before it hung up counts
        return read_answer(data, certificates=False) or Answer(None)
    return Answer(None)
