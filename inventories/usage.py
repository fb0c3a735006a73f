"""How full is each level of the address plan?"""

from __future__ import annotations

from typing import NamedTuple

from inventories.blocks import CITY
from inventories.numbering import Numbers
from inventories.records import Level


class UsageRow(NamedTuple):
    """A pool's use: `used` members that exist, `gone` slots of members that exist no more, of `capacity`."""

    level: str
    division: str
    name: str
    resource: str
    used: int
    gone: int
    capacity: int

    @property
    def full(self) -> float:
        """The share of the pool that is taken, 0 to 1."""
        return (self.used + self.gone) / self.capacity if self.capacity else 1.0


def usage_of(numbers: Numbers) -> list[UsageRow]:
    """Answer the use of every pool of the plan: the city's, then county by county, each with what lies below
    it.

    The IPv4 LANs of a county's groups are one row, as blocks are opened for them as long as the county has
    any.
    """
    divisions, layout = numbers.city.divisions, numbers.city.layout
    owners = {numbers.city.sites[site].division: owner for site, owner in numbers.owner.items()}
    order = {owner: index for index, owner in enumerate((CITY, *numbers.counties))}

    def name(code: str) -> str:
        return divisions[code].name if code in divisions else code

    rows: list[tuple[int, UsageRow]] = []
    lans = {county: [0, 0] for county in numbers.counties}
    for pool, slots, present in numbers.ledger.filled:
        owner = order[owners.get(pool.division, CITY)]
        gone = len(slots) - present
        if pool.name.endswith("/lan4"):
            county = numbers.owner[pool.name.removesuffix("/lan4")]
            lans[county][0] += present
            lans[county][1] += gone
            continue
        row = UsageRow(
            pool.level, pool.division, name(pool.division), pool.resource, present, gone, pool.capacity
        )
        rows.append((owner, row))
    for county, (used, gone) in lans.items():
        code = numbers.city.sites[county].division
        capacity = numbers.county4[county].site_slots(layout.ipv4.lan)
        row = UsageRow(
            Level.COUNTY, code, name(code), f"IPv4 LANs (/{layout.ipv4.lan})", used, gone, capacity
        )
        rows.append((order[county], row))
    rows.sort(key=lambda pair: pair[0])
    return [row for _, row in rows]
