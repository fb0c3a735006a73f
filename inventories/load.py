"""What exists: reads an inventory folder into a :class:`City`, or says everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

from inventories.problems import InventoryError, Problem, Suggestions
from inventories.read_rows import read_rows
from inventories.read_tables import read_layout, read_policies
from inventories.records import (
    BackupPolicy,
    City,
    Division,
    Layout,
    Link,
    Node,
    Site,
    System,
    Unit,
)
from inventories.rules.allocations import Allocation, gather_allocations
from inventories.sources import Draft, R, Source
from inventories.validate import validate

LAYOUT = "city.toml"
REQUIRED = (LAYOUT, "divisions.csv", "sites.csv", "nodes.csv", "links.csv")
OPTIONAL = ("units.csv", "systems.csv", "backups.toml", "allocations.csv")


def load_city(path: Path) -> City:
    """Reads and validates an inventory folder.

    Args:
        path: the folder; its files are listed in :data:`REQUIRED` and :data:`OPTIONAL`.

    Returns:
        The city, each of whose references holds.

    Raises:
        InventoryError: everything that is wrong, in the order of files and lines.
    """
    draft = _read(path)
    validate(draft)
    if draft.problems:
        order = {str(path / name): number for number, name in enumerate((*REQUIRED, *OPTIONAL))}
        draft.problems.sort(key=lambda problem: (order.get(problem.file, -1), problem))
        raise InventoryError(draft.problems)
    assert draft.layout is not None  # noqa: S101 - a missing layout is a problem, raised above
    return City(
        layout=draft.layout,
        divisions=draft.divisions.records,
        sites=draft.sites.records,
        nodes=draft.nodes.records,
        links=draft.links.records,
        units=draft.units.records,
        systems=draft.systems.records,
        backups=draft.backups.records,
        allocations=draft.allocations,
    )


def _read(path: Path) -> Draft:
    problems = _check_folder(path)
    layout: Layout | None = None
    city: Source[Layout] = Source(str(path / LAYOUT), readable=False)
    if (path / LAYOUT).is_file():
        layout, city, found = read_layout(path / LAYOUT)
        problems += found
    backups: Source[BackupPolicy] = Source(str(path / "backups.toml"))
    if (path / "backups.toml").is_file():
        backups, found = read_policies(path / "backups.toml")
        problems += found
    draft = Draft(
        layout=layout,
        city=city,
        divisions=_rows(path / "divisions.csv", Division, problems, "code"),
        sites=_rows(path / "sites.csv", Site, problems, "id"),
        nodes=_rows(path / "nodes.csv", Node, problems, "id"),
        links=_rows(path / "links.csv", Link, problems, "id"),
        units=_rows(path / "units.csv", Unit, problems, "id"),
        systems=_rows(path / "systems.csv", System, problems, "id"),
        backups=backups,
        allocations={},
        problems=problems,
    )
    rows = _rows(path / "allocations.csv", Allocation, problems, "pool", "member")
    draft.allocations = gather_allocations(draft, rows)
    return draft


def _rows(path: Path, record: type[R], problems: list[Problem], *key: str) -> Source[R]:
    if not path.is_file():
        return Source(str(path), readable=path.name in OPTIONAL and not path.exists())
    source, found = read_rows(path, record, *key)
    problems += found
    return source


def _check_folder(path: Path) -> list[Problem]:
    """What is wrong with the folder itself: missing files, and files whose name is mistyped."""
    if not path.is_dir():
        what = "there is no such folder" if not path.exists() else "an inventory is a folder, this is a file"
        fix = f"name the folder that holds {LAYOUT} and divisions.csv, e.g. inventories/lab"
        raise InventoryError([Problem(str(path), 1, 1, what, fix)])
    try:
        present = {entry.name for entry in path.iterdir()}
    except OSError as error:
        what = f"the folder cannot be read: {error.strerror or error}"
        raise InventoryError([Problem(str(path), 1, 1, what, "make it readable for this account")]) from None
    problems = []
    known = (*REQUIRED, *OPTIONAL)
    strangers = sorted(name for name in present.difference(known) if name.lower().endswith((".csv", ".toml")))
    suggestions = Suggestions()
    for name in known:
        file = path / name
        if name in present and not file.is_file():
            problems.append(Problem(str(file), 1, 1, "this is no regular file", "put the file itself here"))
        elif name not in present:
            near = suggestions.nearest(name, [s.lower() for s in strangers])
            mistyped = next((s for s in strangers if s.lower() == near), "")
            if mistyped:
                fix = (
                    f"rename {mistyped} to {name}"
                    if name in REQUIRED
                    else f"rename it to {name}, or remove it"
                )
                what = "the file is missing" if name in REQUIRED else "the file is none of an inventory's"
                problems.append(
                    Problem(str(path / (name if name in REQUIRED else mistyped)), 1, 1, what, fix)
                )
            elif name in REQUIRED:
                fix = f"write it; see {name} of inventories/lab and `jizuo inventory columns {name}`"
                problems.append(Problem(str(file), 1, 1, "the file is missing", fix))
    return problems
