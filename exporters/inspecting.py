"""How do certificates, cipher suites and IPv6 readiness stand? Looked at seldom, beside the rounds of probes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from checks.availability import chinese, tls
from checks.availability.city_names import CityNames
from checks.availability.ipv6 import assess
from checks.availability.names import Names, Resolver
from checks.availability.outcome import Outcome
from checks.availability.targets import Kind, Target
from exporters.collectors.inspection import Inspection, Shown
from exporters.readings import Reading, Trouble

_LOG = logging.getLogger(__name__)
#: Endpoints that are looked at at once: a handshake costs a thousand times a ping.
_AT_ONCE = 8
#: Seconds after the start, and after an edit of the inventory, until an inspection: the first round of probes has
#: the machine, and an edit is of several files.
_FIRST = 5.0


class InspectLoop:
    """Looks at every TLS endpoint and every web page once an interval and keeps the last inspection."""

    def __init__(
        self,
        interval: float,
        timeout: float,
        on_change: Callable[[], None],
        resolver: Resolver | None = None,
    ) -> None:
        """Takes the interval and the limit of one connection in seconds, and what to call after an inspection."""
        self._interval = interval
        self._timeout = timeout
        self._on_change = on_change
        self._resolver = resolver
        self.targets: Sequence[Target] = ()
        self.names = CityNames()
        self._edited = asyncio.Event()
        self.reading: Reading[Inspection] = Reading()

    def follow(self, targets: Sequence[Target], names: CityNames) -> None:
        """Looks at these from now on; if they are others than before, soon: what is gone is not shown until then."""
        if targets is not self.targets and list(targets) != list(self.targets):
            self._edited.set()
        self.targets, self.names = targets, names

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        await asyncio.sleep(_FIRST)
        while True:
            begun = time.monotonic()
            self._edited.clear()
            try:
                await self.inspect()
            except Exception as error:
                _LOG.exception("an inspection failed")
                last, message = self.reading, f"{type(error).__name__}: {error}"
                self.reading = Reading(None, last.at, last.read_at, 0.0, Trouble.FAILED, message)
            self._on_change()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._edited.wait(), max(0.0, begun + self._interval - time.monotonic())
                )
                await asyncio.sleep(_FIRST)

    async def inspect(self) -> None:
        """Looks at everything once and replaces :attr:`reading`."""
        targets = list(self.targets)
        begun = time.monotonic()
        names, turns = Names(self._resolver, self._timeout), asyncio.Semaphore(_AT_ONCE)

        async def look(target: Target) -> Shown:
            async with turns:
                return await _look(target, names, self._timeout)

        secure = [target for target in targets if target.kind in (Kind.TLS, Kind.HTTPS)]
        shown = await asyncio.gather(*(look(target) for target in secure))
        readiness = await assess(targets, timeout=self._timeout, resolver=self._resolver, names=self.names)
        seconds, now = time.monotonic() - begun, time.time()
        self.reading = Reading(Inspection(shown, readiness), now, now, seconds, None)


async def _look(target: Target, names: Names, timeout: float) -> Shown:
    """What one endpoint shows; whatever is wrong with it, the others are looked at."""
    key = (target.subject, target.check, target.family.value)
    address = target.address or await names.address(target.host, target.family)
    if isinstance(address, Outcome):
        return Shown(key, None, None)
    where = (address, target.port, target.family, target.host, timeout)
    certificate, offered = None, None
    try:
        certificate = await tls.certificate_of(*where)
    except (OSError, ValueError) as error:
        _LOG.debug("%s: %s", target.check, error)
    try:
        offered = await chinese.offered(*where)
    except (OSError, ValueError) as error:
        _LOG.debug("%s: %s", target.check, error)
    pair = offered[chinese.TLCP].certificates[:2] if offered else ()
    ends = [end for end in map(tls.end_of, pair) if end is not None]
    return Shown(key, certificate, offered, ends)
