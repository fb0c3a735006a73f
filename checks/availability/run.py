"""Which targets answer? Probes all of them at once, each with its own time limit; a record a target."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import aiohttp

from checks.record import Record, Status, timestamp
from inventories.records import Family

from . import dns, http, tcp, tls
from .icmp import EchoSocket, NotPermitted, Pinger, Settled, Tally, open_socket
from .names import Names, Resolver
from .outcome import UNKNOWN, Outcome, Reason, of_error
from .targets import Kind, Target

#: Seconds that the run may take beyond what its probes may: for the event loop itself.
_MARGIN = 2.0


class Limits(NamedTuple):
    """How probes are made; times in seconds.

    Attributes:
        timeout: For one TCP, TLS, HTTP or DNS probe, and for the resolution of one name.
        echo_timeout: To wait for an echo reply.
        attempts: Echo requests to a target: to one that does not answer, or with `every` to each.
        rate: Echo requests a second in each family.
        concurrency: TCP, TLS, HTTP and DNS probes under way at once.
        every: Send all attempts even to those that answer, to measure loss.
        window: Spread probes over so long, so that none disturbs another's time; 0 for as fast as the rate allows.
    """

    timeout: float = 3.0
    echo_timeout: float = 1.0
    attempts: int = 3
    rate: float = 2000
    concurrency: int = 256
    every: bool = False
    window: float = 0.0


class Probed(NamedTuple):
    """What came of one probe; the tally is that of its echo requests, None for other kinds."""

    outcome: Outcome
    tally: Tally | None = None


async def probe_all(
    targets: Sequence[Target],
    *,
    timeout: float = 3.0,
    echo_timeout: float = 1.0,
    attempts: int = 3,
    rate: float = 2000,
    concurrency: int = 256,
    deadline: float | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Probe every target; the answers of the others do not wait for one that is slow.

    Args:
        targets: What to probe.
        timeout: As all limits, see `Limits`.
        echo_timeout: See `Limits`.
        attempts: See `Limits`.
        rate: See `Limits`.
        concurrency: See `Limits`.
        deadline: Seconds for the whole run; unless given, what the limits allow at worst. A probe that
            the deadline cuts off has timed out; one that was not begun has an `error` record.
        on_record: Called with each record as it comes, for progress.

    Returns:
        A record for each target, in the targets' order; its value is in seconds.
    """
    records: dict[int, Record] = {}

    def keep(index: int, outcome: Outcome) -> None:
        records[index] = record_of(targets[index], outcome)
        if on_record is not None:
            on_record(records[index])

    limits = Limits(timeout, echo_timeout, attempts, rate, concurrency)
    await probe(targets, limits, deadline=deadline, settled=keep)
    return [records[index] for index in range(len(targets))]


async def probe(
    targets: Sequence[Target],
    limits: Limits,
    *,
    deadline: float | None = None,
    settled: Settled | None = None,
    resolver: Resolver | None = None,
) -> list[Probed]:
    """Probe every target; :func:`probe_all` without records.

    Args:
        targets: What to probe.
        limits: How.
        deadline: As for :func:`probe_all`.
        settled: Called with a target's index and its outcome, once, as soon as it is known.
        resolver: Who resolves the names of targets that have no address; unless given, as the machine does.
    """
    run = _Run(targets, limits, settled, Names(resolver, limits.timeout))
    if deadline is None:
        deadline = run.worst_case()
    try:
        async with asyncio.timeout(deadline):
            await run.all()
    except TimeoutError:
        for index in range(len(targets)):
            run.settle(index, _cut_off(index in run.begun, deadline))
    return [Probed(run.outcomes[index], run.tallies.get(index)) for index in range(len(targets))]


