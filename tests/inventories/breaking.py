"""How a test breaks an inventory, and where the problem must then be reported."""

from __future__ import annotations

from pathlib import Path

from inventories.load import load_city
from inventories.problems import InventoryError, Problem

MARK = "▸"


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
