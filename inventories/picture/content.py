"""What is a card of the picture, and what does it say of nodes and their links up? Words, no places on the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from inventories.picture.graph import link_prefix, zones_of
from inventories.picture.style import (
    NODE_WORDS,
    PLANE_WORDS,
    CardStyle,
)
from inventories.plan import AddressPlan
from inventories.records import ON_A_LAN, City, Family, Link, LinkKind, Node, NodeRole, Plane, Site, SiteRole
from inventories.topology import asn_of
from inventories.tree import SiteTree


class Uplink(NamedTuple):
    """A link up, or several of one plane; `hint` names them with their prefixes."""

    plane: Plane
    hint: str


class Entry(NamedTuple):
    """A line of a card's tree: a township, a village, a router, a host.

    `depth` counts from 1; `tag` is the private network that a host stands in; `missing` says what is not there.
    """

    id: str
    label: str
    depth: int
    is_host: bool = False
    right: str = ""
    details: tuple[str, ...] = ()
    tag: str = ""
    missing: str = ""
    hint: str = ""
    uplinks: tuple[Uplink, ...] = ()


class Card(NamedTuple):
    """A box of the picture: a heading, facts below it, and a tree of entries in `columns` columns.

    `missing` says what is not there of what its neighbours have.
    """

    id: str
    title: str
    style: CardStyle
    right: str = ""
    facts: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    columns: int = 1
    uplinks: tuple[Uplink, ...] = ()
    missing: str = ""


class Content:
    """What the cards of one city are made of; :mod:`.city_cards` and :mod:`.county_cards` make them.

    `up` are the links up from each node, `hosts` those on each router's LANs, `core_planes` the planes of the core.
    """

    def __init__(self, city: City, plan: AddressPlan) -> None:
        self.city = city
        self.plan = plan
        self.tree = SiteTree(city)
        self.zones = zones_of(city)
        self.core_planes: set[Plane] = {
            site.plane
            for site in city.sites.values()
            if site.role is SiteRole.CORE and site.plane is not Plane.BOTH
        }
        self.up: dict[str, list[Link]] = {}
        self.hosts: dict[str, list[str]] = {}
        for link in city.links.values():
            if link.kind is LinkKind.ACCESS:
                self.hosts.setdefault(link.a, []).append(link.b)
            if link.kind is not LinkKind.CORE:
                self.up.setdefault(link.b, []).append(link)

    def lack(self, keys: Iterable[str], planes: set[Plane] | None) -> str:
        """Which of the planes nodes have no link to, in words; None where no link up is due."""
        if planes is None:
            return ""
        links = [link for key in keys for link in self.up.get(key, ()) if link.kind is not LinkKind.ACCESS]
        own = {self.plane_of(link) for link in links}
        lacks = planes - own
        if not links:
            return "未连接"
        if Plane.BOTH in own or not lacks:
            return ""
        return "缺" + "、".join(PLANE_WORDS[plane] for plane in sorted(lacks))

    def node_entries(self, key: str, depth: int, details: bool, planes: set[Plane] | None) -> Iterator[Entry]:
        """A node and the hosts on its LAN; one that lacks a plane that its neighbours have says so."""
        node = self.city.nodes[key]
        yield Entry(
            id=f"node-{key}",
            label=node.name or key,
            depth=depth,
            is_host=node.role in ON_A_LAN,
            right="" if details or not node.name else key,
            details=self.addresses(node, named=bool(node.name)) if details else (),
            tag=self._tag(key),
            missing=self.lack([key], planes),
            hint=self.hint(node),
        )
        for host in self.hosts.get(key, ()):
            yield from self.node_entries(host, depth + 1, details, None)

    def routers(self, site: Site) -> list[Node]:
        """The routers of a site."""
        nodes = (self.city.nodes[key] for key in self.tree.nodes.get(site.id, ()))
        return [node for node in nodes if node.role is NodeRole.ROUTER]

    def _tag(self, node: str) -> str:
        zone = self.zones.get(node, "")
        return zone if zone in self.city.networks else ""

    def plane_of(self, link: Link) -> Plane:
        """The plane that a link belongs to: its own, else that of the core site where it begins or ends."""
        ends = (self.city.sites[self.city.nodes[end].site] for end in (link.a, link.b))
        planes = (site.plane for site in ends if site.role is SiteRole.CORE)
        return link.plane if link.plane is not Plane.BOTH else next(planes, Plane.BOTH)

    def uplinks(self, links: Iterable[Link], with_hint: bool = True) -> tuple[Uplink, ...]:
        """Links up, those of one plane as one."""
        found: dict[Plane, list[str]] = {}
        for link in links:
            if link.kind is not LinkKind.ACCESS:
                text = f"{link.id} {link.a} - {link.b} {' '.join(self.prefixes(link))}" if with_hint else ""
                found.setdefault(self.plane_of(link), []).append(text)
        return tuple(
            Uplink(plane, "\n".join([PLANE_WORDS[plane], *found[plane]]).strip())
            for plane in Plane
            if plane in found
        )

    def prefixes(self, link: Link) -> list[str]:
        """A link's prefix in each family."""
        return [link_prefix(self.city, self.plan, link, family) for family in Family]

    def addresses(self, node: Node, named: bool = False) -> tuple[str, ...]:
        """The line with a node's addresses; with its id unless that only repeats its division's code."""
        found = [str(self.plan.host(node.id, family)) for family in Family]
        if named and not (node.site.isdigit() and node.site in node.id):
            found.insert(0, node.id)
        return (" · ".join(found),)

    def hint(self, node: Node) -> str:
        """All about a node, for who points at it."""
        lines = [f"{node.name or node.id} {node.id} {NODE_WORDS[node.role]}"]
        lines += [str(self.plan.host(node.id, family)) for family in Family]
        if node.role not in ON_A_LAN:
            lines.append(f"AS {asn_of(self.city, self.plan, node.id)}")
        lines += [f"{link.id}: {link.a} {' '.join(self.prefixes(link))}" for link in self.up.get(node.id, ())]
        return "\n".join(lines)
