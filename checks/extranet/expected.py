"""Which routes should each node know, and from whom? Follows announcements through the topology; pure.

This is what the plan says of routing, worked out once more and apart from the templates that make it so: what a
place announces upwards (a county one prefix a family, the core the city's aggregate to the province), what the
cores tell each other and those below, and that a township and a village learn a default and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from netaddr import IPAddress, IPNetwork

from inventories.records import Family, Level, SiteRole
from inventories.topology import Neighbor, Relation, RoutedNode, Topology

DEFAULT = {Family.IPV4: "0.0.0.0/0", Family.IPV6: "::/0"}


class Span(NamedTuple):
    """A prefix as numbers: first and last address, and its length."""

    first: int
    last: int
    length: int


@cache
def span(prefix: str) -> Span:
    """A prefix as numbers; the same few thousand prefixes are asked for again and again."""
    network = IPNetwork(prefix)
    return Span(int(network.first), int(network.last), int(network.prefixlen))


@dataclass(frozen=True)
class ExpectedTable:
    """The routes of one node in one family.

    Attributes:
        own: What the node itself brings in: its addresses, LAN, static routes, and its summary.
        required: Prefixes that each link brings when all is well, by link.
        allowed: Prefixes that each link may bring besides, while another way is down, by link.
        optional: LANs on which the inventory has no host: without a carrier they are in no routing table.
    """

    own: frozenset[str]
    required: Mapping[str, frozenset[str]]
    allowed: Mapping[str, frozenset[str]]
    optional: frozenset[str] = frozenset()

    def links_of(self, prefix: str) -> set[str]:
        """The links that may bring a prefix."""
        return {
            link
            for link in self.required
            if prefix in self.required[link] or prefix in self.allowed.get(link, ())
        }

    @property
    def certain(self) -> frozenset[str]:
        """Every prefix that has to be there when all is well."""
        return (self.learned | self.own) - self.optional

    @property
    def learned(self) -> frozenset[str]:
        """Every prefix that the node has from others when all is well."""
        return frozenset().union(*self.required.values())


def expected_tables(topology: Topology, family: Family) -> dict[str, ExpectedTable]:
    """The table of every routed node; linear in nodes and links but for the core's table, which its neighbours hear."""
    return _Flow(topology, family).tables()


@dataclass
class _Flow:
    """One family's announcements."""

    topology: Topology
    family: Family
    upward: dict[str, frozenset[str]] = field(default_factory=dict)
    below: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)

    def tables(self) -> dict[str, ExpectedTable]:
        nodes = self.topology.nodes
        for name in nodes:
            self._upward(name)
        cores = {name: self._from_below(node) for name, node in nodes.items() if node.role is SiteRole.CORE}
        of_the_core = frozenset().union(*(set().union(*links.values()) for links in cores.values()))
        of_the_core |= frozenset().union(*(set(self._announced_by(nodes[name])) for name in cores))
        empty = frozenset(
            prefix
            for name, node in nodes.items()
            if node.role is SiteRole.ACCESS
            and all(link.network for link in self.topology.access.get(name, ()))
            for prefix in node.originate[self.family][1:]
        )
        return {
            name: ExpectedTable(
                own=self._own(node),
                required={n.link: self._required(node, n, cores) for n in node.neighbors},
                allowed={n.link: self._allowed(node, n, of_the_core) for n in node.neighbors},
                optional=empty,
            )
            for name, node in nodes.items()
        }

    def _own(self, node: RoutedNode) -> frozenset[str]:
        summary = {node.aggregate[self.family]} if self.family in node.aggregate else set()
        return self._announced_by(node) | summary

    def _announced_by(self, node: RoutedNode) -> frozenset[str]:
        """What a node brings in, without its summary."""
        return frozenset(node.originate[self.family]) | {route.prefix for route in node.static[self.family]}

    def _upward(self, name: str) -> frozenset[str]:
        """What a node tells those above it."""
        if name in self.upward:
            return self.upward[name]
        node = self.topology.nodes[name]
        if node.role in (SiteRole.CORE, SiteRole.ACCESS) and self.family in node.aggregate:
            found = frozenset({node.aggregate[self.family]})
        else:
            found = self._announced_by(node)
            if node.role is SiteRole.BORDER:
                found |= {DEFAULT[self.family]}
            if node.role is SiteRole.ACCESS:
                for links in self._from_below(node).values():
                    found |= links
        self.upward[name] = found
        return found

    def _from_below(self, node: RoutedNode) -> dict[str, frozenset[str]]:
        """What each link down, and that to the province, brings."""
        if node.node not in self.below:
            self.below[node.node] = {
                neighbor.link: self._accepted(neighbor, self._upward(neighbor.node))
                for neighbor in node.neighbors
                if neighbor.relation in (Relation.DOWN, Relation.SERVER)
                or (node.role is SiteRole.CORE and neighbor.role is SiteRole.PROVINCE)
            }
        return self.below[node.node]

    def _accepted(self, neighbor: Neighbor, prefixes: frozenset[str]) -> frozenset[str]:
        """What of it the plan gave to the neighbour and what lies below it."""
        limits = [(span(prefix), longest) for prefix, longest in neighbor.accept[self.family]]
        return frozenset(
            text
            for text in prefixes
            for prefix in [span(text)]
            if any(
                limit.first <= prefix.first and prefix.last <= limit.last and prefix.length <= longest
                for limit, longest in limits
            )
        )

    def _required(
        self, node: RoutedNode, neighbor: Neighbor, cores: Mapping[str, Mapping[str, frozenset[str]]]
    ) -> frozenset[str]:
        below = self._from_below(node).get(neighbor.link)
        if below is not None:
            return below
        other = self.topology.nodes[neighbor.node]
        if other.role is not SiteRole.CORE:  # a county or township above a township or village
            return frozenset({DEFAULT[self.family]})
        heard = self._announced_by(other).union(*cores[other.node].values())
        return heard - self._never_back(node)

    def _allowed(self, node: RoutedNode, neighbor: Neighbor, of_the_core: frozenset[str]) -> frozenset[str]:
        """While a link is down its routes come by way of the other core."""
        other = self.topology.nodes[neighbor.node]
        if other.role is SiteRole.CORE and node.role is not SiteRole.PROVINCE:
            return of_the_core - self._never_back(node)
        return frozenset()

    def _never_back(self, node: RoutedNode) -> frozenset[str]:
        """A node hears of its own announcements from nobody: BGP drops what bears its own AS number."""
        return self._own(node) if node.role is SiteRole.CORE else self._upward(node.node)


def takes_default_only(node: RoutedNode) -> bool:
    """Whether a router learns a way out and nothing else from above."""
    return node.forwards and node.level in (Level.TOWNSHIP, Level.VILLAGE)


def canonical(prefix: str, family: Family) -> str:
    """A prefix as the plan writes it, from what a kernel or a routing daemon writes: `default`, a bare address."""
    if prefix == "default":
        return DEFAULT[family]
    if "/" in prefix:
        return str(IPNetwork(prefix).cidr)
    return f"{IPAddress(prefix)}/{32 if family is Family.IPV4 else 128}"
