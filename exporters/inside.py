"""What do the counties' own agents say of their targets? Asked of the storage, to which alone they write."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import NamedTuple

from exporters.access import PLAIN, Access
from exporters.asking import FAILURES, TIMEOUT, open_session, range_query, why_of
from exporters.readings import Reading, Trouble

_LOG = logging.getLogger(__name__)
#: The newest answer of each node by its county's agent, who writes under the label `shard`. One that is older says
#: nothing of now: while the county is cut off the agent keeps what it has, and writes it later.
QUERY = 'max by (subject, family) (last_over_time(jizuo_probe_success{check="icmp", shard!=""}[2m]))'
#: Seconds between two questions.
INTERVAL = 30.0
#: VictoriaMetrics gives the point before for steps below a minute.
_STEP = 60.0


class Inside(NamedTuple):
    """Whether a node answers its county's agent, by node and family; without an entry nothing came of late."""

    answers: Mapping[tuple[str, str], bool]


class InsideLoop:
    """Asks a storage and keeps the last :attr:`reading`; when it cannot be asked, nothing is known."""

    def __init__(self, url: str, access: Access = PLAIN) -> None:
        """Takes the address of the storage, and how it is reached."""
        self._url = url.rstrip("/")
        self._access = access
        self.reading: Reading[Inside] = Reading()

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(INTERVAL)

    async def ask(self) -> None:
        """Asks once; whatever comes of it stands in :attr:`reading`."""
        now = time.time()
        try:
            async with asyncio.timeout(TIMEOUT), open_session(self._access) as session:
                found = await range_query(session, self._url, QUERY, now, now, _STEP)
        except FAILURES as error:
            _LOG.warning("%s: what counties' agents say cannot be read: %s", self._url, why_of(error))
            self.reading = Reading(None, None, self.reading.read_at, 0.0, Trouble.FAILED, why_of(error))
            return
        answers = {
            (series.metric.get("subject", ""), series.metric.get("family", "")): float(value) == 1
            for series in found
            for _, value in series.values[-1:]
        }
        self.reading = Reading(Inside(answers), now, now, 0.0, None)
