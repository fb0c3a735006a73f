"""A county that is cut off from the city for five minutes: nothing of what was measured meanwhile is missing."""

from __future__ import annotations

import time

from deploy.lab.lab import Lab
from tests.lab.conftest import Execute
from tests.lab.county_agent import AGENT, account, arrived, cut_off, settled, stored

CUT = 300


def test_a_cut_of_five_minutes_leaves_no_gap(lab: Lab, on: Execute) -> None:
    interval = lab.city.layout.monitoring.interval
    begin = time.time() - 10 * interval
    with cut_off(lab):
        cut = time.time()
        time.sleep(CUT)
        late = stored(on, cut + 5, time.time(), f'up{{replica="{AGENT}"}}')
        assert not late, "samples arrived while both links were cut"
    healed = time.time()
    end = healed + 5 * interval
    time.sleep(5 * interval)
    found = settled(on, begin, end, interval, 180)
    print(f"cut for {healed - cut:.0f} s; in order {time.time() - healed:.0f} s after: {found}")
    assert not found.wrong
    assert min(found.scrapes.values()) >= CUT / interval


def test_the_account_sees_what_an_agent_lost(lab: Lab, on: Execute) -> None:
    """An agent that dies while it is cut off sends nothing of what it kept before: the account says so."""
    interval = lab.city.layout.monitoring.interval
    begin = time.time() - 4 * interval
    with cut_off(lab):
        time.sleep(8 * interval)
        on(AGENT, "systemctl", "kill", "--signal=KILL", "prometheus")
    arrived(on, time.time() + 5 * interval, 240)
    # It may just have begun again: the account is of a span that has scrapes at both its ends.
    end = time.time() + 3 * interval
    arrived(on, end, 240)
    found = account(stored(on, begin, end), begin, end, interval)
    print(found)
    assert any("no scrape for" in line for line in found.wrong)
