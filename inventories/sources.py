"""What was read from an inventory's files so far, and where each record stands in them.

A draft is a city before anybody has said that it holds together: some of its rows may have been refused,
whole files may be missing. The rules read it, and report what they find at the place where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from inventories.backups.records import BackupPolicy, NoBackup, Repository
from inventories.policy.records import PolicyRule, PolicyService
from inventories.problems import Problem, Suggestions
from inventories.records import (
    Allocations,
    Division,
    Layout,
    Link,
    Node,
    PrivateNetwork,
    Record,
    Site,
    System,
    Unit,
)

R = TypeVar("R", bound=Record)

#: Finds line and character, from 1, of a field of the record with that id, and of an element of the field.
Locate = Callable[[str, str, int | None], tuple[int, int]]


def _nowhere(key: str, field_name: str, element: int | None) -> tuple[int, int]:
    return 1, 1


@dataclass
class Source(Generic[R]):
    """The records of one file, keyed by id.

    Attributes:
        file: the file as the user named it.
        records: what could be read, in the file's order; the first of several with one id.
        broken: ids of rows that were refused: they exist, though nothing more can be said of them.
        readable: False when the file as a whole could not be read, so that nothing can be said to be unknown.
        locate: finds a record's field again in the file.
    """

    file: str
    records: dict[str, R] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    readable: bool = True
    locate: Locate = _nowhere

    def knows(self, key: str) -> bool:
        """Whether a reference to `key` can stand: it names a record, or one that may be behind an error."""
        return key in self.records or key in self.broken or not self.readable


@dataclass
class Draft:
    """All files of an inventory folder as read, and all that is wrong with them."""

    layout: Layout | None
    city: Source[Layout]
    divisions: Source[Division]
    sites: Source[Site]
    nodes: Source[Node]
    links: Source[Link]
    units: Source[Unit]
    systems: Source[System]
    backups: Source[BackupPolicy]
    repositories: Source[Repository]
    without: Source[NoBackup]
    networks: Source[PrivateNetwork]
    services: Source[PolicyService]
    rules: Source[PolicyRule]
    allocations: Allocations
    problems: list[Problem]
    suggestions: Suggestions = field(default_factory=Suggestions)

    @property
    def city_division(self) -> str:
        """The code of the city, an empty string while that is not known."""
        code = self.layout.division if self.layout is not None else ""
        return code if code and self.divisions.knows(code) else ""

    def report(
        self,
        source: Source[R],
        key: str,
        field_name: str,
        what: str,
        fix: str,
        element: int | None = None,
    ) -> None:
        """Notes a problem at a field of a record, or at one element of a field that holds several."""
        line, column = source.locate(key, field_name, element)
        self.problems.append(Problem(source.file, line, column, what, fix))

    def report_unknown(
        self,
        place: tuple[Source[R], str, str],
        kind: str,
        name: str,
        known: Iterable[str] | Mapping[str, str],
        fix: str,
        element: int | None = None,
    ) -> None:
        """Notes a reference to something that does not exist, with the nearest existing name."""
        source, key, field_name = place
        fix = self.suggestions.fix(name, known, fix)
        what = f"{field_name} is {name!r}, an unknown {kind}"
        self.report(source, key, field_name, what, fix, element)
