"""What may a router's neighbours announce to it and hear from it? The same as FRR's template says, as data. Pure.

Both vendors' languages have prefix lists and route policies of numbered nodes with an implicit deny at the end;
what they hold is derived here once, and the templates only spell it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from inventories.records import Family, Level, SiteRole
from inventories.topology import Neighbor, Relation, RoutedNode

#: The default route of each family.
DEFAULT = {Family.IPV4: "0.0.0.0/0", Family.IPV6: "::/0"}
#: Bits of an address.
WIDTH = {Family.IPV4: 32, Family.IPV6: 128}
#: How families are called in the names of policies, as FRR's template does.
TAG = {Family.IPV4: "V4", Family.IPV6: "V6"}
#: How long a session that announced too much stays down, in minutes.
PATIENCE = 5


class PrefixItem(NamedTuple):
    """One permitted prefix: routes within `prefix` whose length is from `shortest` to `longest`."""

    number: int
    prefix: str
    shortest: int
    longest: int

    @property
    def address(self) -> str:
        return self.prefix.partition("/")[0]

    @property
    def length(self) -> int:
        return _length(self.prefix)

    @property
    def exact(self) -> bool:
        """Whether it means the prefix itself and nothing within it."""
        return self.shortest == self.length == self.longest


class PrefixList(NamedTuple):
    """A list of permitted prefixes of one family."""

    name: str
    items: tuple[PrefixItem, ...]


class PolicyNode(NamedTuple):
    """A step of a route policy; without a prefix list it takes every route."""

    number: int
    permit: bool
    prefix_list: str = ""


class RoutePolicy(NamedTuple):
    """Steps in order; what no step takes is denied."""

    name: str
    nodes: tuple[PolicyNode, ...]


class Session(NamedTuple):
    """What is asked of the session with one neighbour in one family."""

    neighbor: Neighbor
    local: str
    remote: str
    imports: str
    exports: str
    #: Whether the neighbour is given a default route, whatever this router has itself.
    default: bool


class Policy(NamedTuple):
    """One family's part of a router's routing policy."""

    family: Family
    prefix_lists: tuple[PrefixList, ...]
    route_policies: tuple[RoutePolicy, ...]
    sessions: tuple[Session, ...]
    #: The policy of what the router announces as its own.
    own: str
    aggregate: str
    #: Whether the parts of the aggregate are kept back.
    only_aggregate: bool


def policy_of(node: RoutedNode, family: Family) -> Policy:
    """Derive one family's policy of a router."""
    tag = TAG[family]
    route_policies = tuple(_route_policies(node, family))
    named = {step.prefix_list for route_policy in route_policies for step in route_policy.nodes}
    return Policy(
        family=family,
        prefix_lists=tuple(found for found in _prefix_lists(node, family) if found.name in named),
        route_policies=route_policies,
        sessions=tuple(
            Session(
                neighbor=neighbor,
                local=neighbor.local[family],
                remote=neighbor.remote[family],
                imports=f"FROM-{neighbor.link}-{tag}",
                exports=f"{_export(node, neighbor)}-{tag}",
                default=_export(node, neighbor) == "TO-BELOW",
            )
            for neighbor in node.neighbors
        ),
        own=f"OWN-{tag}",
        aggregate=node.aggregate.get(family, ""),
        only_aggregate=node.level is Level.COUNTY,
    )


def _export(node: RoutedNode, neighbor: Neighbor) -> str:
    if node.role is SiteRole.CORE:
        return "TO-PROVINCE" if neighbor.role is SiteRole.PROVINCE else "TO-CITY"
    if neighbor.relation is Relation.UP or node.role is SiteRole.PROVINCE:
        return "TO-ABOVE"
    return "TO-BELOW"


def _prefix_lists(node: RoutedNode, family: Family) -> Iterator[PrefixList]:
    for neighbor in node.neighbors:
        accepted = neighbor.accept[family]
        if accepted:
            items = [(p, _length(p), max(longest, _length(p))) for p, longest in accepted]
            yield _list(f"FROM-{neighbor.link}", items)
        refused = neighbor.refuse[family]
        if refused:
            yield _list(f"REFUSED-{neighbor.link}", [(p, shortest, WIDTH[family]) for p, shortest in refused])
    yield _list("DEFAULT", [(DEFAULT[family], 0, 0)])
    own = (*node.originate[family], *(route.prefix for route in node.static[family]))
    yield _list("OWN", [(prefix, _length(prefix), _length(prefix)) for prefix in own])
    if node.aggregate:
        summary = node.aggregate[family]
        yield _list("SUMMARY", [(summary, _length(summary), _length(summary))])


def _list(name: str, items: list[tuple[str, int, int]]) -> PrefixList:
    return PrefixList(name, tuple(PrefixItem(10 * n, *item) for n, item in enumerate(items, 1)))


def _length(prefix: str) -> int:
    # The plan's prefixes are plain text in their one form; to parse 300,000 of them takes most of a rendering's time.
    return int(prefix.rpartition("/")[2])


def _route_policies(node: RoutedNode, family: Family) -> Iterator[RoutePolicy]:
    tag = TAG[family]
    yield RoutePolicy(f"OWN-{tag}", (PolicyNode(10, True, "OWN"),))
    for neighbor in node.neighbors:
        yield RoutePolicy(f"FROM-{neighbor.link}-{tag}", tuple(_import(node, neighbor, family)))
    if node.role is SiteRole.CORE:
        yield RoutePolicy(f"TO-PROVINCE-{tag}", (PolicyNode(10, True, "SUMMARY"),))
        yield RoutePolicy(f"TO-CITY-{tag}", (PolicyNode(5, False, "SUMMARY"), PolicyNode(10, True)))
        return
    yield RoutePolicy(f"TO-ABOVE-{tag}", tuple(_above(node)))
    if any(_export(node, neighbor) == "TO-BELOW" for neighbor in node.neighbors):
        # FRR sends the default past the policy of a session; whether these vendors do, their manuals leave open.
        yield RoutePolicy(f"TO-BELOW-{tag}", (PolicyNode(10, True, "DEFAULT"),))


def _import(node: RoutedNode, neighbor: Neighbor, family: Family) -> Iterator[PolicyNode]:
    if neighbor.refuse[family]:
        yield PolicyNode(5, False, f"REFUSED-{neighbor.link}")
    if neighbor.accept[family]:
        yield PolicyNode(10, True, f"FROM-{neighbor.link}")
    elif node.forwards and node.level in (Level.TOWNSHIP, Level.VILLAGE):
        yield PolicyNode(10, True, "DEFAULT")
    else:
        yield PolicyNode(10, True)


def _above(node: RoutedNode) -> Iterator[PolicyNode]:
    if node.aggregate:
        yield PolicyNode(10, True, "SUMMARY")
        return
    yield PolicyNode(10, True, "OWN")
    if node.role is SiteRole.ACCESS:
        below = [neighbor for neighbor in node.neighbors if neighbor.relation is Relation.DOWN]
        for number, neighbor in enumerate(below, 2):
            yield PolicyNode(10 * number, True, f"FROM-{neighbor.link}")
