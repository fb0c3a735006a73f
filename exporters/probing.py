"""Do the targets answer? Rounds of probes in the background, so that no scrape ever waits for one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence

from checks.availability.run import probe_all
from checks.availability.targets import Target
from exporters.collectors.availability import Cycle, TargetKey, answered, key_of
from exporters.readings import Reading, Trouble

_LOG = logging.getLogger(__name__)
#: A round may take this part of the interval; what is not answered by then has failed.
_ROUND_PART = 0.9
#: Rounds that may be missed before the last one's results are no longer served.
_MISSED_ROUNDS = 3


class ProbeLoop:
    """Probes all targets once an interval and keeps the last finished round.

    A round that fails as a whole leaves the one before in place for a few intervals, and says so; then the
    results are dropped, as they no longer tell how things stand.
    """

    def __init__(self, interval: float, timeout: float, on_change: Callable[[], None]) -> None:
        """Takes the interval and each probe's limit, in seconds, and what to call after each round."""
        self._interval = interval
        self._timeout = timeout
        self._on_change = on_change
        self._attempts: Counter[TargetKey] = Counter()
        self._failures: Counter[TargetKey] = Counter()
        self.targets: Sequence[Target] = ()
        self.reading: Reading[Cycle] = Reading()

    async def run(self) -> None:
        """Goes round until it is cancelled; a round begins an interval after the last one began."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                await self.round()
            except Exception as error:
                _LOG.exception("a cycle of probes failed")
                self._fail(f"{type(error).__name__}: {error}")
            self._on_change()
            await asyncio.sleep(max(0.0, begun + self._interval - loop.time()))

    async def round(self) -> None:
        """Probes every target once and replaces :attr:`reading`."""
        targets = list(self.targets)
        begun = time.monotonic()
        records = await probe_all(
            targets,
            timeout=self._timeout,
            echo_timeout=min(1.0, self._timeout),
            deadline=self._interval * _ROUND_PART,
        )
        seconds = time.monotonic() - begun
        keys = [key_of(record) for record in records]
        self._attempts.update(keys)
        self._failures.update(key for key, record in zip(keys, records, strict=True) if not answered(record))
        self._forget_others(frozenset(keys))
        finished_at = time.time()
        cycle = Cycle(
            records, dict(self._attempts), dict(self._failures), finished_at, seconds, self._interval
        )
        self.reading = Reading(cycle, finished_at, finished_at, seconds, None)

    def _forget_others(self, keys: frozenset[TargetKey]) -> None:
        for counter in (self._attempts, self._failures):
            for key in [key for key in counter if key not in keys]:
                del counter[key]

    def _fail(self, message: str) -> None:
        last = self.reading
        too_old = last.at is None or time.time() - last.at > _MISSED_ROUNDS * self._interval
        value = None if too_old else last.value
        self.reading = Reading(value, last.at, last.read_at, 0.0, Trouble.FAILED, message)
