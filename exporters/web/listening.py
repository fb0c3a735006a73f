"""On which sockets do `--web.listen-address` values listen? Both families where none is named."""

from __future__ import annotations

import contextlib
import re
import socket

_BACKLOG = 256
_FORM = re.compile(r"^(?:\[(?P<bracketed>[^\]]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})$")


class ListenError(Exception):
    """An address cannot be listened on; the message says which and why."""


def parse_address(address: str) -> tuple[str, int]:
    """Host (empty for all) and port of `:9910`, `192.0.2.1:9910`, `[2001:db8::1]:9910` or `ops-1:9910`.

    Raises:
        ListenError: The text is no such address.
    """
    found = _FORM.match(address)
    if not found or int(found["port"]) > 65535:
        raise ListenError(
            f"{address!r} is no listen address; write :9910, 192.0.2.1:9910, [2001:db8::1]:9910 or name:9910"
        )
    return found["bracketed"] or found["host"] or "", int(found["port"])


def listening_sockets(address: str) -> list[socket.socket]:
    """The bound, listening sockets of one address: one that takes both families where no host is given, or `::`.

    Raises:
        ListenError: The name does not resolve, or the address is taken or not this machine's.
    """
    host, port = parse_address(address)
    if host in {"", "::"}:  # as Go's net.Listen, so that units written for other exporters mean the same
        return [_all_addresses(address, port)]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(f"{address}: {host} does not resolve: {error.strerror}") from error
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        # A name with an address in each family listens on both, as the two are equal in this network.
        for family, endpoint in dict.fromkeys((entry[0], entry[4]) for entry in found):
            opened = _listen(address, family, endpoint, both_families=False)
            undo.callback(opened.close)
            sockets.append(opened)
        undo.pop_all()
    return sockets


def describe(listening: socket.socket) -> str:
    """The address of a listening socket as a URL has it: `[::1]:9910` or `127.0.0.1:9910`."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _all_addresses(address: str, port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return _listen(address, socket.AF_INET6, ("::", port), both_families=True)
    return _listen(address, socket.AF_INET, ("0.0.0.0", port), both_families=False)  # noqa: S104 - asked for


def _listen(address: str, family: int, endpoint: tuple[object, ...], *, both_families: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both_families else 1)
        opened.bind(endpoint)
        opened.listen(_BACKLOG)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise ListenError(
            f"{address}: cannot listen there: {error.strerror}; "
            "is the port taken (ss -ltnp), or the address not this machine's?"
        ) from error
    return opened
