"""The command `jizuo backup restore`: bring a system's data back on its node, compared file by file."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import click
import msgspec
from rich.filesize import decimal

from checks.backup.finding import spell
from checks.backup.hosts import RestoreError
from checks.backup.hosts import restore as restore_on
from checks.backup.jobs_cli import acting_shell, fail, json_option, path_argument, quiet_option, reachable
from checks.backup.places import job_nodes
from checks.ssh import SecureShell
from inventories.backups.records import BackupPolicy
from inventories.cli import load_or_exit
from inventories.records import City


class Place(msgspec.Struct, frozen=True):
    """One path of a restore: what the snapshot holds, and where it goes."""

    path: str
    target: str


class Request(msgspec.Struct, frozen=True):
    """A restore as it was asked for, held against the inventory."""

    policy: BackupPolicy
    node: str
    repository: str
    places: tuple[Place, ...]
    snapshot: str
    at: str
    overwrite: bool
    accept_differing: bool

    def arguments(self, place: Place, *, dry: bool) -> list[str]:
        """The arguments of the program on the node."""
        found = ["--from", self.repository, "--to", place.target]
        found += ["--snapshot", self.snapshot] if self.snapshot else []
        found += ["--at", self.at] if self.at else []
        found += ["--dry"] if dry else []
        found += ["--overwrite"] if self.overwrite else []
        found += ["--accept-differing"] if self.accept_differing else []
        return [*found, "--", self.policy.id, place.path]


@click.command(
    epilog="""\b
Examples:
  jizuo backup restore inventories/lab gov-data-portal \\
      --to /srv/restored --dry
  jizuo backup restore inventories/lab gov-service --node cloud-1 \\
      --from offsite-1 --at 2026-08-01T09:30:00+08:00 --to /srv/restored
  jizuo backup restore inventories/lab gov-data-portal \\
      --in-place --overwrite

\b
The data wait beside their place until every file has been compared by digest
with the manifest of backup time, and appear at once. Nothing is written over:
--overwrite moves what is there aside, to FOLDER.before-restore-TIME.

\b
Restores onto the node that was backed up. Onto another node:
deploy/backup/recover.py; without controller: jizuo backup escrow.

\b
Ctrl-C stops the restore, and nothing is put in place. Exit codes: 0 restored
and compared, or --dry shown; 1 not."""
)
@path_argument
@click.argument("name", metavar="SYSTEM|POLICY")
@click.option("--node", default="", metavar="NODE", help="Where: needed if the policy runs on several nodes.")
@click.option(
    "--from", "repository", default="", metavar="NODE", help="From whose repository.  [default: the primary]"
)
@click.option("--at", default="", metavar="TIME", help="As it was at this moment (ISO 8601), or just before.")
@click.option("--snapshot", default="", metavar="ID", help="From this snapshot.  [default: the newest]")
@click.option(
    "--path", "paths", multiple=True, metavar="PATH", help="What to restore.  [default: the system's folders]"
)
@click.option("--to", default="", metavar="FOLDER", help="Where to; new, or empty.")
@click.option("--in-place", is_flag=True, help="To where the data were.")
@click.option("--overwrite", is_flag=True, help="Move what is there aside; asks, unless --yes.")
@click.option(
    "--accept-differing",
    is_flag=True,
    help="Take files too whose content is not that of backup time; names them.",
)
@click.option("--dry", is_flag=True, help="Show what would be restored and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@quiet_option
def restore(
    path: Path,
    name: str,
    node: str,
    repository: str,
    at: str,
    snapshot: str,
    paths: tuple[str, ...],
    to: str,
    in_place: bool,
    overwrite: bool,
    accept_differing: bool,
    dry: bool,
    yes: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Restore a system, or all that a policy holds, from a snapshot."""
    if bool(to) == in_place:
        raise click.UsageError("say where to: either --to FOLDER, or --in-place")
    if at and snapshot:
        raise click.UsageError("--at and --snapshot both choose a snapshot: give one of them")
    city = load_or_exit(path)
    policy = _policy_of(city, name)
    request = Request(
        policy=policy,
        node=_node_of(city, policy, node),
        repository=_repository_of(policy, repository),
        places=_places(policy, name, paths, to),
        snapshot=snapshot,
        at=at,
        overwrite=overwrite,
        accept_differing=accept_differing,
    )
    shell = acting_shell(reachable("restore"))
    zone = city.layout.time_zone
    if dry or (overwrite and not yes):
        shown = _carry_out(request, shell, zone, dry=True, quiet=True)
        if not (dry and as_json):
            _show(request, shown)
        if dry:
            if as_json:
                _print_json(shown)
            return
        _ask(request)
    done = _carry_out(request, shell, zone, dry=False, quiet=quiet or as_json)
    if as_json:
        _print_json(done)
        return
    for one in done:
        click.echo(_told(one))


