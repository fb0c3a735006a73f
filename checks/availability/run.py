"""Which targets answer? Probes all of them at once, each with its own time limit; a record a target."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import aiohttp

from checks.record import Record, Status, timestamp
from inventories.records import Family

from . import dns, http, tcp
from .icmp import NotPermitted, Pinger, Settled, open_socket
from .outcome import UNKNOWN, Outcome, Reason, of_error
from .targets import Kind, Target

#: Seconds that the run may take beyond what its probes may: for the event loop itself.
_MARGIN = 2.0


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
        timeout: Seconds for one TCP, HTTP or DNS probe.
        echo_timeout: Seconds to wait for an echo reply.
        attempts: Echo requests to a target that does not answer; one that answers is not asked again.
        rate: Echo requests a second in each family.
        concurrency: TCP, HTTP and DNS probes under way at once.
        deadline: Seconds for the whole run; unless given, what the limits above allow at worst. A probe that
            the deadline cuts off has timed out; one that was not begun has an `error` record.
        on_record: Called with each record as it comes, for progress.

    Returns:
        A record for each target, in the targets' order; its value is in seconds.
    """
    records: dict[int, Record] = {}

    def settle(index: int, outcome: Outcome) -> None:
        if index not in records:
            records[index] = record_of(targets[index], outcome)
            if on_record is not None:
                on_record(records[index])

    echoes = {family: _indexes(targets, family) for family in Family}
    streams = [index for index, target in enumerate(targets) if target.kind is not Kind.ICMP]
    if deadline is None:
        most = max(map(len, echoes.values()))
        deadline = worst_case(most, len(streams), timeout, echo_timeout, attempts, rate, concurrency)
    begun: set[int] = set()
    try:
        async with asyncio.timeout(deadline), asyncio.TaskGroup() as group:
            for family, indexes in echoes.items():
                if indexes:
                    begun.update(indexes)
                    addresses = [targets[index].address for index in indexes]
                    settle_echo = _through(settle, indexes)
                    group.create_task(_ping(addresses, family, echo_timeout, attempts, rate, settle_echo))
            if streams:
                pairs = [(index, targets[index]) for index in streams]
                group.create_task(_connect_all(pairs, timeout, concurrency, begun, settle))
    except TimeoutError:
        for index in range(len(targets)):
            settle(index, _cut_off(index in begun, deadline))
    return [records[index] for index in range(len(targets))]


def _indexes(targets: Sequence[Target], family: Family) -> list[int]:
    """The targets to ping over a family."""
    return [i for i, target in enumerate(targets) if target.kind is Kind.ICMP and target.family is family]


def _through(settle: Settled, indexes: Sequence[int]) -> Settled:
    """Settle by the place in a part of the targets."""
    return lambda place, outcome: settle(indexes[place], outcome)


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


def record_of(target: Target, outcome: Outcome) -> Record:
    """The record of a probe. Where the probe says nothing of the target, the status is `error`."""
    status = Status.PASS
    if outcome.reason is not None:
        status = Status.ERROR if outcome.reason in UNKNOWN else Status.FAIL
    where = target.address
    if target.port:
        where = f"[{where}]:{target.port}" if target.family is Family.IPV6 else f"{where}:{target.port}"
    return Record(
        subject=target.subject,
        check=target.check,
        family=target.family.value,
        status=status,
        value=None if outcome.seconds is None else round(outcome.seconds, 6),
        at=timestamp(),
        evidence=f"{where}: {outcome.evidence}",
        reason=outcome.reason or "",
    )


def _cut_off(begun: bool, deadline: float) -> Outcome:
    if begun:
        return Outcome(None, f"no answer when the run's {deadline:g} s were over", Reason.TIMEOUT)
    return Outcome(None, f"not begun when the run's {deadline:g} s were over", Reason.DEADLINE)


async def _ping(
    addresses: Sequence[str], family: Family, timeout: float, attempts: int, rate: float, settle: Settled
) -> None:
    try:
        echo = open_socket(family)
    except NotPermitted as error:
        failed = Outcome(None, str(error), Reason.NOT_PERMITTED)
    except OSError as error:
        failed = of_error(error)
    else:
        with echo.socket:
            await Pinger(echo, rate).ping(addresses, timeout=timeout, attempts=attempts, settled=settle)
        return
    for place in range(len(addresses)):
        settle(place, failed)


async def _connect_all(
    targets: Sequence[tuple[int, Target]],
    timeout: float,
    concurrency: int,
    begun: set[int],
    settle: Settled,
) -> None:
    """Workers take targets from one queue: no task a target, no more sockets than workers."""
    queue = iter(targets)
    async with AsyncExitStack() as stack:
        sessions = {
            family: await stack.enter_async_context(http.new_session(family, concurrency))
            for family in Family
        }

        async def work() -> None:
            for index, target in queue:
                begun.add(index)
                settle(index, await _probe_guarded(target, sessions[target.family], timeout))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(targets))):
                group.create_task(work())


async def _probe_guarded(target: Target, session: aiohttp.ClientSession, timeout: float) -> Outcome:
    """An endpoint that breaks a probe in a way nobody thought of must not end the others' run."""
    try:
        return await _probe(target, session, timeout)
    except Exception as error:
        return Outcome(None, f"the probe broke: {type(error).__name__}: {error}", Reason.FAULT)


async def _probe(target: Target, session: aiohttp.ClientSession, timeout: float) -> Outcome:
    if target.kind is Kind.TCP:
        return await tcp.connect(target.address, target.port, target.family, timeout)
    if target.kind is Kind.DNS:
        return await dns.ask(target.address, target.port, target.family, target.questions, timeout)
    return await http.request(
        session,
        scheme=target.kind.value,
        host=target.host,
        address=target.address,
        port=target.port,
        path=target.path,
        timeout=timeout,
    )
