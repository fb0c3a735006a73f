"""How large is the monitoring of a city, a province, the country? Series, samples, memory, shards; from unit costs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import msgspec

from inventories.records import City

UNIT_COSTS_FILE = Path(__file__).parent / "unit-costs.toml"
#: Address families that a target is probed in.
_FAMILIES = 2


class UnitCosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one of something costs; see `unit-costs.toml`."""

    series_per_target: float
    series_per_host: float
    base_bytes: float
    bytes_per_series: float
    cpu_seconds_per_million_samples: float
    disk_bytes_per_sample: float
    series_per_shard: float


class Counts(NamedTuple):
    """What is watched: places with a router each, endpoints of systems, hosts with a node exporter."""

    places: int
    endpoints: int
    hosts: int

    def times(self, factor: float) -> Counts:
        """As many of each, rounded up."""
        return Counts(*(math.ceil(number * factor) for number in self))


class Sizing(NamedTuple):
    """What that needs. Memory and processor are those of one Prometheus, or of all shards of a pair's half together."""

    targets: int
    series: int
    samples_per_second: float
    shards: int
    memory_bytes: float
    cpu_cores: float
    disk_bytes_per_day: float


def read_unit_costs(path: Path = UNIT_COSTS_FILE) -> UnitCosts:
    """The unit costs of a file.

    Raises:
        OSError: It cannot be read.
        msgspec.DecodeError: It has not the form of `unit-costs.toml`.
    """
    return msgspec.toml.decode(path.read_bytes(), type=UnitCosts)


def counts_of(city: City) -> Counts:
    """What an inventory holds."""
    endpoints = sum(len(system.endpoints) for system in city.systems.values())
    routers = sum(node.role == "router" for node in city.nodes.values())
    return Counts(places=routers, endpoints=endpoints, hosts=len(city.nodes) - routers)


def sizing(counts: Counts, costs: UnitCosts, interval: float) -> Sizing:
    """What these need when every series is scraped each `interval` seconds."""
    targets = (counts.places + counts.endpoints + counts.hosts) * _FAMILIES
    series = targets * costs.series_per_target + counts.hosts * costs.series_per_host
    rate = series / interval
    shards = max(1, math.ceil(series / costs.series_per_shard))
    return Sizing(
        targets=targets,
        series=math.ceil(series),
        samples_per_second=rate,
        shards=shards,
        memory_bytes=shards * costs.base_bytes + series * costs.bytes_per_series,
        cpu_cores=rate * costs.cpu_seconds_per_million_samples / 1e6,
        disk_bytes_per_day=rate * 86400 * costs.disk_bytes_per_sample,
    )
