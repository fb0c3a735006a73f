"""Which columns does each file of a city have: their type, allowed values, meaning and an example?"""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import NamedTuple

from inventories.cells import columns, expected
from inventories.records import (
    BackupPolicy,
    Division,
    Layout,
    Link,
    Node,
    PrivateNetwork,
    Record,
    Site,
    System,
    Unit,
)
from inventories.rules.allocations import Allocation

#: The record that a row, or a table, of each file is.
RECORDS: dict[str, type[Record]] = {
    "city.toml": Layout,
    "divisions.csv": Division,
    "sites.csv": Site,
    "nodes.csv": Node,
    "links.csv": Link,
    "units.csv": Unit,
    "systems.csv": System,
    "backups.toml": BackupPolicy,
    "private-networks.csv": PrivateNetwork,
    "allocations.csv": Allocation,
}


class ColumnGuide(NamedTuple):
    """One column, or key, of a file; `values` says its type and what it may hold."""

    file: str
    column: str
    required: bool
    values: str
    meaning: str
    example: str


def column_guide() -> list[ColumnGuide]:
    """Every column of every file, in the files' order."""
    text = (resources.files("inventories") / "columns.toml").read_text(encoding="utf-8")
    meanings = tomllib.loads(text)
    return [
        ColumnGuide(
            file,
            column.name,
            column.required,
            expected(column.type)
            + (", with ; between them" if column.is_tuple and file.endswith(".csv") else ""),
            meanings[file][column.name]["meaning"],
            meanings[file][column.name]["example"],
        )
        for file, record in RECORDS.items()
        for column in columns(record).values()
    ]
