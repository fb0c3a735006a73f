"""`jizuo deploy`: bring hosts to the state that the inventory describes, or show what would change."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.private.modes import mode_lines
from deploy.record import leave_record
from deploy.roles import ROLES
from deploy.secrets import state_folder
from inventories.cli import load_or_exit
from inventories.hosts import linux_nodes
from inventories.records import City

ROOT = Path(__file__).resolve().parents[1]


class HostResult(msgspec.Struct):
    """What a run did on one host."""

    changed: list[str] = []
    unchanged: int = 0
    failed: str = ""
    detail: str = ""


class DeployResult(msgspec.Struct):
    """What a run did; `changed` and `unchanged` count operations over all hosts.

    `private_networks` is which way each router's private networks go, `vrf` or `namespace`, and why.
    """

    at: str
    dry: bool
    roles: list[str]
    seconds: float
    hosts: dict[str, HostResult]
    error: str = ""
    private_networks: dict[str, str] = {}

    @property
    def changed(self) -> int:
        return sum(len(host.changed) for host in self.hosts.values())

    @property
    def failed(self) -> list[str]:
        return [name for name, host in self.hosts.items() if host.failed]

    @property
    def exit_code(self) -> int:
        """0 nothing to do or all done, 2 changes pending (--dry), 1 failed."""
        if self.error or self.failed:
            return 1
        return 2 if self.dry and self.changed else 0


def run_deploy(
    inventory: Path,
    city: City,
    roles: list[str],
    hosts: list[str],
    *,
    dry: bool,
    log: Path,
    progress: Any = None,
) -> DeployResult:
    """Run the roles on the hosts; `progress` takes (kind of event, event) as they come.

    The mirror comes first and alone, because every other host installs from it; then all hosts go their own
    pace. Never raises for what goes wrong on a host: that is in the result.
    """
    began = time.monotonic()
    wanted = roles or list(ROLES)
    results = {node: HostResult() for node in linux_nodes(city) if not hosts or node in hosts}
    phases = [
        (part, [node for node in results if any(city.nodes[node].role in ROLES[role] for role in part)])
        for part in (
            [role for role in wanted if role == "mirror"],
            [role for role in wanted if role != "mirror"],
        )
    ]
    error = ""
    modes: dict[str, str] = {}
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for part, nodes in phases:
        if part and nodes and not error:
            request = {"inventory": str(inventory), "roles": part, "hosts": nodes, "dry": dry}
            error = _run_phase(request, results, modes, log, progress)
    zone = ZoneInfo(city.layout.time_zone)
    return DeployResult(
        at=datetime.now(zone).isoformat(timespec="seconds"),
        dry=dry,
        roles=wanted,
        seconds=round(time.monotonic() - began, 1),
        hosts=results,
        error=error,
        private_networks=modes,
    )


def _run_phase(
    request: dict[str, Any], results: dict[str, HostResult], modes: dict[str, str], log: Path, progress: Any
) -> str:
    """Run one request in a child process and add what it says to results and modes; returns what ended it early."""
    error = f"the run ended before its end; see {log}"
    with log.open("ab") as words, _child(words) as child:
        assert child.stdin and child.stdout  # noqa: S101 - both are pipes
        child.stdin.write(msgspec.json.encode(request))
        child.stdin.close()
        for line in child.stdout:
            event = msgspec.json.decode(line)
            kind = event.pop("event")
            if kind == "end":
                error = ""
                for name in event["failed"]:
                    _fail(results[name], "facts", f"see {log}")
            elif kind == "modes":
                modes.update(event["found"])
            elif kind == "error":
                error = event["detail"]
            elif kind == "prepared":
                for name, operations in event["pending"].items():
                    results[name].changed += operations
            elif kind == "done" and event["changed"]:
                results[event["host"]].changed.append(event["operation"])
            elif kind == "done":
                results[event["host"]].unchanged += 1
            elif kind == "failed":
                _fail(results[event["host"]], event["operation"], event["detail"])
            if progress is not None:
                progress(kind, event)
    return error


def _fail(result: HostResult, operation: str, detail: str) -> None:
    """Note the first failure of a host; what follows from it says less."""
    if not result.failed:
        result.failed, result.detail = operation, detail


@contextmanager
def _child(words: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The child process; ended with the parent, whatever ends the parent's interest in it."""
    child = subprocess.Popen(
        [sys.executable, "-m", "deploy.run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=words,
        cwd=ROOT,
    )
    try:
        yield child
        child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


@click.command(
    epilog="""\b
Examples:
  jizuo deploy inventories/lab --dry
  jizuo deploy inventories/lab
  jizuo deploy inventories/lab base extranet --limit cihua --limit yufang

\b
Exit codes: 0 nothing to change or all done, 1 failed,
2 with --dry: changes are pending."""
)
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("roles", nargs=-1, type=click.Choice(list(ROLES)))
@click.option("--limit", "-l", multiple=True, metavar="HOST", help="Only this host; may be given again.")
@click.option("--dry", is_flag=True, help="Show what would change and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
def deploy(
    path: Path, roles: tuple[str, ...], limit: tuple[str, ...], dry: bool, as_json: bool, quiet: bool
) -> None:
    """Bring the hosts of the inventory PATH to the state that it describes. ROLES: all, unless named."""
    city = load_or_exit(path)
    foreign = [name for name in limit if name in city.nodes and name not in linux_nodes(city)]
    if foreign:
        raise click.UsageError(
            f"{', '.join(foreign)}: no Linux; run: jizuo router push {path} {' '.join(foreign)}"
        )
    unknown = [name for name in limit if name not in city.nodes]
    if unknown:
        raise click.UsageError(
            f"no host {', '.join(unknown)} in {path}; the hosts are: {', '.join(city.nodes)}"
        )
    state = ready_state()
    log = state / "deploy" / "pyinfra.log"
    with alone(state), deploy_progress(quiet or as_json) as follow:
        result = run_deploy(path, city, list(roles), list(limit), dry=dry, log=log, progress=follow)
    missed = [] if dry else leave_record(city, state, msgspec.json.encode(result))
    for name in missed:
        click.echo(
            f"jizuo deploy: {name} did not take the record of this run; monitoring shows the one before",
            err=True,
        )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(result)).decode())
    else:
        print_result(result, log)
    sys.exit(result.exit_code)