class _Run:
    """One run of probes."""

    def __init__(
        self, targets: Sequence[Target], limits: Limits, settled: Settled | None, names: Names
    ) -> None:
        self._targets = targets
        self._limits = limits
        self._settled = settled
        self._names = names
        self.outcomes: dict[int, Outcome] = {}
        self.tallies: dict[int, Tally] = {}
        self.begun: set[int] = set()
        #: The targets to ping, by family and whether their names are to be resolved first.
        self._echoes: dict[tuple[Family, bool], list[int]] = {}
        self._streams: list[int] = []
        for index, target in enumerate(targets):
            if target.kind is Kind.ICMP:
                self._echoes.setdefault((target.family, not target.address), []).append(index)
            else:
                self._streams.append(index)

    def worst_case(self) -> float:
        """Seconds that the run takes when no target answers."""
        limits = self._limits
        echoes = max(map(len, self._echoes.values()), default=0)
        seconds = worst_case(
            echoes, len(self._streams), limits.timeout, limits.echo_timeout, limits.attempts,
            limits.rate, limits.concurrency,
        )  # fmt: skip
        return seconds + limits.timeout + limits.window

    def settle(self, index: int, outcome: Outcome) -> None:
        """Take a target's outcome, unless it has one."""
        if index not in self.outcomes:
            self.outcomes[index] = outcome
            if self._settled is not None:
                self._settled(index, outcome)

    async def all(self) -> None:
        """Probe everything."""
        async with asyncio.TaskGroup() as group:
            for (family, by_name), indexes in self._echoes.items():
                group.create_task(self._ping(indexes, family, by_name))
            if self._streams:
                group.create_task(self._connect_all())

    async def _ping(self, indexes: list[int], family: Family, by_name: bool) -> None:
        self.begun.update(indexes)
        addresses = {index: self._targets[index].address for index in indexes}
        if by_name:
            addresses = await self._resolve_all(indexes)
        places = list(addresses)

        def settle(place: int, outcome: Outcome) -> None:
            self.settle(places[place], outcome)

        try:
            echo = open_socket(family)
        except NotPermitted as error:
            failed = Outcome(None, str(error), Reason.NOT_PERMITTED)
        except OSError as error:
            failed = of_error(error)
        else:
            with echo.socket:
                await self._ping_over(echo, addresses, settle)
            return
        for index in places:
            self.settle(index, failed)

    async def _ping_over(self, echo: EchoSocket, addresses: Mapping[int, str], settle: Settled) -> None:
        limits = self._limits
        rate, pause = limits.rate, limits.window / limits.attempts
        if limits.every and pause:  # spread over the window, in ticks: never slower than a packet a second
            rate = min(rate, max(len(addresses) / pause, 1.0))
        pinger = Pinger(echo, rate)
        try:
            await pinger.ping(
                list(addresses.values()),
                timeout=limits.echo_timeout,
                attempts=limits.attempts,
                settled=settle,
                every=limits.every,
                pause=pause,
            )
        finally:
            self.tallies.update(zip(addresses, pinger.tallies(), strict=False))

    async def _resolve_all(self, indexes: Sequence[int]) -> dict[int, str]:
        """The addresses of those targets whose names resolve; the others have failed, and no more."""
        found = await asyncio.gather(*(self._resolve(self._targets[index]) for index in indexes))
        resolved = {}
        for index, answer in zip(indexes, found, strict=True):
            if isinstance(answer, Outcome):
                self.settle(index, answer)
            else:
                resolved[index] = answer
        return resolved

    async def _resolve(self, target: Target) -> str | Outcome:
        return target.address or await self._names.address(target.host, target.family)

    async def _connect_all(self) -> None:
        """Workers take targets from one queue: no task a target, no more sockets than workers."""
        limits = self._limits
        loop = asyncio.get_running_loop()
        begun, step = loop.time(), limits.window / len(self._streams)
        queue = iter(enumerate(self._streams))
        async with AsyncExitStack() as stack:
            sessions = {
                family: await stack.enter_async_context(http.new_session(family, limits.concurrency))
                for family in Family
            }

            async def work() -> None:
                for place, index in queue:
                    if step:
                        await asyncio.sleep(begun + place * step - loop.time())
                    self.begun.add(index)
                    self.settle(index, await self._connect(self._targets[index], sessions))

            async with asyncio.TaskGroup() as group:
                for _ in range(min(limits.concurrency, len(self._streams))):
                    group.create_task(work())

    async def _connect(self, target: Target, sessions: Mapping[Family, aiohttp.ClientSession]) -> Outcome:
        """An endpoint that breaks a probe in a way nobody thought of must not end the others' run."""
        try:
            address = await self._resolve(target)
            if isinstance(address, Outcome):
                return address
            return await _probe(target, address, sessions[target.family], self._limits.timeout)
        except Exception as error:
            return Outcome(None, f"the probe broke: {type(error).__name__}: {error}", Reason.FAULT)


def worst_case(
    echoes: int,
    streams: int,
    timeout: float,
    echo_timeout: float,
    attempts: int,
    rate: float,
    concurrency: int,
) -> float:
    """Seconds that a run takes when no target answers."""
    pinging = attempts * (echoes / rate + echo_timeout)
    connecting = math.ceil(streams / concurrency) * timeout
    return max(pinging, connecting) + _MARGIN


def record_of(target: Target, outcome: Outcome, at: str = "") -> Record:
    """The record of a probe that ended now, or `at` a moment: an `error` where it says nothing of the target."""
    status = Status.PASS
    if outcome.reason is not None:
        status = Status.ERROR if outcome.reason in UNKNOWN else Status.FAIL
    where = target.address or target.host
    if target.port:
        where = f"[{where}]:{target.port}" if target.family is Family.IPV6 else f"{where}:{target.port}"
    return Record(
        subject=target.subject,
        check=target.check,
        family=target.family.value,
        status=status,
        value=None if outcome.seconds is None else round(outcome.seconds, 6),
        at=at or timestamp(),
        evidence=f"{where}: {outcome.evidence}",
        reason=outcome.reason or "",
    )


def _cut_off(begun: bool, deadline: float) -> Outcome:
    if begun:
        return Outcome(None, f"no answer when the run's {deadline:g} s were over", Reason.TIMEOUT)
    return Outcome(None, f"not begun when the run's {deadline:g} s were over", Reason.DEADLINE)


async def _probe(target: Target, address: str, session: aiohttp.ClientSession, timeout: float) -> Outcome:
    if target.kind is Kind.TCP:
        return await tcp.connect(address, target.port, target.family, timeout)
    if target.kind is Kind.TLS:
        return await tls.connect(address, target.port, target.family, target.host, timeout)
    if target.kind is Kind.DNS:
        return await dns.ask(address, target.port, target.family, target.questions, timeout)
    return await http.request(
        session,
        scheme=target.kind.value,
        host=target.host,
        address=address,
        port=target.port,
        path=target.path,
        timeout=timeout,
    )
