"""What is the whole configuration of a router that is not Linux? Pure: topology and data in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from netaddr import IPNetwork

from deploy.here import render
from deploy.vendors.dialects import Dialect
from deploy.vendors.filters import LAN, LINK, MANAGEMENT, SSH, filters
from deploy.vendors.policies import PATIENCE, policy_of
from deploy.vendors.ports import Ports
from inventories.hosts import MANAGEMENT_INTERFACE, HostData, InterfaceKind
from inventories.records import Family, SiteRole
from inventories.topology import RoutedNode

TEMPLATES = Path(__file__).parent / "templates"

#: Intervals of BFD in milliseconds, as FRR's profile has them, and how many packets may be lost.
BFD_INTERVAL, BFD_MULTIPLIER = 200, 3
#: BGP's keepalive and hold time in seconds; BFD is faster, these are for a neighbour whose BFD is gone.
KEEPALIVE, HOLD = 3, 9
#: How many paths a route may take at once.
PATHS = 4


class NotRenderedError(Exception):
    """A router whose part in the network these languages are not rendered for; the message says which."""


class Port(NamedTuple):
    """An interface as the templates write it; addresses with prefix length."""

    name: str
    description: str
    ipv4: str
    ipv6: str
    filter: int
    bfd: bool = False


def router_configuration(
    node: RoutedNode, data: HostData, passwords: Mapping[str, str], ports: Ports, dialect: Dialect
) -> str:
    """The configuration of a router in a vendor's language.

    Args:
        node: the router's view of the extranet.
        data: its interfaces, and the prefixes that its filters speak of.
        passwords: of its BGP sessions, by link.
        ports: its port for each interface of the plan.
        dialect: the language.

    Raises:
        NotRenderedError: the router has a part that is rendered for Linux only.
    """
    if node.role is SiteRole.BORDER:
        raise NotRenderedError(
            f"{node.node} is the border: translation and the crossing of private networks are rendered for Linux "
            "only; let os_family be debian there"
        )
    return render(
        TEMPLATES / dialect.template,
        node=node,
        ports=_ports(node, data, ports),
        filters=filters(data),
        numbers={"ssh": SSH, "lan": LAN, "link": LINK, "management": MANAGEMENT},
        policies=tuple(policy_of(node, family) for family in Family),
        passwords=passwords,
        bfd={"interval": BFD_INTERVAL, "multiplier": BFD_MULTIPLIER},
        timers={"keepalive": KEEPALIVE, "hold": HOLD},
        patience=PATIENCE,
        paths=PATHS,
        address=lambda prefix: prefix.partition("/")[0],
        length=lambda prefix: int(prefix.rpartition("/")[2]),
        source4=_source4,
    )


def omitted(data: HostData) -> tuple[str, ...]:
    """What the plan has for this router and these languages are not rendered for: its private networks."""
    return tuple(dict.fromkeys(site.network for site in data.networks))


def _ports(node: RoutedNode, data: HostData, ports: Ports) -> list[Port]:
    described = {neighbor.link: f"{neighbor.node} over {neighbor.link}" for neighbor in node.neighbors}
    found = []
    for interface in data.interfaces:
        if interface.kind not in (InterfaceKind.LINK, InterfaceKind.LAN):
            continue
        is_link = interface.kind is InterfaceKind.LINK
        ipv4, ipv6 = interface.addresses
        found.append(
            Port(
                name=ports[interface.name],
                description=described[interface.name] if is_link else f"LAN of site {data.site}",
                ipv4=ipv4,
                ipv6=ipv6,
                filter=LINK if is_link else LAN,
                bfd=is_link,
            )
        )
    management = {
        family: f"{data.management[family]}/{IPNetwork(data.management_prefixes[family]).prefixlen}"
        for family in Family
    }
    found.append(
        Port(
            name=ports[MANAGEMENT_INTERFACE],
            description="management, out of band",
            ipv4=management[Family.IPV4],
            ipv6=management[Family.IPV6],
            filter=MANAGEMENT,
        )
    )
    return found


def _source4(prefix: str) -> str:
    """An IPv4 prefix as rules have it: the address and the bits that may differ (wildcard)."""
    network = IPNetwork(prefix)
    return f"{network.network} {network.hostmask if network.prefixlen < 32 else 0}"
