"""Which samples of a county's agent reached the city's long storage? Each is accounted for, none taken for granted."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from deploy.lab import network
from deploy.lab.lab import Lab
from deploy.operations.storage import LISTEN

from .conftest import Execute

AGENT, COUNTY, OPS = "agent-1", "360902", "ops-1"
UPLINKS = ("yz-a", "yz-b")
#: What a scrape adds of its own: up, scrape_duration_seconds, scrape_samples_scraped, the two below, and no more.
OF_A_SCRAPE = 5
#: The agent's own summaries have quantiles without a value (NaN) while nothing was observed, and the storage keeps none
#: of these: of its own scrapes it is only counted that each was made.
AGENT_JOB = "agent"
SCRAPED, DURATION = "scrape_samples_post_metric_relabeling", "scrape_duration_seconds"

_EXPORT = """
import shutil, sys, urllib.parse, urllib.request
begin, end, match = sys.argv[1:]
form = urllib.parse.urlencode({"match[]": match, "start": begin, "end": end}).encode()
with urllib.request.urlopen("http://LISTEN/api/v1/export", form, timeout=100) as answer:
    shutil.copyfileobj(answer, sys.stdout.buffer)
""".replace("LISTEN", LISTEN)

Target = tuple[str, str]


class Account(NamedTuple):
    """What stands in the storage of a span of time: of each target its scrapes, all samples, and what is wrong."""

    scrapes: dict[Target, int]
    series: int
    samples: int
    wrong: list[str]

    def __str__(self) -> str:
        each = sorted(set(self.scrapes.values()))
        return (
            f"{len(self.scrapes)} targets, {sum(self.scrapes.values())} scrapes ({each[0]} to {each[-1]} each), "
            f"{self.series} series, {self.samples} samples, {len(self.wrong)} wrong"
            if each
            else "nothing"
        )


def stored(
    on: Execute, begin: float, end: float, match: str = f'{{replica="{AGENT}"}}'
) -> list[dict[str, Any]]:
    """Every series between two moments as the storage's HTTP API gives it: labels, values, timestamps in ms."""
    python = "/opt/jizuo/bin/python"
    said = on(OPS, python, "-c", _EXPORT, f"{begin:.3f}", f"{end:.3f}", match, timeout=120).stdout
    return [json.loads(line) for line in said.splitlines() if line]


def account(series: Iterable[dict[str, Any]], begin: float, end: float, interval: float) -> Account:
    """Hold what is stored against what the agent itself says of each scrape: that it was made, and how many samples."""
    counted: Counter[tuple[Target, int]] = Counter()
    moments: dict[Target, list[set[int]]] = defaultdict(list)
    said: dict[str, dict[Target, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    wrong: list[str] = []
    number = samples = 0
    for one in series:
        labels = one["metric"]
        target = (labels["job"], labels["instance"])
        number += 1
        # No value is the mark that a series has ended.
        pairs = [
            (at, value)
            for at, value in zip(one["timestamps"], one["values"], strict=True)
            if value is not None
        ]
        samples += len(pairs)
        if len({at for at, _ in pairs}) < len(pairs):
            wrong.append(f"{target} {labels['__name__']}: two samples of one moment")
        counted.update((target, at) for at, _ in pairs)
        moments[target].append({at for at, _ in pairs})
        if labels["__name__"] in ("up", SCRAPED, DURATION):
            said[labels["__name__"]][target].update(pairs)
    for target, ups in said["up"].items():
        times = sorted(ups)
        # The agent itself is late when a scrape takes longer than the next one waits; it says how long it took.
        gaps = [
            (before, after)
            for before, after in itertools.pairwise(times)
            if after - before > 1500 * interval
            and after - before > 1000 * (said[DURATION][target].get(before, 0) + 1.5 * interval)
        ]
        wrong += [
            f"{target}: no scrape for {(after - before) / 1000:.1f} s after {before}"
            for before, after in gaps
        ]
        if times[0] > 1000 * (begin + 1.5 * interval) or times[-1] < 1000 * (end - 1.5 * interval):
            wrong.append(f"{target}: scrapes from {times[0]} to {times[-1]} alone")
        if target[0] == AGENT_JOB:
            continue
        ends = Counter(
            at
            for series_has in moments[target]
            for at, after in itertools.pairwise(times)
            if at in series_has and after not in series_has
        )
        for at in times:
            due = said[SCRAPED][target].get(at, -1) + OF_A_SCRAPE
            # The storage gives some marks of a series' end as values: so many more than were scraped, and no more.
            if not due <= counted[target, at] <= due + ends[at]:
                wrong.append(f"{target} at {at}: {counted[target, at]} samples of {due:.0f}")
    scrapes = {target: len(ups) for target, ups in said["up"].items()}
    return Account(scrapes, number, samples, wrong)


@contextmanager
def cut_off(lab: Lab) -> Iterator[None]:
    """The county without its ways up, in band; the management network stays."""
    try:
        for link in UPLINKS:
            network.set_link(lab.places, lab.link(link), up=False)
        yield
    finally:
        for link in UPLINKS:
            network.set_link(lab.places, lab.link(link), up=True)


def settled(on: Execute, begin: float, end: float, interval: float, seconds: float) -> Account:
    """The account, as soon as it is in order; as it is when so many seconds are over."""
    deadline = time.monotonic() + seconds
    while True:
        found = account(stored(on, begin, end), begin, end, interval)
        if found.scrapes and (not found.wrong or time.monotonic() > deadline):
            return found
        time.sleep(3)


def arrived(on: Execute, since: float, seconds: float) -> None:
    """Wait until samples of every target stand in the storage that were measured since a moment."""
    time.sleep(max(0, since - time.time()) + 1)
    deadline = time.monotonic() + seconds
    match = f'up{{replica="{AGENT}"}}'
    while len(found := stored(on, since, time.time(), match)) < len(stored(on, since - 3600, since, match)):
        assert time.monotonic() < deadline, f"samples of {len(found)} targets arrived"
        time.sleep(3)
