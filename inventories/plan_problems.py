"""Where in the inventory's files stands what the address plan refuses?"""

from __future__ import annotations

import re
from pathlib import Path

from inventories.allocation import PlanError
from inventories.documents import Document
from inventories.problems import Problem
from inventories.records import City

_LAYOUT = re.compile(r"^city\.toml: \[(?P<table>[\w.]+)\] ?(?P<key>\w*)")
_ALLOCATION = re.compile(r"^allocations\.csv: pool (?P<pool>\S+): (?P<member>\S+)")
_DIVISION = re.compile(r"\((?P<code>[0-9]{4,12})\)")
_FILE = re.compile(r"^(city\.toml|allocations\.csv): ")


def plan_problems(folder: Path, city: City, error: PlanError) -> list[Problem]:
    """Each line of a plan's error as a problem of the file that can be changed to heal it.

    A pool without room is shown at the site whose pool it is, or at the city's prefixes.
    """
    return [_problem(folder, city, text) for text in error.problems]


def _problem(folder: Path, city: City, text: str) -> Problem:
    file, line, column = _place(folder, city, text)
    what, _, fix = _FILE.sub("", text).rpartition("; ")
    if not what:
        what, fix = fix, f"see `jizuo plan {folder} --usage`"
    return Problem(str(file), line, column, what, fix)


def _place(folder: Path, city: City, text: str) -> tuple[Path, int, int]:
    layout = folder / "city.toml"
    if match := _ALLOCATION.match(text):
        file = folder / "allocations.csv"
        return file, _line_of(file, f"{match['pool']},{match['member']},"), 1
    if match := _LAYOUT.match(text):
        path = (*match["table"].split("."), *([match["key"]] if match["key"] else []))
        return layout, *Document(str(layout), layout.read_text(encoding="utf-8")).value_position(path)
    if match := _DIVISION.search(text):
        code = match["code"]
        if code in city.sites:
            return folder / "sites.csv", _line_of(folder / "sites.csv", f"{code},"), 1
    return layout, 1, 1


def _line_of(file: Path, beginning: str) -> int:
    """The number of the first line that begins so; 1 when there is none."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.startswith(beginning)), 1)
