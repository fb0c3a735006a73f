"""The command `jizuo backup prune`: what repository nodes would remove, and let them remove it now."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from checks.backup.hosts import MODULE, PROGRAM, follow_unit
from checks.backup.jobs_cli import (
    acting_shell,
    fail,
    json_option,
    path_argument,
    quiet_option,
    reachable,
    spinner,
)
from checks.backup.places import job_nodes
from checks.ssh import SecureShell, SshError
from inventories.cli import load_or_exit
from inventories.records import City

#: The service that removes on a repository node, and what its program keeps of each repository.
UNIT = "jizuo-repository-maintenance.service"
STATES = "/var/lib/jizuo/repository"
REPOSITORY = (MODULE[0], "-m", "jizuo_backup.repository")


class PlanError(Exception):
    """A node does not say what it would do."""


class Objection(msgspec.Struct, frozen=True):
    """Why the node would remove nothing."""

    reason: str
    text: str


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot by the beginning of its id, and its own time."""

    id: str
    time: str


class Plan(msgspec.Struct, frozen=True):
    """What a node would do with one repository; `objection` speaks against removing anything."""

    name: str
    client: str
    policy: str
    node: str
    keep: dict[str, int]
    kept: int
    removed: tuple[Snapshot, ...]
    objection: Objection | None = None


class Done(msgspec.Struct, frozen=True):
    """How the last removal in a repository ended; fields that are not needed here may come and go."""

    result: str
    error: str = ""
    kept: int = 0
    removed_count: int = 0
    freed_bytes: int = 0


class Pruned(msgspec.Struct, frozen=True):
    """What a node's program says of a repository."""

    host: str
    client: str
    policy: str
    prune: Done | None = None


