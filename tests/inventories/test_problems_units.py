"""Is it found when a unit answers for a part of the extranet that does not exist, or for another unit's (units.csv)?"""

from __future__ import annotations

from pathlib import Path

import pytest

from inventories.load import load_city
from inventories.problems import InventoryError


def units_with(small_city: Path, *network_of: str) -> Path:
    """Gives the first units a part of the extranet each; the others answer for none."""
    file = small_city / "units.csv"
    header, *rows = file.read_text(encoding="utf-8").splitlines()
    given = [*network_of, *[""] * len(rows)]
    lines = [f"{header},network_of", *(f"{row},{code}" for row, code in zip(rows, given, strict=False))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_units_answer_for_parts_of_any_level(small_city: Path) -> None:
    units_with(small_city, "3609", "360902", "360902105")
    assert [unit.network_of for unit in load_city(small_city).units.values()][:3] == [
        "3609",
        "360902",
        "360902105",
    ]


@pytest.mark.parametrize(
    ("given", "line", "said"),
    [
        (("360903",), 2, ("network_of is '360903', an unknown division", "did you mean")),
        (("", "袁州区"), 3, ("unknown division", "divisions.csv")),
        (
            ("360902", "", "360902"),
            4,
            ("network_of is 360902, for which data-bureau answers", "one unit a division"),
        ),
    ],
)
def test_parts_that_do_not_exist_or_are_another_s(
    small_city: Path, given: tuple[str, ...], line: int, said: tuple[str, ...]
) -> None:
    file = units_with(small_city, *given)
    with pytest.raises(InventoryError) as refused:
        load_city(small_city)
    [problem] = refused.value.problems
    assert (problem.file, problem.line) == (str(file), line)
    for words in said:
        assert words in str(problem)
