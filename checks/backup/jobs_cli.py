"""The commands `jizuo backup status`, `run` and `verify`: how do the jobs stand, and let them run now."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import click
import msgspec
from rich.console import Console

from checks.backup import status as standing
from checks.backup.elsewhere_cli import verify_elsewhere
from checks.backup.finding import spell
from checks.backup.hosts import Job, Outcome, run_command, run_jobs
from checks.backup.places import job_nodes, nodes_to_ask
from checks.backup_state import JobState, States, states_of
from checks.record import Status
from checks.security import run as collecting
from checks.ssh import SecureShell, shell_of, state_folder
from inventories.cli import load_or_exit
from inventories.records import City

path_argument = click.argument("path", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress.")
_COLOURS = {"success": "green", "partial": "yellow", "failure": "red", "unknown": "magenta"}


@click.command(
    epilog="""\b
Examples:
  jizuo backup status inventories/lab
  jizuo backup status inventories/lab --wide
  jizuo backup status inventories/lab gov-service --json
  jizuo backup status inventories/yichun --states collected/ | less -R

\b
Columns: age of the newest whole snapshot, what may be lost at most (RPO), the
last run and since when, the copy that is furthest behind, the oldest check of
a repository, and the age of the newest state that a restore has proven; with
--wide also how long the last run took, size and files of the newest whole
snapshot, and how far the copies are behind it.

\b
--states DIR reads DIR/NODE/POLICY.json, as /var/lib/jizuo/backup holds them
on each node, and asks no host.

\b
Exit codes: 0 all well, 2 something is not, 1 a host could not be asked."""
)
@path_argument
@click.argument("policies", nargs=-1, metavar="[POLICY]...")
@click.option(
    "--states",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Read the jobs' states from files instead.",
)
@click.option("--wide", is_flag=True, help="More columns, for a terminal of 112.")
@json_option
@quiet_option
def status(
    path: Path, policies: tuple[str, ...], folder: Path | None, wide: bool, as_json: bool, quiet: bool
) -> None:
    """Show how every backup job of the city in PATH stands, the worst first."""
    city = load_or_exit(path)
    for policy in policies:
        _known_policy(city, policy)
    if folder is not None:
        try:
            states = standing.states_in(folder)
        except OSError as error:
            fail("status", f"{error.filename}: {error.strerror}")
    else:
        states = _ask(city, policies, quiet or as_json)
    now = datetime.now().astimezone()
    found = standing.statuses(city, states, now, policies)
    if not found:
        fail("status", f"{path} has no backup policy; write one into {path / 'backups.toml'}")
    if as_json:
        sys.stdout.buffer.write(standing.as_json(found, now) + b"\n")
    else:
        lines = standing.lines(found, colour=sys.stdout.isatty(), wide=wide)
        click.echo("\n".join([*lines, standing.summary(found)]))
    sys.exit(_exit_code(found))


def _exit_code(found: Sequence[standing.JobStatus]) -> int:
    statuses = {one.status for one in found}
    return 1 if Status.ERROR in statuses else 2 if Status.FAIL in statuses else 0


def _ask(city: City, policies: Sequence[str], quiet: bool) -> States:
    """The states of all hosts, one round trip a host."""
    state = reachable("status")
    nodes = [
        node
        for node in nodes_to_ask(city)
        if not policies or any(node in job_nodes(city, city.backups[policy]) for policy in policies)
    ]
    requests = dict.fromkeys(nodes, "backup\n")
    with spinner(f"asking {len(nodes)} hosts", quiet):
        captures = asyncio.run(collecting.collect(nodes, shell_of(state, "audit"), requests=requests))
    return states_of(captures)


@click.command(
    epilog="""\b
Examples:
  jizuo backup run inventories/lab gov-service
  jizuo backup run inventories/lab gov-service@cloud-1 collab-office
  jizuo backup run inventories/lab --all --json

