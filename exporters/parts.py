"""Which metric families follow from a snapshot? Each part with the readings that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from checks.security.controls import load_controls
from exporters.collectors.availability import availability_metrics, unprobed_metrics
from exporters.collectors.backup import backup_metrics
from exporters.collectors.database import database_metrics
from exporters.collectors.drill import drill_metrics
from exporters.collectors.inspection import inspection_metrics
from exporters.collectors.inventory import coverage_metrics, inventory_metrics
from exporters.collectors.repository import repository_metrics
from exporters.collectors.security import security_metrics
from exporters.deploys import deploy_metrics
from exporters.drift import drift_metrics
from exporters.exposition import Family
from exporters.snapshot import Inventory, Snapshot


class PartOfExposition(NamedTuple):
    """Families that change together.

    Attributes:
        inputs: The readings they follow from; the part is rendered again when one is another object.
        families: The families; called only while the inventory has been read.
    """

    inputs: Callable[[Snapshot], tuple[object, ...]]
    families: Callable[[Snapshot, Inventory], Sequence[Family]]


def _availability(snapshot: Snapshot, inventory: Inventory) -> Sequence[Family]:
    cycle = snapshot.availability.value if snapshot.availability else None
    return availability_metrics(cycle, inventory.where) if cycle else []


def _inspection(snapshot: Snapshot, inventory: Inventory) -> Sequence[Family]:
    inspection = snapshot.inspection.value if snapshot.inspection else None
    return inspection_metrics(inspection, inventory.where) if inspection else []


def _excluded(snapshot: Snapshot, inventory: Inventory) -> Sequence[Family]:
    return unprobed_metrics(inventory.unprobed) if snapshot.availability else []


def _coverage(snapshot: Snapshot, inventory: Inventory) -> Sequence[Family]:
    if snapshot.availability is None:
        return []
    # A shard that said what it reaches would say that the city ends there.
    cycle = snapshot.availability.value if inventory.shard.is_whole else None
    return coverage_metrics(inventory.city, cycle.records if cycle else None)


def _backup(snapshot: Snapshot, inventory: Inventory) -> Sequence[Family]:
    records = snapshot.backup.value if snapshot.backup else None
    if records is None:
        return []
    return [
        *backup_metrics(inventory.city, records),
        *repository_metrics(records),
        *database_metrics(records),
    ]


def _security(snapshot: Snapshot, inventory: Inventory) -> Sequence[Family]:
    records = snapshot.security.value if snapshot.security else None
    return [] if records is None else security_metrics(records, load_controls())


def _drill(snapshot: Snapshot, inventory: Inventory) -> Sequence[Family]:
    records = snapshot.drill.value if snapshot.drill else None
    return drill_metrics(records or [])


def _deploy(snapshot: Snapshot, inventory: Inventory) -> Sequence[Family]:
    record = snapshot.deploy.value if snapshot.deploy else None
    return deploy_metrics(record) if record else []


def _drift(snapshot: Snapshot, inventory: Inventory) -> Sequence[Family]:
    record = snapshot.drift.value if snapshot.drift else None
    return drift_metrics(record) if record else []


#: Every part by name, in the order in which /metrics shows them.
PARTS = {
    "inventory": PartOfExposition(
        lambda snapshot: (snapshot.inventory.value,),
        lambda snapshot, inventory: inventory_metrics(inventory.city, inventory.own),
    ),
    "coverage": PartOfExposition(
        lambda snapshot: (snapshot.inventory.value, snapshot.availability), _coverage
    ),
    "availability": PartOfExposition(
        lambda snapshot: (snapshot.inventory.value, snapshot.availability), _availability
    ),
    "inspection": PartOfExposition(
        lambda snapshot: (snapshot.inventory.value, snapshot.inspection), _inspection
    ),
    "excluded": PartOfExposition(lambda snapshot: (snapshot.inventory.value,), _excluded),
    "backup": PartOfExposition(lambda snapshot: (snapshot.inventory.value, snapshot.backup), _backup),
    "security": PartOfExposition(lambda snapshot: (snapshot.security,), _security),
    "drill": PartOfExposition(lambda snapshot: (snapshot.drill,), _drill),
    "deploy": PartOfExposition(lambda snapshot: (snapshot.deploy,), _deploy),
    "drift": PartOfExposition(lambda snapshot: (snapshot.drift,), _drift),
}
