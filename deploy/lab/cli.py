"""`jizuo lab`: boot the inventory's hosts on this machine, look at them, break them, remove them."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from deploy.lab import host as machine
from deploy.lab import lab as labs
from deploy.lab import network
from deploy.lab.run import LabError
from inventories.allocation import PlanError
from inventories.problems import InventoryError
from inventories.records import Management

DEFAULT_INVENTORY = Path(__file__).resolve().parents[2] / "inventories" / "lab"
NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?$")


class LabGroup(click.Group):
    """Turns what went wrong into one clear line and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (LabError, InventoryError, PlanError) as error:
            click.echo(f"jizuo lab: {error}", err=True)
            context.exit(1)


def check_name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not NAME.match(value):
        raise click.BadParameter("at most 16 of a-z, 0-9 and -, beginning and ending with a letter or digit")
    return value


name_option = click.option(
    "--name",
    default="lab",
    show_default=True,
    envvar="JIZUO_LAB",
    callback=check_name,
    help="Which lab; several can be up side by side.",
)


@click.group(
    cls=LabGroup,
    epilog="""\b
Examples:
  sudo jizuo lab up
  sudo jizuo lab exec cloud-1 -- ip -6 route
  sudo jizuo lab cut yz-a          # the county's uplink in plane A
  sudo jizuo lab heal yz-a
  sudo jizuo lab up --name second \\
      --management 198.19.241.0/24,2001:db8:ff00:1::/64
  sudo jizuo lab down""",
)
def lab() -> None:
    """Boot the inventory's hosts on this machine (systemd-nspawn), one network interface a link."""


def parse_management(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> Management | None:
    if value is None:
        return None
    ipv4, comma, ipv6 = value.partition(",")
    if not comma:
        raise click.BadParameter("give both families: IPV4/LENGTH,IPV6/LENGTH")
    return Management(ipv4=ipv4.strip(), ipv6=ipv6.strip())


@lab.command(
    epilog="""\b
Examples:
  sudo jizuo lab up
  sudo jizuo lab up --inventory inventories/lab --quiet
  sudo jizuo lab up --name second \\
      --management 198.19.241.0/24,2001:db8:ff00:1::/64"""
)
@name_option
@click.option(
    "--inventory",
    type=click.Path(path_type=Path),
    default=DEFAULT_INVENTORY,
    help="Which city to boot.  [default: inventories/lab]",
)
@click.option(
    "--management", callback=parse_management, help="Management prefixes, IPV4,IPV6, in place of the city's."
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing unless something is wrong.")
def up(name: str, inventory: Path, management: Management | None, quiet: bool) -> None:
    """Boot every host and wait until each answers SSH over IPv4 and IPv6."""
    began = time.monotonic()

    def say(text: str) -> None:
        if not quiet:
            click.echo(f"{time.monotonic() - began:6.1f} s  {text}", err=True)

    here = labs.up(name, inventory, management, say)
    if not quiet:
        count = len(here.record.hosts)
        hosts = f"{count} host{'' if count == 1 else 's'}"
        click.echo(
            f"lab {name}: {hosts} up in {here.record.boot_seconds:.1f} s; "
            f"ssh -F {here.places.ssh_config} HOST"
        )


@lab.command(
    epilog="""\b
Examples:
  sudo jizuo lab down
  sudo jizuo lab down --name second"""
)
@name_option
def down(name: str) -> None:
    """Remove the lab: processes, namespaces, interfaces, files. Also after a run that died."""
    labs.down(name)


@lab.command(
    epilog="""\b
Examples:
  sudo jizuo lab status
  sudo jizuo lab status --json | jq .links"""
)
@name_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(name: str, as_json: bool) -> None:
    """Show each host and each link, and whether it is up. Exit 2 when something is down."""
    here = labs.open_lab(name)
    pids = {node: machine.pid_of(here.places, node) for node in here.city.nodes}
    links = network.link_states(here.places, here.city.links)
    well = all(pids.values()) and all(state == "up" for state in links.values())
    if as_json:
        hosts = {
            node: {
                "running": pids[node] is not None,
                "pid": pids[node],
                "management": here.record.hosts[node],
            }
            for node in here.city.nodes
        }
        click.echo(
            msgspec.json.format(msgspec.json.encode({"lab": name, "hosts": hosts, "links": links})).decode()
        )
        sys.exit(0 if well else 2)
    console = Console()
    table = Table("host", "state", "management", "links", title=f"lab {name}", title_justify="left")
    for node in here.city.nodes:
        wires = [
            link.id if links[link.id] == "up" else f"[red]{link.id} ({links[link.id]})[/]"
            for link in here.city.links.values()
            if node in (link.a, link.b)
        ]
        state = "[green]up[/]" if pids[node] else "[red]down[/]"
        table.add_row(node, state, "\n".join(here.record.hosts[node]), " ".join(wires))
    console.print(table)
    sys.exit(0 if well else 2)


@lab.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  sudo jizuo lab ssh cloud-1
  sudo jizuo lab ssh cloud-1 systemctl --failed""",
)
@name_option
@click.argument("host")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def ssh(name: str, host: str, arguments: tuple[str, ...]) -> None:
    """Open SSH to a host, as the account that deploys."""
    here = labs.open_lab(name)
    command = ["ssh", "-F", str(here.places.ssh_config), here.host(host), *arguments]
    os.execvp("ssh", command)  # noqa: S606 - the terminal belongs to ssh from here on


@lab.command(
    "exec",
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  sudo jizuo lab exec cloud-1 -- ip -6 route
  sudo jizuo lab exec core-a -- vtysh -c 'show bgp summary'""",
)
@name_option
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, host: str, command: tuple[str, ...]) -> None:
    """Run a command on a host as root, not over the network: works when the host is cut off."""
    here = labs.open_lab(name)
    arguments = labs.enter(here, here.host(host))
    os.execvp(arguments[0], [*arguments, *command])  # noqa: S606 - the terminal belongs to the command


