"""Records of a round of probes and of backup jobs, and what of a page a person reads: for the status page's tests."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from checks.availability.outcome import Outcome, Reason
from checks.availability.run import record_of
from checks.availability.targets import targets_of
from checks.record import Record, Status, timestamp
from exporters.collectors.availability import Cycle
from exporters.places import places
from exporters.readings import Reading
from exporters.snapshot import Inventory, Snapshot
from exporters.status.page import render
from inventories.plan import build_plan
from inventories.records import City

ROOT = Path(__file__).parents[2]
NOW = datetime.now().astimezone()


def reading(value: Any, at: float | None = None) -> Reading[Any]:
    return Reading(value, at or NOW.timestamp(), NOW.timestamp(), 0.1, None)


def probes(city: City, dead: set[tuple[str, str]]) -> list[Record]:
    """The records of a round in which (subject, family) pairs do not answer."""
    records = []
    for number, target in enumerate(targets_of(city, build_plan(city))):
        failed = (target.subject, target.family.value) in dead
        outcome = (
            Outcome(None, "no answer in time", Reason.TIMEOUT)
            if failed
            else Outcome(0.001 + number / 1e6, "ok")
        )
        records.append(record_of(target, outcome))
    return records


def snapshot(city: City, records: list[Record] | None, **more: Any) -> Snapshot:
    inventory = Inventory(city, (), places(city))
    cycle = None if records is None else Cycle(records, {}, NOW.timestamp(), 1, 30)
    return Snapshot(reading(inventory), reading(cycle), **more)


def page(city: City, dead: set[tuple[str, str]], path: str = "", **more: Any) -> str:
    """The page of a path while (subject, family) pairs do not answer."""
    html = render(snapshot(city, probes(city, dead), **more), NOW.timestamp(), path=path)
    assert html is not None, path
    return html


def text_of(html: str, section: str = "") -> str:
    if section:
        html = html[html.index(f'id="{section}"') :]
        html = html[: html.index("</section>")]
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def job(name: str, age: float, **more: Any) -> list[Record]:
    def record(check: str, value: float | None, status: Status = Status.PASS, reason: str = "") -> Record:
        return Record(
            subject=name,
            check=check,
            family="none",
            status=status,
            value=value,
            at=timestamp(NOW),
            evidence="",
            reason=reason,
        )

    failed = more.get("failed", ())
    values = {
        "backup": age,
        "backup-last-run": age,
        "backup-copy:offsite-1": age,
        "repository-check:backup-1": 3600.0,
        "restore-test:backup-1": 7200.0,
    }
    return [
        record(check, value, Status.FAIL, "stale") if check in failed else record(check, value)
        for check, value in values.items()
    ]
