"""Parts of a city: together exactly the whole, each subject in one place, and stable under edits."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.parsing import parse_inventory, share_of
from exporters.places import county_names
from exporters.shards import WHOLE, Shard, parse_shard
from exporters.snapshot import Inventory

YICHUN = Path(__file__).parents[2] / "inventories" / "yichun"
FILES = sorted(file for file in YICHUN.iterdir() if file.is_file())


@pytest.fixture(scope="module")
def whole() -> Inventory:
    return parse_inventory(FILES).value


@pytest.mark.parametrize("of", [1, 2, 4, 7])
def test_numbered_parts_are_together_exactly_the_whole(whole: Inventory, of: int) -> None:
    parts = [share_of(whole, parse_shard(f"{number}/{of}")) for number in range(1, of + 1)]
    assert sorted(target for one in parts for target in map(repr, one.targets)) == sorted(
        map(repr, whole.targets)
    )
    assert sorted(row for one in parts for row in one.unprobed) == sorted(whole.unprobed)
    sizes = [len(one.targets) for one in parts]
    assert min(sizes) > 0.8 * max(sizes), "no part carries much more than another"
    subjects = [{target.subject for target in one.targets} for one in parts]
    assert sum(map(len, subjects)) == len(set.union(*subjects)), "both families of a subject are in one part"
    assert [one.shard.is_whole for one in parts] == [of == 1] * of


def test_counties_and_the_rest_are_together_exactly_the_whole(whole: Inventory) -> None:
    counties = county_names(whole.city)
    parts = [share_of(whole, parse_shard(f"county={county}")) for county in (*counties, "none")]
    assert all(one.targets for one in parts)
    assert sorted(target for one in parts for target in map(repr, one.targets)) == sorted(
        map(repr, whole.targets)
    )
    assert sorted(row for one in parts for row in one.unprobed) == sorted(whole.unprobed)


def test_the_part_of_a_subject_depends_on_nothing_but_its_name() -> None:
    assert [Shard(number=number, of=4).holds("yufang", "360902") for number in range(1, 5)].count(True) == 1
    assert Shard(number=2, of=4).holds("yufang", "") == Shard(number=2, of=4).holds("yufang", "360981")
    assert WHOLE.is_whole
    assert WHOLE.holds("anything", "")


@pytest.mark.parametrize(
    "text", ["", "0/4", "5/4", "2", "county=", "county=A B", "1/0", "-1/4", "county=360981\n"]
)
def test_what_is_no_shard_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="is no shard; write county=SITE"):
        parse_shard(text)
