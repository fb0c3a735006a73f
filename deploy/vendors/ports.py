"""Into which port of a vendor's router does each link go? The file `vendor-ports.csv`; nothing is guessed.

A Linux router calls its interfaces as the links are called. A vendor's router has names of its own, such as
GigabitEthernet0/1/3, and which cable is in which port is known to whoever put it there. `show` numbers the ports of
a router that has no rows yet, so that one sees what is coming; a difference or a push asks for the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from deploy.vendors.dialects import Dialect
from inventories.hosts import MANAGEMENT_INTERFACE, HostData, InterfaceKind
from inventories.problems import InventoryError, Problem, Suggestions
from inventories.read_rows import read_rows
from inventories.records import HostName, InterfaceName, Record

FILE = "vendor-ports.csv"

#: A port's name as both vendors write it: type and number, without a space.
PortName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9/.:-]{0,46}\Z")]


class RouterPort(Record, frozen=True):
    """A row of the file: the port of a node that an interface of the plan is.

    `interface` is a link's id, `lan0` for the site's LAN or `mgmt0` for the management port.
    """

    node: HostName
    interface: InterfaceName
    port: PortName


#: Interface of the plan -> the router's port.
Ports = Mapping[str, str]


def interfaces_of(data: HostData) -> tuple[str, ...]:
    """The interfaces of a router that are ports: its links, its LAN, its management port."""
    kinds = (InterfaceKind.LINK, InterfaceKind.LAN)
    return (
        *(interface.name for interface in data.interfaces if interface.kind in kinds),
        MANAGEMENT_INTERFACE,
    )


def numbered_ports(data: HostData, dialect: Dialect) -> Ports:
    """Ports in the order of the links: an example to look at, not a router to push to."""
    names = [name for name in interfaces_of(data) if name != MANAGEMENT_INTERFACE]
    ports = {
        name: dialect.example_port.format(number) for number, name in enumerate(names, dialect.first_port)
    }
    return {**ports, MANAGEMENT_INTERFACE: dialect.example_management_port}


def read_ports(folder: Path, hosts: Mapping[str, HostData]) -> dict[str, dict[str, str]]:
    """The ports of every router that has rows in the folder's file, by node.

    Raises:
        InventoryError: a row is wrong, names no router or interface of the plan, or two cables share a port.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    source, problems = read_rows(path, RouterPort, "node", "interface")
    suggestions = Suggestions()
    found: dict[str, dict[str, str]] = {}

    def report(key: str, field: str, what: str, fix: str) -> None:
        problems.append(Problem(str(path), *source.locate(key, field, None), what, fix))

    for key, row in source.records.items():
        taken = found.setdefault(row.node, {})
        if row.node not in hosts or hosts[row.node].routing is None:
            fix = suggestions.fix(row.node, hosts, "write the id of a router of nodes.csv")
            report(key, "node", f"node is {row.node!r}, no router of this city", fix)
        elif row.interface not in interfaces_of(hosts[row.node]):
            fix = suggestions.fix(row.interface, interfaces_of(hosts[row.node]), "remove the row")
            report(key, "interface", f"{row.node} has no interface {row.interface!r}", fix)
        elif row.port in taken.values():
            report(key, "port", f"two interfaces of {row.node} have the port {row.port}", "give each its own")
        taken[row.interface] = row.port
    if problems:
        raise InventoryError(sorted(problems))
    return found


def missing_rows(node: str, data: HostData, ports: Ports, folder: Path) -> list[Problem]:
    """What the file lacks of a router that shall be configured: a row an interface."""
    return [
        Problem(
            str(folder / FILE),
            1,
            1,
            f"no port for {name} of {node}",
            f"add the row {node},{name},PORT below the header node,interface,port",
        )
        for name in interfaces_of(data)
        if name not in ports
    ]