@lab.command(
    epilog="""\b
Examples:
  sudo jizuo lab cut yz-a
  sudo jizuo lab cut yz-a --name second"""
)
@name_option
@click.argument("link")
def cut(name: str, link: str) -> None:
    """Take a link down: both its ends lose the carrier."""
    here = labs.open_lab(name)
    network.set_link(here.places, here.link(link), up=False)


@lab.command(
    epilog="""\b
Examples:
  sudo jizuo lab heal yz-a"""
)
@name_option
@click.argument("link")
def heal(name: str, link: str) -> None:
    """Raise a link that was cut."""
    here = labs.open_lab(name)
    network.set_link(here.places, here.link(link), up=True)


@lab.command(
    epilog="""\b
Examples:
  sudo jizuo lab kill cloud-1"""
)
@name_option
@click.argument("host")
def kill(name: str, host: str) -> None:
    """Cut a host's power: no shutdown, its links lose their carrier."""
    labs.kill(labs.open_lab(name), host)


@lab.command(
    epilog="""\b
Examples:
  sudo jizuo lab start cloud-1"""
)
@name_option
@click.argument("host")
def start(name: str, host: str) -> None:
    """Boot a host that was killed, and wait for SSH."""
    labs.start(labs.open_lab(name), host)


@lab.command(
    epilog="""\b
Examples:
  sudo jizuo lab replace ops-1
  sudo jizuo lab replace ops-1 --back"""
)
@name_option
@click.option("--back", is_flag=True, help="End it: the host's own disk comes back.")
@click.argument("host")
def replace(name: str, back: bool, host: str) -> None:
    """Put a new, empty machine in a host's place; its disk is set aside."""
    here = labs.open_lab(name)
    if not back:
        labs.replace(here, host)
    elif not labs.put_back(here, host):
        click.echo(f"{host} was not replaced: nothing to put back", err=True)