\b
A run that is under way is followed to its end. Ctrl-C ends the watching, not
the run: it goes on on its host, and `jizuo backup status` tells how it ended.

\b
Exit codes: 0 every run is a success, 2 a snapshot lacks files that could not
be read (partial), 1 a run failed or its host could not be asked."""
)
@path_argument
@click.argument("jobs", nargs=-1, metavar="[POLICY[@NODE]]...")
@click.option("--all", "everything", is_flag=True, help="Every policy on every node.")
@json_option
@quiet_option
def run(path: Path, jobs: tuple[str, ...], everything: bool, as_json: bool, quiet: bool) -> None:
    """Take a backup now: snapshot, copies, and the verification that is due."""
    chosen = _chosen(load_or_exit(path), jobs, everything, "run")
    outcomes = _follow(chosen, (), quiet, "run")
    if as_json:
        _print_json(outcomes)
    else:
        for outcome in outcomes:
            _print_outcome(outcome)
    sys.exit(_worst(outcomes))


@click.command(
    epilog="""\b
Examples:
  jizuo backup verify inventories/lab
  jizuo backup verify inventories/lab gov-service --read-all
  jizuo backup verify inventories/lab gov-service@cloud-1 --json
  jizuo backup verify inventories/lab --elsewhere

\b
A restore test compares with what was there when the snapshot was taken; so a
snapshot is taken first, copied, and then every repository checked and a
sample of files restored from it and compared by digest.

\b
--elsewhere restores each job on another host instead: every host that could
take over from it (cloud and off-site nodes) in turn, the one that was not
tried for longest, from each repository in turn. All the policy's folders, or
a sample of what is larger than verify.megabytes, are compared by digest with
the manifest of backup time and removed. The keys are on that host for the
time of the test, also when it fails or is stopped. A database that is kept
continuously comes back on the off-site node that keeps it, from what stands
there alone, and must answer as its own node says. Run it by a timer of the
controller (cron: 30 3 * * 6 jizuo backup verify PATH --elsewhere -q); the
operations nodes get what came of it, and `jizuo check PATH backup` holds it
to a month.

