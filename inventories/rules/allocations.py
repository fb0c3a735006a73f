"""Do the rows of `allocations.csv` stand in pools that exist, each slot held by one member?

Whether the slots fit the address plan is the plan's own question: only it knows how large a pool is. Members
and sites that are gone keep their rows, so an unknown member is no error here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec

from inventories.problems import shown
from inventories.records import Allocations, Record
from inventories.sources import Draft, Source


class Allocation(Record, frozen=True, gc=False):
    """A slot that was given out (a row of `allocations.csv`): rows are only ever added."""

    pool: str
    member: str
    slot: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


#: What a pool of the owner before the slash hands out.
_KINDS = {
    "ipv4": "IPv4 prefixes of counties",
    "direct": "villages directly below a county-level site",
    "block": "IPv4 blocks of a county",
    "lan4": "IPv4 LANs of a group",
    "loopback": "loopbacks of routers",
    "link": "link prefixes",
    "host": "hosts of a site",
    "site": "LANs of a private network",
}
_ALONE = ("management", "@city")
_OWNER = re.compile(r"^(@city|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)\Z")


def gather_allocations(draft: Draft, rows: Source[Allocation]) -> Allocations:
    """The slots by pool, of rows as they stand in the file; notes what is wrong with them."""
    allocations: Allocations = {}
    holders: dict[tuple[str, int], str] = {}
    for key, row in rows.records.items():
        if row.pool not in allocations:
            _check_pool(draft, rows, key, row.pool)
        holder = holders.setdefault((row.pool, row.slot), row.member)
        if holder != row.member:
            line, _ = rows.locate(f"{row.pool},{holder}", "slot", None)
            slot = f"slot {row.slot} of pool {row.pool!r}, given to {row.member!r},"
            what = f"{slot} is held by {holder!r} already (line {line})"
            command = f"jizuo plan {Path(rows.file).parent} --allocate"
            fix = f"remove the row of the one not deployed yet; `{command}` gives it a free slot"
            draft.report(rows, key, "slot", what, fix)
        allocations.setdefault(row.pool, {})[row.member] = row.slot
    return allocations


def _check_pool(draft: Draft, rows: Source[Allocation], key: str, pool: str) -> None:
    owner, slash, kind = pool.partition("/")
    if not _OWNER.match(owner) and owner not in _ALONE:
        fix = "a pool is management, or a site, a division or @city, alone or with /" + ", /".join(_KINDS)
        draft.report(rows, key, "pool", f"{shown(pool)} is no pool", fix)
    elif slash and kind not in _KINDS:
        place = (rows, key, "pool")
        draft.report_unknown(place, "pool", pool, [f"{owner}/{known}" for known in _KINDS], "remove the row")
