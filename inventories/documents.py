"""What does a TOML file say (TOML 1.0), and where in the file does each key and value stand?

`tomllib` reads the values but keeps no positions. They are found by going over the text's tokens a second
time, which may be as simple as it is because the text is known to be valid by then.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

from inventories.problems import Problem

#: The way to a value from the document's root: keys of tables and indices of arrays.
KeyPath = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t\r]+ | \#[^\n]*)
    | (?P<text>\"\"\"(?:\\.|[^\\])*?\"{3,5} | '''.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
    | (?P<mark>[\[\]{},=.\n])
    | (?P<bare>[^\s\[\]{},=."'\#]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_SYNTAX_POSITION = re.compile(
    r"^(?P<what>.*?) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$"
)


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


class Document:
    """One TOML file: its tables as dictionaries, and the position of everything in them."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        # TOML ends a line with LF or CRLF; tomllib counts columns after turning the second into the first.
        self._text = text.replace("\r\n", "\n")
        self._keys: dict[KeyPath, int] = {}
        self._values: dict[KeyPath, int] = {}
        #: What keeps the text from being TOML; `data` is empty then.
        self.problems: list[Problem] = []
        self.data: dict[str, Any] = {}
        try:
            data = tomllib.loads(self._text)
            _Positions(self._text, self._keys, self._values).find()
        except (ValueError, RecursionError, OverflowError) as error:
            self.problems.append(self._syntax_problem(error))
        else:
            self.data = data

    def _syntax_problem(self, error: Exception) -> Problem:
        line, column = self._line_column(len(self._text.rstrip("\n")))
        what = str(error)
        if match := _SYNTAX_POSITION.match(what):
            what = match["what"]
            if match["line"]:
                line, column = int(match["line"]), int(match["column"])
        fix = 'write it as TOML: key = "text", key = 12, [table], lists as ["a", "b"]'
        if "overwrite" in what or "twice" in what or "Cannot mutate" in what:
            fix = "remove or rename one of the two: a key or table stands once"
        return Problem(self.file, line, column, f"the file is not TOML: {what}", fix)

    def key_position(self, path: KeyPath) -> tuple[int, int]:
        """Line and character, from 1, of a key or table header; else of the nearest enclosing one."""
        while path:
            if path in self._keys:
                return self._line_column(self._keys[path])
            path = path[:-1]
        return 1, 1

    def value_position(self, path: KeyPath) -> tuple[int, int]:
        """Line and character, from 1, of a value; of its key when the value is a table of several lines."""
        if path in self._values:
            return self._line_column(self._values[path])
        return self.key_position(path)

    def _line_column(self, offset: int) -> tuple[int, int]:
        return self._text.count("\n", 0, offset) + 1, offset - (self._text.rfind("\n", 0, offset) + 1) + 1


class _Positions:
    """Goes over the tokens of a valid TOML text and notes where each path's key and value begin."""

    def __init__(self, text: str, keys: dict[KeyPath, int], values: dict[KeyPath, int]) -> None:
        self._tokens = [
            _Token(match.lastgroup or "", match[0], match.start())
            for match in _TOKEN.finditer(text)
            if match.lastgroup != "blank"
        ]
        self._at = 0
        self._keys = keys
        self._values = values
        self._arrays: dict[KeyPath, int] = {}

    def find(self) -> None:
        table: KeyPath = ()
        while self._at < len(self._tokens):
            if self._peek() == "\n":
                self._at += 1
            elif self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _peek(self) -> str:
        """The mark that comes next, an empty string when what comes is no mark."""
        if self._at >= len(self._tokens):
            return ""
        token = self._tokens[self._at]
        return token.text if token.kind == "mark" else ""

    def _header(self) -> KeyPath:
        self._at += 1
        is_array = self._peek() == "["
        self._at += is_array
        start = self._tokens[self._at].start
        table = self._key(())
        self._at += 2 if is_array else 1
        if is_array:
            number = self._arrays.get(table, -1) + 1
            self._arrays[table] = number
            self._keys[(*table, number)] = start
            return (*table, number)
        return table

    def _key(self, table: KeyPath) -> KeyPath:
        """Reads a dotted key; notes the position of each part that is new."""
        path = table
        while True:
            token = self._tokens[self._at]
            self._at += 1
            path = (*path, _key_text(token))
            self._keys.setdefault(path, token.start)
            if path in self._arrays:  # a table below the newest element of an array of tables
                path = (*path, self._arrays[path])
            if self._peek() != ".":
                # An array of tables is named anew for each of its elements: there its path is what is wanted.
                return path[:-1] if isinstance(path[-1], int) else path
            self._at += 1

    def _pair(self, table: KeyPath) -> None:
        path = self._key(table)
        self._at += 1  # the equals sign
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._values[path] = self._tokens[self._at].start
        opening = self._peek()
        if opening not in ("[", "{"):
            while self._at < len(self._tokens) and self._peek() not in (",", "]", "}", "\n"):
                self._at += 1  # a number with a dot, or a date and a time, is more than one token
            return
        self._at += 1
        for number in self._elements("]" if opening == "[" else "}"):
            if opening == "[":
                self._value((*path, number))
            else:
                self._pair(path)

    def _elements(self, closing: str) -> Iterator[int]:
        """Stops at the beginning of each element of an array or inline table, and after its closing mark."""
        number = 0
        while self._at < len(self._tokens):
            if self._peek() == closing:
                self._at += 1
                return
            if self._peek() in ("\n", ","):
                self._at += 1
                continue
            yield number
            number += 1


def _key_text(token: _Token) -> str:
    if token.kind != "text":
        return token.text
    return str(tomllib.loads(f"key = {token.text}")["key"])
