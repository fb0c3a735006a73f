"""Figures for a city, a province, the country: checked by hand with costs that are easy to multiply."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from exporters.sizing import Counts, UnitCosts, counts_of, sizing
from inventories.load import load_city

ROOT = Path(__file__).parents[2]
COSTS = UnitCosts(
    series_per_target=5,
    series_per_host=100,
    base_bytes=1000,
    bytes_per_series=10,
    cpu_seconds_per_million_samples=2,
    disk_bytes_per_sample=1,
    series_per_shard=600,
)


def test_the_figures_of_a_small_city() -> None:
    found = sizing(Counts(places=40, endpoints=8, hosts=2), COSTS, 10)
    assert found.targets == 100
    assert found.series == 700
    assert found.samples_per_second == 70
    assert found.shards == 2
    assert found.memory_bytes == 2 * 1000 + 7000
    assert found.cpu_cores == 140 / 1e6
    assert found.disk_bytes_per_day == 70 * 86400


def test_a_province_is_so_many_cities() -> None:
    assert Counts(3, 1, 0).times(11) == (33, 11, 0)
    counts = counts_of(load_city(ROOT / "inventories" / "lab"))
    assert counts.places + counts.hosts == len(load_city(ROOT / "inventories" / "lab").nodes)


def test_the_command_prints_the_figures() -> None:
    command = [
        sys.executable,
        str(ROOT / "jizuo.py"),
        "exporter",
        "sizing",
        str(ROOT / "inventories" / "yichun"),
    ]
    table = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert max(map(len, table.splitlines())) <= 80
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    assert found["city"]["series"] < found["province"]["series"] < found["country"]["series"]
