"""What differs between an address plan and an earlier export of it?

A row is told again by what it numbers: an address by host, interface, role and family, a prefix by role,
division, site and family, either of them in a private network by the network too. Where an end is numbered
anew, the row is changed; else it was added or removed.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from inventories.export_csv import ADDRESSES, PREFIXES, TABLES, Table
from inventories.plan import AddressPlan

#: A row of a table as text, without its type.
Row = tuple[str, ...]
#: The tables of an earlier export by name; one that is not there is not compared.
Earlier = Mapping[str, list[Row]]
#: Columns that say where a row stands, not what it numbers.
_PLACE = frozenset({"prefix", "address", "parent", "dns_name"})


class EarlierError(Exception):
    """The earlier export cannot be read; the message says which file and what is wrong with it."""


class Change(NamedTuple):
    """One difference: `what` is added, removed or changed; `before` or `after` is empty accordingly."""

    what: str
    table: str
    before: Row
    after: Row


def read_earlier(path: Path) -> Earlier:
    """Read what `--format csv` or `--format json` wrote: a folder, one of its CSV files, or the JSON file.

    A folder or JSON file without the tables of private networks is one of a city that had none.

    Raises:
        EarlierError: there is nothing of the kind.
    """
    try:
        if path.is_dir():
            return _read_folder(path)
        if path.suffix == ".json":
            return _read_json(path)
        header = path.read_text(encoding="utf-8").partition("\n")[0].split(",")
        for table in TABLES:
            if header == list(table.columns):
                return {table.name: _rows(path, table)}
    except OSError as error:
        raise EarlierError(f"{path}: it cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise EarlierError(f"{path}: it is not UTF-8; name a file of --format csv or json") from error
    known = " nor ".join(",".join(table.columns) for table in TABLES)
    raise EarlierError(
        f"{path}:1: the header is neither {known}; name a file that --format csv or json wrote"
    )


def _read_folder(path: Path) -> Earlier:
    found = [table for table in TABLES if (path / table.file).is_file()]
    if PREFIXES in found and ADDRESSES in found:
        return {table.name: _rows(path / table.file, table) if table in found else [] for table in TABLES}
    if not found and (path / "plan.json").is_file():
        return _read_json(path / "plan.json")
    raise EarlierError(
        f"{path}: an earlier export is {PREFIXES.file} and {ADDRESSES.file}, or plan.json; found "
        f"{found[0].file if found else 'none of them'}; write one with --format csv --out {path}"
    )


def _rows(path: Path, table: Table) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if next(reader, []) != list(table.columns):
            raise EarlierError(f"{path}:1: the header is not {','.join(table.columns)}")
        rows = []
        for row in reader:
            if len(row) != len(table.columns):
                raise EarlierError(f"{path}:{reader.line_num}: {len(row)} cells, not {len(table.columns)}")
            rows.append(tuple(row))
        return rows


def _read_json(path: Path) -> Earlier:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        lists = {PREFIXES: data["prefixes"], ADDRESSES: data["addresses"]}
        return {
            table.name: [
                tuple(str(row[column]) for column in table.columns)
                for row in (lists[table] if table in lists else data.get(table.key, []))
            ]
            for table in TABLES
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EarlierError(f"{path}: this is no plan that --format json wrote: {error}") from error


def compare(plan: AddressPlan, earlier: Earlier) -> list[Change]:
    """Answer every difference, table by table, each in the order removed, changed, added."""
    changes: list[Change] = []
    for table in TABLES:
        if table.name in earlier:
            now = [tuple(map(str, row)) for row in table.rows(plan)]
            key = tuple(i for i, column in enumerate(table.columns) if column not in _PLACE)
            changes += _compare(table.name, earlier[table.name], now, key)
    return changes


def _compare(table: str, before: Iterable[Row], after: Iterable[Row], key: tuple[int, ...]) -> list[Change]:
    gone, come = _only(before, after)
    removed = _by_key(gone, key)
    added = _by_key(come, key)
    changes: dict[str, list[Change]] = {"removed": [], "changed": [], "added": []}
    for name in removed.keys() | added.keys():
        old, new = removed.get(name, []), added.get(name, [])
        paired = min(len(old), len(new))
        changes["changed"] += [
            Change("changed", table, *pair) for pair in zip(old[:paired], new[:paired], strict=True)
        ]
        changes["removed"] += [Change("removed", table, row, ()) for row in old[paired:]]
        changes["added"] += [Change("added", table, (), row) for row in new[paired:]]
    return [change for kind in changes.values() for change in sorted(kind, key=lambda c: c.before or c.after)]


def _only(before: Iterable[Row], after: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """The rows that only the one and only the other side has."""
    old, new = dict.fromkeys(before), dict.fromkeys(after)
    return [row for row in old if row not in new], [row for row in new if row not in old]


def _by_key(rows: Iterable[Row], key: tuple[int, ...]) -> Mapping[Row, list[Row]]:
    found: dict[Row, list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[i] for i in key)].append(row)
    return found
