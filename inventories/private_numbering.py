"""Which numbers have departments' private networks: the LANs of each, and the border's links into them?"""

from __future__ import annotations

from typing import NamedTuple

from netaddr import IPNetwork

from inventories.allocation import Ledger, Pool
from inventories.geometry import POOL, Span
from inventories.records import City, Level, NodeRole, PrivateNetwork, SiteRole


class PrivateLan(NamedTuple):
    """A private network's LAN at a site: its slot in the network, and its first address in each family."""

    site: str
    slot: int
    base6: int
    base4: int


def private_lan(network: str, site: str) -> str:
    """Answer what the LAN of a private network at a site is called among the LANs."""
    return f"{network}-{site}"


def crossing_link(network: str) -> str:
    """Answer what the border's link from the public routing table into a private network's is called."""
    return f"to-{network}"


def border_of(city: City) -> str:
    """Answer the border router, an empty string where the city has none."""
    return next(
        (
            node.id
            for node in city.nodes.values()
            if node.role == NodeRole.ROUTER
            and node.site in city.sites
            and city.sites[node.site].role == SiteRole.BORDER
        ),
        "",
    )


def _span(text: str, version: int) -> Span:
    network = IPNetwork(text, version=version)
    return Span(network.first, network.prefixlen, version)


def number_private_network(
    city: City, network: PrivateNetwork, border: str, ledger: Ledger
) -> list[PrivateLan]:
    """Give each site of a private network a part of the network's prefixes; the border has a slot too."""
    sites, nodes = city.sites, city.nodes
    span6, span4 = _span(network.ipv6, 6), _span(network.ipv4, 4)
    members = [
        nodes[link.b].site
        for link in city.links.values()
        if link.network == network.id and link.b in nodes and nodes[link.b].site in sites
    ]
    if border:
        members.append(nodes[border].site)
    rooms = min(span4.size >> (32 - network.lan4), span6.size >> (128 - POOL))
    slots = ledger.slots(
        Pool(
            f"{network.id}/site", 1, rooms, Level.CITY, city.layout.division,
            f"LANs of the private network {network.id} (/{network.lan4} of {network.ipv4})",
            "give the network a shorter prefix or longer LANs, which renumbers it",
        ),
        list(dict.fromkeys(members)),
    )  # fmt: skip
    # The file may hold slots of sites that are gone: only members count.
    return [
        PrivateLan(
            site,
            slots[site],
            span6.base + (slots[site] << (128 - POOL)),
            span4.base + (slots[site] << (32 - network.lan4)),
        )
        for site in dict.fromkeys(members)
    ]
