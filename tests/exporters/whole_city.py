"""What an exporter of a whole city serves when everything answers: as many series as there are in quiet times."""

from __future__ import annotations

from functools import cache

from checks.availability.targets import Kind, Target
from checks.record import Record, Status
from exporters.collectors.availability import Cycle, Totals, key_of
from exporters.exposition import CONTENT_TYPE_TEXT, Exposition
from exporters.parsing import parse_inventory, share_of
from exporters.parts import PARTS
from exporters.readings import Reading
from exporters.shards import WHOLE, Shard
from exporters.snapshot import Inventory, Snapshot
from tests.exporters.conftest import ROOT

AT = 1_790_000_000.0


@cache
def yichun() -> Inventory:
    return parse_inventory(sorted((ROOT / "inventories" / "yichun").iterdir())).value


def exposed(shard: Shard = WHOLE) -> tuple[int, bytes]:
    """The targets of the city, or of a part of it, and the text that their exporter serves."""
    inventory = share_of(yichun(), shard)
    records = [_answered(target) for target in inventory.targets]
    totals = {
        key_of(record): Totals(10, 0, 0.5, 30 if target.kind is Kind.ICMP else 0, 0)
        for record, target in zip(records, inventory.targets, strict=True)
    }
    cycle = Cycle(records, totals, AT, 9.5, 30, 7)
    snapshot = Snapshot(Reading(inventory), Reading(cycle))
    exposition = Exposition()
    for name in ("inventory", "coverage", "availability", "excluded"):
        exposition.replace(name, PARTS[name].families(snapshot, inventory))
    exposition.publish()
    return len(inventory.targets), exposition.body(CONTENT_TYPE_TEXT).plain


def _answered(target: Target) -> Record:
    return Record(
        subject=target.subject,
        check=target.check,
        family=target.family.value,
        status=Status.PASS,
        value=0.0015,
        at="2026-11-26T09:00:00.000+08:00",
        evidence="",
    )


def series_of(text: bytes) -> int:
    """How many series a text has."""
    return sum(not line.startswith(b"#") for line in text.splitlines())
