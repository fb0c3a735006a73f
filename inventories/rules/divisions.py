"""Do the divisions make a tree in which codes, levels and parents agree (GB/T 2260, GB/T 10114)?

A code holds its parent's code as its beginning, and its length says its level: 2 digits a province, 4 a
city, 6 a county, 9 a township, 12 a village. All 665,276 divisions of the country keep to it.
"""

from __future__ import annotations

from inventories.records import Division, Level
from inventories.sources import Draft

LEVEL_OF = {2: Level.PROVINCE, 4: Level.CITY, 6: Level.COUNTY, 9: Level.TOWNSHIP, 12: Level.VILLAGE}
_PARENT_DIGITS = {2: 0, 4: 2, 6: 4, 9: 6, 12: 9}


def check(draft: Draft) -> None:
    """Notes divisions whose level or parent does not fit, and parents that do not exist."""
    divisions = draft.divisions.records
    for code, division in divisions.items():
        digits = len(code)
        if division.level is not LEVEL_OF[digits]:
            what = f"level is {division.level}, but a code of {digits} digits is a {LEVEL_OF[digits]}'s"
            draft.report(draft.divisions, code, "level", what, f"write {LEVEL_OF[digits]}, or the right code")
        parent = division.parent
        if parent != code[: _PARENT_DIGITS[digits]] or (parent and parent not in divisions):
            _check_parent(draft, code, division)


def _check_parent(draft: Draft, code: str, division: Division) -> None:
    """Says what is wrong with a parent; the top of a city's file may be the city, without its province."""
    right = code[: _PARENT_DIGITS[len(code)]]
    parent = division.parent
    if not parent:
        if len(code) > 4:
            what = f"{division.level} {code} is an orphan: it has no parent"
            draft.report(draft.divisions, code, "parent", what, f"write {right}")
    elif not draft.divisions.knows(parent):
        add = f"add the row of {parent}"
        known = [right] if right in draft.divisions.records else draft.divisions.records
        draft.report_unknown((draft.divisions, code, "parent"), "division", parent, known, add)
    elif parent != right:
        what = f"parent is {parent}, but the code {code} begins with its parent's code"
        fix = f"write {right}" if right else "leave it empty: nothing is above a province"
        draft.report(draft.divisions, code, "parent", what, fix)


def ancestors(code: str) -> list[str]:
    """The codes above a division, nearest first, by the code alone."""
    found = []
    while digits := _PARENT_DIGITS.get(len(code), 0):
        code = code[:digits]
        found.append(code)
    return found
