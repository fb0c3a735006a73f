"""What differs between an address plan and an earlier export of it?

A row is told again by what it numbers: an address by host, interface, role and family, a prefix by role,
division, site and family. Where an end is numbered anew, the row is changed; else it was added or removed.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from inventories.export_csv import ADDRESSES, PREFIXES, sorted_addresses, sorted_prefixes
from inventories.plan import AddressPlan, AddressRow, PrefixRow

#: A row of either table as text, without its type.
Row = tuple[str, ...]


class EarlierError(Exception):
    """The earlier export cannot be read; the message says which file and what is wrong with it."""


class Earlier(NamedTuple):
    """An earlier export; a table is None where only the other one was given."""

    prefixes: list[Row] | None
    addresses: list[Row] | None


class Change(NamedTuple):
    """One difference: `what` is added, removed or changed; `before` or `after` is empty accordingly."""

    what: str
    table: str
    before: Row
    after: Row


def read_earlier(path: Path) -> Earlier:
    """Read what `--format csv` or `--format json` wrote: a folder, one of the two CSV files, or the JSON
    file.

    Raises:
        EarlierError: there is nothing of the kind.
    """
    try:
        if path.is_dir():
            found = [name for name in (PREFIXES, ADDRESSES) if (path / name).is_file()]
            if len(found) == 2:
                return Earlier(_rows(path / PREFIXES, PrefixRow), _rows(path / ADDRESSES, AddressRow))
            if not found and (path / "plan.json").is_file():
                return _read_json(path / "plan.json")
            raise EarlierError(
                f"{path}: an earlier export is {PREFIXES} and {ADDRESSES}, or plan.json; found "
                f"{found[0] if found else 'none of them'}; write one with --format csv --out {path}"
            )
        if path.suffix == ".json":
            return _read_json(path)
        header = path.read_text(encoding="utf-8").partition("\n")[0].split(",")
        if header == list(PrefixRow._fields):
            return Earlier(_rows(path, PrefixRow), None)
        if header == list(AddressRow._fields):
            return Earlier(None, _rows(path, AddressRow))
    except OSError as error:
        raise EarlierError(f"{path}: it cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise EarlierError(f"{path}: it is not UTF-8; name a file of --format csv or json") from error
    raise EarlierError(
        f"{path}:1: the header is neither {','.join(PrefixRow._fields)} nor {','.join(AddressRow._fields)}; "
        "name a file that --format csv or json wrote"
    )


def _rows(path: Path, record: type[PrefixRow] | type[AddressRow]) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        if next(reader, []) != list(record._fields):
            raise EarlierError(f"{path}:1: the header is not {','.join(record._fields)}")
        rows = []
        for row in reader:
            if len(row) != len(record._fields):
                raise EarlierError(f"{path}:{reader.line_num}: {len(row)} cells, not {len(record._fields)}")
            rows.append(tuple(row))
        return rows


def _read_json(path: Path) -> Earlier:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        return Earlier(
            [tuple(str(row[key]) for key in PrefixRow._fields) for row in data["prefixes"]],
            [tuple(str(row[key]) for key in AddressRow._fields) for row in data["addresses"]],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise EarlierError(f"{path}: this is no plan that --format json wrote: {error}") from error


def compare(plan: AddressPlan, earlier: Earlier) -> list[Change]:
    """Answer every difference: prefixes first, each table in the order removed, changed, added."""
    changes: list[Change] = []
    if earlier.prefixes is not None:
        now = [tuple(map(str, row)) for row in sorted_prefixes(plan)]
        changes += _compare("prefixes", earlier.prefixes, now, (1, 2, 3, 4))
    if earlier.addresses is not None:
        now = [tuple(map(str, row)) for row in sorted_addresses(plan)]
        changes += _compare("addresses", earlier.addresses, now, (1, 2, 3, 4))
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
