"""The command `jizuo plan`: print the address plan, export it, compare it, write down new allocations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from inventories import allocation_file, plan_tables
from inventories.allocation import PlanError
from inventories.cli import exit_with, load_or_exit, number_of
from inventories.export_csv import render_csv, render_json
from inventories.export_hosts import render_hosts
from inventories.export_netbox import render_netbox
from inventories.export_zones import render_zones
from inventories.files import write_files
from inventories.plan import AddressPlan, build_plan
from inventories.plan_diff import EarlierError, compare, read_earlier
from inventories.plan_problems import plan_problems

FORMATS = ("table", "csv", "json", "netbox", "zones", "hosts")
#: The exit code of --diff when the plans differ, as `terraform plan -detailed-exitcode` has it.
DIFFERENT = 2


@click.command(
    epilog="""\b
Examples:
  jizuo plan inventories/lab
  jizuo plan inventories/yichun --format csv --out plan/
  jizuo plan inventories/yichun --diff plan/
  jizuo plan inventories/yichun --usage
  jizuo plan inventories/yichun --allocate
  jizuo plan inventories/yichun --format zones --out /etc/nsd/zones"""
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), help="What to print.  [default: table]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the format's files into DIR, each by rename and only where it differs.",
)
@click.option(
    "--diff",
    "earlier",
    type=click.Path(path_type=Path),
    metavar="DIR_OR_FILE",
    help="Compare with an earlier csv or json export: exit code 0 when the same, 2 when different.",
)
@click.option("--usage", is_flag=True, help="Show how full each level is, the fullest marked.")
@click.option("--allocate", is_flag=True, help="Add the slots that allocations.csv lacks to it.")
@click.option("--serial", type=click.IntRange(1, 2**32 - 1), help="The zones' serial.")
def plan(
    path: Path,
    form: str | None,
    out: Path | None,
    earlier: Path | None,
    usage: bool,
    allocate: bool,
    serial: int | None,
) -> None:
    """Print the address plan of the inventory PATH in both families.

    Addresses follow from the slots in PATH/allocations.csv, which never change: adding, removing or renaming
    anything moves no other address. Exit code 0 all well, 1 an error, 2 with --diff when there is a
    difference.
    """
    if earlier and usage:
        raise click.ClickException("--diff and --usage answer different questions; ask one at a time")
    if serial is not None and form != "zones":
        raise click.ClickException("--serial is for --format zones")
    if out and form in (None, "table"):
        raise click.ClickException(f"--out writes files: add --format, one of {', '.join(FORMATS[1:])}")
    made = _plan(path)
    if allocate:
        _allocate(path, made)
        if not (form or usage or earlier):
            return
    else:
        _warn_of_new(path, made)
    if earlier:
        _diff(made, earlier, form)
    elif usage:
        plan_tables.print_usage(made, as_json=form == "json")
    elif form in (None, "table"):
        plan_tables.print_plan(made)
    else:
        _export(made, form, out, serial)


def _plan(path: Path) -> AddressPlan:
    city = load_or_exit(path)
    try:
        return build_plan(city)
    except PlanError as error:
        exit_with(plan_problems(path, city, error))


def _allocate(path: Path, made: AddressPlan) -> None:
    file = path / allocation_file.FILE
    try:
        added = allocation_file.append(path, made.city.allocations, made.new_allocations)
    except OSError as error:
        raise click.ClickException(f"{file}: it cannot be written: {error.strerror or error}") from error
    if added:
        click.echo(f"{file}: {number_of(added, 'allocation')} added; commit the file", err=True)
    else:
        click.echo(f"{file}: nothing to add", err=True)


def _warn_of_new(path: Path, made: AddressPlan) -> None:
    new = sum(map(len, made.new_allocations.values()))
    if new:
        click.echo(
            f"{path / allocation_file.FILE}: not written down yet and free to change: {number_of(new, 'slot')}; "
            f"run: jizuo plan {path} --allocate",
            err=True,
        )


def _diff(made: AddressPlan, earlier: Path, form: str | None) -> None:
    try:
        changes = compare(made, read_earlier(earlier))
    except EarlierError as error:
        raise click.ClickException(str(error)) from error
    plan_tables.print_changes(changes, as_json=form == "json")
    if changes:
        click.get_current_context().exit(DIFFERENT)


def _export(made: AddressPlan, form: str, out: Path | None, serial: int | None) -> None:
    renderers = {"csv": render_csv, "json": render_json, "netbox": render_netbox, "hosts": render_hosts}
    try:
        if form == "zones":
            files: Mapping[str, str] = render_zones(made, serial=serial, earlier=_zones_in(out))
        else:
            files = renderers[form](made)
        if out is None:
            _print_files(files)
            return
        written = write_files(out, files)
    except PlanError as error:
        raise click.ClickException("\n".join(error.problems)) from error
    except OSError as error:
        place = error.filename or out
        raise click.ClickException(f"{place}: it cannot be written: {error.strerror or error}") from error
    changed = number_of(len(written.changed), "file")
    click.echo(f"{out}: {changed} written, {len(written.unchanged)} unchanged", err=True)


def _zones_in(out: Path | None) -> dict[str, str]:
    """The zones that an earlier run wrote; their serials count on."""
    if out is None or not out.is_dir():
        return {}
    return {file.name: file.read_text(encoding="utf-8", errors="replace") for file in out.glob("*.zone")}


def _print_files(files: Mapping[str, str]) -> None:
    """Print one file as it is, several with a line before each as head(1) does."""
    for index, (name, text) in enumerate(files.items()):
        if len(files) > 1:
            click.echo(f"{chr(10) if index else ''}==> {name} <==")
        click.echo(text, nl=False)
