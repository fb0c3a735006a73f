"""Where does the IPv4 block of each county-level site lie?

Blocks differ in size, so that a slot counts blocks of the member's own size from the city's first address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inventories.allocation import Ledger
from inventories.geometry import Block, Geometry

#: The owner of what belongs to the city itself rather than to a county-level site.
CITY = "@city"


class _Taken(NamedTuple):
    base: int
    end: int
    by: str


def place_blocks(ledger: Ledger, geometry: Geometry, members: Sequence[str]) -> dict[str, Block]:
    """Give each member (county-level site or `@city`) an aligned IPv4 block of its own size.

    New members take the first place that fits, the largest blocks first. What is wrong grows the ledger's
    problems.
    """
    pool = f"{geometry.layout.division}/ipv4"
    held = ledger.held(pool)
    taken: list[_Taken] = []
    if geometry.city4.overlaps(geometry.management4):
        end = geometry.management4.base + geometry.management4.size
        taken.append(_Taken(geometry.management4.base, end, "[management] ipv4"))
    placed = _held_blocks(ledger, geometry, pool, held, taken)

    def by_size(member: str) -> tuple[int, str]:
        return geometry.block_bits(_code(geometry, member)), member

    for member in sorted((member for member in members if member not in held), key=by_size):
        bits = geometry.block_bits(_code(geometry, member))
        block = _first_place(geometry, bits, taken)
        if block is None:
            code = _code(geometry, member)
            ledger.problems.append(
                f"no room: IPv4 block (/{bits}) of {ledger.name(code)} at the county level: the city's "
                f"prefix {geometry.layout.ipv4.prefix} is full; shorten [ipv4] prefix and keep its first "
                f"address, which renumbers nothing, or choose a smaller block: [ipv4.county_sizes] {code} = "
                f"{bits + 1}"
            )
            block = Block(geometry.city4.base, bits)
        else:
            taken.append(_Taken(block.base, block.base + block.size, member))
            ledger.add(pool, member, (block.base - geometry.city4.base) // block.size)
        placed[member] = block
    return placed


def _code(geometry: Geometry, member: str) -> str:
    """What names a member in `[ipv4.county_sizes]`: the city itself goes by its division's code."""
    return geometry.layout.division if member == CITY else member


def _held_blocks(
    ledger: Ledger, geometry: Geometry, pool: str, held: Mapping[str, int], taken: list[_Taken]
) -> dict[str, Block]:
    """Place what the file says, and note what overlaps or leaves the city's prefix."""
    layout, city = geometry.layout, geometry.city4
    placed: dict[str, Block] = {}
    for member, slot in held.items():
        bits = geometry.block_bits(_code(geometry, member))
        size = 1 << (32 - bits)
        block = Block(city.base + slot * size, bits)
        what = f"allocations.csv: pool {pool}: {member} (slot {slot}, /{bits})"
        for other in taken:
            if block.base < other.end and other.base < block.base + size:
                ledger.problems.append(
                    f"{what} overlaps {other.by} at the county level of {layout.name} ({layout.division}); "
                    "delete the line of the one that is not deployed yet and run jizuo plan PATH --allocate"
                )
        if block.base + size > city.base + city.size:
            ledger.problems.append(
                f"{what} lies outside the city's prefix {layout.ipv4.prefix} at the county level of "
                f"{layout.name} ({layout.division}); shorten [ipv4] prefix, or delete the line and allocate "
                "again"
            )
        taken.append(_Taken(block.base, block.base + size, member))
        placed[member] = block
    return placed


def _first_place(geometry: Geometry, bits: int, taken: list[_Taken]) -> Block | None:
    """The first aligned place of that size which nothing has taken."""
    city, size = geometry.city4, 1 << (32 - bits)
    base = city.base
    while base + size <= city.base + city.size:
        other = next((one for one in taken if base < one.end and one.base < base + size), None)
        if other is None:
            return Block(base, bits)
        base = city.base + -(-(other.end - city.base) // size) * size
    return None
