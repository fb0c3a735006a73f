"""The command `jizuo inventory`: is the inventory right, and what does it hold?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inventories.load import load_city
from inventories.problems import InventoryError, Problem, Suggestions
from inventories.records import City
from inventories.scaffold_cli import new

if TYPE_CHECKING:
    from inventories.plan import AddressPlan
    from inventories.show import Inspector

#: More objects of one name than this are listed, not described.
_MANY = 5

_PATH = click.argument("path", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program.")


def load_or_exit(path: Path) -> City:
    """The city of an inventory folder; prints every problem on standard error and exits 1 if there is any.

    Every command that takes an inventory begins with this, so that an error in it stops the command
    before it touches a host.
    """
    try:
        return load_city(path)
    except InventoryError as error:
        exit_with(error.problems)


def exit_with(problems: Iterable[Problem]) -> NoReturn:
    """Prints problems on standard error, one line each, with their number at the end; exits 1."""
    listed = list(problems)
    for problem in listed:
        click.echo(str(problem), err=True)
    click.echo(_summary(listed), err=True)
    sys.exit(1)


def _summary(problems: list[Problem]) -> str:
    files = len({problem.file for problem in problems})
    return f"{number_of(len(problems), 'problem')} in {number_of(files, 'file')}"


def number_of(count: int, what: str) -> str:
    """A count with its noun, in the plural where that is right: `1 file`, `2 files`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


@click.group(
    epilog="""\b
Examples:
  jizuo inventory validate inventories/yichun
  jizuo inventory show inventories/yichun --depth township
  jizuo inventory show inventories/yichun 慈化镇
  jizuo inventory columns systems.csv""",
)
def inventory() -> None:
    """Validate and show what exists: a city's folder of CSV and TOML files."""


@inventory.command(
    epilog="""\b
Examples:
  jizuo inventory validate inventories/lab
  jizuo inventory validate my-city --json | jq '.problems[].what'"""
)
@_PATH
@_JSON
def validate(path: Path, as_json: bool) -> None:
    """Check the inventory folder PATH and print every error at once.

    Each line is FILE:LINE:COLUMN: what is wrong; what would be right. Columns count characters. The
    address plan is built too, so that a pool without room is an error here, and who is told of alerts
    (contacts.toml) is read where the folder has it.
    Exit code 0: no problem, 1: problems.
    """
    from inventories.plan import build_plan

    new = 0
    try:
        city = load_city(path)
    except InventoryError as error:
        problems = error.problems
    else:
        problems = [*_plan_problems(path, city), *_contact_problems(path, city)]
        if not problems:
            new = sum(map(len, build_plan(city).new_allocations.values()))
    if as_json:
        click.echo(_json({"problems": [problem._asdict() for problem in problems], "slots_not_in_file": new}))
        sys.exit(1 if problems else 0)
    if problems:
        exit_with(problems)
    _print_well(path, city, new)


def _plan_problems(path: Path, city: City) -> list[Problem]:
    from inventories.allocation import PlanError
    from inventories.plan import build_plan
    from inventories.plan_problems import plan_problems

    try:
        build_plan(city)
    except PlanError as error:
        return plan_problems(path, city, error)
    return []


def _contact_problems(path: Path, city: City) -> list[Problem]:
    from inventories.contacts import ContactsError, read_contacts
    from inventories.monitoring import CONTACTS

    try:
        if (file := path / CONTACTS).exists():
            read_contacts(file, frozenset(city.units))
    except ContactsError as error:
        return error.problems
    return []


def _print_well(path: Path, city: City, new: int) -> None:
    from inventories.tree import city_counts, count_words

    click.echo(f"{path}: no problems")
    counts = count_words(city_counts(city))
    click.echo(click.wrap_text(counts, width=80, initial_indent="  ", subsequent_indent="  "))
    if new:
        click.echo(f"{number_of(new, 'slot')} of the address plan not yet in allocations.csv; keep with:")
        click.echo(f"  jizuo plan {path} --allocate")


