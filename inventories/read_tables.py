"""Which records does a TOML file of the inventory hold, and what is wrong with its tables?"""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from inventories.cells import Column, Refused, article, check_characters, columns, expected, parse
from inventories.documents import Document, KeyPath
from inventories.problems import Problem, Suggestions, shown
from inventories.records import Layout, Record
from inventories.sources import Source
from inventories.texts import read_text

T = TypeVar("T", bound=Record)


def read_layout(path: Path) -> tuple[Layout | None, Source[Layout], list[Problem]]:
    """Reads `city.toml`; the source's only key is the empty one, its fields are dotted."""
    text, problems = read_text(path)
    if text is None:
        return None, Source(str(path), readable=False), problems
    document = Document(str(path), text)
    reader = TableReader(document)
    layout = None if document.problems else reader.record((), document.data, Layout)
    source: Source[Layout] = Source(str(path), readable=layout is not None, locate=reader.locate)
    return layout, source, [*problems, *document.problems, *reader.problems]


class TableReader:
    """Converts the tables of a document to records, key by key, and notes every problem on the way."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.suggestions = Suggestions()

    def report(self, path: KeyPath, what: str, fix: str, *, at_value: bool = False, offset: int = 0) -> None:
        find = self.document.value_position if at_value else self.document.key_position
        line, column = find(path)
        # A text's first character stands behind its quotation mark.
        self.problems.append(
            Problem(self.document.file, line, column + (offset + 1 if offset else 0), what, fix)
        )

    def record(self, path: KeyPath, table: dict[str, Any], cls: type[T]) -> T | None:
        """A record of a table; None, and problems, when any key of it is wrong."""
        fields = columns(cls)
        before = len(self.problems)
        where = f" in {_header(path)}" if path else ""
        # Where tables have names, the name is the id; elements of an array of tables say it themselves.
        given = "id" if path and isinstance(path[-1], str) else ""
        for key in table:
            if key not in fields:
                absent = [name for name in fields if name not in table]
                otherwise = (
                    f"remove it: the keys here are {', '.join(name for name in fields if name != given)}"
                )
                near = self.suggestions.nearest(key, absent)
                fix = f"did you mean {near!r}? Else {otherwise}" if near else otherwise
                self.report((*path, key), f"key {shown(key)} is unknown{where}", fix)
        values: dict[str, Any] = {}
        for name, column in fields.items():
            if name in table:
                values[name] = self.value((*path, name), column, table[name])
            elif column.required:
                fix = f"add {name} = …: {article(expected(column.type))}"
                self.report(path, f"key {name!r} is missing{where}", fix)
        if len(self.problems) != before:
            return None
        names = {field.encode_name: field.name for field in msgspec.structs.fields(cls)}
        return cls(**{names[key]: value for key, value in values.items()})

    def value(self, path: KeyPath, column: Column, value: Any) -> Any:
        """The value of a key; None, and problems, when it is not of the column's type."""
        origin, arguments = typing.get_origin(column.type), typing.get_args(column.type)
        if isinstance(column.type, type) and issubclass(column.type, msgspec.Struct):
            if isinstance(value, dict):
                return self.record(path, value, column.type)
        elif origin is dict and isinstance(value, dict):
            item = Column(str(path[-1]), arguments[1], False)
            return {
                key: self.value((*path, key), item._replace(name=str(key)), element)
                for key, element in value.items()
            }
        elif origin is tuple and isinstance(value, list):
            item = Column(str(path[-1]), arguments[0], True)
            return tuple(self.value((*path, n), item, element) for n, element in enumerate(value))
        try:
            if isinstance(value, str):
                check_characters(column.name, value)
                if not value:
                    raise Refused(f"{column.name} is empty", f"write {article(expected(column.type))}")
            return parse(column, value, strict=True)
        except Refused as refused:
            self.report(
                path, refused.fault.what, refused.fault.fix, at_value=True, offset=refused.fault.offset
            )
            return None

    def locate(self, key: str, field: str, element: int | None) -> tuple[int, int]:
        """Position of the value at a dotted path; an element of a list by its number."""
        path: KeyPath = tuple(field.split(".")) if field else ()
        return self.document.value_position(path if element is None else (*path, element))


def _header(path: KeyPath) -> str:
    """A table's header as the file has it: `[policy.ID]`, `[[rule]]`."""
    names = ".".join(part for part in path if isinstance(part, str))
    return f"[[{names}]]" if isinstance(path[-1], int) else f"[{names}]"