def ready_state() -> Path:
    """The state folder, private; a folder that cannot reach any host ends the command in one line."""
    state = state_folder()
    missing = [str(state / name) for name in ("ssh/deploy", "known_hosts") if not (state / name).is_file()]
    if missing:
        raise click.ClickException(
            f"{' and '.join(missing)}: not there, so no host can be reached; start the lab (jizuo lab up), "
            "or set JIZUO_STATE to the folder that holds the keys and pinned host keys"
        )
    if state.stat().st_mode & 0o077:
        state.chmod(0o700)
    return state


@contextmanager
def alone(state: Path, lock: str = ".lock", work: str = "deploy") -> Iterator[None]:
    """Keep two runs of the same work from one controller apart; a run that dies lets go."""
    folder = state / "deploy"
    folder.mkdir(exist_ok=True, mode=0o700)
    with (folder / lock).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(
                f"another jizuo {work} is at work ({folder / lock} is held); wait for it to end"
            ) from None
        yield


@contextmanager
def deploy_progress(quiet: bool) -> Iterator[Any]:
    """A bar on a terminal, a line a stage elsewhere, nothing when quiet."""
    console = Console(stderr=True)
    if quiet:
        yield None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("connect", total=None)
        total = 0

        def follow(kind: str, event: dict[str, Any]) -> None:
            nonlocal total
            if kind == "stage":
                bar.update(task, description=event["name"])
                if not console.is_terminal:
                    click.echo(f"deploy: {event['name']}", err=True)
            elif kind == "prepared":
                total += event["operations"]
                bar.update(task, description="operations", total=total)
                if not console.is_terminal:
                    click.echo(f"deploy: {event['operations']} operations", err=True)
            elif kind in ("done", "failed"):
                bar.update(task, advance=1, description=f"{event['host']}: {event['operation']}"[:40])
                if kind == "failed":
                    bar.console.print(f"[red]failed[/] {event['host']}: {event['operation']}")

        yield follow


def print_result(result: DeployResult, log: Path) -> None:
    """A table by host, then what failed and why, then one line that sums up."""
    console = Console()
    table = Table("host", "changed", "unchanged", "state")
    for name, host in result.hosts.items():
        state = (
            f"[red]failed: {host.failed}[/]"
            if host.failed
            else "pending"
            if result.dry and host.changed
            else "ok"
        )
        table.add_row(name, str(len(host.changed)), "-" if result.dry else str(host.unchanged), state)
    console.print(table)
    if result.dry:
        for name, host in result.hosts.items():
            for operation in host.changed:
                console.print(f"{name}: would change: {operation}", highlight=False)
    for name in result.failed:
        host = result.hosts[name]
        console.print(f"[red]{name}[/]: {host.failed}: {host.detail}", highlight=False)
    if result.error:
        console.print(f"[red]error[/]: {result.error}", highlight=False)
    for line in mode_lines(result.private_networks):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    verb = "would change" if result.dry else "changed"
    console.print(
        f"{result.changed} operations {verb} on {len(result.hosts)} hosts in {result.seconds:.0f} s"
        + (f"; {len(result.failed)} hosts failed, the details are in {log}" if result.failed else ""),
        highlight=False,
        soft_wrap=True,
    )
