"""The command `jizuo drill`: hold disaster-recovery drills and read their records."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec
import yaml
from rich.console import Console
from rich.table import Table

from checks.drills.definition import (
    FALLBACK,
    FOLDER,
    STAGES,
    DrillError,
    drill_names,
    hold_against,
    read_definition,
)
from checks.drills.page import page, seconds, verdict
from checks.drills.playing import Player
from checks.drills.record import (
    DrillRecord,
    Outcome,
    read_record,
    record_paths,
    write_record,
    write_whole,
)
from checks.drills.running import Held, NotBegunError, Stop, begin, end, fall_back, hold
from checks.ssh import state_folder
from inventories.cli import load_or_exit
from inventories.plan import build_plan
from inventories.records import City, Family, NodeRole

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_INVENTORY = ROOT / "inventories" / "lab"
#: Where the operations nodes' exporters look for records.
REMOTE = "/var/lib/jizuo/drills"

records_option = click.option(
    "--records",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder of records.  [default: drills in the state folder]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group(
    epilog="""\b
Examples:
  jizuo drill list
  jizuo drill run restore-system-offsite --dry
  jizuo drill run restore-system-offsite
  jizuo drill run restore-system-offsite --yes --json
  jizuo drill report
  jizuo drill report restore-system-offsite-20260801T093000

\b
Hosts are reached with the ssh_config in the folder that JIZUO_STATE names,
else the lab's."""
)
def drill() -> None:
    """Hold disaster-recovery drills: break something for real, recover, measure, put it back."""


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
    found = _or_exit(lambda: {name: read_definition(name) for name in drill_names()})
    if as_json:
        listed = [{"name": name, **msgspec.to_builtins(definition)} for name, definition in found.items()]
        click.echo(msgspec.json.format(msgspec.json.encode(listed)).decode())
        return
    table = Table()
    # The name is what `drill run` takes: a cut one is of no use.
    table.add_column("drill", no_wrap=True)
    for heading in ("kind", "system", "plan", "title"):
        table.add_column(heading, overflow="fold")
    for name, definition in found.items():
        plan = f"{definition.plan.id} {definition.plan.version}"
        table.add_row(name, definition.kind.value, definition.system, plan, definition.title)
    Console().print(table)


@drill.command(
    epilog="""\b
Examples:
  jizuo drill run restore-system-offsite --dry
  jizuo drill run restore-system-offsite
  jizuo drill run restore-system-offsite --yes --json

\b
Exit codes: 0 objectives met, 2 something is to be put right,
1 not held, stopped, or not all put back."""
)
@click.argument("name")
@click.option(
    "--inventory",
    type=click.Path(path_type=Path),
    default=DEFAULT_INVENTORY,
    metavar="PATH",
    help="The city to hold it in.  [default: inventories/lab]",
)
@records_option
@click.option("--dry", is_flag=True, help="Show every step and change nothing.")
@click.option(
    "--yes", is_flag=True, help="Do not ask: neither before the fault nor for the decision to recover."
)
@json_option
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
def run(
    name: str, inventory: Path, records: Path | None, dry: bool, yes: bool, as_json: bool, quiet: bool
) -> None:
    """Hold the drill NAME. Whatever happens, also Ctrl-C, it ends with all put back."""
    definition = _or_exit(lambda: read_definition(name))
    city = load_or_exit(inventory)
    system, policy = _or_exit(lambda: hold_against(name, definition, city))
    held = Held(name, definition, city, system, policy)
    if dry:
        _show_steps(held)
        return
    state = state_folder()
    if not (state / "ssh_config").exists():
        _fail(
            f"{state}/ssh_config is not there; start the lab (jizuo lab up), or set JIZUO_STATE to its folder"
        )
    if not yes:
        _ask_first(held)
    folder = records or state / "drills"
    say = _silent if quiet or as_json else lambda line: click.echo(line, err=True)
    record = _or_exit(lambda: _hold(held, inventory, folder, yes, say))
    path = write_record(folder, record)
    write_whole(path.with_suffix(".html"), page(record).encode())
    for missed in hand_over(city, state, path):
        click.echo(f"{missed} did not take the record; copy {path} to {REMOTE} there", err=True)
    if as_json:
        click.echo(path.read_text(encoding="utf-8"), nl=False)
    else:
        _print_record(record, path)
    sys.exit(exit_code(record))


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
        record = read_record(path)
        write_whole(path.with_suffix(".html"), page(record).encode())
    except FileNotFoundError:
        _fail(f"no record {id} in {folder}; list them with: jizuo drill report")
    except (OSError, msgspec.DecodeError) as error:
        _fail(f"{path}: {error}")
    if as_json:
        click.echo(path.read_text(encoding="utf-8"), nl=False)
    else:
        _print_record(record, path)


