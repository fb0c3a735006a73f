"""Private networks' zones of connection tracking: each its own, and a network that joins moves few others."""

from __future__ import annotations

from pathlib import Path

import msgspec

from inventories.load import load_city
from inventories.private import LAST_ZONE, connection_zones

CITY = load_city(Path(__file__).resolve().parents[2] / "inventories/lab")


def zones(*vnis: int) -> list[int]:
    """The zones of networks with these VNIs, in their order."""
    pattern = CITY.networks["health"]
    networks = {f"n{vni}": msgspec.structs.replace(pattern, id=f"n{vni}", vni=vni) for vni in vnis}
    found = connection_zones(msgspec.structs.replace(CITY, networks=networks))
    return [found[f"n{vni}"] for vni in vnis]


def test_a_vni_that_fits_is_the_zone() -> None:
    assert zones(LAST_ZONE, 1001, 1) == [LAST_ZONE, 1001, 1]


def test_a_large_vni_takes_a_zone_that_no_other_has() -> None:
    assert zones(LAST_ZONE + 7) == [7]
    assert zones(LAST_ZONE + 7, 7, 8) == [9, 7, 8]
    assert zones(2 * LAST_ZONE, LAST_ZONE) == [1, LAST_ZONE]
    assert sorted(zones(*range(16777215 - 300, 16777216), *range(1, 300))) == sorted(
        set(zones(*range(16777215 - 300, 16777216), *range(1, 300)))
    )