def _carry_out(
    request: Request, shell: SecureShell, time_zone: str, *, dry: bool, quiet: bool
) -> list[dict[str, Any]]:
    """Restore each place in turn; ends the command where one fails."""

    def say(line: str) -> None:
        if not quiet:
            click.echo(f"{request.node}: {line}", err=True)

    found: list[dict[str, Any]] = []
    for place in request.places:
        arguments = request.arguments(place, dry=dry)
        try:
            found.append(asyncio.run(restore_on(request.node, arguments, shell, say, time_zone)))
        except RestoreError as error:
            before = f" ({', '.join(one['target'] for one in found)} was restored before)" if found else ""
            fail("restore", f"{error}{'' if dry else before}")
        except KeyboardInterrupt:
            fail("restore", f"stopped; {place.target} on {request.node} was not put in place")
    return found


def _policy_of(city: City, name: str) -> BackupPolicy:
    if name in city.backups:
        return city.backups[name]
    if name not in city.systems:
        raise click.UsageError(
            f"{name} is no system and no policy; the policies are: {', '.join(city.backups) or 'none'}"
        )
    found = [policy for policy in city.backups.values() if name in policy.systems]
    if len(found) != 1:
        names = ", ".join(policy.id for policy in found)
        raise click.UsageError(
            f"{name} is in {names}: name the policy, and with --path the folder" if found
            else f"no policy in backups.toml names {name}: it is not backed up"
        )  # fmt: skip
    return found[0]


def _node_of(city: City, policy: BackupPolicy, node: str) -> str:
    nodes = job_nodes(city, policy)
    if node and node not in nodes:
        raise click.UsageError(f"{policy.id} does not run on {node}, but on {', '.join(nodes) or 'no node'}")
    if not node and len(nodes) != 1:
        raise click.UsageError(f"say --node: {policy.id} runs on {', '.join(nodes) or 'no node'}")
    return node or nodes[0]


def _repository_of(policy: BackupPolicy, repository: str) -> str:
    places = (policy.repository, *policy.copies)
    if repository and repository not in places:
        raise click.UsageError(f"{policy.id} has no repository on {repository}, but on {', '.join(places)}")
    return repository or policy.repository


def _places(policy: BackupPolicy, name: str, paths: Sequence[str], to: str) -> tuple[Place, ...]:
    """What is restored where: a policy's paths; of a system its own folder below them, unless named."""
    wanted = list(paths) or [
        path if name == policy.id or PurePosixPath(path).name == name else str(PurePosixPath(path) / name)
        for path in policy.paths
    ]
    if not wanted:
        raise click.UsageError(f"{policy.id} backs up no folder; name one of the snapshot with --path")
    for text in (*wanted, *([to] if to else [])):
        if not text.startswith("/"):
            raise click.UsageError(f"{text}: give a whole path, from / on; it is one of the node's")
    if len(wanted) == 1:
        return (Place(wanted[0], to or wanted[0]),)
    return tuple(Place(path, f"{to.rstrip('/')}{path}" if to else path) for path in wanted)


def _ask(request: Request) -> None:
    if not sys.stdin.isatty():
        fail(
            "restore",
            "what is there is moved aside only if a person agrees, and there is no terminal; use --yes",
        )
    targets = ", ".join(place.target for place in request.places)
    click.confirm(f"Move {targets} on {request.node} aside where it is there, and restore?", abort=True)


def _show(request: Request, shown: Sequence[dict[str, Any]]) -> None:
    """What a restore would do."""
    for one in shown:
        click.echo(f"on {request.node}, from {one['repository']} ({one['family'] or 'local'}):")
        click.echo(f"  snapshot  {one['snapshot']} of {one['snapshot_at']}{_old(one['snapshot_at'])}")
        click.echo(f"  from      {one['path']}")
        click.echo(f"  to        {one['target']}{_fate(one, request.overwrite)}")
        room = f"{decimal(one['free_bytes'])} free"
        click.echo(f"  data      {one['files']:,} files, {decimal(one['total_bytes'])}; {room}")


def _fate(one: dict[str, Any], overwrite: bool) -> str:
    if not one["exists"]:
        return ""
    return ", what is there is moved aside" if overwrite else ", which is there: the restore would refuse"


def _old(moment: str) -> str:
    try:
        age = datetime.now().astimezone() - datetime.fromisoformat(moment)
    except (ValueError, TypeError):
        return ""
    return f", {spell(age.total_seconds())} old"


def _told(one: dict[str, Any]) -> str:
    parts = [
        f"{one['target']} on {one['host']}: {one['files']:,} files, {decimal(one['total_bytes'])}, each with the "
        f"content hash of backup time",
        f"snapshot {one['snapshot']} of {one['snapshot_at']} from {one['repository']} in {one['seconds']:.1f} s",
    ]
    if one["changed"]:
        parts.append(
            f"{one['changed']} files were written to while they were backed up: newer than the manifest"
        )
    if one["mismatched"]:
        some = ", ".join(one["first_mismatched"][:3])
        parts.append(f"{one['mismatched']} files are NOT as the manifest of backup time has them: {some}")
    if one["not_in_snapshot"]:
        some = ", ".join(one["first_not_in_snapshot"][:3])
        parts.append(f"{one['not_in_snapshot']} files were never in the snapshot: {some}")
    if one["moved_aside"]:
        parts.append(f"what was there is now {one['moved_aside']}")
    return "\n  ".join(parts)


def _print_json(found: Sequence[dict[str, Any]]) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