def exit_code(record: DrillRecord) -> int:
    """0 objectives met, 2 something is to be put right, 1 stopped, or not all put back."""
    if record.aborted or record.fallback.outcome is not Outcome.DONE:
        return 1
    return 0 if record.success else 2


def variables(held: Held, inventory: Path, records: Path) -> dict[str, Any]:
    """What the playbooks of a drill read beside the groups `lost`, `recovery`, `source` and `client`."""
    definition = held.definition
    plan = build_plan(held.city)
    folder = f"/srv/systems/{held.system.id}"
    data = {"client": definition.nodes.lost, "policy": held.policy.id, "system": held.system.id}
    return {
        "system": held.system.id,
        "policy": held.policy.id,
        "folder": folder,
        # On the same file system, so that the fault and the way back are one rename each.
        "aside": f"/srv/systems/.drill-{held.system.id}",
        "records": f"{folder}/data/drill",
        "mark": f"/srv/systems/.drill-guest-{held.system.id}",
        "source": definition.nodes.source,
        "stage_seconds": definition.stage_seconds,
        "addresses": {
            part: [str(plan.host(getattr(definition.nodes, part), family)) for family in Family]
            for part in definition.nodes.__struct_fields__
        },
        "recovery_command": [
            # Should a stage be stopped while its command goes on, the one that takes all back waits for it.
            "flock",
            str(records / ".recovery.lock"),
            str(Path(sys.executable).with_name("pyinfra")),
            str(inventory.resolve() / "inventory.py"),
            str(ROOT / "deploy/backup/recover.py"),
            "-y",
            "--limit",
            definition.nodes.recovery,
            *(argument for name, value in data.items() for argument in ("--data", f"{name}={value}")),
        ],
    }


def hand_over(city: City, state: Path, path: Path) -> list[str]:
    """Copy a record to every operations node; returns those that did not take it."""
    place = shlex.quote(f"{REMOTE}/{path.name}")
    receive = "sudo sh -c " + shlex.quote(
        f"umask 022; mkdir -p {REMOTE}; cat >{place}.new && mv -f {place}.new {place}"
    )
    missed = []
    for node in city.nodes.values():
        if node.role is NodeRole.OPERATIONS:
            command = ["ssh", "-F", str(state / "ssh_config"), node.id, receive]
            try:
                done = subprocess.run(
                    command, input=path.read_bytes(), capture_output=True, timeout=20, check=False
                )
                if done.returncode:
                    missed.append(node.id)
            except (OSError, subprocess.TimeoutExpired):
                missed.append(node.id)
    return missed


def _hold(held: Held, inventory: Path, folder: Path, yes: bool, say: Callable[[str], None]) -> DrillRecord:
    player = _player(held, inventory, folder)
    stop = Stop()
    try:
        with stop.listening():
            begin(folder, held.name, lambda name: _undo(name, held, inventory, folder, say))
            try:
                record = hold(held, player, _decision(held, yes), say, stop)
            except NotBegunError as error:
                if error.put_back:
                    end(folder)
                raise
            if record.fallback.outcome is Outcome.DONE:
                end(folder)
            return record
    finally:
        player.close()


def _undo(name: str, held: Held, inventory: Path, folder: Path, say: Callable[[str], None]) -> bool:
    """Fall back for a drill whose tool died."""
    say(f"the drill {name} was not undone when its tool ended: falling back for it first")
    definition = read_definition(name)
    system, policy = hold_against(name, definition, held.city)
    left = Held(name, definition, held.city, system, policy)
    player = _player(left, inventory, folder)
    try:
        return fall_back(left, player, say).outcome is Outcome.DONE
    finally:
        player.close()


