"""Figures for a city, a province, the country: checked by hand with costs that are easy to multiply."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exporters.shards import Shard
from exporters.sizing import Counts, UnitCosts, counts_of, read_unit_costs, sizing
from inventories.load import load_city
from tests.exporters.whole_city import exposed, series_of, yichun

ROOT = Path(__file__).parents[2]
COSTS = UnitCosts(
    series_per_target=4,
    recorded_per_target=1,
    series_per_host=100,
    base_bytes=1000,
    bytes_per_series=10,
    cpu_seconds_per_million_samples=2,
    disk_bytes_per_sample=1,
    series_per_shard=600,
)


def test_the_figures_of_a_small_city() -> None:
    found = sizing(Counts(places=40, endpoints=8, hosts=2, twice=11, hosts_twice=1), COSTS, 10)
    assert found.targets == 100
    assert found.series == 700
    assert found.storage_series == 700 + 11 * 2 * 4 + 100
    assert found.samples_per_second == 70
    assert found.shards == 2
    assert found.memory_bytes == 2 * 1000 + 7000
    assert found.cpu_cores == 140 / 1e6
    assert found.disk_bytes_per_day == 70 * 86400


def test_a_province_is_so_many_cities() -> None:
    assert Counts(3, 1, 0, 2).times(11) == (33, 11, 0, 22, 0)
    counts = counts_of(load_city(ROOT / "inventories" / "lab"))
    assert counts.twice > counts.hosts_twice > 0, "its county with an agent"
    assert counts.places + counts.hosts == len(load_city(ROOT / "inventories" / "lab").nodes)


def test_series_of_a_target_are_as_many_as_exporters_serve() -> None:
    """A whole city and each of its counties' agents, rendered: within a tenth of what the unit costs say."""
    costs, counts = read_unit_costs(), counts_of(yichun().city, agents=True)
    targets, text = exposed()
    assert targets == sizing(counts, costs, 30).targets
    assert series_of(text) == pytest.approx(targets * costs.series_per_target, rel=0.1)
    names = {place.county for place in yichun().where.values()} - {""}
    assert len(names) == 13
    counties = [exposed(Shard(county=county)) for county in sorted(names)]
    assert sum(number for number, _ in counties) == 2 * counts.twice
    served = sum(series_of(text) for _, text in counties)
    assert served == pytest.approx(2 * counts.twice * costs.series_per_target, rel=0.1)


def test_a_part_of_a_city_tells_of_its_own_subjects_alone() -> None:
    """Otherwise each county's agent would write the places of the whole city into the storage."""
    _, text = exposed(Shard(county="360902"))
    told = re.findall(rb'^jizuo_target_info\{.*?county="([^"]*)"', text, re.M)
    assert set(told) == {b"360902"}
    _, text = exposed()
    parts = [exposed(Shard(number=number, of=3))[1] for number in (1, 2, 3)]
    infos = [sorted(re.findall(rb"^jizuo_target_info.*", part, re.M)) for part in (text, b"\n".join(parts))]
    assert infos[0] == infos[1], "together they tell of all"


def test_the_command_prints_the_figures() -> None:
    command = [
        sys.executable,
        str(ROOT / "jizuo.py"),
        "exporter",
        "sizing",
        str(ROOT / "inventories" / "yichun"),
    ]
    table = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert max(map(len, table.splitlines())) <= 80
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    with_agents = subprocess.run(
        [*command, "--json", "--agents"], capture_output=True, text=True, timeout=300, check=True
    )
    more = json.loads(with_agents.stdout)["city"]["storage_series"]
    assert found["city"]["storage_series"] == found["city"]["series"] < more
    assert found["city"]["series"] < found["province"]["series"] < found["country"]["series"]
