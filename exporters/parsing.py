"""How does each kind of record file read? From paths to values, with the moment of the newest part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from checks.availability.city_names import names_of
from checks.availability.targets import targets_of, unprobed_of
from checks.record import Record, read_records
from exporters.collectors.availability import Cycle
from exporters.places import places
from exporters.readings import epoch_seconds
from exporters.shards import WHOLE, Shard
from exporters.snapshot import Inventory
from exporters.sources import Parsed
from inventories.allocation import PlanError
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.problems import InventoryError


def parse_records(files: Sequence[Path]) -> Parsed[list[Record]]:
    """The check records of files, in their order.

    Raises:
        OSError: A file cannot be read.
        msgspec.DecodeError: A file holds no records.
        ValueError: A record's time has no offset from UTC.
    """
    records = [record for file in files for record in read_records(file)]
    return Parsed(records, max((epoch_seconds(record.at) for record in records), default=None))


def parse_cycle(files: Sequence[Path]) -> Parsed[Cycle]:
    """Probe records that a check wrote, as one round; raises as :func:`parse_records`."""
    records, at, _ = parse_records(files)
    return Parsed(Cycle(records, {}, at or 0.0, 0.0, 0.0), at)


def parse_inventory(files: Sequence[Path], shard: Shard = WHOLE) -> Parsed[Inventory]:
    """The city of a folder, given by its files, with a shard's targets and all places.

    Raises:
        ValueError: The inventory is wrong; the message has every problem.
    """
    if not files:
        raise ValueError("the folder holds no inventory: city.toml and its CSV files are not there")
    try:
        city = load_city(files[0].parent)
        plan = build_plan(city)
        targets, names = targets_of(city, plan), names_of(city, plan)
    except (InventoryError, PlanError) as error:
        raise ValueError(str(error)) from error
    inventory = Inventory(city, targets, places(city), unprobed_of(city), names=names)
    return Parsed(share_of(inventory, shard), max(file.stat().st_mtime for file in files))


def share_of(whole: Inventory, shard: Shard) -> Inventory:
    """A shard's part of what is probed and what is not; city and places stay whole."""

    def is_ours(subject: str) -> bool:
        return shard.holds(subject, whole.where[subject].county)

    return whole._replace(
        targets=[target for target in whole.targets if is_ours(target.subject)],
        unprobed=[one for one in whole.unprobed if is_ours(one.subject)],
        shard=shard,
    )
