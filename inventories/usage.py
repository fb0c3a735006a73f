"""How full is each level of the address plan?"""

from __future__ import annotations

from typing import NamedTuple

from inventories.numbering import Numbers


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
    """Answer the use of every pool of the plan, in the order of its making."""
    divisions = numbers.city.divisions
    rows = []
    for pool, slots, present in numbers.ledger.filled:
        division = divisions.get(pool.division)
        name = division.name if division else pool.division
        rows.append(
            UsageRow(
                pool.level, pool.division, name, pool.resource, present, len(slots) - present, pool.capacity
            )
        )
    return rows
