"""What is wrong with an inventory, where it stands, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

#: A value longer than this is cut in a message; the position says where the whole of it stands.
_SHOWN_CHARACTERS = 60
#: To compare a name with more names than this takes longer than anybody waits for a suggestion.
_MANY = 5000


class Problem(NamedTuple):
    """One thing that is wrong in an inventory file.

    Attributes:
        file: the file as the user named it (the folder that was given, and the file's name).
        line: line of the file, counted from 1; 1 where the file as a whole is meant.
        column: character (not byte, not table column) of that line, counted from 1.
        what: what is wrong, as a clause without a full stop.
        fix: what would be right, or the command that puts it right.
    """

    file: str
    line: int
    column: int
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.what}; {self.fix}"


class InventoryError(Exception):
    """Every problem of an inventory at once; `str()` is one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def shown(value: object) -> str:
    """A value as a message quotes it: cut when long, and with what cannot be seen written as escapes."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > _SHOWN_CHARACTERS:
        text = text[: _SHOWN_CHARACTERS - 1] + "…"
    return repr(text)


def with_article(word: str) -> str:
    """`word` after `a` or `an`."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


class Suggestions:
    """Names that a mistyped one may stand for.

    A file whose every row is wrong would ask thousands of times, and each comparison with thousands of
    names costs some 10 ms: after `budget` different questions there are no more suggestions.
    """

    def __init__(self, budget: int = 200) -> None:
        self._budget = budget
        self._answers: dict[tuple[str, int], str] = {}

    def nearest(self, name: str, known: Iterable[str]) -> str:
        """The known name most like `name`, or an empty string when none is like it."""
        names = list(known)
        key = (name, len(names))
        if key not in self._answers:
            if len(self._answers) >= self._budget or len(name) > _SHOWN_CHARACTERS:
                return ""
            if len(names) > _MANY:  # a country's divisions: those that begin alike
                names = [other for other in names if other.startswith(name[: len(name) // 2])][:_MANY]
            found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
            self._answers[key] = found[0] if found else ""
        return self._answers[key]

    def fix(self, name: str, known: Iterable[str], otherwise: str) -> str:
        """What to write for an unknown `name`: the nearest one, else all when few, else `otherwise`."""
        names = list(known)
        near = self.nearest(name, names)
        if near:
            return f"did you mean {near!r}? If not, {otherwise}"
        if 0 < len(names) <= 8:
            return f"the known ones are {', '.join(names)}; or {otherwise}"
        return otherwise
