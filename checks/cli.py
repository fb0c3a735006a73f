"""The command `jizuo check`: audit a city's availability, security, backups and extranet."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, NoReturn

import click
from msgspec import structs
from rich.console import Console

from checks import backup_databases, table
from checks.availability.city_names import names_of
from checks.availability.ipv6 import assess
from checks.availability.run import probe_all
from checks.availability.targets import EndpointError, targets_of
from checks.backup import elsewhere, elsewhere_databases, figures, repositories
from checks.backup.judging import evaluate as evaluate_backups
from checks.backup.places import backup_nodes
from checks.backup_state import states_of
from checks.extranet import run as extranet
from checks.record import Record, encode, exit_code, write_records
from checks.security import run as security
from checks.security.profile import Profile, ProfileError, load_profile
from checks.security.waivers import Waiver, WaiverError, load_waivers
from checks.ssh import management_of, shell_of, state_folder
from checks.vantage import VantageError, assess_from, default_vantage, probe_from
from inventories.allocation import PlanError
from inventories.cli import load_or_exit
from inventories.hosts import linux_nodes
from inventories.plan import build_plan
from inventories.records import City

AVAILABILITY, SECURITY, BACKUP, EXTRANET = KINDS = ("availability", "security", "backup", "extranet")
#: Asked for by name alone: it measures delays for minutes, and says how ready systems are, not whether they work.
IPV6 = "ipv6"
#: Seconds for a host from which others are probed, should all of them be silent.
_PROBING = 300.0
#: `--from`: probe from the machine that the command runs on.
LOCAL = "local"


class _Task(NamedTuple):
    """What one run of the command does."""

    city: City
    kinds: Sequence[str]
    vantage: str
    state: Path
    profile: Profile
    waivers: Sequence[Waiver]


@click.command(
    epilog="""\b
Examples:
  jizuo check inventories/lab
  jizuo check inventories/lab availability --format json
  jizuo check inventories/lab availability --from cloud-1
  jizuo check inventories/lab extranet
  jizuo check inventories/lab ipv6
  jizuo check inventories/yichun availability --from local
  jizuo check /etc/jizuo/inventory security --out /var/lib/jizuo/records

\b
Exit codes: 0 all well, 2 findings, 1 something could not be checked. What a
person has to judge (manual) is no finding and no pass: it is counted, listed.

