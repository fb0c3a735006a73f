"""Who is whose neighbour: every routed node's view of the extranet, derived from the links and the address plan.

The extranet runs eBGP hop by hop in the manner of RFC 7938, a private AS number (RFC 6996) a node: one
protocol for five levels and both families, a policy on every session, and a county that shows in the core
as one prefix a family. Yichun has some 3,000 routers; none of them carries more than the counties'
summaries, the city's own servers and what lies below itself.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from netaddr import IPNetwork

from inventories.plan import AddressPlan
from inventories.records import City, Family, Level, Link, LinkKind, Node, NodeRole, Plane


class Relation(StrEnum):
    """Where a neighbour stands, seen from the node itself."""

    UP = "up"
    DOWN = "down"
    PEER = "peer"
    SERVER = "server"  # below, but a host that forwards nothing


class Neighbor(msgspec.Struct, frozen=True, kw_only=True):
    """One routed link as one of its ends sees it; addresses are plain text, without prefix length."""

    link: str
    node: str
    asn: int
    relation: Relation
    plane: Plane
    local: dict[Family, str]
    remote: dict[Family, str]
    #: What the neighbour may announce: prefix and the longest length of a more specific one.
    accept: dict[Family, tuple[tuple[str, int], ...]]


class RoutedNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node that takes part in routing."""

    node: str
    asn: int
    level: Level
    forwards: bool
    own: dict[Family, str]
    #: What it announces of its own: loopback or service address, and the LAN of its site.
    originate: dict[Family, tuple[str, ...]]
    #: The one summary it announces upwards (county-level routers only).
    aggregate: dict[Family, str]
    neighbors: tuple[Neighbor, ...]


class Topology(msgspec.Struct, frozen=True):
    """Every routed node of the city, and which access links hang on which router."""

    nodes: dict[str, RoutedNode]
    access: dict[str, tuple[Link, ...]]


def build_topology(city: City, plan: AddressPlan) -> Topology:
    """Derive the topology; pure, and linear in the number of links."""
    routed: dict[str, list[Link]] = {}
    access: dict[str, list[Link]] = {}
    for link in city.links.values():
        if link.kind is LinkKind.ACCESS:
            access.setdefault(link.a, []).append(link)
            continue
        routed.setdefault(link.a, []).append(link)
        routed.setdefault(link.b, []).append(link)
    nodes = {name: _routed_node(city, plan, city.nodes[name], links) for name, links in routed.items()}
    return Topology(nodes, {name: tuple(links) for name, links in access.items()})


def asn_of(city: City, plan: AddressPlan, node: str) -> int:
    """The node's private AS number: the city's first one plus the node's management slot."""
    first = IPNetwork(city.layout.management.ipv4).first
    return city.layout.asn + int(plan.management(node, Family.IPV4)) - int(first)


def _routed_node(city: City, plan: AddressPlan, node: Node, links: list[Link]) -> RoutedNode:
    site = city.sites[node.site]
    is_router = node.role is NodeRole.ROUTER
    originate: dict[Family, tuple[str, ...]] = {}
    aggregate: dict[Family, str] = {}
    for family in Family:
        own = _host_prefix(plan, node.id, family)
        originate[family] = (
            (own, str(plan.lan(site.id, family))) if is_router and site.level in _WITH_LAN else (own,)
        )
        if is_router and site.level is Level.COUNTY:
            aggregate[family] = str(plan.county_prefix(site.id, family))
    return RoutedNode(
        node=node.id,
        asn=asn_of(city, plan, node.id),
        level=site.level,
        forwards=is_router,
        own={family: str(plan.host(node.id, family)) for family in Family},
        originate=originate,
        aggregate=aggregate,
        neighbors=tuple(_neighbor(city, plan, node, link) for link in links),
    )


#: Levels whose routers are the gateway of a LAN; the core's are not.
_WITH_LAN = frozenset({Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE})


def _host_prefix(plan: AddressPlan, node: str, family: Family) -> str:
    return f"{plan.host(node, family)}/{32 if family is Family.IPV4 else 128}"


def _neighbor(city: City, plan: AddressPlan, node: Node, link: Link) -> Neighbor:
    other = city.nodes[link.b if link.a == node.id else link.a]
    if link.kind is LinkKind.CORE:
        relation = Relation.PEER
    elif link.b == node.id:
        relation = Relation.UP
    else:
        relation = Relation.SERVER if link.kind is LinkKind.SERVER else Relation.DOWN
    return Neighbor(
        link=link.id,
        node=other.id,
        asn=asn_of(city, plan, other.id),
        relation=relation,
        plane=link.plane,
        local={family: str(plan.link_address(link.id, node.id, family)) for family in Family},
        remote={family: str(plan.link_address(link.id, other.id, family)) for family in Family},
        accept={family: _acceptable(city, plan, other, relation, family) for family in Family},
    )


def _acceptable(
    city: City, plan: AddressPlan, other: Node, relation: Relation, family: Family
) -> tuple[tuple[str, int], ...]:
    """What a neighbour below may announce: nothing but what the plan gave it and what lies below it."""
    own = _host_prefix(plan, other.id, family)
    longest = 32 if family is Family.IPV4 else 128
    if relation is Relation.SERVER:
        return ((own, longest),)
    if relation is not Relation.DOWN:
        return ()
    site = city.sites[other.site]
    if site.level is Level.COUNTY:
        prefix = plan.county_prefix(site.id, family)
        return ((str(prefix), int(prefix.prefixlen)),)
    if site.level is Level.TOWNSHIP:
        county = plan.county_prefix(plan.owner(site.id), family)
        return ((str(county), longest),)
    lan = plan.lan(site.id, family)
    return ((own, longest), (str(lan), int(lan.prefixlen)))
