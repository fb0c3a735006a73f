"""Which slot of its pool does each member have, now and for ever?

A pool is a range of numbered slots (the /48 prefixes of a county, the loopbacks of a county, the hosts of a
LAN). Every address is a function of slots alone, and a slot that stands in `allocations.csv` is never
changed and never given to another member, also when its own member is gone: so no edit of the inventory
moves an address.

How a new member's slot is chosen, and why:

- A pool of which the file says nothing is numbered in the order of the members' ids: a new city reads well.
- A member that joins a pool that the file knows takes the slot that a hash of its name points at, or the next
  that the hash points at when that one is taken. Lowest free would give the same slot to the two villages
  that two branches add to one county; by hash they collide only once in as many times as the pool has free
  slots (the pools that a whole county or city shares have hundreds), and the same village added in both
  branches mostly gets the same slot in both. As every member takes one slot, this costs no density.
- IPv4 LANs are chosen so within the blocks that their group already has; another block is opened only when
  these are full. The IPv4 blocks of the counties differ in size: these take the first place that fits.

Should two branches collide all the same, both lines stand in the merged file, and :class:`PlanError` names
pool, slot and both members. The way out: delete the line of the member that is not deployed yet and run
`jizuo plan PATH --allocate`; it gets another slot and the other member keeps its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from inventories.records import Allocations

#: How often the hash is asked before the lowest free slot is taken.
ATTEMPTS = 256


class PlanError(Exception):
    """The city cannot be numbered; `problems` says why and what to change, one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Pool(NamedTuple):
    """A range of slots and who owns it.

    `first` and `end` bound the slots (`end` is the first slot past the last). `level`, `division` and
    `resource` say in usage tables and errors what a slot is; `remedy` what to change when there are too few.
    """

    name: str
    first: int
    end: int
    level: str
    division: str
    resource: str
    remedy: str
    reserved: frozenset[int] = frozenset()

    @property
    def capacity(self) -> int:
        """How many members the pool can hold."""
        return max(0, self.end - self.first - sum(self.first <= slot < self.end for slot in self.reserved))


class Filled(NamedTuple):
    """A pool with its members' slots; `slots` may name members that are gone, `present` counts the others."""

    pool: Pool
    slots: Mapping[str, int]
    present: int


class Ledger:
    """The allocations of one city while its plan is made: what the file says, and what is new.

    `new` gathers the allocations that the file lacks, `problems` every reason why the plan cannot stand, and
    `filled` every pool that was asked for.
    """

    def __init__(self, allocations: Allocations, names: Mapping[str, str]) -> None:
        """Take the file's `allocations` and the `names` of divisions by code, for messages."""
        self._file = allocations
        self._names = names
        self.new: Allocations = {}
        self.problems: list[str] = []
        self.filled: list[Filled] = []

    def describe(self, pool: Pool) -> str:
        """Say what the pool is: level, resource, and the division's name and code."""
        return f"{pool.resource} at the {pool.level} level of {self.name(pool.division)}"

    def name(self, division: str) -> str:
        """Name a division for a person: `袁州区 (360902)`."""
        name = self._names.get(division)
        return f"{name} ({division})" if name else division

    def slots(self, pool: Pool, members: Iterable[str]) -> Mapping[str, int]:
        """Answer the slot of every member, from the file or new; a member that finds none stands at
        `pool.first`.

        Without room, `problems` grows by one line.
        """
        wanted = sorted(members)
        held = self._file.get(pool.name)
        if not held and not pool.reserved:
            slots: Mapping[str, int] = dict(zip(wanted, range(pool.first, pool.end), strict=False))
            if slots:
                self.new[pool.name] = dict(slots)
            if len(slots) < len(wanted):
                slots = self._exhausted(pool, slots, wanted)
        else:
            held = held or {}
            self._check(pool, held)
            missing = [member for member in wanted if member not in held]
            slots = self._extend(pool, held, missing, wanted) if missing else held
        self.filled.append(Filled(pool, slots, len(wanted)))
        return slots

    def held(self, pool: str) -> Mapping[str, int]:
        """Answer what the file says of a pool."""
        return self._file.get(pool, {})

    def add(self, pool: str, member: str, slot: int) -> None:
        """Note an allocation that the file lacks."""
        self.new.setdefault(pool, {})[member] = slot

    def duplicate(self, pool: str, slot: int, one: str, other: str) -> None:
        """Note that two members claim the same slot, as happens when two branches are merged."""
        self.problems.append(
            f"allocations.csv: pool {pool}: {one} and {other} both hold slot {slot}; delete the line of the "
            "one that is not deployed yet and run jizuo plan PATH --allocate"
        )

    def _check(self, pool: Pool, held: Mapping[str, int]) -> None:
        if len(set(held.values())) == len(held) and not (
            held and (min(held.values()) < pool.first or max(held.values()) >= pool.end)
        ):
            return
        seen: dict[int, str] = {}
        for member, slot in held.items():
            if slot in seen:
                self.duplicate(pool.name, slot, seen[slot], member)
            seen.setdefault(slot, member)
            if not pool.first <= slot < pool.end:
                self.problems.append(
                    f"allocations.csv: pool {pool.name}: {member} holds slot {slot}, outside {pool.first} to "
                    f"{pool.end - 1} of the {self.describe(pool)}; {pool.remedy}"
                )

    def _extend(
        self, pool: Pool, held: Mapping[str, int], missing: list[str], wanted: list[str]
    ) -> Mapping[str, int]:
        slots = dict(held)
        taken = set(held.values()) | pool.reserved
        for member in missing:
            slot = _hashed(pool, member, taken) if held else _lowest(pool, taken)
            if slot is None:
                return self._exhausted(pool, slots, wanted)
            slots[member] = slot
            taken.add(slot)
            self.add(pool.name, member, slot)
        return slots

    def _exhausted(self, pool: Pool, slots: Mapping[str, int], wanted: list[str]) -> Mapping[str, int]:
        gone = len(set(slots) - set(wanted))
        kept = f" and {gone} more are held by members that are gone" if gone else ""
        self.problems.append(
            f"no room: {self.describe(pool)}: {len(wanted)} are needed{kept}, but there are "
            f"only {pool.capacity} ({pool.name}); {pool.remedy}"
        )
        return {member: slots.get(member, pool.first) for member in (*slots, *wanted)}


def _lowest(pool: Pool, taken: set[int]) -> int | None:
    return next((slot for slot in range(pool.first, pool.end) if slot not in taken), None)


def _hashed(pool: Pool, member: str, taken: set[int]) -> int | None:
    """The first free slot of those that the hash of pool and member points at; the lowest in a full pool."""
    size = pool.end - pool.first
    for attempt in range(ATTEMPTS if size > 0 else 0):
        digest = hashlib.blake2b(f"{pool.name},{member},{attempt}".encode(), digest_size=8).digest()
        slot = pool.first + int.from_bytes(digest) % size
        if slot not in taken:
            return slot
    return _lowest(pool, taken)
