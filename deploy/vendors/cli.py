"""`jizuo router`: show, compare and push the configuration of routers that are not Linux."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from rich.table import Table

from deploy.cli import alone, ready_state
from deploy.extranet.passwords import session_password
from deploy.pyinfra_inventory import deployed_city
from deploy.secrets import SecretStore, StateError, state_folder
from deploy.vendors.configuration import NotRenderedError, omitted, router_configuration
from deploy.vendors.dialects import DIALECTS, Dialect
from deploy.vendors.dialogue import PATIENCE, DeviceError, target_of
from deploy.vendors.difference import masked
from deploy.vendors.ports import Ports, missing_rows, numbered_ports, read_ports
from deploy.vendors.seals import seals_file
from deploy.vendors.transaction import Outcome, Request, pending
from inventories.allocation import PlanError
from inventories.cli import exit_with
from inventories.hosts import HostData, host_data
from inventories.plan import build_plan
from inventories.problems import InventoryError
from inventories.records import City
from inventories.topology import RoutedNode


class RouterGroup(click.Group):
    """Turns what is wrong with the inventory or the state folder into clear lines and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except InventoryError as error:
            exit_with(error.problems)
        except (PlanError, StateError, NotRenderedError) as error:
            click.echo(f"jizuo router: {error}", err=True)
            context.exit(1)


_PATH = click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
_NODES = click.argument("nodes", nargs=-1, metavar="[NODE]...")
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")
_PATIENCE = click.option(
    "--patience",
    type=click.FloatRange(min=1, max=600),
    default=PATIENCE,
    show_default=True,
    help="Seconds of silence after which a device is given up.",
)


@click.group(
    cls=RouterGroup,
    epilog="""\b
Examples:
  jizuo router show my-city yuanzhou
  jizuo router show inventories/lab yuanzhou --dialect vrp
  jizuo router diff my-city
  jizuo router push my-city yuanzhou --dry
  jizuo router push my-city

\b
A router of nodes.csv whose os_family is vrp (Huawei) or comware
(H3C) is configured here; jizuo deploy configures the others. Which
cable is in which port stands in PATH/vendor-ports.csv.""",
)
def router() -> None:
    """Show, compare and push routers that are not Linux."""


class Fleet:
    """The routers of a city, and what their configuration is made of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.city: City = deployed_city(path)
        self.data = host_data(self.city, build_plan(self.city))
        self.ports = read_ports(path, self.data)

    def routing(self, node: str) -> RoutedNode:
        """A router's view of the extranet.

        Raises:
            click.UsageError: the node is no router of this city.
        """
        data = self.data.get(node)
        if data is None or data.routing is None or not data.routing.forwards:
            routers = [name for name, host in self.data.items() if host.routing and host.routing.forwards]
            near = difflib.get_close_matches(node, routers, n=1)
            hint = f"did you mean {near[0]}?" if near else "jizuo inventory show lists them"
            raise click.UsageError(f"no router {node} in {self.path}; {hint}")
        return data.routing

    def dialect(self, node: str) -> Dialect | None:
        """The vendor's language of a router, None where it is Linux."""
        return DIALECTS.get(self.city.nodes[node].os_family)

    def chosen(self, nodes: Iterable[str]) -> list[str]:
        """The named routers, or all that are not Linux.

        Raises:
            click.UsageError: a named one is no router, or is Linux.
        """
        for node in nodes:
            self.routing(node)
            if self.dialect(node) is None:
                raise click.UsageError(
                    f"{node} is Linux ({self.city.nodes[node].os_family}); use jizuo deploy --limit {node}, "
                    "or write vrp or comware as its os_family in nodes.csv"
                )
        return list(nodes) or [node for node in self.city.nodes if self.dialect(node) is not None]

    def configuration(self, node: str, passwords: dict[str, str], ports: Ports, dialect: Dialect) -> str:
        return router_configuration(self.routing(node), self.data[node], passwords, ports, dialect)


