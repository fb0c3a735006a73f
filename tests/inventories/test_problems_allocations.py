"""Is each thing that is wrong with allocations.csv found where it stands, alone, and with the way out?"""

from __future__ import annotations

from pathlib import Path

import pytest

from .breaking import Case, assert_found

CASES = [
    Case("allocations.csv", "360902/host", "▸360902/hosts", ("unknown pool", "'360902/host'")),
    Case("allocations.csv", "360902/host", "▸Host!", ("no pool", "management")),
    Case("allocations.csv", "core-b,2", "core-b,▸1", ("held by 'core-a'", "line 4", "--allocate")),
    Case("allocations.csv", "core-b,2", "core-b,▸-1", ("whole number from 0",)),
    Case("allocations.csv", "core-b,2", "core-b,▸1.5", ("'1.5'", "whole number")),
    Case(
        "allocations.csv",
        "management,core-b,2",
        "management,▸core-a,2",
        ("duplicate pool and member", "line 4"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words[0])
def test_one_broken_thing_is_one_problem_in_its_place(small_city: Path, case: Case) -> None:
    assert_found(small_city, case)
