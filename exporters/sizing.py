"""How large is the monitoring of a city, a province, the country? Series, samples, memory, shards; from unit costs."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec

from exporters.places import places
from inventories.records import City, NodeRole

UNIT_COSTS_FILE = Path(__file__).parent / "unit-costs.toml"
#: Address families that a target is probed in.
_FAMILIES = 2


class UnitCosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one of something costs; see `unit-costs.toml`."""

    series_per_target: float
    recorded_per_target: float
    series_per_host: float
    base_bytes: float
    bytes_per_series: float
    cpu_seconds_per_million_samples: float
    disk_bytes_per_sample: float
    series_per_shard: float


class Counts(NamedTuple):
    """What is watched: places with a router each, endpoints of systems, hosts with a node exporter.

    Those that stand in a county with an agent are watched by it too: so many routers and hosts, so many of them hosts.
    """

    places: int
    endpoints: int
    hosts: int
    twice: int = 0
    hosts_twice: int = 0

    def times(self, factor: float) -> Counts:
        """As many of each, rounded up."""
        return Counts(*(math.ceil(number * factor) for number in self))


class Sizing(NamedTuple):
    """What that needs. Memory and processor are those of one Prometheus, or of all shards of a pair's half together.

    The long storage holds what that Prometheus holds and what the counties' agents write.
    """

    targets: int
    series: int
    storage_series: int
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


def counts_of(city: City, *, agents: bool = False) -> Counts:
    """What an inventory holds; with `agents` as if every county had one (the hosts that those are do not count)."""
    endpoints = sum(len(system.endpoints) for system in city.systems.values())
    where = places(city)
    watched = {where[node.id].county for node in city.nodes.values() if agents or node.role is NodeRole.AGENT}
    watched.discard("")
    nodes = Counter(
        (node.role is NodeRole.ROUTER, where[node.id].county in watched) for node in city.nodes.values()
    )
    return Counts(
        places=nodes[True, False] + nodes[True, True],
        endpoints=endpoints,
        hosts=nodes[False, False] + nodes[False, True],
        twice=nodes[True, True] + nodes[False, True],
        hosts_twice=nodes[False, True],
    )


def sizing(counts: Counts, costs: UnitCosts, interval: float) -> Sizing:
    """What these need when every series is scraped each `interval` seconds."""
    targets = (counts.places + counts.endpoints + counts.hosts) * _FAMILIES
    of_a_target = costs.series_per_target + costs.recorded_per_target
    series = targets * of_a_target + counts.hosts * costs.series_per_host
    agents = counts.twice * _FAMILIES * costs.series_per_target + counts.hosts_twice * costs.series_per_host
    rate = series / interval
    shards = max(1, math.ceil(series / costs.series_per_shard))
    return Sizing(
        targets=targets,
        series=math.ceil(series),
        storage_series=math.ceil(series + agents),
        samples_per_second=rate,
        shards=shards,
        memory_bytes=shards * costs.base_bytes + series * costs.bytes_per_series,
        cpu_cores=rate * costs.cpu_seconds_per_million_samples / 1e6,
        disk_bytes_per_day=rate * 86400 * costs.disk_bytes_per_sample,
    )