\b
Hosts are reached with the ssh_config in the folder that JIZUO_STATE names,
else the lab's. waivers.toml and security-profile.toml in PATH waive findings
and override the profile."""
)
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("kind", type=click.Choice((*KINDS, IPV6)), required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", "json")),
    default="table",
    show_default=True,
    help="What to print.",
)
@click.option(
    "--from",
    "vantage",
    metavar="NODE",
    help="Where availability is probed from: a node, or 'local'.  [default: the first operations node "
    "where there is an ssh_config to reach it with, else local]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the records into DIR too, a file a kind: availability.json, and so on.",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
def check(
    path: Path, kind: str | None, form: str, vantage: str | None, out: Path | None, quiet: bool
) -> None:
    """Audit the city in folder PATH: its availability, security, backups and extranet, or one kind.

    \b
    availability  every node and endpoint answers, in both families
    security      the controls of GB/T 22239-2019 level 3, on every host
    backup        every backup is fresh, copied and verified
    extranet      sessions, routes, planes and who reaches whom are as planned
    ipv6          systems' readiness for IPv6 as assessors measure it; only
                  when asked for
    """
    task = _prepare(path, kind, vantage)
    with _progress(f"checking {', '.join(task.kinds)}", quiet):
        results, problems = asyncio.run(_run(task))
    try:
        if out is not None:
            for name, records in results.items():
                write_records(out / f"{name}.json", records)
    except OSError as error:
        problems.append(f"{error.filename or out}: {error.strerror}; the records were not written")
    everything = [record for records in results.values() for record in records]
    if form == "json":
        sys.stdout.write(encode(everything).decode())
    else:
        _print(results)
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1 if problems else exit_code(everything))


def _prepare(path: Path, kind: str | None, vantage: str | None) -> _Task:
    """Everything that can be wrong before a host is touched."""
    city = load_or_exit(path)
    try:
        profile, waivers = load_profile(path), load_waivers(path)
    except (ProfileError, WaiverError) as error:
        _fail(str(error))
    state = state_folder()
    kinds = (kind,) if kind else KINDS
    can_reach = (state / "ssh_config").exists()
    if vantage not in (None, LOCAL) and vantage not in city.nodes:
        _fail(f"--from {vantage}: no such node in {path}/nodes.csv; name one of them, or {LOCAL}")
    chosen = vantage or (default_vantage(city) if can_reach else None) or LOCAL
    if not can_reach and (kinds not in ((AVAILABILITY,), (IPV6,)) or chosen != LOCAL):
        _fail(
            f"{state}/ssh_config is not there, so no host can be reached; start the lab (jizuo lab up), or set "
            "JIZUO_STATE to the folder that holds ssh_config and ssh/audit"
        )
    if management := management_of(state):
        city = structs.replace(city, layout=structs.replace(city.layout, management=management))
    return _Task(city, kinds, chosen, state, profile, waivers)


async def _run(task: _Task) -> tuple[dict[str, list[Record]], list[str]]:
    """The records of each kind, and what could not be checked as a whole."""
    jobs: list[Coroutine[None, None, dict[str, list[Record]]]] = []
    if AVAILABILITY in task.kinds:
        jobs.append(_availability(task))
    if IPV6 in task.kinds:
        jobs.append(_ipv6(task))
    if {SECURITY, BACKUP, EXTRANET} & set(task.kinds):
        jobs.append(_hosts(task))
    results: dict[str, list[Record]] = {}
    problems = []
    for found in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(found, VantageError | EndpointError | PlanError | OSError):
            problems.append(str(found))
        elif isinstance(found, BaseException):
            raise found
        else:
            results.update(found)
    problems += [
        f"{name}: the inventory has nothing to check" for name, found in results.items() if not found
    ]
    return {kind: results[kind] for kind in (*KINDS, IPV6) if kind in results}, problems


async def _availability(task: _Task) -> dict[str, list[Record]]:
    targets = targets_of(task.city, build_plan(task.city))
    if task.vantage == LOCAL:
        return {AVAILABILITY: await probe_all(targets)}
    return {AVAILABILITY: await probe_from(task.vantage, shell_of(task.state), targets)}


async def _ipv6(task: _Task) -> dict[str, list[Record]]:
    if task.vantage == LOCAL:
        plan = build_plan(task.city)
        return {IPV6: await assess(targets_of(task.city, plan), names=names_of(task.city, plan))}
    return {IPV6: await assess_from(task.vantage, shell_of(task.state))}


async def _hosts(task: _Task) -> dict[str, list[Record]]:
    """Security, backups and the extranet from one round trip a host."""
    asked: dict[str, list[str]] = {}
    if SECURITY in task.kinds:
        asked = {node: ["security\n"] for node in linux_nodes(task.city)}
    elif BACKUP in task.kinds:
        asked = {node: ["backup\n"] for node in backup_nodes(task.city)}
    planned = extranet.expectation(task.city) if EXTRANET in task.kinds else None
    if planned is not None:
        for node, request in planned.requests().items():
            asked.setdefault(node, []).append(request)
    requests = {node: "".join(parts) for node, parts in asked.items()}
    shell = shell_of(task.state, "audit")
    if planned is not None:
        shell = structs.replace(shell, timeout=_PROBING)
    captures = await security.collect(requests, shell, requests=requests)
    results = {}
    if SECURITY in task.kinds:
        results[SECURITY] = security.evaluate(task.city, captures, profile=task.profile, waivers=task.waivers)
    if BACKUP in task.kinds:
        now = datetime.now().astimezone()
        states = states_of(captures)
        results[BACKUP] = evaluate_backups(task.city, states, now)
        results[BACKUP] += figures.evaluate(task.city, states, now)
        results[BACKUP] += repositories.evaluate(task.city, states, repositories.held_of(captures), now)
        proofs = elsewhere.proofs_of(task.city, captures)
        results[BACKUP] += elsewhere.evaluate(task.city, proofs, now)
        results[BACKUP] += backup_databases.evaluate(task.city, backup_databases.contents_of(captures), now)
        results[BACKUP] += elsewhere_databases.evaluate(task.city, proofs, now)
    if planned is not None:
        results[EXTRANET] = extranet.evaluate(planned, captures)
    return results


def _print(results: dict[str, list[Record]]) -> None:
    to = table.console()
    for place, (name, records) in enumerate(results.items()):
        if place:
            to.print()
        table.print_records(name, records, to)


@contextmanager
def _progress(text: str, quiet: bool) -> Iterator[None]:
    """A line that moves on a terminal; nothing elsewhere, for records go to programs."""
    if quiet or not sys.stderr.isatty():
        yield
    else:
        with Console(stderr=True).status(text):
            yield


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(1)
