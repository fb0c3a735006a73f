"""What stands in `allocations.csv` once new slots are added to it?

A line is never changed or removed. Lines are sorted, so that two branches that add different members mostly
change different places; where they do not, `merge=union` in `.gitattributes` keeps the lines of both.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from inventories.files import write_file
from inventories.records import Allocations

FILE = "allocations.csv"
HEADER = ("pool", "member", "slot")


def merged(allocations: Allocations, new: Allocations) -> Allocations:
    """Answer the file's allocations and the new ones together.

    Raises:
        ValueError: a new one would change what the file says.
    """
    both = {pool: dict(members) for pool, members in allocations.items()}
    for pool, members in new.items():
        known = both.setdefault(pool, {})
        for member, slot in members.items():
            if known.setdefault(member, slot) != slot:
                raise ValueError(f"{FILE}: {pool}: {member} holds slot {known[member]}, which never changes")
    return both


def text(allocations: Allocations) -> str:
    """Write the file's content: a header, then a line for each member, sorted by pool and member."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(_rows(allocations))
    return buffer.getvalue()


def _rows(allocations: Allocations) -> Iterator[tuple[str, str, int]]:
    for pool in sorted(allocations):
        for member in sorted(allocations[pool]):
            yield pool, member, allocations[pool][member]


def append(folder: Path, allocations: Allocations, new: Allocations) -> int:
    """Add the new allocations to the inventory folder's file, by rename; answer how many there are.

    Raises:
        OSError: the file cannot be written.
    """
    added = sum(map(len, new.values()))
    if added:
        write_file(folder / FILE, text(merged(allocations, new)))
    return added
