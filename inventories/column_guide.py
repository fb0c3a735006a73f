"""Which columns does each file of a city have: their type, allowed values, meaning and an example?"""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import NamedTuple

import msgspec

from inventories.backups.records import (
    BACKUPS_FILE,
    BackupPolicy,
    DatabaseBackup,
    NoBackup,
    Repository,
    Verification,
)
from inventories.cells import Column, columns, duration, expected
from inventories.policy.records import POLICY_FILE, PolicyRule, PolicyService
from inventories.records import (
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
    "private-networks.csv": PrivateNetwork,
    "allocations.csv": Allocation,
}

#: Files with tables of several kinds, each a record: a key is named with its table, `rule.from`.
TABLES: dict[str, dict[str, type[Record]]] = {
    BACKUPS_FILE: {
        "policy": BackupPolicy,
        "policy.database": DatabaseBackup,
        "policy.verify": Verification,
        "repository": Repository,
        "without": NoBackup,
    },
    POLICY_FILE: {"service": PolicyService, "rule": PolicyRule},
}
#: Every file that is explained.
FILES = (*RECORDS, *TABLES)


class ColumnGuide(NamedTuple):
    """One column, or key, of a file; `values` says its type and what it may hold.

    `default` is what holds when it is left out, as the file would write it; empty where that is nothing.
    """

    file: str
    column: str
    required: bool
    values: str
    meaning: str
    example: str
    default: str


def column_guide() -> list[ColumnGuide]:
    """Every column of every file, in the files' order."""
    source = (resources.files("inventories") / "columns.toml").read_text(encoding="utf-8")
    meanings = tomllib.loads(source)
    found = []
    for file in FILES:
        for table, record in TABLES.get(file, {"": RECORDS.get(file, Record)}).items():
            for column in columns(record).values():
                words = expected(column.type)
                if column.is_tuple and file.endswith(".csv"):
                    words += ", with ; between them"
                name = f"{table}.{column.name}" if table else column.name
                text = meanings[file][name]
                found.append(
                    ColumnGuide(
                        file,
                        name,
                        column.required,
                        words,
                        text["meaning"],
                        text["example"],
                        _default(record, column),
                    )
                )
    return found


def _default(record: type[Record], column: Column) -> str:
    """A field's default as a file writes it; empty for nothing, an empty list or table, and tables of their own."""
    field = next(field for field in msgspec.structs.fields(record) if field.encode_name == column.name)
    value = field.default
    if value is msgspec.NODEFAULT or value is None or isinstance(value, tuple | dict | msgspec.Struct):
        return ""
    if column.is_seconds:
        return duration(value)
    return str(value)