@inventory.command(
    epilog="""\b
Examples:
  jizuo inventory show inventories/lab
  jizuo inventory show inventories/yichun --depth village --json
  jizuo inventory show inventories/yichun 360902105
  jizuo inventory show inventories/yichun 袁州区/慈化镇
  jizuo inventory show inventories/lab yuanzhou
  jizuo inventory show inventories/lab health"""
)
@_PATH
@click.argument("name", required=False)
@click.option(
    "--depth",
    type=click.Choice(["city", "county", "township", "village", "nodes"]),
    help="How deep the tree is shown.  [default: as deep as some 60 lines go]",
)
@_JSON
def show(path: Path, name: str | None, depth: str | None, as_json: bool) -> None:
    """Print the tree of PATH, or all that is known and derived of the object NAME.

    NAME is the id of a division, site, node, link, system, unit, backup policy or private network, or the
    name of any of them.

    A division's name may be given with those above it, as 慈化镇/余坊村委会.

    Exit code 1: no such object, or problems in the inventory.
    """
    city = load_or_exit(path)
    if name is None:
        _show_tree(city, depth, as_json)
    else:
        _show_object(path, city, name, as_json)


def _console() -> Console:
    """Standard output; plain, and 80 columns wide, when it is no terminal."""
    return Console(highlight=False)


def _show_tree(city: City, depth: str | None, as_json: bool) -> None:
    from inventories.tree import DEPTHS, SiteTree, readable_depth, render_tree

    tree = SiteTree(city)
    if as_json:
        click.echo(_json(tree.as_data(DEPTHS.index(depth) if depth else len(DEPTHS) - 1)))
        return
    shown = DEPTHS.index(depth) if depth else readable_depth(city)
    _console().print(render_tree(tree.as_data(shown)))
    if depth is None and shown < len(DEPTHS) - 1:
        click.echo(f"Shown down to {DEPTHS[shown]}; --depth {DEPTHS[shown + 1]} shows more.")


def _show_object(path: Path, city: City, name: str, as_json: bool) -> None:
    from inventories.render import render_object

    inspector = _inspector(path, city)
    matches = inspector.find(name)
    if not matches:
        near = Suggestions().nearest(name, inspector.names())
        hint = f"did you mean {near}?" if near else f"see `jizuo inventory show {path}`"
        click.echo(f"{path}: nothing is called {name!r}; {hint}", err=True)
        sys.exit(1)
    if len(matches) > _MANY:
        click.echo(f"{path}: {len(matches)} objects are called {name!r}; give the id of one:", err=True)
        for match in matches:
            place = inspector.path(match.key) if match.kind == "division" else name
            click.echo(f"  {match.kind} {match.key} {place}", err=True)
        sys.exit(1)
    described = [inspector.describe(match) for match in matches]
    if as_json:
        click.echo(_json(described))
        return
    console = _console()
    for data in described:
        console.print(render_object(data))


def _inspector(path: Path, city: City) -> Inspector:
    """What describes objects; an inventory that the address plan refuses is shown without addresses."""
    from inventories.allocation import PlanError
    from inventories.plan import build_plan
    from inventories.show import Inspector
    from inventories.topology import build_topology

    plan: AddressPlan | None = None
    topology = None
    try:
        plan = build_plan(city)
        topology = build_topology(city, plan)
    except PlanError:
        click.echo(f"{path}: no address plan, see `jizuo inventory validate {path}`", err=True)
    return Inspector(city, plan, topology)


@inventory.command(
    epilog="""\b
Examples:
  jizuo inventory columns
  jizuo inventory columns nodes.csv
  jizuo inventory columns backups.toml --format markdown > backups.md
  jizuo inventory columns --json"""
)
@click.argument("file", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json"]),
    default="table",
    show_default=True,
    help="What to print; markdown is the reference page, with a whole example.",
)
@_JSON
def columns(file: str | None, form: str, as_json: bool) -> None:
    """Print the columns of each FILE of an inventory: type, allowed values, default, meaning, example."""
    from inventories.column_guide import FILES, column_guide
    from inventories.column_page import reference_page

    if file is not None and file not in FILES:
        raise click.BadParameter(f"{file!r} is none of {', '.join(FILES)}", param_hint="FILE")
    rows = [row for row in column_guide() if file in (None, row.file)]
    if as_json or form == "json":
        click.echo(_json([row._asdict() for row in rows]))
        return
    if form == "markdown":
        click.echo(reference_page(rows))
        return
    console = _console()
    for name in dict.fromkeys(row.file for row in rows):
        table = Table(title=name, title_justify="left", title_style="bold", show_lines=True, expand=False)
        table.add_column("column", no_wrap=True)
        table.add_column("meaning and values")
        table.add_column("example", overflow="fold", max_width=24)
        for row in (row for row in rows if row.file == name):
            column = row.column if row.required else f"{row.column}\n(optional)"
            default = f"; {row.default} if left out" if row.default else ""
            meaning = Text.assemble(row.meaning, "\n", (f"{row.values}{default}", "dim"))
            table.add_row(column, meaning, Text(row.example))
        console.print(table)


inventory.add_command(new)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
