"""Does an address answer an echo request (RFC 792, RFC 4443)? One socket a family serves all targets.

A socket of its own for each probe receives every reply, so that its cost grows with the number of targets
and of dead ones; the one shared socket stays flat. Packets leave in ticks of a few dozen, since a packet a
tick costs ten times more. The kernel stamps each reply (SO_TIMESTAMPNS): a busy event loop does not show
in the round-trip time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from inventories.records import Family

from .icmp_packets import MAGIC_BYTES, EchoPacket, Received, parse
from .outcome import Outcome, Reason, of_error

#: Packets a tick: 10 to 40 was measured to be the cheapest range that does not burst.
PACKETS_A_TICK = 32
#: Seconds until the socket is read while nothing is sent: soon at first, and then less and less often.
_FIRST_READ, _LATER_READ = 0.002, 0.1
#: Seconds by which wall and monotonic clock may drift apart under way before the wall clock counts as set.
_CLOCK_SET = 0.002
#: Socket buffer: some 4,000 replies that wait for the event loop.
RECEIVE_BUFFER = 4 * 1024 * 1024

# Linux numbers that Python's socket module lacks (asm-generic/socket.h, linux/icmp.h, linux/icmpv6.h).
_SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
_SO_RCVBUFFORCE = 33
_SOL_RAW, _ICMP_FILTER = 255, 1
_ICMPV6_FILTER = 1
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_ANCILLARY_BYTES = 512

#: Takes the index of an address and its outcome.
Settled = Callable[[int, Outcome], None]


class EchoSocket(NamedTuple):
    """A socket that can send echo requests; `identifier` is what their replies carry."""

    socket: socket.socket
    family: Family
    raw: bool
    identifier: int


class NotPermitted(Exception):
    """Neither a raw socket nor a ping socket may be opened here; the message says what to do."""


def open_socket(family: Family) -> EchoSocket:
    """A raw socket, or where that is not allowed an unprivileged ping socket (ping_group_range, icmp(7)).

    Raises:
        NotPermitted: Neither is allowed.
        OSError: This machine has no such address family.
    """
    domain = socket.AF_INET if family is Family.IPV4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if family is Family.IPV4 else socket.IPPROTO_ICMPV6
    try:
        opened, raw = socket.socket(domain, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol), True
    except PermissionError:
        try:
            opened, raw = socket.socket(domain, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol), False
        except PermissionError as error:
            raise NotPermitted(
                "no raw socket (CAP_NET_RAW) and no ping socket (net.ipv4.ping_group_range); run as root, or "
                "sysctl -w net.ipv4.ping_group_range='0 2147483647'"
            ) from error
    try:
        identifier = _prepare(opened, family, raw)
    except BaseException:
        opened.close()
        raise
    return EchoSocket(opened, family, raw, identifier)


def _prepare(opened: socket.socket, family: Family, raw: bool) -> int:
    """Set the socket's options; return the identifier that echo replies will carry."""
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if not raw:  # errors from routers arrive in the error queue; a ping socket's identifier is its local port
        if family is Family.IPV4:
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            opened.bind(("0.0.0.0", 0))  # noqa: S104 - only to learn the identifier
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            opened.bind(("::", 0))
        return int(opened.getsockname()[1])
    # Let nothing through but echo replies, destination unreachable and time exceeded: on loopback the
    # requests themselves would come back, and IPv6 neighbour discovery wakes every raw ICMPv6 socket.
    if family is Family.IPV4:
        wanted = (1 << 0) | (1 << 3) | (1 << 11)
        opened.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~wanted & 0xFFFFFFFF))
    else:
        blocked = [0xFFFFFFFF] * 8
        for kind in (1, 2, 3, 4, 129):
            blocked[kind // 32] &= ~(1 << (kind % 32))
        opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, struct.pack("=8I", *blocked))
    return int.from_bytes(os.urandom(2), "big")


class Tally(NamedTuple):
    """What came of all echo requests to one address; the seconds are those of all its answers together."""

    sent: int
    answered: int
    seconds: float