@router.command(
    epilog="""\b
Examples:
  jizuo router show my-city yuanzhou
  jizuo router show inventories/lab cihua --dialect comware
  jizuo router show my-city yuanzhou --secrets > yuanzhou.cfg"""
)
@_PATH
@click.argument("node")
@click.option(
    "--dialect",
    "as_dialect",
    type=click.Choice([family.value for family in DIALECTS]),
    help="The language of a router that is Linux now, to see what it would be.",
)
@click.option("--secrets", "with_secrets", is_flag=True, help="Print the sessions' passwords as well.")
def show(path: Path, node: str, as_dialect: str | None, with_secrets: bool) -> None:
    """Print the whole configuration of the router NODE."""
    fleet = Fleet(path)
    routing = fleet.routing(node)
    dialect = next((d for d in DIALECTS.values() if d.family.value == as_dialect), fleet.dialect(node))
    if dialect is None:
        raise click.UsageError(
            f"{node} is Linux; say --dialect vrp or --dialect comware to see what it would be"
        )
    passwords = {neighbor.link: "-" for neighbor in routing.neighbors}
    if with_secrets:
        passwords = _passwords(routing)
    ports = fleet.ports.get(node, {})
    numbered = numbered_ports(fleet.data[node], dialect)
    missing = [name for name in numbered if name not in ports]
    text = fleet.configuration(node, passwords, {**numbered, **ports}, dialect)
    click.echo(text if with_secrets else "\n".join(map(masked, text.splitlines())))
    if missing:
        _warn(f"{node}: vendor-ports.csv has no port for {', '.join(missing)}; they are numbered here")
    _warn_omitted(node, fleet.data[node])


def _passwords(routing: RoutedNode) -> dict[str, str]:
    store = SecretStore(state_folder() / "secrets")
    return {neighbor.link: session_password(store, neighbor.link) for neighbor in routing.neighbors}


def _warn(message: str) -> None:
    click.echo(f"jizuo router: {message}", err=True)


def _warn_omitted(node: str, data: HostData) -> None:
    if networks := omitted(data):
        _warn(f"{node}: private networks are rendered for Linux only; without {', '.join(networks)}")


def requests_for(fleet: Fleet, nodes: list[str], state: Path, patience: float) -> list[Request]:
    """A request a router; every router that the file of ports does not know is told at once."""
    problems = [
        problem
        for node in nodes
        for problem in missing_rows(node, fleet.data[node], fleet.ports.get(node, {}), fleet.path)
    ]
    if problems:
        raise InventoryError(problems)
    return [_request(fleet, node, state, patience) for node in nodes]


def _request(fleet: Fleet, node: str, state: Path, patience: float) -> Request:
    routing, ports, dialect = fleet.routing(node), fleet.ports[node], fleet.dialect(node)
    assert dialect is not None  # noqa: S101 - only routers that are not Linux come here
    passwords = _passwords(routing)
    target = target_of(node, fleet.data[node].management["ipv4"], state)  # type: ignore[index]
    return Request(
        node=node,
        dialect=dialect.family,
        address=target.address,
        port=target.port,
        user=target.user,
        key=str(target.key),
        known_hosts=str(target.known_hosts),
        wanted=fleet.configuration(node, passwords, ports, dialect),
        ports=tuple(ports.values()),
        passwords={
            address: passwords[neighbor.link]
            for neighbor in routing.neighbors
            for address in neighbor.remote.values()
        },
        seals=str(seals_file(state, node)),
        seen=(),
        patience=patience,
    )


class Compared(msgspec.Struct, kw_only=True):
    """What a router's running configuration lacks, or why that could not be seen."""

    node: str
    lines: tuple[str, ...] = ()
    problem: str = ""


def _compare(requests: list[Request]) -> list[Compared]:
    def one(request: Request) -> Compared:
        try:
            return Compared(node=request.node, lines=pending(request).shown)
        except DeviceError as error:
            return Compared(node=request.node, problem=str(error))

    with ThreadPoolExecutor(max_workers=10) as pool:
        return list(pool.map(one, requests))


@router.command(
    epilog="""\b
Examples:
  jizuo router diff my-city
  jizuo router diff my-city yuanzhou fengcheng --json

\b
Exit codes: 0 no difference, 1 a router could not be read,
2 changes are pending."""
)
@_PATH
@_NODES
@_PATIENCE
@_JSON
def diff(path: Path, nodes: tuple[str, ...], patience: float, as_json: bool) -> None:
    """Show what each router lacks of its configuration.

    The candidate difference against what it runs, in the lines that would be sent.
    """
    fleet, requests, _ = _prepare(path, nodes, patience)
    compared = _compare(requests)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(compared)).decode())
    else:
        _print_differences(fleet, compared)
    sys.exit(_exit_code(compared))


def _prepare(path: Path, nodes: tuple[str, ...], patience: float) -> tuple[Fleet, list[Request], Path]:
    fleet = Fleet(path)
    chosen = fleet.chosen(nodes)
    if not chosen:
        _end(f"every router of {path} is Linux (no os_family vrp or comware in nodes.csv): nothing to do", 0)
    state = ready_state()
    for node in chosen:
        _warn_omitted(node, fleet.data[node])
    return fleet, requests_for(fleet, chosen, state, patience), state


