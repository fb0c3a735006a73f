"""The command `jizuo drill`: hold disaster-recovery drills, read their records, see which are overdue."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from checks.drills.answering import fail, or_exit, print_record, records_option
from checks.drills.chain import digest, sign, signatures_of, verify
from checks.drills.cli_run import DEFAULT_INVENTORY, abort, exit_code, resume, run
from checks.drills.definition import drill_names, read_definition
from checks.drills.due import due_of_each
from checks.drills.held import hold_against
from checks.drills.page import page, seconds, verdict
from checks.drills.record import DrillRecord, decode_record, read_record, record_paths
from checks.drills.reference import SCHEMAS, keys
from checks.drills.steps import show_steps, steps_of
from checks.record import write_whole
from checks.ssh import state_folder
from inventories.cli import load_or_exit

__all__ = ["drill", "exit_code"]
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group(
    epilog="""\b
Examples:
  jizuo drill list
  jizuo drill show restore-system-offsite
  jizuo drill run restore-system-offsite --dry
  jizuo drill run restore-system-offsite --tabletop
  jizuo drill run restore-system-offsite
  jizuo drill report
  jizuo drill sign ransomware-20260801T093000 --name 王敏 --role 演练指挥
  jizuo drill overdue
  jizuo drill verify-records

\b
Hosts are reached with the ssh_config in the folder that JIZUO_STATE names,
else the lab's. Exit codes: 0 well, 1 failed, 2 something is to be put right.
Names and types of all fields: jizuo drill show --schema --json"""
)
def drill() -> None:
    """Hold disaster-recovery drills: break something for real, recover, measure, put it back."""


for command in (run, resume, abort):
    drill.add_command(command)


@drill.command(
    "list",
    epilog="""\b
Examples:
  jizuo drill list
  jizuo drill list --json""",
)
@json_option
def list_drills(as_json: bool) -> None:
    """Show the drills that there are."""
    found = or_exit(lambda: {name: read_definition(name) for name in drill_names()})
    if as_json:
        _print_json([{"name": name, **msgspec.to_builtins(definition)} for name, definition in found.items()])
        return
    table = Table()
    # The name is what `drill run` takes: a cut one is of no use.
    table.add_column("drill", no_wrap=True)
    for heading in ("kind", "every", "plan", "title"):
        table.add_column(heading, overflow="fold")
    for name, definition in found.items():
        plan = f"{definition.plan.id} {definition.plan.version}"
        table.add_row(name, definition.kind.value, definition.every, plan, definition.title)
    Console().print(table)


@drill.command(
    epilog="""\b
Examples:
  jizuo drill show restore-system-offsite
  jizuo drill show restore-system-offsite --json | jq .objectives
  jizuo drill show --schema
  jizuo drill show --schema --json | jq '."$defs".DrillRecord'"""
)
@click.argument("name", required=False)
@click.option(
    "--inventory",
    type=click.Path(path_type=Path),
    default=DEFAULT_INVENTORY,
    metavar="PATH",
    help="The city to hold it in.  [default: inventories/lab]",
)
@click.option(
    "--schema", is_flag=True, help="The keys of drill.toml; with --json also a record's (JSON Schema)."
)
@json_option
def show(name: str | None, inventory: Path, schema: bool, as_json: bool) -> None:
    """Show what the drill NAME is in this city: objectives, hosts, steps."""
    if schema:
        _show_schema(as_json)
        return
    if name is None:
        fail("which drill? They are listed by: jizuo drill list")
    definition = or_exit(lambda: read_definition(name))
    held = or_exit(lambda: hold_against(name, definition, load_or_exit(inventory)))
    if not as_json:
        show_steps(held)
        return
    stages = ("health", *(stage for stage in held.playbooks if stage != "health"))
    _print_json(
        {
            "name": name,
            **msgspec.to_builtins(definition),
            "objectives": {
                "system": held.system.id if held.system else "",
                "policy": held.policy.id if held.policy else "",
                "rto_seconds": held.rto,
                "rpo_seconds": held.rpo,
            },
            "every_seconds": definition.every_seconds,
            "owner": held.owner,
            "nodes": held.nodes,
            "stages": [
                {
                    "name": stage,
                    "steps": [{"where": where, "what": what} for where, what in steps_of(held, stage)],
                }
                for stage in stages
            ],
        }
    )


@drill.command(
    epilog="""\b
Examples:
  jizuo drill report
  jizuo drill report restore-system-offsite-20260801T093000
  jizuo drill report --json | jq '.[].measured'"""
)
@click.argument("id", required=False)
@records_option
@json_option
def report(id: str | None, records: Path | None, as_json: bool) -> None:
    """Show the record ID, or list all records. Also writes the record's page anew."""
    folder = records or state_folder() / "drills"
    if id is None:
        _list_records(folder, as_json)
        return
    path = folder / f"{id}.json"
    try:
        content = path.read_bytes()
        record = decode_record(content)
        write_page(path, content)
    except FileNotFoundError:
        fail(f"no record {id} in {folder}; list them with: jizuo drill report")
    except (OSError, msgspec.DecodeError) as error:
        fail(f"{path}: {error}")
    if as_json:
        click.echo(content.decode(), nl=False)
    else:
        print_record(record, path)


