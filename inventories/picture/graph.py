"""Which nodes and links has the network, or one county of it, and what is known of each?"""

from __future__ import annotations

import msgspec

from inventories.plan import AddressPlan
from inventories.records import (
    ON_A_LAN,
    City,
    Family,
    Level,
    Link,
    LinkKind,
    NetworkZone,
    Node,
    NodeRole,
    Site,
    SiteRole,
)
from inventories.topology import asn_of
from inventories.tree import place_name


class GraphNode(msgspec.Struct, frozen=True, kw_only=True):
    """A router or host.

    Attributes:
        id: The node's id, as nodes.csv has it.
        name: Its name for people; the id where it has none.
        role: What it does: router, cloud, backup, offsite, operations, agent, client.
        site: The id of its site.
        site_role: What the site is for: province, core, border, access, cloud ...
        place: The name of the site's division.
        level: The site's level: province, city, county, township, village.
        plane: The site's plane: a, b, both.
        zone: `public`, `internet`, or the id of the private network that the host stands in.
        county: The county-level site above it, empty for the city's own nodes.
        township: The township-level site above it, empty where there is none.
        asn: Its AS number; 0 for hosts on a LAN, which take no part in routing.
        ipv4: Its address: a router's loopback, a host's on its LAN.
        ipv6: The same in IPv6.
    """

    id: str
    name: str
    role: str
    site: str
    site_role: str
    place: str
    level: str
    plane: str
    zone: str
    county: str
    township: str
    asn: int
    ipv4: str
    ipv6: str


class GraphLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link; `a` is the upper end.

    Attributes:
        id: The link's id, the interface's name at both ends.
        a: The node at the upper end.
        b: The node at the lower end.
        kind: core, uplink, server, access.
        plane: The plane that it is part of: a, b, both.
        zone: `public`, `internet`, or the id of the private network whose LAN it belongs to.
        ipv4: The routed link's prefix, or the LAN's for an access link.
        ipv6: The same in IPv6.
    """

    id: str
    a: str
    b: str
    kind: str
    plane: str
    zone: str
    ipv4: str
    ipv6: str


class GraphNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A department's private network: id, name, unit's name, VNI, prefixes, ids of the sites with a LAN of it."""

    id: str
    name: str
    unit: str
    vni: int
    ipv4: str
    ipv6: str
    sites: tuple[str, ...]


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The network, or a county of it with the routers above; everything is sorted by id."""

    city: str
    division: str
    county: str
    networks: tuple[GraphNetwork, ...]
    nodes: tuple[GraphNode, ...]
    links: tuple[GraphLink, ...]


def graph_of(city: City, plan: AddressPlan, county: str = "") -> Graph:
    """The whole network; with the id of a county-level site that county, its links up and their other ends."""
    links = [link for _, link in sorted(city.links.items())]
    names = set(city.nodes)
    if county:
        inside = {key for key, node in city.nodes.items() if above(city, node.site, Level.COUNTY) == county}
        links = [link for link in links if link.a in inside or link.b in inside]
        names = inside.union(*((link.a, link.b) for link in links))
    zones = zones_of(city)
    return Graph(
        city=city.layout.name,
        division=city.layout.division,
        county=county,
        networks=tuple(_network(city, key) for key in sorted(city.networks)),
        nodes=tuple(_node(city, plan, city.nodes[name], zones) for name in sorted(names)),
        links=tuple(_link(city, plan, link, zones) for link in links),
    )


def above(city: City, site_id: str, level: Level) -> str:
    """The id of the site of a level at or above a site; an empty string where there is none."""
    site = city.sites.get(site_id)
    while site is not None and site.level is not level:
        site = city.sites.get(site.parent)
    return site.id if site else ""


def zones_of(city: City) -> dict[str, str]:
    """The zone of every node that does not stand in the public one."""
    zones: dict[str, str] = {}
    for link in city.links.values():
        if link.network:
            zones[link.b] = link.network
    for node in city.nodes.values():
        if city.sites[node.site].role is SiteRole.BORDER and node.role is not NodeRole.ROUTER:
            zones[node.id] = NetworkZone.INTERNET
    return zones


def network_sites(city: City) -> dict[str, tuple[str, ...]]:
    """The sites where each private network has a LAN, in the order of the links."""
    sites: dict[str, dict[str, None]] = {key: {} for key in city.networks}
    for link in city.links.values():
        if link.network:
            sites[link.network][city.nodes[link.b].site] = None
    return {key: tuple(found) for key, found in sites.items()}


def _network(city: City, key: str) -> GraphNetwork:
    network = city.networks[key]
    unit = city.units.get(network.unit)
    return GraphNetwork(
        id=key,
        name=network.name or key,
        unit=unit.name if unit else network.unit,
        vni=network.vni,
        ipv4=network.ipv4,
        ipv6=network.ipv6,
        sites=tuple(sorted(network_sites(city)[key])),
    )


def _node(city: City, plan: AddressPlan, node: Node, zones: dict[str, str]) -> GraphNode:
    site: Site = city.sites[node.site]
    return GraphNode(
        id=node.id,
        name=node.name or node.id,
        role=node.role.value,
        site=site.id,
        site_role=site.role.value,
        place=place_name(city, site),
        level=site.level.value,
        plane=site.plane.value,
        zone=str(zones.get(node.id, NetworkZone.PUBLIC)),
        county=above(city, site.id, Level.COUNTY),
        township=above(city, site.id, Level.TOWNSHIP),
        asn=0 if node.role in ON_A_LAN else asn_of(city, plan, node.id),
        ipv4=str(plan.host(node.id, Family.IPV4)),
        ipv6=str(plan.host(node.id, Family.IPV6)),
    )


def _link(city: City, plan: AddressPlan, link: Link, zones: dict[str, str]) -> GraphLink:
    return GraphLink(
        id=link.id,
        a=link.a,
        b=link.b,
        kind=link.kind.value,
        plane=link.plane.value,
        zone=str(zones.get(link.b, NetworkZone.PUBLIC)),
        ipv4=link_prefix(city, plan, link, Family.IPV4),
        ipv6=link_prefix(city, plan, link, Family.IPV6),
    )


def link_prefix(city: City, plan: AddressPlan, link: Link, family: Family) -> str:
    """A routed link's own prefix; for an access link that of the LAN which it is part of."""
    if link.kind is not LinkKind.ACCESS:
        return str(plan.link_prefix(link.id, family))
    site = city.nodes[link.b].site
    if link.network:
        return str(plan.private_lan(link.network, site, family))
    if city.sites[site].role is SiteRole.BORDER and city.layout.internet is not None:
        internet = city.layout.internet
        return internet.ipv4 if family is Family.IPV4 else internet.ipv6
    return str(plan.lan(site, family))
