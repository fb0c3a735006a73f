"""Which records does a CSV file of the inventory hold, and what is wrong with its rows?

The whole file is tried chunk by chunk in one conversion each; only a chunk that is refused is gone over
cell by cell, to say all that is wrong with it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic

import msgspec

from inventories.cells import (
    SUSPECT,
    Column,
    Refused,
    article,
    cell_value,
    columns,
    expected,
    likely_names,
)
from inventories.problems import Problem, Suggestions, shown
from inventories.rules.allocations import Allocation
from inventories.sources import R, Source
from inventories.tables import Table
from inventories.texts import read_text

_CHUNK = 256


def read_rows(path: Path, record: type[R], *key: str) -> tuple[Source[R], list[Problem]]:
    """Reads a CSV file.

    Args:
        path: a regular file.
        record: what a row is; the header has the names of its fields.
        key: the fields that together are a row's id, joined by a comma in the source's keys.

    Returns:
        The records that could be read, and everything that is wrong with the file.
    """
    text, problems = read_text(path)
    if text is None:
        return Source(str(path), readable=False), problems
    table = Table(str(path), text)
    if not table.header:
        empty = Problem(
            str(path), 1, 1, "the file holds no row", f"write its header: {','.join(columns(record))}"
        )
        return Source(str(path), readable=False), [*problems, *(table.problems or [empty])]
    reader = _Reader(table, record, key)
    reader.check_header()
    if reader.problems:
        reader.source.readable = False
    else:
        reader.read()
        reader.source.readable = not table.problems
    return reader.source, [*problems, *reader.problems, *table.problems]


class _Reader(Generic[R]):
    def __init__(self, table: Table, record: type[R], key: tuple[str, ...]) -> None:
        self.table = table
        self.record = record
        self.header = table.header
        self.key = key
        self.columns = columns(record)
        self.problems: list[Problem] = []
        self.rows_of: dict[str, tuple[int, list[str]]] = {}
        self.suggestions = Suggestions()
        self.source: Source[R] = Source(table.file, locate=self.locate)

    def check_header(self) -> None:
        """Notes what is wrong with the header; the rows can be read only when that is nothing."""
        seen: set[str] = set()
        missing = [name for name, column in self.columns.items() if column.required]
        for number, name in enumerate(self.header):
            if name in seen:
                self.report(-1, number, f"column {name!r} stands twice", "remove one of the two")
            elif name not in self.columns:
                self._unknown_column(number, name)
            seen.add(name)
        is_one_cell = len(self.header) == 1 and bool(self.problems)
        for name in missing:
            if name not in seen and not is_one_cell:
                fix = f"add it: {article(expected(self.columns[name].type))}"
                self.report(-1, len(self.header), f"column {name!r} is missing", fix)

    def _unknown_column(self, number: int, name: str) -> None:
        absent = [known for known in self.columns if known not in self.header]
        what = f"column {shown(name)} is unknown"
        if len(self.header) == 1 and any(mark in name for mark in "\t;，"):
            what = "the header is one cell"
            fix = "separate cells with commas: save as CSV with the comma as separator"
        else:
            all_columns = f"the columns of this file are {', '.join(self.columns)}"
            near = self.suggestions.nearest(name.strip().lower(), absent)
            fix = (
                f"did you mean {near!r}? Else remove it: {all_columns}"
                if near
                else f"remove it: {all_columns}"
            )
        self.report(-1, number, what, fix)

    def report(self, row: int, column: int, what: str, fix: str, offset: int = 0) -> None:
        line, character = self.table.position(row, column, offset)
        self.problems.append(Problem(self.table.file, line, character, what, fix))

    def read(self) -> None:
        """Fills the source with the records of all rows."""
        rows = self.table.rows()
        first = 0
        while chunk := list(itertools.islice(rows, _CHUNK)):
            records = self._convert(chunk)
            if records is None:
                for number, record in self._read_singly(chunk, first):
                    self._add(number, record)
            else:
                self._add_all(records, first)
            first += len(chunk)

    @functools.cached_property
    def _special(self) -> list[Column]:
        """Columns whose cells are not yet what msgspec converts: empty for a default, lists, durations."""
        present = [self.columns[name] for name in self.header]
        return [
            column
            for column in present
            if column.is_tuple or column.is_seconds or not (column.required or column.is_text)
        ]

    @functools.cached_property
    def _never_empty(self) -> list[int]:
        """Numbers of the columns of any text that must not be empty; other types refuse an empty cell."""
        return [
            number
            for number, name in enumerate(self.header)
            if self.columns[name].required and self.columns[name].is_text
        ]

    def _convert(self, chunk: list[list[str]]) -> list[R] | None:
        """All records of a chunk, None when anything about it needs a closer look."""
        width = len(self.header)
        if any(len(row) != width for row in chunk) or SUSPECT.search(",".join(map(",".join, chunk))):
            return None
        if any(not row[number] for number in self._never_empty for row in chunk):
            return None
        values: list[dict[str, Any]] = [dict(zip(self.header, row, strict=True)) for row in chunk]
        try:
            for column in self._special:
                for row in values:
                    if not row[column.name] and not column.is_tuple:
                        del row[column.name]
                    elif column.is_tuple or column.is_seconds:
                        row[column.name] = cell_value(column, row[column.name])
            return msgspec.convert(values, list[self.record], strict=False)  # type: ignore[name-defined]
        except (Refused, msgspec.ValidationError, OverflowError):
            return None

    def _read_singly(self, chunk: list[list[str]], first: int) -> Iterator[tuple[int, R]]:
        """Each record of a chunk that can be read; notes all that is wrong with the others."""
        for number, row in enumerate(chunk, first):
            if self._is_whole(number, row):
                record = self._record(number, row)
                if record is not None:
                    yield number, record
                    continue
            self.source.broken |= likely_names(self._key(row))

    def _is_whole(self, number: int, row: list[str]) -> bool:
        if self.table.conflict(row):
            fix = "decide which of the two sides is right, and remove the marks"
            self.report(number, 0, "an unfinished git merge left its mark", fix)
        elif not any(row):
            self.report(number, 0, "the row is empty", "remove it")
        elif len(row) < len(self.header):
            what = f"the row has {len(row)} of the header's {len(self.header)} cells"
            fix = f"add the missing cells (the first is {self.header[len(row)]}), empty ones too"
            self.report(number, len(row), what, fix)
        elif len(row) > len(self.header):
            what = f"the row has {len(row)} cells, more than the header's {len(self.header)}"
            fix = "remove the surplus, or put quotation marks around a cell that holds a comma"
            self.report(number, len(self.header), what, fix)
        else:
            return True
        return False

    def _record(self, number: int, row: list[str]) -> R | None:
        values: dict[str, Any] = {}
        is_right = True
        for position, (name, cell) in enumerate(zip(self.header, row, strict=True)):
            try:
                value = cell_value(self.columns[name], cell)
            except Refused as refused:
                self.report(number, position, *refused.fault)
                is_right = False
            else:
                if value is not None:
                    values[name] = value
        return self.record(**values) if is_right else None

    def _key(self, row: list[str]) -> str:
        cells = dict(zip(self.header, row, strict=False))
        return ",".join(cells.get(name, "") for name in self.key)

    def _add_all(self, records: list[R], first: int) -> None:
        known = self.source.records
        keyed = {self._key_of(record): record for record in records}
        if len(keyed) == len(records) and known.keys().isdisjoint(keyed):
            known.update(keyed)
            return
        for number, record in enumerate(records, first):
            self._add(number, record)

    def _key_of(self, record: R) -> str:
        if len(self.key) == 1:
            return str(getattr(record, self.key[0]))
        return ",".join([getattr(record, name) for name in self.key])

    def _add(self, number: int, record: R) -> None:
        key = self._key_of(record)
        first = self.source.records.setdefault(key, record)
        if first is record or (self.record is Allocation and first == record):
            return  # a union merge may leave an allocation that both branches added twice
        field = self.key[-1]
        line, _ = self.locate(key, field, None)
        fix = f"give one of the two another {field}"
        if first == record:
            fix = "remove one of the two equal rows"
        elif self.record is Allocation:  # two branches gave the same member different slots
            fix = "remove the row whose slot is not deployed yet"
        what = f"duplicate {' and '.join(self.key)} {shown(key)}, first in line {line}"
        self.report(number, self.header.index(field), what, fix)

    def locate(self, key: str, field: str, element: int | None) -> tuple[int, int]:
        """Line and character of a field of the first row with that key."""
        if not self.rows_of:
            for number, row in enumerate(self.table.rows()):
                self.rows_of.setdefault(self._key(row), (number, row))
        number, row = self.rows_of.get(key, (-1, self.header))
        if field not in self.header:
            return self.table.position(number, 0)
        column = self.header.index(field)
        before = row[column].split(";")[:element] if element else []
        return self.table.position(number, column, sum(len(text) + 1 for text in before))
