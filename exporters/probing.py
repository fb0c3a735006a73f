"""Do the targets answer? Rounds of probes in the background, so that no scrape ever waits for one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from checks.availability.run import Limits, Probed, probe, record_of
from checks.availability.targets import Target
from checks.record import Record, Status, timestamp
from exporters.collectors.availability import Cycle, TargetKey, Totals, answered, key_of
from exporters.readings import Reading, Trouble

_LOG = logging.getLogger(__name__)
#: A round may take this part of the interval; what is not answered by then has failed.
_ROUND_PART = 0.9
#: Probes are spread over this part of the interval, so that none disturbs another's time. The first round is
#: not spread: whoever starts an exporter waits for it.
_WINDOW_PART = 0.6
#: Rounds that may be missed before the last one's results are no longer served.
_MISSED_ROUNDS = 3


class ProbeLoop:
    """Probes all targets once an interval and keeps the last finished round.

    A round that fails as a whole leaves the one before in place for a few intervals, and says so; then the
    results are dropped, as they no longer tell how things stand.
    """

    def __init__(
        self, interval: float, timeout: float, on_change: Callable[[], None], packets: int = 3
    ) -> None:
        """Takes interval and limit of a probe in seconds, what to call after a round, and packets a round."""
        self._interval = interval
        self._timeout = timeout
        self._packets = packets
        self._on_change = on_change
        self._totals: dict[TargetKey, Totals] = {}
        self._finished = 0
        self._ended = time.monotonic()
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
        probed = await probe(targets, self._limits(), deadline=self._interval * _ROUND_PART)
        self._ended = time.monotonic()
        seconds = self._ended - begun
        # Between two rounds nothing is measured, but scrapes are answered: six thousand records go elsewhere.
        records = await asyncio.to_thread(self._count, targets, probed)
        finished_at = time.time()
        self._finished += 1
        cycle = Cycle(records, self._totals, finished_at, seconds, self._interval, self._finished)
        self.reading = Reading(cycle, finished_at, finished_at, seconds, None)

    def _limits(self) -> Limits:
        spare = self._interval * _ROUND_PART - self._timeout - 0.5
        window = max(0.0, min(self._interval * _WINDOW_PART, spare)) if self._finished else 0.0
        echo_timeout = min(1.0, self._timeout)
        return Limits(self._timeout, echo_timeout, self._packets, every=True, window=window)

    def _count(self, targets: Sequence[Target], probed: Sequence[Probed]) -> list[Record]:
        """The records of a round; what they add to each target's totals. Targets that are gone are forgotten."""
        at = timestamp()
        records = [record_of(target, one.outcome, at) for target, one in zip(targets, probed, strict=True)]
        totals = {}
        for record, one in zip(records, probed, strict=True):
            key = key_of(record)
            totals[key] = _added(self._totals.get(key) or Totals(), record, one)
        self._totals = totals
        return records

    def _fail(self, message: str) -> None:
        last = self.reading
        too_old = last.at is None or time.monotonic() - self._ended > _MISSED_ROUNDS * self._interval
        value = None if too_old else last.value
        self.reading = Reading(value, last.at, last.read_at, 0.0, Trouble.FAILED, message)


def _added(total: Totals, record: Record, probed: Probed) -> Totals:
    """The totals after one more round; a probe that could not be made says nothing of the target."""
    if record.status is Status.ERROR:
        return total
    sent, received = (probed.tally.sent, probed.tally.answered) if probed.tally else (0, 0)
    return Totals(
        total.attempts + 1,
        total.failures + (not answered(record)),
        total.answer_seconds + (probed.outcome.seconds or 0.0),
        total.packets + sent,
        total.lost + sent - received,
    )
