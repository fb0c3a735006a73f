"""`jizuo drift`: where do hosts differ from the inventory? Reads, changes nothing, and leaves a record."""

from __future__ import annotations

import fcntl
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from rich.table import Table

from deploy.cli import alone, deploy_progress, ready_state, run_deploy
from deploy.controller.units import DRIFT, write_units
from deploy.drift.record import FILE, DriftRecord, record_of
from deploy.record import leave_record
from inventories.cli import load_or_exit
from inventories.hosts import linux_nodes


@click.command(
    epilog="""\b
Examples:
  jizuo drift inventories/lab
  jizuo drift inventories/lab --limit cloud-1 --json
  sudo jizuo drift inventories/lab --timer /etc/systemd/system --every 6
  sudo systemctl enable --now jizuo-drift-3609.timer

\b
Exit codes: 0 every host is as the inventory says, 2 changes are pending,
1 a host could not be read, or the check failed."""
)
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--limit", "-l", multiple=True, metavar="HOST", help="Only this host; leaves no record.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option(
    "--timer",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Check nothing; write the units of a timer to this folder.",
)
@click.option(
    "--every",
    type=click.IntRange(1, DRIFT.longest_hours),
    default=6,
    show_default=True,
    metavar="HOURS",
    help="With --timer: how often.",
)
def drift(
    path: Path, limit: tuple[str, ...], as_json: bool, quiet: bool, folder: Path | None, every: int
) -> None:
    """Show where the hosts of the inventory PATH differ from what it says.

    A dry run of every role: hosts are read as root and nothing is changed. The record goes to the operations
    nodes, whose exporters show pending changes by host and role, and the hosts that could not be read.
    """
    city = load_or_exit(path)
    unknown = [name for name in limit if name not in linux_nodes(city)]
    if unknown:
        raise click.UsageError(
            f"{', '.join(unknown)}: no Linux host of {path}; the hosts are: {', '.join(linux_nodes(city))}"
        )
    state = ready_state()
    if folder:
        write_units(DRIFT, city.layout.division, path, state, folder, every)
        return
    log = state / "deploy" / "drift.log"
    with alone(state, ".drift.lock", "drift"), deploy_progress(quiet or as_json) as follow:
        log.unlink(missing_ok=True)  # a timer's log would grow for ever
        before = _mark_of_deploys(state)
        at = datetime.now(ZoneInfo(city.layout.time_zone)).isoformat(timespec="seconds")
        result = run_deploy(path, city, [], list(limit), dry=True, log=log, progress=follow)
        if _mark_of_deploys(state) != before:
            raise click.ClickException(
                "a deploy changed hosts while they were read, so what was read is of no moment; run again"
            )
        record = record_of(city, result, at)
        missed = [] if limit else leave_record(city, state, msgspec.json.encode(record), FILE)
    for name in missed:
        click.echo(f"jizuo drift: {name} did not take the record; monitoring shows the one before", err=True)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(record)).decode())
    else:
        _print(record, log)
    sys.exit(record.exit_code)


def _mark_of_deploys(state: Path) -> int:
    """Another number when a deploy has begun since; a deploy needs not wait for a check, which begins anew.

    Raises:
        click.ClickException: a deploy is at work.
    """
    path = state / "deploy" / ".lock"
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return path.stat().st_mtime_ns  # every deploy opens it for writing
    except FileNotFoundError:
        return 0
    except BlockingIOError:
        raise click.ClickException(
            f"a jizuo deploy is at work ({path} is held), and hosts are between two states; run again after it"
        ) from None


def _print(record: DriftRecord, log: Path) -> None:
    """A table of hosts with their roles, then each pending operation, then the hosts that were not read and why."""
    console = Console()
    table = Table("host", "pending", "state")
    for name, host in record.hosts.items():
        counts = [f"{role} {len(names)}" for role, names in host.pending.items() if names]
        state = "[red]not read[/]" if host.unread else "[yellow]drifted[/]" if counts else "as it shall be"
        table.add_row(name, ", ".join(counts) or ("?" if host.unread else "0"), state)
    console.print(table)
    for name, host in record.hosts.items():
        for operation in (one for names in host.pending.values() for one in names):
            console.print(f"{name}: would change: {operation}", highlight=False, markup=False, soft_wrap=True)
        if host.unread:
            console.print(f"{name}: not read: {host.unread}", highlight=False, markup=False, soft_wrap=True)
    if record.unread:
        console.print(f"the details are in {log}", highlight=False, markup=False, soft_wrap=True)
    drifted = sum(any(host.pending.values()) for host in record.hosts.values())
    console.print(
        f"{record.pending} operations are pending on {drifted} of {len(record.hosts)} hosts; "
        f"{len(record.unread)} were not read; {record.seconds:.0f} s",
        highlight=False,
        soft_wrap=True,
    )
