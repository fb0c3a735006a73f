"""The inventory on the operations node: the files as they are, save for the management network in use."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from deploy.operations.inventory_copy import inventory_files, with_management
from inventories.load import load_city
from inventories.records import Management

LAB = Path(__file__).resolve().parents[2] / "inventories" / "lab"
OTHER = Management(ipv4="198.19.242.0/24", ipv6="2001:db8:ff00:2::/64")


def test_only_management_differs_and_comments_stay() -> None:
    text = (LAB / "city.toml").read_text()
    changed = with_management(text, OTHER)
    assert tomllib.loads(changed) == {
        **tomllib.loads(text),
        "management": {"ipv4": OTHER.ipv4, "ipv6": OTHER.ipv6},
    }
    differing = [line for line in changed.splitlines() if line not in text.splitlines()]
    assert len(differing) == 2


def test_the_same_management_is_the_same_text() -> None:
    text = (LAB / "city.toml").read_text()
    assert with_management(text, load_city(LAB).layout.management) == text


def test_another_way_of_writing_it_is_refused_rather_than_missed() -> None:
    with pytest.raises(ValueError, match="management"):
        with_management('management = { ipv4 = "198.19.240.0/24", ipv6 = "2001:db8:ff00::/64" }\n', OTHER)


def test_the_copy_is_an_inventory(tmp_path: Path) -> None:
    for file in inventory_files(LAB, OTHER):
        (tmp_path / Path(file.path).name).write_bytes(file.data)
    city = load_city(tmp_path)
    assert city.layout.management == OTHER
    assert city.systems == load_city(LAB).systems
    assert not list(tmp_path.glob("*.py"))