@click.command(
    epilog="""\b
Examples:
  jizuo backup prune inventories/lab --dry
  jizuo backup prune inventories/lab backup-1
  jizuo backup prune inventories/lab --policy gov-service --yes --json

\b
Clients cannot remove anything; each repository node does, every day in its
window. This does it now: it shows what would go, asks, and starts the same
service. The node refuses to go below the policy's retention, or while a
snapshot's time or a clock makes no sense.

\b
Ctrl-C ends the watching, not the removal. Exit codes: 0 removed, or nothing
to remove; 2 with --dry: something would be; 1 failed or refused."""
)
@path_argument
@click.argument("nodes", nargs=-1, metavar="[NODE]...")
@click.option(
    "--policy", "policies", multiple=True, metavar="POLICY", help="Only of this policy; may be given again."
)
@click.option("--dry", is_flag=True, help="Show what would be removed and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@quiet_option
def prune(
    path: Path,
    nodes: tuple[str, ...],
    policies: tuple[str, ...],
    dry: bool,
    yes: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Remove the snapshots that no policy keeps any more from the repositories on NODE, or on all nodes."""
    held = _held(load_or_exit(path), nodes, policies)
    shell = acting_shell(reachable("prune"))
    try:
        with spinner(f"asking {len(held)} nodes", quiet or as_json):
            plans = asyncio.run(_plans(held, shell))
    except (SshError, PlanError) as error:
        fail("prune", str(error))
    pending = [plan for plan in plans if plan.removed and not plan.objection]
    refused = any(plan.objection for plan in plans)
    if dry:
        _show(plans, as_json)
        sys.exit(1 if refused else 2 if pending else 0)
    if not as_json:
        _show(plans, as_json)
    if not pending:
        if as_json:
            click.echo("[]")
        sys.exit(1 if refused else 0)
    if not yes:
        _ask(pending)
    done = _remove(pending, shell, quiet or as_json)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(done)).decode())
    else:
        for one in done:
            click.echo(_told(one))
    well = all(one.prune is not None and one.prune.result == "success" for one in done)
    sys.exit(0 if well and not refused and len(done) == len(pending) else 1)


def _held(city: City, nodes: Sequence[str], policies: Sequence[str]) -> dict[str, list[str]]:
    """The repositories of each node by the names that the node has for them.

    Raises:
        click.UsageError: a node holds none, or a policy is not known.
    """
    held: dict[str, list[str]] = {}
    for policy in city.backups.values():
        if not policies or policy.id in policies:
            for node in (policy.repository, *policy.copies):
                held.setdefault(node, []).extend(
                    f"{client}-{policy.id}" for client in job_nodes(city, policy)
                )
    unknown = [name for name in policies if name not in city.backups]
    if unknown:
        raise click.UsageError(
            f"no policy {', '.join(unknown)} in backups.toml; there are: {', '.join(city.backups) or 'none'}"
        )
    strange = [node for node in nodes if node not in held]
    if strange or not held:
        raise click.UsageError(
            f"{', '.join(strange) or 'the city'} holds no such repository; these nodes do: {', '.join(held) or 'none'}"
        )
    return {node: names for node, names in held.items() if not nodes or node in nodes}


async def _plans(held: dict[str, list[str]], shell: SecureShell) -> list[Plan]:
    """What each node would do.

    Raises:
        SshError: a node cannot be reached.
        PlanError: a node cannot say.
    """

    async def one(node: str, names: Sequence[str]) -> list[Plan]:
        command = shlex.join(["sudo", "-n", "env", *PROGRAM, *REPOSITORY, "plan", *names])
        done = await shell.run(node, command)
        if done.status != 0:
            said = done.stderr.splitlines()[-1] if done.stderr else f"exit status {done.status}"
            raise PlanError(f"{node}: {said}")
        try:
            return msgspec.json.decode(done.stdout, type=list[Plan])
        except msgspec.DecodeError as error:
            raise PlanError(f"{node}: what it says cannot be read: {error}") from None

    found = await asyncio.gather(*(one(node, names) for node, names in held.items()))
    return [plan for plans in found for plan in plans]


def _show(plans: Sequence[Plan], as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(plans)).decode())
        return
    for plan in plans:
        keep = ", ".join(f"{count} {period}" for period, count in plan.keep.items()) or "all"
        click.echo(f"{plan.node} {plan.name} (keeps {keep}): {plan.kept} stay, {len(plan.removed)} would go")
        if plan.objection:
            click.echo(f"  refuses: {plan.objection.text}")
        for line in _snapshots(plan.removed):
            click.echo(f"  {line}")


def _snapshots(removed: Sequence[Snapshot], most: int = 10) -> Iterator[str]:
    """The first and the last of what would go."""
    some = removed if len(removed) <= most else (*removed[: most // 2], *removed[-most // 2 :])
    for place, one in enumerate(some):
        if len(some) < len(removed) and place == most // 2:
            yield f"... {len(removed) - len(some)} more"
        yield f"{one.id} of {one.time}"


def _ask(pending: Sequence[Plan]) -> None:
    if not sys.stdin.isatty():
        fail("prune", "a person has to agree, and there is no terminal to ask at; use --yes")
    count = sum(len(plan.removed) for plan in pending)
    click.confirm(f"Remove {count} snapshots from {len(pending)} repositories?", abort=True)


def _remove(pending: Sequence[Plan], shell: SecureShell, quiet: bool) -> list[Pruned]:
    """Start the service of each node, follow it, and read how it ended."""
    names: dict[str, list[str]] = {}
    for plan in pending:
        names.setdefault(plan.node, []).append(plan.name)

    def say(node: str, line: str) -> None:
        if not quiet:
            click.echo(f"{node}: {line}", err=True)

    async def one(node: str) -> list[Pruned]:
        own = shlex.join([*REPOSITORY, "maintain", *names[node]])
        outcome = await follow_unit(node, node, [UNIT, "", own], shell, say)
        if outcome.result != "success":
            click.echo(f"{node}: {outcome.error}", err=True)
        files = shlex.join([f"{STATES}/{name}.json" for name in names[node]])
        script = f"for file in {files}; do tr -d '\\n' <$file && echo; done"
        done = await shell.run(node, f"sudo -n sh -c {shlex.quote(script)}")
        return [msgspec.json.decode(line, type=Pruned) for line in done.stdout.splitlines()]

    async def everywhere() -> list[Pruned]:
        return [one for found in await asyncio.gather(*map(one, names)) for one in found]

    try:
        return asyncio.run(everywhere())
    except (SshError, msgspec.DecodeError) as error:
        fail("prune", f"how it ended is not known: {error}")
    except KeyboardInterrupt:
        fail("prune", f"no longer watching {', '.join(names)}: what was begun goes on")


def _told(one: Pruned) -> str:
    name = f"{one.host} {one.client}-{one.policy}"
    if one.prune is None:
        return f"{name}: nothing was done"
    if one.prune.result != "success":
        return f"{name}: {one.prune.result}: {one.prune.error}"
    freed = f", {one.prune.freed_bytes:,} bytes freed" if one.prune.freed_bytes > 0 else ""
    return f"{name}: {one.prune.removed_count} snapshots removed, {one.prune.kept} stay{freed}"
