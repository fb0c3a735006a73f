"""Which cells does a CSV file have (RFC 4180), and where in the file does each stand?

Reading keeps no positions: they are found again from the text when, and only when, something is wrong,
so that a file of 665,276 rows costs no more than its rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from inventories.problems import Problem

#: What a merge that git could not finish leaves in a file.
_CONFLICT_MARKS = ("<<<<<<<", "=======", ">>>>>>>")


class Table:
    """The header and rows of one CSV file; rows are numbered from 0, blank lines are no rows."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        #: What stopped the reading of rows; filled by :meth:`rows`.
        self.problems: list[Problem] = []
        self._text = text
        self._records: list[tuple[int, int]] | None = None
        self._lines: list[str] | None = None
        self.header: list[str] = []
        for record in self._read():
            self.header = record
            break

    def rows(self) -> Iterator[list[str]]:
        """Each row after the header; ends early, with a problem, where quoting goes wrong."""
        records = self._read()
        next(records, None)
        yield from records

    def _read(self) -> Iterator[list[str]]:
        reader = csv.reader(io.StringIO(self._text, newline=""), strict=True)
        begin = 0
        try:
            for record in reader:
                if record:
                    yield record
                begin = reader.line_num
        except csv.Error as error:
            self._stop(begin, str(error))

    def _stop(self, begin: int, message: str) -> None:
        line = (self._all_lines()[begin:] or [""])[0]
        column = line.find('"') + 1 or 1
        what = f"the row cannot be read as CSV: {message}"
        fix = 'close the quotation mark; a cell that holds a comma or a quotation mark is written "a,""b"""'
        problem = Problem(self.file, begin + 1, column, what, fix)
        if problem not in self.problems:
            self.problems.append(problem)

    def _all_lines(self) -> list[str]:
        if self._lines is None:
            self._lines = _physical_lines(self._text)
        return self._lines

    def _record(self, number: int) -> tuple[int, str]:
        """First line, from 0, and text of a record; record 0 is the header."""
        lines = self._all_lines()
        if self._records is None:
            reader = csv.reader(iter(lines), strict=True)
            self._records = []
            begin = 0
            try:
                for record in reader:
                    if record:
                        self._records.append((begin, reader.line_num))
                    begin = reader.line_num
            except csv.Error:  # already a problem; positions before it hold
                pass
        begin, end = self._records[number]
        return begin, "".join(lines[begin:end])

    def position(self, row: int, column: int, offset: int = 0) -> tuple[int, int]:
        """Line and character, from 1, of a cell.

        Args:
            row: number of the row; -1 is the header.
            column: number of the cell in its row, from 0; one past the last cell is the row's end.
            offset: how many characters of the cell's content to go past its beginning.
        """
        first, text = self._record(row + 1)
        start = _cell_start(text, column)
        if offset and text[start : start + 1] == '"':
            offset += 1
        before = _physical_lines(text[: start + offset]) or [""]
        if before[-1].endswith(("\n", "\r")):
            before.append("")
        return first + len(before), len(before[-1]) + 1

    def conflict(self, row: list[str]) -> bool:
        """Whether a row is a mark that an unfinished git merge left."""
        return row[0].startswith(_CONFLICT_MARKS)


def _physical_lines(text: str) -> list[str]:
    """The lines as an editor counts them; `str.splitlines` would split at U+2028 and the like too."""
    return list(io.StringIO(text, newline=""))


def _cell_start(record: str, column: int) -> int:
    """Where the cell of that number begins in a record's text; the record's end when it has fewer cells."""
    end = len(record.rstrip("\r\n"))
    position = 0
    for _ in range(column):
        if record[position : position + 1] == '"':
            position += 1
            while (closing := record.find('"', position)) >= 0 and record[closing + 1 : closing + 2] == '"':
                position = closing + 2
            position = closing if closing >= 0 else end
        comma = record.find(",", position)
        if comma < 0:
            return end
        position = comma + 1
    return min(position, end)
