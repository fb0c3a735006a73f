"""Do the positions of cells and keys point at what stands there?"""

from __future__ import annotations

import csv
import io
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from inventories.documents import Document
from inventories.tables import Table

CELLS = st.text(st.sampled_from(list('ab宜，,";\n\t \u2028')), max_size=6)


def rest(text: str, line: int, column: int) -> str:
    """What stands in a text from a line and column on, both counted from 1, as editors count lines."""
    lines = list(io.StringIO(text, newline=""))
    return "".join([lines[line - 1][column - 1 :], *lines[line:]])


@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3).filter(any), min_size=1, max_size=6),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_every_cell_is_found_where_it_was_written(rows: list[list[str]], quoting: int, end: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=quoting, lineterminator=end).writerows([["a", "b", "c"], *rows])  # type: ignore[arg-type]
    text = buffer.getvalue()
    table = Table("f.csv", text)
    assert list(table.rows()) == rows
    for number, row in enumerate(rows):
        for column in range(3):
            found = rest(text, *table.position(number, column))
            read = next(csv.reader(io.StringIO(found, newline="")), [])
            assert (read or [""]) == row[column:], found


def test_cells_that_are_not_there_are_at_the_end_of_the_row() -> None:
    table = Table("f.csv", 'a,b\n"x ""y""",z\n1\n')
    assert table.position(0, 1) == (2, 11)
    assert table.position(1, 1) == (3, 2)
    assert table.position(-1, 2) == (1, 4)


KEYS = st.text(st.sampled_from("ab-_宜 .\"'"), min_size=1, max_size=4)
SCALARS = st.one_of(
    st.integers(-9, 9), st.booleans(), st.text(st.sampled_from('a=[]{}#,"\n\\宜'), max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


def basic(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def write(value: object) -> str:
    """A value as inline TOML, with blanks and comments in odd places."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return basic(value)
    if isinstance(value, list):
        return "[ # ]\n" + "".join(f" {write(item)} ,# x = 1\n" for item in value) + "]"
    assert isinstance(value, dict)
    return "{ " + ", ".join(f"{basic(key)} = {write(item)}" for key, item in value.items()) + " }"


def check(document: Document, text: str, path: tuple[str | int, ...], value: object) -> None:
    found = rest(text, *document.value_position(path))
    assert found.startswith(write(value)), (path, found)
    if isinstance(value, dict):
        for key, item in value.items():
            assert rest(text, *document.key_position((*path, key))).startswith(basic(key))
            check(document, text, (*path, key), item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            check(document, text, (*path, number), item)


@given(tables=st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=3), max_size=3))
def test_every_key_and_value_of_a_document_is_found(tables: dict[str, dict[str, object]]) -> None:
    text = "".join(
        f"# [{number}]\n[{basic(name)}] # c\n"
        + "".join(f"{basic(key)} = {write(value)} # d\n" for key, value in table.items())
        for number, (name, table) in enumerate(tables.items())
    )
    assert tomllib.loads(text) == tables
    document = Document("f.toml", text)
    for name, table in tables.items():
        assert rest(text, *document.key_position((name,))).startswith(basic(name))
        for key, value in table.items():
            assert rest(text, *document.key_position((name, key))).startswith(basic(key))
            check(document, text, (name, key), value)


def test_dotted_keys_arrays_of_tables_and_strings_of_several_lines() -> None:
    text = "a.b = '''\n[x]\nk = 1'''\nd = 1979-05-27 07:32:00\n[[p]]\nx = 1\n[p.q]\ny = 2.5\n[[p]]\nx = 3\n"
    document = Document("f.toml", text)
    assert document.data["a"]["b"] == "[x]\nk = 1"
    assert document.key_position(("a", "b")) == (1, 3)
    assert document.key_position(("d",)) == (4, 1)
    assert document.value_position(("p", 0, "x")) == (6, 5)
    assert document.value_position(("p", 0, "q", "y")) == (8, 5)
    assert document.key_position(("p", 1)) == (9, 3)
    assert document.value_position(("p", 1, "x")) == (10, 5)
    assert document.key_position(("p", 1, "nowhere")) == (9, 3)