def write_page(path: Path, content: bytes) -> None:
    """Write a record's page anew, with who has signed it."""
    signatures = signatures_of(path.parent, path.stem)
    write_whole(path.with_suffix(".html"), page(decode_record(content), digest(content), signatures).encode())


@drill.command(
    "sign",
    epilog="""\b
Examples:
  jizuo drill sign ransomware-20260801T093000 --name 王敏 --role 演练指挥
  jizuo drill sign ransomware-20260801T093000 --name 李强 --role 运维实施""",
)
@click.argument("id")
@click.option("--name", required=True, help="Who signs.")
@click.option("--role", required=True, help="In which of the record's roles.")
@records_option
@json_option
def sign_record(id: str, name: str, role: str, records: Path | None, as_json: bool) -> None:
    """Sign the record ID: who, as what, when, and the record's digest.

    The record itself is not changed: the signature is a link of its own in the chain, and verify-records covers it.
    """
    folder = records or state_folder() / "drills"
    if not name.strip():
        fail("a signature has a name: --name")
    try:
        signed = sign(
            folder, id, name.strip(), role, datetime.now(UTC).astimezone().isoformat(timespec="seconds")
        )
        path = folder / f"{id}.json"
        write_page(path, path.read_bytes())
    except FileNotFoundError:
        fail(f"no record {id} in {folder}; list them with: jizuo drill report")
    except (OSError, ValueError) as error:
        fail(str(error))
    if as_json:
        click.echo(signed.read_text(encoding="utf-8"), nl=False)
    else:
        click.echo(f"{id} is signed by {name.strip()} as {role}: {signed}")


@drill.command(
    epilog="""\b
Examples:
  jizuo drill overdue
  jizuo drill overdue --json | jq -r '.[] | select(.overdue) | .drill'

\b
Exit codes: 0 none is overdue, 2 at least one is."""
)
@records_option
@json_option
def overdue(records: Path | None, as_json: bool) -> None:
    """Show when each drill is due, by its last record and its `every`.

    A drill counts as held when it was not aborted, and not on paper if it is for real.
    """
    folder = records or state_folder() / "drills"
    found = or_exit(lambda: {name: read_definition(name) for name in drill_names()})
    dues = due_of_each(found, _records(folder), datetime.now(UTC))
    if as_json:
        _print_json([due._asdict() for due in dues])
    else:
        table = Table()
        table.add_column("drill", no_wrap=True)
        for heading in ("every", "last held", "due", ""):
            table.add_column(heading)
        for due in dues:
            state = "overdue" if due.overdue else ""
            table.add_row(
                due.drill, due.every, _day(due.last_held_at) or "never", _day(due.due_at) or "now", state
            )
        Console().print(table)
    sys.exit(2 if any(due.overdue for due in dues) else 0)


@drill.command(
    "verify-records",
    epilog="""\b
Examples:
  jizuo drill verify-records
  jizuo drill verify-records --json
  jizuo drill verify-records --head 5f3c...  # as printed on a signed page

\b
Exit codes: 0 all records fit, 2 one does not (it is named).""",
)
@records_option
@click.option("--head", default="", metavar="SHA256", help="A record's digest that is known from elsewhere.")
@json_option
def verify_records(records: Path | None, head: str, as_json: bool) -> None:
    """See whether the records are as they were written: none changed, removed or put in."""
    folder = records or state_folder() / "drills"
    try:
        found = verify(folder, head)
    except OSError as error:
        fail(f"{folder}: {error.strerror}")
    if as_json:
        _print_json({**found._asdict(), "head": msgspec.to_builtins(found.head) if found.head else None})
    else:
        click.echo(
            f"{found.chained} records and signatures in the chain, {found.unchained} older than it, in {folder}"
        )
        click.echo(found.misfit or f"all fit; the newest is {found.head.id if found.head else 'none'}")
    sys.exit(2 if found.misfit else 0)


def _show_schema(as_json: bool) -> None:
    if as_json:
        _print_json(SCHEMAS)
        return
    table = Table("key", "type", "what it is", "example")
    for key in keys():
        table.add_row(key.name, key.type, key.description, key.example)
    Console().print(table)


def _records(folder: Path) -> list[DrillRecord]:
    """The records of a folder; one that is broken is named, and the others count."""
    found = []
    for path in record_paths(folder):
        try:
            found.append(read_record(path))
        except (OSError, msgspec.DecodeError) as error:
            click.echo(f"{path}: {error}", err=True)
    return found


def _list_records(folder: Path, as_json: bool) -> None:
    found = _records(folder)
    if as_json:
        _print_json(found)
        return
    if not found:
        click.echo(f"no drill has been held: {folder} has no record")
        return
    table = Table()
    # The record's name is what `drill report` takes.
    table.add_column("record", no_wrap=True)
    for heading in ("kind", "result", "RTO", "RPO"):
        table.add_column(heading, overflow="fold")
    for record in found:
        table.add_row(
            record.id,
            record.kind.value,
            verdict(record),
            seconds(record.measured.rto_seconds),
            seconds(record.measured.rpo_seconds),
        )
    Console().print(table)


def _print_json(content: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(content)).decode())


def _day(moment: str | None) -> str:
    return moment[:10] if moment else ""
