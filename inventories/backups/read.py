"""Which policies, repositories and reasons does `backups.toml` hold, and where in the file does each stand?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from inventories.backups.records import BackupPolicy, NoBackup, Repository
from inventories.documents import Document, KeyPath
from inventories.problems import Problem, shown
from inventories.read_tables import TableReader
from inventories.sources import R, Source
from inventories.texts import read_text

#: The kinds of tables: a policy is `[policy.ID]`, and so on.
KINDS = ("policy", "repository", "without")


class BackupSources(NamedTuple):
    """The tables of `backups.toml`, by kind."""

    policies: Source[BackupPolicy]
    repositories: Source[Repository]
    without: Source[NoBackup]


def no_backups(path: Path, *, readable: bool) -> BackupSources:
    """The sources of a file that is not there, or of which nothing is known."""
    file = str(path)
    return BackupSources(
        Source(file, readable=readable), Source(file, readable=readable), Source(file, readable=readable)
    )


def read_backups(path: Path) -> tuple[BackupSources, list[Problem]]:
    """Reads `backups.toml`; every problem of the file at once."""
    text, problems = read_text(path)
    if text is None:
        return no_backups(path, readable=False), problems
    reader = _BackupReader(Document(str(path), text))
    sources = BackupSources(
        reader.source("policy", BackupPolicy),
        reader.source("repository", Repository),
        reader.source("without", NoBackup),
    )
    for key, value in reader.document.data.items():
        if key not in KINDS or not isinstance(value, dict):
            fix = "write each as [policy.ID], [repository.NODE] or [without.SYSTEM]"
            reader.report((key,), f"{shown(key)} is none of the tables of backups", fix)
    return sources, [*problems, *reader.document.problems, *reader.problems]


class _BackupReader(TableReader):
    """Reads the tables of one kind after another."""

    def source(self, kind: str, record: type[R]) -> Source[R]:
        """All tables of a kind; those that were refused are its broken ones."""
        source: Source[R] = Source(self.document.file, locate=partial(self._locate, kind))
        source.readable = not self.document.problems
        tables = self.document.data.get(kind, {})
        for identifier, table in tables.items() if isinstance(tables, dict) else ():
            found = self._table(kind, identifier, table, record)
            if found is None:
                source.broken.add(identifier)
            else:
                source.records[identifier] = found
        return source

    def _table(self, kind: str, identifier: str, table: Any, record: type[R]) -> R | None:
        path: KeyPath = (kind, identifier)
        if not isinstance(table, dict):
            self.report(path, f"{kind} {shown(identifier)} is no table", f"write [{kind}.{identifier}]")
            return None
        if "id" in table:
            self.report((*path, "id"), "id is given by the table's name", "remove it")
            return None
        return self.record(path, {**table, "id": identifier}, record)

    def _locate(self, kind: str, key: str, field: str, element: int | None) -> tuple[int, int]:
        """Position of a field of a table, dotted, numbers for elements; of its header when it has none."""
        parts = (int(part) if part.isdecimal() else part for part in field.split(".") if part)
        path: KeyPath = (kind, key, *parts)
        return self.document.value_position(path if element is None else (*path, element))
