"""Who is whose neighbour: every routed node's view of the extranet, derived from the links and the address plan.

The extranet runs eBGP hop by hop in the manner of RFC 7938, a private AS number (RFC 6996) a node: one
protocol for five levels and both families, a policy on every session, and a county that shows in the core
as one prefix a family. Yichun has 13 county-level units, 219 townships and 2,794 villages: an IGP over 3,000
routers would have every village's flap recomputed in every other village (areas and levels summarise, but
nothing filters what a router says of itself), and an IGP a county would be a second protocol beside the BGP
that the province and the policies need anyway. Here a router knows its neighbours, the counties' summaries (in
the core), the city's own servers and what lies below itself; a village flaps as far as its county. What an IGP
would bring, fast detection and several paths, BFD and BGP multipath bring.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from netaddr import IPNetwork

from inventories.plan import AddressPlan
from inventories.records import City, Family, Level, Link, LinkKind, Node, NodeRole, Plane, SiteRole


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
    #: What the neighbour may announce: prefix and the longest length of a more specific one. Empty where it
    #: may announce anything but the node's own: a way up, a peer.
    accept: dict[Family, tuple[tuple[str, int], ...]]
    #: What it must not announce although it lies within what it may: prefix, and from which length on.
    refuse: dict[Family, tuple[tuple[str, int], ...]]
    #: How many prefixes it may announce at most in each family; a session with more is torn down (leak, loop).
    limit: int
    #: What stands at the other end.
    role: SiteRole


class StaticRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route that no protocol learns; without a gateway it is a summary whose packets have nowhere else to go."""

    prefix: str
    gateway: str = ""


class RoutedNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node that takes part in routing."""

    node: str
    asn: int
    level: Level
    forwards: bool
    own: dict[Family, str]
    #: What it announces of its own: loopback or service address, and the LAN of its site.
    originate: dict[Family, tuple[str, ...]]
    #: The one summary it announces upwards (routers of counties, and of the core to the province).
    aggregate: dict[Family, str]
    #: Routes that it announces besides (the province's own prefix; what lies behind the border).
    static: dict[Family, tuple[StaticRoute, ...]]
    role: SiteRole
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
    build = _Builder(city, plan)
    nodes = {name: build.node(city.nodes[name], links) for name, links in routed.items()}
    return Topology(nodes, {name: tuple(links) for name, links in access.items()})


def asn_of(city: City, plan: AddressPlan, node: str) -> int:
    """The node's AS number: the city's first private one plus the node's management slot; the province's own."""
    site = city.sites[city.nodes[node].site]
    if site.role is SiteRole.PROVINCE:
        return city.layout.partners[site.division].asn
    first = IPNetwork(city.layout.management.ipv4).first
    return city.layout.asn + int(plan.management(node, Family.IPV4)) - int(first)


class _Builder:
    """Derives the nodes; what every node asks for is counted once."""

    def __init__(self, city: City, plan: AddressPlan) -> None:
        self.city = city
        self.plan = plan
        self.default = {Family.IPV4: "0.0.0.0/0", Family.IPV6: "::/0"}
        self.below: dict[str, int] = {}
        for site in city.sites.values():
            if site.parent:
                self.below[site.parent] = self.below.get(site.parent, 0) + 1
        self.specifics = {
            family: tuple(
                (str(prefix), int(prefix.prefixlen) + 1)
                for site in city.sites.values()
                if site.level is Level.COUNTY
                for prefix in [plan.county_prefix(site.id, family)]
            )
            for family in Family
        }
        at_the_top = [
            node for node in city.nodes.values() if city.sites[node.site].role is not SiteRole.ACCESS
        ]
        counties = sum(site.level is Level.COUNTY for site in city.sites.values())
        #: What the core's routing tables hold: a summary a county, the nodes of the city itself, and what the
        #: neighbours above and outside announce.
        self.core_prefixes = (
            counties + len(at_the_top) + len(city.layout.partners) + 2 * len(city.networks) + 2
        )

    def node(self, node: Node, links: list[Link]) -> RoutedNode:
        site = self.city.sites[node.site]
        is_router = node.role is NodeRole.ROUTER
        return RoutedNode(
            node=node.id,
            asn=asn_of(self.city, self.plan, node.id),
            level=site.level,
            role=site.role,
            forwards=is_router,
            own={family: str(self.plan.host(node.id, family)) for family in Family},
            originate={family: self._originate(node, family) for family in Family},
            aggregate={
                family: aggregate
                for family in Family
                if is_router and (aggregate := self._aggregate(node, family))
            },
            static={family: self._static(node, family) if is_router else () for family in Family},
            neighbors=tuple(self._neighbor(node, link) for link in links),
        )

    def _originate(self, node: Node, family: Family) -> tuple[str, ...]:
        site = self.city.sites[node.site]
        own = _host_prefix(self.plan, node.id, family)
        if node.role is NodeRole.ROUTER and site.level in _WITH_LAN:
            return own, str(self.plan.lan(site.id, family))
        if node.id == self.plan.border and family is Family.IPV4:
            # Hosts of a private network show as this address outside.
            ends = [self.plan.crossing(network, family)[0] for network in self.city.networks]
            return (own, *(f"{public}/31" for public in ends))
        return (own,)

    def _aggregate(self, node: Node, family: Family) -> str:
        site, layout = self.city.sites[node.site], self.city.layout
        if site.level is Level.COUNTY:
            return str(self.plan.county_prefix(site.id, family))
        if site.role is SiteRole.CORE:
            return layout.ipv4.prefix if family is Family.IPV4 else layout.ipv6.prefix
        return ""

    def _static(self, node: Node, family: Family) -> tuple[StaticRoute, ...]:
        site = self.city.sites[node.site]
        if site.role is SiteRole.PROVINCE:
            partner = self.city.layout.partners[site.division]
            return (StaticRoute(prefix=partner.ipv4 if family is Family.IPV4 else partner.ipv6),)
        if node.id == self.plan.border and family is Family.IPV6:
            return tuple(
                StaticRoute(prefix=network.ipv6, gateway=str(self.plan.crossing(network.id, family)[1]))
                for network in self.city.networks.values()
            )
        return ()

    def _neighbor(self, node: Node, link: Link) -> Neighbor:
        city, plan = self.city, self.plan
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
            role=city.sites[other.site].role,
            local={family: str(plan.link_address(link.id, node.id, family)) for family in Family},
            remote={family: str(plan.link_address(link.id, other.id, family)) for family in Family},
            accept={family: self._acceptable(other, relation, family) for family in Family},
            refuse={family: self._refused(node, relation, family) for family in Family},
            limit=2 * self._expected(node, other, relation) + 8,
        )

    def _expected(self, node: Node, other: Node, relation: Relation) -> int:
        """How many prefixes a neighbour announces in one family when all is well."""
        site, own_site = self.city.sites[other.site], self.city.sites[node.site]
        if relation is Relation.SERVER or site.role is SiteRole.PROVINCE or site.level is Level.COUNTY:
            return 1
        if site.role is SiteRole.BORDER:
            return 2 + len(self.city.networks)
        if relation is Relation.DOWN:
            return 2 * (1 + self.below.get(site.id, 0)) if site.role is SiteRole.ACCESS else 1
        if own_site.level in (Level.TOWNSHIP, Level.VILLAGE):
            return 1
        return self.core_prefixes

    def _refused(self, node: Node, relation: Relation, family: Family) -> tuple[tuple[str, int], ...]:
        """From a peer and from above: no part of a county, which shows as one prefix a family."""
        role = self.city.sites[node.site].role
        if relation is Relation.PEER or (relation is Relation.UP and role is SiteRole.ACCESS):
            return self.specifics[family]
        return ()

    def _acceptable(self, other: Node, relation: Relation, family: Family) -> tuple[tuple[str, int], ...]:
        """What a neighbour may announce: nothing but what the plan gave it and what lies below it."""
        plan, layout = self.plan, self.city.layout
        site = self.city.sites[other.site]
        own = _host_prefix(plan, other.id, family)
        longest = 32 if family is Family.IPV4 else 128
        if site.role is SiteRole.PROVINCE:
            partner = layout.partners[site.division]
            prefix = IPNetwork(partner.ipv4 if family is Family.IPV4 else partner.ipv6)
            return ((str(prefix), int(prefix.prefixlen)),)
        if relation is Relation.SERVER:
            return ((own, longest),)
        if relation is not Relation.DOWN:
            return ()
        if site.role is SiteRole.CORE:
            aggregate = IPNetwork(self._aggregate(other, family))
            return ((str(aggregate), int(aggregate.prefixlen)),)
        if site.role is SiteRole.BORDER:
            behind = (
                *self._originate(other, family),
                *(route.prefix for route in self._static(other, family)),
            )
            exact = [(prefix, int(IPNetwork(prefix).prefixlen)) for prefix in behind]
            return ((self.default[family], 0), *exact)
        if site.level is Level.COUNTY:
            prefix = plan.county_prefix(site.id, family)
            return ((str(prefix), int(prefix.prefixlen)),)
        if site.level is Level.TOWNSHIP:
            county = plan.county_prefix(plan.owner(site.id), family)
            return ((str(county), longest),)
        lan = plan.lan(site.id, family)
        return ((own, longest), (str(lan), int(lan.prefixlen)))


#: Levels whose routers are the gateway of a LAN that the extranet reaches; the core's are not.
_WITH_LAN = frozenset({Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE})


def _host_prefix(plan: AddressPlan, node: str, family: Family) -> str:
    return f"{plan.host(node, family)}/{32 if family is Family.IPV4 else 128}"
