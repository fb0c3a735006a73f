"""What exists: reads an inventory folder into a :class:`City`, or says everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

from inventories.backups.read import no_backups, read_backups
from inventories.backups.records import BACKUPS_FILE, Backups
from inventories.policy.read import read_policy
from inventories.policy.records import POLICY_FILE, Policy, PolicyRule, PolicyService
from inventories.problems import InventoryError, Problem, Suggestions
from inventories.read_rows import read_rows
from inventories.read_tables import read_layout
from inventories.records import (
    City,
    Division,
    Layout,
    Link,
    Node,
    PrivateNetwork,
    Site,
    System,
    Unit,
)
from inventories.rules.allocations import Allocation, gather_allocations
from inventories.sources import Draft, R, Source
from inventories.validate import validate

LAYOUT = "city.toml"
REQUIRED = (LAYOUT, "divisions.csv", "sites.csv", "nodes.csv", "links.csv")
OPTIONAL = (
    "units.csv",
    "systems.csv",
    BACKUPS_FILE,
    "private-networks.csv",
    POLICY_FILE,
    "allocations.csv",
)


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
        backup_places=(
            Backups(draft.repositories.records, draft.without.records)
            if (path / BACKUPS_FILE).is_file()
            else None
        ),
        networks=draft.networks.records,
        policy=_policy(draft) if (path / POLICY_FILE).is_file() else None,
        allocations=draft.allocations,
    )


def _policy(draft: Draft) -> Policy:
    services, rules = draft.services, draft.rules
    return Policy(
        file=rules.file,
        services=services.records,
        rules=rules.records,
        lines={key: rules.locate(key, "id", None)[0] for key in rules.records},
        service_lines={key: services.locate(key, "id", None)[0] for key in services.records},
    )


def _read(path: Path) -> Draft:
    mistyped = _mistyped(_names_in(path))
    problems = _check_files(path, mistyped)
    layout: Layout | None = None
    city: Source[Layout] = Source(str(path / LAYOUT), readable=False)
    if (path / LAYOUT).is_file():
        layout, city, found = read_layout(path / LAYOUT)
        problems += found
    is_absent = BACKUPS_FILE not in mistyped and not (path / BACKUPS_FILE).exists()
    backups = no_backups(path / BACKUPS_FILE, readable=is_absent)
    if (path / BACKUPS_FILE).is_file():
        backups, found = read_backups(path / BACKUPS_FILE)
        problems += found

    services, rules = _policy_sources(path, problems, mistyped)

    def rows(name: str, record: type[R], *key: str) -> Source[R]:
        if not (path / name).is_file():
            # An optional file that nobody wrote has no records; of any other that is absent nothing is known.
            is_empty = name in OPTIONAL and name not in mistyped and not (path / name).exists()
            return Source(str(path / name), readable=is_empty)
        source, found = read_rows(path / name, record, *key)
        problems.extend(found)
        return source

    draft = Draft(
        layout=layout,
        city=city,
        divisions=rows("divisions.csv", Division, "code"),
        sites=rows("sites.csv", Site, "id"),
        nodes=rows("nodes.csv", Node, "id"),
        links=rows("links.csv", Link, "id"),
        units=rows("units.csv", Unit, "id"),
        systems=rows("systems.csv", System, "id"),
        backups=backups.policies,
        repositories=backups.repositories,
        without=backups.without,
        networks=rows("private-networks.csv", PrivateNetwork, "id"),
        services=services,
        rules=rules,
        allocations={},
        problems=problems,
    )
    draft.allocations = gather_allocations(draft, rows("allocations.csv", Allocation, "pool", "member"))
    return draft


def _policy_sources(
    path: Path, problems: list[Problem], mistyped: dict[str, str]
) -> tuple[Source[PolicyService], Source[PolicyRule]]:
    file = path / POLICY_FILE
    if file.is_file():
        services, rules, found = read_policy(file)
        problems += found
        return services, rules
    is_absent = POLICY_FILE not in mistyped and not file.exists()
    return Source(str(file), readable=is_absent), Source(str(file), readable=is_absent)


def _names_in(path: Path) -> set[str]:
    """The names of a folder's files; raises what is wrong with the folder itself."""
    if not path.is_dir():
        what = "there is no such folder" if not path.exists() else "an inventory is a folder, this is a file"
        fix = f"name the folder that holds {LAYOUT} and divisions.csv, e.g. inventories/lab"
        raise InventoryError([Problem(str(path), 1, 1, what, fix)])
    try:
        return {entry.name for entry in path.iterdir()}
    except OSError as error:
        what = f"the folder cannot be read: {error.strerror or error}"
        raise InventoryError([Problem(str(path), 1, 1, what, "make it readable for this account")]) from None


def _mistyped(present: set[str]) -> dict[str, str]:
    """Files that are absent, and for each the file present that may be it under a mistyped name."""
    known = (*REQUIRED, *OPTIONAL)
    strangers = {
        name.lower(): name
        for name in sorted(present.difference(known))
        if name.lower().endswith((".csv", ".toml"))
    }
    suggestions = Suggestions()
    near = {name: suggestions.nearest(name, strangers) for name in known if name not in present}
    return {name: strangers[stranger] for name, stranger in near.items() if stranger}


def _check_files(path: Path, mistyped: dict[str, str]) -> list[Problem]:
    """What is wrong with the names of the files: missing, mistyped, or no file at all."""
    problems = []
    for name in (*REQUIRED, *OPTIONAL):
        file = path / name
        if name in mistyped:
            what = f"the file is none of an inventory's, and {name} is missing"
            fix = f"rename it to {name}" if name in REQUIRED else f"rename it to {name}, or remove it"
            problems.append(Problem(str(path / mistyped[name]), 1, 1, what, fix))
        elif file.exists() and not file.is_file():
            problems.append(Problem(str(file), 1, 1, "this is no regular file", "put the file itself here"))
        elif name in REQUIRED and not file.exists():
            fix = f"write it; see {name} of inventories/lab and `jizuo inventory columns {name}`"
            problems.append(Problem(str(file), 1, 1, "the file is missing", fix))
    return problems
