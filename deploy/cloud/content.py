"""What a system holds on its first day: a page with its name and a small set of real data, both from the inventory."""

from __future__ import annotations

import csv
import io
from functools import cache
from pathlib import Path

from deploy.here import render
from inventories.hosts import HostedSystem

TEMPLATES = Path(__file__).parent / "templates"
#: Digits of a township's code (GB/T 10114): what has more is a village.
TOWNSHIP_DIGITS = 9


def first_content(system: HostedSystem, inventory: Path) -> dict[str, str]:
    """The files of a system by their path within its folder."""
    divisions = _divisions(inventory)
    names = _unit_names(inventory)
    owners = [names.get(owner, owner) for owner in system.owners]
    page = render(
        TEMPLATES / "index.html.j2", system=system, owners=owners, divisions=divisions.count("\n") - 1
    )
    return {"index.html": page, "data/divisions.csv": divisions}


@cache
def _divisions(inventory: Path) -> str:
    """The inventory's divisions down to the townships, as CSV with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    with (inventory / "divisions.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        writer.writerow(next(rows))
        writer.writerows(row for row in rows if row and len(row[0]) <= TOWNSHIP_DIGITS)
    return out.getvalue()


@cache
def _unit_names(inventory: Path) -> dict[str, str]:
    """The responsible units' names; none where the inventory has no units."""
    path = inventory / "units.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["name"] for row in csv.DictReader(file)}
