"""Does any file, however broken, raise anything but InventoryError, with a place for every problem?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventories import read_rows
from inventories.load import OPTIONAL, REQUIRED, load_city
from inventories.problems import InventoryError
from inventories.records import City

from .conftest import SMALL_CITY

FILES = (*REQUIRED, *OPTIONAL)
YICHUN = Path(__file__).parents[2] / "inventories" / "yichun"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One copy for all examples: each writes one file, and puts the good one back."""
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(shutil.copytree(SMALL_CITY, Path(temporary) / "city"))


def load_with(folder: Path, name: str, content: bytes) -> City | None:
    """Loads with another content of one file; the city, or None when it is refused as it should be."""
    good = (folder / name).read_bytes()
    (folder / name).write_bytes(content)
    try:
        return load_city(folder)
    except InventoryError as error:
        assert error.problems
        for problem in error.problems:
            assert Path(problem.file).parent == folder
            assert problem.what and problem.fix
            assert problem.column >= 1
            assert "\n" not in str(problem)
            lines = (folder / Path(problem.file).name).read_bytes().count(b"\n") + 1
            other_ends = (folder / Path(problem.file).name).read_bytes().count(b"\r")
            assert 1 <= problem.line <= lines + other_ends
        return None
    finally:
        (folder / name).write_bytes(good)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(FILES), content=st.binary(max_size=200))
def test_arbitrary_bytes(folder: Path, name: str, content: bytes) -> None:
    load_with(folder, name, content)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_good_file_with_any_part_replaced(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(FILES))
    good = (SMALL_CITY / name).read_bytes()
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 30)))
    part = st.one_of(
        st.binary(max_size=8),
        st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from(
            [b'"', b"\n", b"\r", b",", b";", b"\0", b"[", b"]", b"[[", b"{", b"=", b"9" * 5000, b"[" * 2000]
        ),
    )
    load_with(folder, name, good[:start] + data.draw(part) + good[end:])


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_cells_moved_to_other_places(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([file for file in FILES if file.endswith(".csv")]))
    rows = [line.split(",") for line in (SMALL_CITY / name).read_text(encoding="utf-8").splitlines()]
    for _ in range(data.draw(st.integers(1, 4))):
        one, other = (
            (row := data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, len(rows[row]) - 1)))
            for _ in range(2)
        )
        rows[one[0]][one[1]], rows[other[0]][other[1]] = rows[other[0]][other[1]], rows[one[0]][one[1]]
    load_with(folder, name, "\n".join(map(",".join, rows)).encode())


@pytest.mark.parametrize("inventory", [SMALL_CITY, YICHUN], ids=lambda path: path.name)
def test_reading_chunks_and_reading_cells_give_the_same_city(
    inventory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = load_city(inventory)
    monkeypatch.setattr(read_rows._Reader, "_convert", lambda self, chunk: None)
    assert load_city(inventory) == fast