class _Waiting:
    """What is known of one address during a run."""

    __slots__ = ("address", "answered", "error", "index", "outcome", "seconds", "sent")

    def __init__(self, index: int, address: str) -> None:
        self.index = index
        self.address = str(ipaddress.ip_address(address))  # as the kernel writes it
        self.outcome: Outcome | None = None
        self.error: Outcome | None = None
        self.sent: list[tuple[float, float]] = []  # wall clock and monotonic clock of each attempt, seconds
        self.answered = 0  # a bit for each attempt
        self.seconds = 0.0

    def tally(self) -> Tally:
        return Tally(len(self.sent), self.answered.bit_count(), self.seconds)


class Pinger:
    """Echo requests to many addresses of one family over one socket.

    The socket is read after each tick of packets rather than when the event loop says that something came:
    the kernel's stamps keep the round-trip times true, and a wake-up a reply would cost more than the reply.

    Args:
        echo: The socket; the pinger does not close it.
        rate: Packets a second.
    """

    def __init__(self, echo: EchoSocket, rate: float) -> None:
        self._echo = echo
        self._packet = EchoPacket(echo.family, echo.identifier, os.urandom(MAGIC_BYTES))
        self._rate = rate
        self._waiting: list[_Waiting] = []
        self._settled: Settled = _ignore
        self._every = False
        self._left = 0

    async def ping(
        self,
        addresses: Sequence[str],
        *,
        timeout: float,
        attempts: int,
        settled: Settled,
        every: bool = False,
        pause: float = 0.0,
    ) -> None:
        """Ping each address until it answers, `attempts` times at most, or `attempts` times whatever it answers.

        Args:
            addresses: Numeric addresses of the socket's family.
            timeout: Seconds to wait for answers: after each attempt, or with `every` after the last.
            attempts: Packets to send to an address, at most (64 can be told apart).
            settled: Called once an address, as soon as its outcome is known, with its index and the outcome,
                whose seconds are the round-trip time, the mean one with `every`.
            every: Send every attempt, to measure loss; otherwise one that answered is not asked again.
            pause: Seconds between the beginnings of two attempts, with `every`.
        """
        self._waiting = [_Waiting(index, address) for index, address in enumerate(addresses)]
        self._settled, self._every = settled, every
        self._left = len(addresses)
        try:
            await self._send_all(attempts, timeout, pause)
        finally:  # whoever has answered has answered, even when the run is cut off
            for waiting in self._waiting:
                if waiting.answered:
                    self._finish(waiting, self._outcome_of(waiting))
        silent = Outcome(None, f"no answer to {attempts} echo requests of {timeout:g} s", Reason.TIMEOUT)
        for waiting in self._waiting:
            self._finish(waiting, waiting.error or silent)

    async def _send_all(self, attempts: int, timeout: float, pause: float) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for attempt in range(attempts):
            if not self._left:
                break
            await self._send_round(attempt)
            if not self._every or attempt == attempts - 1:
                await self._read_until(loop.time() + timeout, attempt + 1)
            else:
                await self._read_until(begun + (attempt + 1) * pause)

    def tallies(self) -> list[Tally]:
        """How many packets went to each address and came back, in the order of the addresses."""
        return [waiting.tally() for waiting in self._waiting]

    def _outcome_of(self, waiting: _Waiting) -> Outcome:
        sent, answered, seconds = waiting.tally()
        return Outcome(seconds / answered, f"{answered} of {sent} echo requests answered")

    async def _send_round(self, attempt: int) -> None:
        asked = self._waiting if self._every else [w for w in self._waiting if w.outcome is None]
        loop = asyncio.get_running_loop()
        next_tick = loop.time()
        for start in range(0, len(asked), PACKETS_A_TICK):
            for waiting in asked[start : start + PACKETS_A_TICK]:
                if waiting.outcome is None or self._every:
                    self._send(waiting, attempt)
            next_tick += PACKETS_A_TICK / self._rate
            if start + PACKETS_A_TICK < len(asked):
                await asyncio.sleep(max(0.0, next_tick - loop.time()))
            self._read()

    async def _read_until(self, end: float, all_of: int = 0) -> None:
        """Read until a moment of the loop's clock, or until every address is settled or answered `all_of` times."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_READ
        while self._left and (left := end - loop.time()) > 0:
            await asyncio.sleep(min(left, pause))
            self._read()
            if self._every and all_of and all(w.answered.bit_count() >= all_of for w in self._waiting):
                return
            pause = min(2 * pause, _LATER_READ)

    def _send(self, waiting: _Waiting, attempt: int) -> None:
        packet = self._packet.request(waiting.index, attempt)
        destination = (waiting.address, 0)
        waiting.sent.append((time.time(), time.monotonic()))
        for last_try in (False, True):
            try:
                self._echo.socket.sendto(packet, destination)
            except BlockingIOError:
                pass  # the send buffer is full: the next attempt, if there is one, sends again
            except OSError as error:
                # A ping socket reports here an error that an earlier packet met; the error queue says which.
                if not last_try and not self._echo.raw and self._read_errors():
                    continue
                self._fail(waiting, of_error(error))
            return

    def _fail(self, waiting: _Waiting, outcome: Outcome) -> None:
        """An error is the outcome, at once where one answer would have been enough."""
        waiting.error = outcome
        if not self._every:
            self._finish(waiting, outcome)

    def _finish(self, waiting: _Waiting, outcome: Outcome) -> None:
        if waiting.outcome is None:
            waiting.outcome = outcome
            self._settled(waiting.index, outcome)
            self._left -= 1

    def _read(self) -> None:
        receive, raw, packet = self._echo.socket.recvmsg, self._echo.raw, self._packet
        while True:
            try:
                data, ancillary, _, source = receive(2048, _ANCILLARY_BYTES)
            except BlockingIOError:
                break
            except OSError:
                if raw or not self._read_errors():
                    break
                continue
            received = parse(data, packet, raw)
            if received is not None:
                self._answer(received, source[0], _kernel_time(ancillary))
        if not raw:
            self._read_errors()

    def _read_errors(self) -> int:
        """Read a ping socket's error queue, where packets in error come back; return how many there were."""
        count = 0
        while True:
            try:
                data, *_ = self._echo.socket.recvmsg(2048, _ANCILLARY_BYTES, socket.MSG_ERRQUEUE)
            except OSError:
                return count
            count += 1
            index = self._packet.index_of(data)
            if index is not None and index < len(self._waiting):
                self._fail(self._waiting[index], Outcome(None, "destination unreachable", Reason.UNREACHABLE))

    def _answer(self, received: Received, source: str, arrived: float | None) -> None:
        if received.target >= len(self._waiting):
            return
        waiting = self._waiting[received.target]
        if received.error:
            if received.destination == waiting.address:
                self._fail(waiting, Outcome(None, f"{received.error}, says {source}", Reason.UNREACHABLE))
            return
        if source.partition("%")[0] != waiting.address:
            return
        bit = 1 << received.attempt
        if received.attempt >= len(waiting.sent) or waiting.answered & bit:
            return
        seconds = _round_trip(*waiting.sent[received.attempt], arrived)
        waiting.answered |= bit
        waiting.seconds += seconds
        if not self._every:
            self._finish(waiting, Outcome(seconds, f"echo reply to request {received.attempt + 1}"))


def _round_trip(sent_wall: float, sent_monotonic: float, arrived: float | None) -> float:
    """Seconds from sending to the kernel's stamp; to now where there is none or the clock was set meanwhile."""
    now_wall, now_monotonic = time.time(), time.monotonic()
    elapsed = now_monotonic - sent_monotonic
    if arrived is None or abs(now_wall - sent_wall - elapsed) > _CLOCK_SET:
        return elapsed
    stamped = arrived - sent_wall
    return stamped if 0 <= stamped <= elapsed + _CLOCK_SET else elapsed


def _ignore(index: int, outcome: Outcome) -> None:
    """Before a run there is nobody to tell."""


def _kernel_time(ancillary: list[tuple[int, int, bytes]]) -> float | None:
    """When the kernel received a packet, seconds since the epoch (SO_TIMESTAMPNS, socket(7))."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("=qq", data[:16])
            return float(seconds + nanoseconds / 1e9)
    return None
