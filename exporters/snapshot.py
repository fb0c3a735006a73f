"""What is known of the city at one moment: the inventory and the newest reading of every collector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from checks.availability.city_names import CityNames
from checks.availability.targets import Target, Unprobed
from checks.drills.record import DrillRecord
from checks.record import Record
from exporters.collectors.availability import Cycle
from exporters.collectors.inspection import Inspection
from exporters.deploys import DeployRecord
from exporters.drift import DriftRecord
from exporters.places import Place
from exporters.readings import Reading
from exporters.shards import WHOLE, Shard
from inventories.records import City


class Inventory(NamedTuple):
    """A city with what is derived from it once.

    Attributes:
        city: What exists.
        targets: The targets that this exporter probes.
        where: Where every node and system stands.
        unprobed: What nobody probes, and why.
        shard: Which part of the city the targets are.
        names: Whom to ask for the names of its nodes.
    """

    city: City
    targets: Sequence[Target]
    where: Mapping[str, Place]
    unprobed: Sequence[Unprobed] = ()
    shard: Shard = WHOLE
    names: CityNames = CityNames()

    @property
    def own(self) -> dict[str, Place]:
        """Where those stand that are of this part: each exporter of a city tells of its own, and none of another's."""
        return {
            subject: place for subject, place in self.where.items() if self.shard.holds(subject, place.county)
        }


@dataclass(frozen=True)
class Snapshot:
    """The readings; None for a collector that this exporter does not run."""

    inventory: Reading[Inventory]
    availability: Reading[Cycle] | None = None
    inspection: Reading[Inspection] | None = None
    backup: Reading[list[Record]] | None = None
    security: Reading[list[Record]] | None = None
    drill: Reading[list[DrillRecord]] | None = None
    deploy: Reading[DeployRecord | None] | None = None
    drift: Reading[DriftRecord | None] | None = None

    def readings(self) -> dict[str, Reading[object]]:
        """The readings of the collectors that run, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: reading for name, reading in found.items() if reading is not None}