\b
Ctrl-C ends the watching, not the run. Exit codes: 0 all proven, 2 a snapshot
lacks files, 1 something was not proven or a host could not be asked."""
)
@path_argument
@click.argument("jobs", nargs=-1, metavar="[POLICY[@NODE]]...")
@click.option(
    "--read-all", is_flag=True, help="Read all data of the repositories, not the part whose turn it is."
)
@click.option("--elsewhere", is_flag=True, help="Restore each job on another host, whose turn it is.")
@json_option
@quiet_option
def verify(
    path: Path, jobs: tuple[str, ...], read_all: bool, elsewhere: bool, as_json: bool, quiet: bool
) -> None:
    """Check the repositories and restore a sample from each now; show what is proven. All jobs unless named."""
    if elsewhere and read_all:
        raise click.UsageError("--read-all is of the client's own check, and --elsewhere of another host")
    city = load_or_exit(path)
    chosen = _chosen(city, jobs, not jobs, "verify")
    if elsewhere:
        sys.exit(verify_elsewhere(city, path, reachable("verify"), chosen, as_json=as_json, quiet=quiet))
    options = ["--verify", "--read-all"] if read_all else ["--verify"]
    outcomes = _follow(chosen, run_command(*options), quiet, "verify")
    if as_json:
        _print_json(outcomes)
    else:
        for outcome in outcomes:
            _print_outcome(outcome)
            for line in proven(outcome.state):
                click.echo(f"  {line}")
    sys.exit(_worst(outcomes))


def proven(state: JobState | None) -> Iterator[str]:
    """What the last verification of each repository proved, or why it did not; a line each."""
    for node, known in (state.repositories if state else {}).items():
        check, test = known.check, known.restore_test
        if check is None or check.result != "success":
            why = "it was not checked" if check is None else check.error or check.reason or check.result
            yield f"{node}: not proven: {why}"
        elif test is None or test.result != "success":
            why = "nothing was restored" if test is None else test.error or test.reason or test.result
            yield f"{node}: sound, but no restore is proven: {why}"
        else:
            what = f"{test.files} files came back with the right content"
            age = datetime.now().astimezone() - (known.restored_snapshot_at or test.started_at)
            yield f"{node}: sound; {what}; proven restorable: {spell(age.total_seconds())} old"


def _chosen(city: City, names: Sequence[str], everything: bool, verb: str) -> list[Job]:
    """The jobs of these names, each once.

    Raises:
        click.UsageError: a name is not known, or none is given.
    """
    if not names and not everything:
        raise click.UsageError(
            f"name a POLICY or POLICY@NODE, or --all; policies: {', '.join(city.backups) or 'none'}"
        )
    found: dict[str, Job] = {}
    for name in names or city.backups:
        policy, at, node = name.partition("@")
        _known_policy(city, policy)
        nodes = job_nodes(city, city.backups[policy])
        if at and node not in nodes:
            raise click.UsageError(f"{policy} does not run on {node}, but on {', '.join(nodes) or 'no node'}")
        for one in [node] if at else nodes:
            found[f"{policy}@{one}"] = Job(policy, one)
    if not found:
        fail(verb, f"no policy of {', '.join(names) or 'the city'} runs on a node")
    return list(found.values())


def _known_policy(city: City, policy: str) -> None:
    if policy not in city.backups:
        raise click.UsageError(
            f"no policy {policy} in backups.toml; there are: {', '.join(city.backups) or 'none'}"
        )


def _follow(jobs: Sequence[Job], command: Sequence[str], quiet: bool, verb: str) -> list[Outcome]:
    shell = acting_shell(reachable(verb))

    def say(job: str, line: str) -> None:
        click.echo(f"{job}: {line}", err=True)

    def nothing(job: str, line: str) -> None:
        pass

    try:
        return asyncio.run(run_jobs(jobs, shell, nothing if quiet else say, command))
    except KeyboardInterrupt:
        names = ", ".join(job.name for job in jobs)
        fail(verb, f"no longer watching {names}: what was begun goes on; see: jizuo backup status")


def _print_json(outcomes: Sequence[Outcome]) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(outcomes)).decode())


def _print_outcome(outcome: Outcome) -> None:
    word = click.style(outcome.result, fg=_COLOURS[outcome.result])
    told, state = f"{outcome.job}: {word}", outcome.state
    if outcome.result == "success" and state and state.backup:
        told += f": snapshot {state.backup.snapshot[:8]} of {state.backup.files} files"
        copies = [node for node, known in state.repositories.items() if known.role == "copy"]
        told += f", copied to {', '.join(copies)}" if copies else ""
    elif outcome.error:
        told += f": {outcome.error}"
    click.echo(told)


def _worst(outcomes: Sequence[Outcome]) -> int:
    results = {outcome.result for outcome in outcomes}
    return 1 if results & {"failure", "unknown"} else 2 if "partial" in results else 0


def reachable(verb: str) -> Path:
    """The state folder, with which hosts are reached; ends the command where there is none."""
    state = state_folder()
    if not (state / "ssh_config").exists():
        fail(
            verb,
            f"{state}/ssh_config is not there, so no host can be reached; start the lab (jizuo lab up), or set "
            "JIZUO_STATE to the folder that holds ssh_config and keys",
        )
    return state


def acting_shell(state: Path) -> SecureShell:
    """How hosts are reached to act on them: as the account that ssh_config names, which deploys."""
    return SecureShell(config=state / "ssh_config")


@contextmanager
def spinner(text: str, quiet: bool) -> Iterator[None]:
    """A line that moves on a terminal; nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield
    else:
        with Console(stderr=True).status(text):
            yield


def fail(verb: str, message: str) -> NoReturn:
    """End the command with one line and exit code 1."""
    click.echo(f"jizuo backup {verb}: {message}", err=True)
    sys.exit(1)
