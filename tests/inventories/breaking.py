"""How a test breaks an inventory, and where the problem must then be reported."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from inventories.load import load_city
from inventories.problems import InventoryError, Problem

MARK = "▸"


class Case(NamedTuple):
    """What is broken: the file, its text before and after, and words that the problem must hold.

    The sign ▸ in the new text is where the problem must be reported; it is taken out before the file is
    written, so that line and column are counted by the test itself.
    """

    file: str
    old: str
    new: str
    words: tuple[str, ...]


def positions(text: str) -> list[tuple[int, int]]:
    """Line and column of each mark, counted as if the marks were not there."""
    found = []
    for line_number, line in enumerate(text.split("\n"), 1):
        column = 1
        for part in line.split(MARK)[:-1]:
            column += len(part)
            found.append((line_number, column))
    return found


def break_file(folder: Path, file: str, old: str, new: str) -> list[tuple[str, int, int]]:
    """Replaces a text that must be there once; answers where the problems must be."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
    marked = text.replace(old, new)
    path.write_text(marked.replace(MARK, ""), encoding="utf-8", newline="")
    return [(str(path), line, column) for line, column in positions(marked)]


def problems_of(folder: Path) -> list[Problem]:
    """What is wrong with an inventory; nothing when it loads."""
    try:
        load_city(folder)
    except InventoryError as error:
        return error.problems
    return []


def assert_found(folder: Path, case: Case) -> None:
    """The problem of a case is found at its marks, with its words, and no other with it."""
    expected = break_file(folder, case.file, case.old, case.new)
    assert expected, "the case marks no position"
    problems = problems_of(folder)
    assert [(p.file, p.line, p.column) for p in problems] == expected, problems
    told = " ".join(f"{p.what}; {p.fix}" for p in problems)
    for word in case.words:
        assert word in told
