"""How available was each county in the last year? Prometheus's recorded shares, a day each, asked now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

import aiohttp

from exporters.access import PLAIN, Access
from exporters.asking import FAILURES, TIMEOUT, open_session, range_query, why_of
from exporters.readings import Reading, Trouble

_LOG = logging.getLogger(__name__)
#: What is asked: the recorded share of targets that answer, of each county and of the city, as a mean over a day.
#: Times at which nothing was recorded do not count. A storage for long keeping has labels that a Prometheus has not:
#: who wrote a series (`replica`; when another host took over there are two for that day), and `shard` where a county's
#: own agent did, whose watch is another one.
QUERY = (
    "avg by (county, family) (avg_over_time("
    '{__name__=~"(county|city):jizuo_probe_success:ratio", shard=""}[1d]))'
)
DAYS = 365
#: Seconds between two questions, and until the next try after a failure.
INTERVAL, AGAIN = 600.0, 60.0
#: Days of one question: a year at once would be fifty million samples.
_AT_ONCE = 31
#: Seconds until days that are over and of which nothing was recorded are asked for again: the storage may have
#: been restored meanwhile, or what was buffered may have arrived.
EMPTY_AGAIN = 3600.0
#: Days kept of a series at most. They are dropped by number, not by the clock: one that runs ahead for a while
#: would drop the year.
_KEPT = 2 * DAYS
_DAY = 86400.0


class History(NamedTuple):
    """Shares from 0 to 1 by (county's site id, empty for the city; family), then by the day's first second."""

    shares: Mapping[tuple[str, str], Mapping[float, float]]


class HistoryLoop:
    """Asks a Prometheus or what answers as one. Days that are over and recorded are asked for once.

    The clock may be set while it runs, in either direction: what is known of a day goes by the day, never by what
    was asked before it.
    """

    def __init__(self, url: str, zone: Callable[[], tzinfo], access: Access = PLAIN) -> None:
        """Takes Prometheus's address, what says the city's time zone, in which a day begins, and how it is reached."""
        self._url = url.rstrip("/")
        self._access = access
        self._zone = zone
        self._shares: dict[tuple[str, str], dict[float, float]] = {}
        self._settled: set[float] = set()  # ends of days that were over when they were answered
        self._empty: set[float] = set()  # ends of days of which nothing was answered
        self._empty_asked: float | None = None  # when those were last asked for, by the monotonic clock
        self.reading: Reading[History] = Reading(message="正在查询Prometheus中的历史")

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(INTERVAL if self.reading.well else AGAIN)

    async def ask(self) -> None:
        """Asks once; whatever comes of it stands in :attr:`reading`. Days that are over stay as they were."""
        begun, now = time.monotonic(), time.time()
        try:
            # Files are read each time: a certificate or password that was replaced needs no restart.
            async with asyncio.timeout(TIMEOUT * 4), open_session(self._access) as session:
                await self._take(session, now)
        except FAILURES as error:
            why = why_of(error)
            _LOG.warning("%s: the history cannot be read: %s", self._url, why)
            value = self._copy() if self._shares else None
            text = f"历史不可用：无法查询Prometheus（{why}）"
            self.reading = Reading(value, self.reading.at, self.reading.read_at, 0.0, Trouble.FAILED, text)
            return
        text = "" if self._shares else "Prometheus中尚无可用率历史"
        self.reading = Reading(self._copy(), now, now, time.monotonic() - begun, None, text)

    def _copy(self) -> History:
        """What is known, for pages that are rendered in a thread while the next answer is taken in."""
        return History({key: dict(days) for key, days in self._shares.items()})

    async def _take(self, session: aiohttp.ClientSession, now: float) -> None:
        midnights = midnights_of(now, self._zone(), DAYS)
        # A clock that ran ahead took a day that is under way for one that was over.
        self._settled -= {end for end in midnights if end > now}
        begun = time.monotonic()
        every = not self._shares or self._empty_asked is None or begun - self._empty_asked >= EMPTY_AGAIN
        due = [
            end
            for end in midnights
            if end > now or (end not in self._settled and (every or end not in self._empty))
        ]
        for some in _runs(due):
            for key, end, share in await self._question(session, some[0], some[-1]):
                self._shares.setdefault(key, {})[end - _DAY] = share
                if end <= now:
                    self._settled.add(end)
        self._empty = {end for end in midnights if end <= now and end not in self._settled}
        if every:
            self._empty_asked = begun
        for key, days in self._shares.items():
            if len(days) > _KEPT:
                self._shares[key] = {day: days[day] for day in sorted(days)[-_KEPT:]}

    async def _question(
        self, session: aiohttp.ClientSession, first: float, last: float
    ) -> list[tuple[tuple[str, str], float, float]]:
        return [
            ((series.metric.get("county", ""), series.metric.get("family", "")), at, float(value))
            for series in await range_query(session, self._url, QUERY, first, last, _DAY)
            for at, value in series.values
        ]


def _runs(ends: Sequence[float]) -> Iterator[list[float]]:
    """The days in runs without a gap, none longer than one question may be."""
    run: list[float] = []
    for end in ends:
        if run and (end - run[-1] != _DAY or len(run) == _AT_ONCE):
            yield run
            run = []
        run.append(end)
    if run:
        yield run


def midnights_of(now: float, zone: tzinfo, days: int) -> list[float]:
    """The ends of the last `days` days, the one under way included, as seconds since the epoch.

    They are 24 hours apart: the answer has steps of that length. In a zone with summer time a day of the other
    half year begins an hour off.
    """
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    end = (today + timedelta(days=1)).timestamp()
    return [end - _DAY * back for back in range(days - 1, -1, -1)]