def _end(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


def _exit_code(compared: list[Compared]) -> int:
    if any(one.problem for one in compared):
        return 1
    return 2 if any(one.lines for one in compared) else 0


def _print_differences(fleet: Fleet, compared: list[Compared]) -> None:
    for one in compared:
        dialect = fleet.dialect(one.node)
        title = f"{one.node} ({dialect.title if dialect else ''})"
        if one.problem:
            click.echo(f"{title}: {one.problem}", err=True)
        elif one.lines:
            click.echo(f"{title}: {len(one.lines)} lines to send")
            click.echo("\n".join(f"  {line}" for line in one.lines))
        else:
            click.echo(f"{title}: no difference")


@router.command(
    epilog="""\b
Examples:
  jizuo router push my-city --dry
  jizuo router push my-city yuanzhou
  jizuo router push my-city --yes --json

\b
Exit codes: 0 nothing to change or all done, 1 failed or not
confirmed, 2 with --dry: changes are pending."""
)
@_PATH
@_NODES
@click.option("--dry", is_flag=True, help="Show what would be sent and send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_PATIENCE
@_JSON
def push(path: Path, nodes: tuple[str, ...], dry: bool, yes: bool, patience: float, as_json: bool) -> None:
    """Bring the routers to their configuration, whole or not at all.

    Shows the difference, asks, sends, and reads back. A router that refuses a line, asks something unforeseen, hangs
    up or is silent keeps what it ran before.
    """
    fleet, requests, state = _prepare(path, nodes, patience)
    with alone(state):
        compared = _compare(requests)
        if not as_json:
            _print_differences(fleet, compared)
        todo = [
            msgspec.structs.replace(request, seen=one.lines)
            for request, one in zip(requests, compared, strict=True)
            if one.lines
        ]
        code = _exit_code(compared)
        if dry or not todo:
            if as_json:
                click.echo(msgspec.json.format(msgspec.json.encode(compared)).decode())
            sys.exit(code)
        _ask(todo, yes=yes)
        outcomes = _play(fleet, todo, state, quiet=as_json)
    outcomes = _in_order(compared, outcomes)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(outcomes)).decode())
    else:
        print_outcomes(outcomes)
    sys.exit(1 if any(outcome.state == "failed" for outcome in outcomes) else 0)


def _ask(todo: list[Request], *, yes: bool) -> None:
    if yes:
        return
    names = ", ".join(request.node for request in todo)
    if not sys.stdin.isatty():
        raise click.ClickException("nobody can be asked here; say --yes to push, or --dry to only look")
    click.confirm(f"Send this to {names}?", abort=True, err=True)


def _play(fleet: Fleet, todo: list[Request], state: Path, *, quiet: bool) -> list[Outcome]:
    # ansible-runner is slow to import, and only a push needs it.
    from deploy.vendors.playing import play

    zone = ZoneInfo(fleet.city.layout.time_zone)
    ident = datetime.now(zone).strftime("%Y%m%d-%H%M%S-%f")

    def report(outcome: Outcome) -> None:
        if not quiet:
            click.echo(f"{outcome.node}: {outcome.state}", err=True)

    return play(todo, state / "routers" / "artifacts", ident, report)


def _in_order(compared: list[Compared], outcomes: list[Outcome]) -> list[Outcome]:
    """An outcome for every router that was asked for: pushed to, without difference, or not to be read."""
    pushed = {outcome.node: outcome for outcome in outcomes}
    return [
        pushed.get(one.node)
        or Outcome(node=one.node, state="failed" if one.problem else "unchanged", problem=one.problem)
        for one in compared
    ]


def print_outcomes(outcomes: list[Outcome]) -> None:
    """A table by router, then what failed and how the router stands now."""
    console = Console()
    table = Table("router", "state", "lines sent")
    for outcome in outcomes:
        colour = "red" if outcome.state == "failed" else "green"
        table.add_row(outcome.node, f"[{colour}]{outcome.state}[/]", str(outcome.sent))
    console.print(table)
    for outcome in outcomes:
        for text in (outcome.problem, outcome.afterwards, outcome.note):
            if text:
                console.print(f"{outcome.node}: {text}", markup=False, highlight=False, soft_wrap=True)
        for line in outcome.left:
            console.print(
                f"{outcome.node}: still differs: {line}", markup=False, highlight=False, soft_wrap=True
            )