def _player(held: Held, inventory: Path, folder: Path) -> Player:
    nodes = held.definition.nodes
    return Player(
        playbooks=FOLDER / held.name / "playbooks",
        hosts={part: getattr(nodes, part) for part in nodes.__struct_fields__},
        variables=variables(held, inventory, folder),
        ssh_config=state_folder() / "ssh_config",
        artifacts=folder / "artifacts" / f"{held.name}-{held.now():%Y%m%dT%H%M%S}",
    )


def _ask_first(held: Held) -> None:
    if not sys.stdin.isatty():
        _fail("a live drill is confirmed by a person; there is no terminal to ask at: use --yes")
    nodes = held.definition.nodes
    click.echo(
        f"{held.name} takes {held.system.id} ({held.system.name}) out of service on {nodes.lost}, restores it "
        f"from {nodes.source} onto {nodes.recovery}, and puts all back."
    )
    click.confirm("Hold it now?", abort=True)


def _decision(held: Held, yes: bool) -> Callable[[], bool]:
    nodes = held.definition.nodes
    question = f"{held.system.id} is down. Recover it from {nodes.source} onto {nodes.recovery}?"
    return (lambda: True) if yes else (lambda: click.confirm(question, default=True))


def _show_steps(held: Held) -> None:
    definition = held.definition
    click.echo(f"{held.name}: {definition.title} ({definition.plan.id} {definition.plan.version})")
    click.echo(f"objectives: RTO {held.policy.rto} s, RPO {held.policy.rpo} s; nothing is changed by --dry")
    hosts = {part: getattr(definition.nodes, part) for part in definition.nodes.__struct_fields__}
    for stage in (*STAGES, FALLBACK):
        click.echo(f"\n{stage}{' (always)' if stage == FALLBACK else ''}")
        text = (FOLDER / held.name / "playbooks" / f"{stage}.yml").read_text(encoding="utf-8")
        for play in yaml.safe_load(text):
            where = ", ".join(hosts.get(part, part) for part in play["hosts"].split(":"))
            for task in play["tasks"]:
                click.echo(f"  {where}: {task['name']}")


def _list_records(folder: Path, as_json: bool) -> None:
    found = []
    for path in record_paths(folder):
        try:
            found.append(read_record(path))
        except (OSError, msgspec.DecodeError) as error:
            click.echo(f"{path}: {error}", err=True)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    if not found:
        click.echo(f"no drill has been held: {folder} has no record")
        return
    table = Table("record", "result", "RTO", "RPO", "data")
    for record in found:
        table.add_row(
            record.id,
            verdict(record),
            seconds(record.measured.rto_seconds),
            seconds(record.measured.rpo_seconds),
            record.data_check.outcome.value,
        )
    Console().print(table)


def _print_record(record: DrillRecord, path: Path) -> None:
    measured, data = record.measured, record.data_check
    table = Table(show_header=False, title=record.id, title_justify="left")
    table.add_row(
        "result", "objectives met" if record.success else "aborted" if record.aborted else "not met"
    )
    table.add_row("RTO", f"{_number(measured.rto_seconds)}, objective {measured.rto_objective_seconds:.0f} s")
    table.add_row("RPO", f"{_number(measured.rpo_seconds)}, objective {measured.rpo_objective_seconds:.0f} s")
    table.add_row(
        "data", f"{data.outcome.value}: {data.same} of {data.files} files the same, {data.lost} lost"
    )
    table.add_row("fall back", record.fallback.outcome.value)
    for issue in record.issues:
        table.add_row("issue", f"{issue.what} ({issue.owner}, {issue.due})")
    table.add_row("page", str(path.with_suffix(".html")))
    Console().print(table)


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f} s"


def _or_exit(act: Callable[[], T]) -> T:
    try:
        return act()
    except DrillError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    click.echo(f"jizuo drill: {message}", err=True)
    sys.exit(1)


def _silent(line: str) -> None:
    pass
