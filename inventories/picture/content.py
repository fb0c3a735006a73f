"""What do the picture's cards say: a county, a township, a cloud, a private network? Words and links, no places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from inventories.picture.graph import above, link_prefix, network_sites, zones_of
from inventories.picture.style import (
    CORE_STYLES,
    LEVEL_WORDS,
    NETWORK_COLOURS,
    NODE_WORDS,
    PAPER,
    PLAIN,
    PLANE_WORDS,
    ROLE_STYLES,
    ROLE_WORDS,
    TOWNSHIP,
    CardStyle,
)
from inventories.plan import AddressPlan
from inventories.records import City, Family, Level, Link, LinkKind, Node, NodeRole, Plane, Site, SiteRole
from inventories.topology import asn_of
from inventories.tree import SiteTree, place_name

#: A card of more nodes than this has two columns.
_LONG = 12
#: Of a private network with more LANs than this only their number in each county is shown.
_MANY_LANS = 30


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
    """Makes the cards of one city."""

    def __init__(self, city: City, plan: AddressPlan) -> None:
        self.city = city
        self.plan = plan
        self.tree = SiteTree(city)
        self.zones = zones_of(city)
        self._core_planes: set[Plane] = {
            site.plane
            for site in city.sites.values()
            if site.role is SiteRole.CORE and site.plane is not Plane.BOTH
        }
        self._up: dict[str, list[Link]] = {}
        self._hosts: dict[str, list[str]] = {}
        for link in city.links.values():
            if link.kind is LinkKind.ACCESS:
                self._hosts.setdefault(link.a, []).append(link.b)
            if link.kind is not LinkKind.CORE:
                self._up.setdefault(link.b, []).append(link)

    # The core and what stands above it.

    def core_sites(self, plane: Plane) -> list[Site]:
        """The core's sites of a plane."""
        sites = self.city.sites.values()
        return [site for site in sites if site.role is SiteRole.CORE and site.plane is plane]

    def core_cards(self) -> list[tuple[Plane, Card]]:
        """A card for each plane that the core has, A first."""
        cards = []
        for plane in Plane:
            sites = self.core_sites(plane)
            nodes = [self.city.nodes[key] for site in sites for key in self.tree.nodes[site.id]]
            if sites:
                facts = [fact for node in nodes for fact in (node.name or node.id, *self._addresses(node))]
                title = f"{ROLE_WORDS[SiteRole.CORE]} · {PLANE_WORDS[plane]}"
                ids = " ".join(node.id for node in nodes)
                cards.append((plane, Card(f"core-{plane}", title, CORE_STYLES[plane], ids, tuple(facts))))
        return cards

    def core_links(self) -> list[Link]:
        """The links between the core's routers."""
        return [link for link in self.city.links.values() if link.kind is LinkKind.CORE]

    def province_links(self) -> list[Link]:
        """The links from the province's routers to the core's."""
        nodes, sites = self.city.nodes, self.city.sites
        return [
            link
            for link in self.city.links.values()
            if link.a in nodes and sites[nodes[link.a].site].role is SiteRole.PROVINCE
        ]

    def service_cards(self, role: SiteRole, details: bool) -> list[Card]:
        """A card for each site of the city itself with a role; `details` gives every node its addresses."""
        sites = [site for site in self.city.sites.values() if site.role is role]
        return [self._service_card(site, details) for site in sites]

    def _service_card(self, site: Site, details: bool) -> Card:
        keys = self.tree.nodes.get(site.id, [])
        title = ROLE_WORDS[site.role]
        if site.role in (SiteRole.OFFSITE, SiteRole.PROVINCE):
            title += f" · {place_name(self.city, site)}"
        facts: list[str] = []
        if site.role is SiteRole.BORDER and self.city.layout.internet is not None:
            internet = self.city.layout.internet
            facts = [f"互联网段 {internet.ipv4} · {internet.ipv6}"]
        # The province stands above the core: no plane leads up from it.
        planes = set() if site.role is SiteRole.PROVINCE else self._core_planes
        entries = tuple(
            entry
            for key in keys
            if self.city.nodes[key].role is not NodeRole.CLIENT
            for entry in self._node_entries(key, 1, details, planes)
        )
        uplinks = self._uplinks(link for key in keys for link in self._up.get(key, ()))
        return Card(
            f"site-{site.id}",
            title,
            ROLE_STYLES[site.role],
            f"{len(keys)}个节点",
            tuple(facts),
            entries,
            1 if len(entries) <= _LONG else 2,
            uplinks,
        )

    def _lack(self, keys: Iterable[str], planes: set[Plane]) -> str:
        """Which of the planes nodes have no link to, in words; of hosts on a LAN none is asked."""
        links = [link for key in keys for link in self._up.get(key, ()) if link.kind is not LinkKind.ACCESS]
        own = {self.plane_of(link) for link in links}
        lacks = planes - own
        if planes and not links:
            return "未连接"
        if Plane.BOTH in own or not lacks:
            return ""
        return "缺" + "、".join(PLANE_WORDS[plane] for plane in sorted(lacks))

    def _node_entries(self, key: str, depth: int, details: bool, planes: set[Plane]) -> Iterator[Entry]:
        """A node and the hosts on its LAN; one that lacks a plane that its neighbours have says so."""
        node = self.city.nodes[key]
        yield Entry(
            id=f"node-{key}",
            label=node.name or key,
            depth=depth,
            is_host=node.role is NodeRole.CLIENT,
            right="" if details or not node.name else key,
            details=self._addresses(node, named=bool(node.name)) if details else (),
            tag=self._tag(key),
            missing=self._lack([key], planes),
            hint=self._hint(node),
        )
        for host in self._hosts.get(key, ()):
            yield from self._node_entries(host, depth + 1, details, set())

    # Counties and below.

    def counties(self) -> list[Site]:
        """The county-level sites in the inventory's order."""
        return [site for site in self.city.sites.values() if site.level is Level.COUNTY]

    def county_card(self, site: Site, whole: bool) -> Card:
        """A county: `whole` down to villages and hosts, otherwise its townships with their number of villages."""
        routers = self._routers(site)
        children = [self.city.sites[key] for key in self.tree.children.get(site.id, ())]
        entries: list[Entry] = []
        if whole:
            entries += self._host_entries(routers, 1)
            for child in children:
                entries += self._site_entries(child, 1, details=True)
        else:
            entries += self._township_entries(children)
        links = [link for node in routers for link in self._up.get(node.id, ())]
        return Card(
            f"county-{site.id}",
            place_name(self.city, site),
            PLAIN,
            self._counted(site),
            self._site_facts(site, routers),
            tuple(entries),
            1 if whole else 2,
            self._uplinks(links),
            self._lack([node.id for node in routers], self._core_planes) if routers else "未建",
        )

    def county_itself(self, site: Site) -> Card:
        """A county's own routers and the hosts on its LAN, without what lies below."""
        card = self.county_card(site, whole=False)
        return card._replace(entries=tuple(self._host_entries(self._routers(site), 1)), columns=1)

    def below_cards(self, county: Site, details: bool) -> list[Card]:
        """A card for each township of a county, and one for the villages directly below it."""
        children = [self.city.sites[key] for key in self.tree.children.get(county.id, ())]
        townships = [site for site in children if site.level is Level.TOWNSHIP]
        villages = [site for site in children if site.level is not Level.TOWNSHIP]
        cards = [self._township_card(site, details) for site in townships]
        if villages:
            entries = [entry for site in villages for entry in self._site_entries(site, 1, details)]
            title = f"{place_name(self.city, county)}直属"
            links = (
                link
                for site in villages
                for node in self._routers(site)
                for link in self._up.get(node.id, ())
            )
            card = Card(f"direct-{county.id}", title, TOWNSHIP, f"{len(villages)}村", (), tuple(entries), 1)
            cards.insert(0, card._replace(uplinks=self._uplinks(links, with_hint=False)))
        return cards

    def _township_card(self, site: Site, details: bool) -> Card:
        routers = self._routers(site)
        entries = self._host_entries(routers, 1)
        villages = [self.city.sites[key] for key in self.tree.children.get(site.id, ())]
        for village in villages:
            entries += self._site_entries(village, 1, details)
        facts = [fact for node in routers for fact in self._addresses(node)]
        for node in routers:
            facts += [f"上联 {' · '.join(self._prefixes(link))}" for link in self._up.get(node.id, ())]
        return Card(
            f"township-{site.id}",
            place_name(self.city, site),
            TOWNSHIP,
            f"{len(villages)}村" if villages else "",
            tuple(facts),
            tuple(entries),
            1,
            self._uplinks(link for node in routers for link in self._up.get(node.id, ())),
            "" if any(self._up.get(node.id) for node in routers) else "未连接" if routers else "未建",
        )

    def _township_entries(self, children: list[Site]) -> Iterator[Entry]:
        direct = [site for site in children if site.level is Level.VILLAGE]
        for site in children:
            if site.level is Level.TOWNSHIP:
                routers = self._routers(site)
                villages = len(self.tree.children.get(site.id, ()))
                links = [link for node in routers for link in self._up.get(node.id, ())]
                yield Entry(
                    id=f"township-{site.id}",
                    label=place_name(self.city, site),
                    depth=1,
                    right=f"{villages}" if villages else "",
                    missing="" if links else "未连接" if routers else "未建",
                    hint=f"{place_name(self.city, site)} {site.id} {villages}村\n"
                    + "\n".join(self._hint(node) for node in routers),
                    uplinks=self._uplinks(links),
                )
        if direct:
            # A functional zone has some villages of its own and no township: they are named.
            for site in direct:
                yield from self._site_entries(site, 1, details=False)

    def _site_entries(self, site: Site, depth: int, details: bool) -> Iterator[Entry]:
        """A township or village with all below it."""
        routers = self._routers(site)
        links = [link for node in routers for link in self._up.get(node.id, ())]
        lines: list[str] = []
        if details:
            for node in routers:
                lines += self._addresses(node, named=True)
        yield Entry(
            id=f"site-{site.id}",
            label=place_name(self.city, site),
            depth=depth,
            details=tuple(lines),
            missing="" if links else "未连接" if routers else "未建",
            hint=f"{place_name(self.city, site)} {site.id}\n"
            + "\n".join(self._hint(node) for node in routers),
            uplinks=self._uplinks(links),
        )
        yield from self._host_entries(routers, depth + 1, details)
        for key in self.tree.children.get(site.id, ()):
            yield from self._site_entries(self.city.sites[key], depth + 1, details)

    def _host_entries(self, routers: list[Node], depth: int, details: bool = True) -> list[Entry]:
        return [
            entry
            for router in routers
            for host in self._hosts.get(router.id, ())
            for entry in self._node_entries(host, depth, details, set())
        ]

    def _routers(self, site: Site) -> list[Node]:
        nodes = (self.city.nodes[key] for key in self.tree.nodes.get(site.id, ()))
        return [node for node in nodes if node.role is NodeRole.ROUTER]

    def _counted(self, site: Site) -> str:
        below = [self.city.sites[key].level for key in self.tree.below(site.id)]
        townships, villages = below.count(Level.TOWNSHIP), below.count(Level.VILLAGE)
        parts = [f"{townships}乡" if townships else "", f"{villages}村" if villages else ""]
        return " · ".join(part for part in parts if part)

    def _site_facts(self, site: Site, routers: list[Node]) -> tuple[str, ...]:
        prefixes = " · ".join(str(self.plan.county_prefix(site.id, family)) for family in Family)
        facts = [fact for node in routers for fact in self._addresses(node, named=True)]
        return (*facts, f"汇总 {prefixes}")

    # Private networks.

    def network_cards(self, within: set[str] | None = None) -> list[Card]:
        """A card for each private network with a LAN at one of the sites `within` (None: at any)."""
        cards = []
        for number, (key, sites) in enumerate(network_sites(self.city).items()):
            network = self.city.networks[key]
            unit = self.city.units.get(network.unit)
            here = [site for site in sites if within is None or site in within]
            if within is not None and not here:
                continue
            entries = (
                [self._network_entry(key, site) for site in here]
                if len(here) <= _MANY_LANS
                else self._network_counties(key, here)
            )
            name = network.name or key
            facts = (
                f"{unit.name if unit else network.unit}  VNI {network.vni}",
                f"{network.ipv4} · {network.ipv6}",
            )
            style = network_style(number)
            cards.append(Card(f"network-{key}", name, style, f"{len(here)}处", facts, tuple(entries)))
        return cards

    def _network_entry(self, key: str, site: str) -> Entry:
        lans = tuple(str(self.plan.private_lan(key, site, family)) for family in Family)
        name = place_name(self.city, self.city.sites[site])
        return Entry(
            f"lan-{key}-{site}", name, 1, False, "", (" · ".join(lans),), hint=f"{name} {' '.join(lans)}"
        )

    def _network_counties(self, key: str, sites: Iterable[str]) -> list[Entry]:
        """How many LANs a private network has in each county."""
        counted = Counter(above(self.city, site, Level.COUNTY) for site in sites)
        return [
            Entry(
                f"lan-{key}-{county}", place_name(self.city, self.city.sites[county]), 1, right=f"{number}处"
            )
            for county, number in counted.items()
        ]

    def _tag(self, node: str) -> str:
        zone = self.zones.get(node, "")
        return zone if zone in self.city.networks else ""

    # What is said of nodes and links.

    def plane_of(self, link: Link) -> Plane:
        """The plane that a link belongs to: its own, else that of the core site where it begins."""
        if link.plane is not Plane.BOTH:
            return link.plane
        upper = self.city.sites[self.city.nodes[link.a].site]
        return upper.plane if upper.role is SiteRole.CORE else Plane.BOTH

    def _uplinks(self, links: Iterable[Link], with_hint: bool = True) -> tuple[Uplink, ...]:
        """Links up, those of one plane as one."""
        found: dict[Plane, list[str]] = {}
        for link in links:
            if link.kind is not LinkKind.ACCESS:
                text = f"{link.id} {link.a} - {link.b} {' '.join(self._prefixes(link))}" if with_hint else ""
                found.setdefault(self.plane_of(link), []).append(text)
        return tuple(
            Uplink(plane, "\n".join([PLANE_WORDS[plane], *found[plane]]).strip())
            for plane in Plane
            if plane in found
        )

    def _prefixes(self, link: Link) -> list[str]:
        return [link_prefix(self.city, self.plan, link, family) for family in Family]

    def _addresses(self, node: Node, named: bool = False) -> tuple[str, ...]:
        """The line with a node's addresses; with its id unless that only repeats its division's code."""
        found = [str(self.plan.host(node.id, family)) for family in Family]
        if named and not (node.site.isdigit() and node.site in node.id):
            found.insert(0, node.id)
        return (" · ".join(found),)

    def _hint(self, node: Node) -> str:
        lines = [f"{node.name or node.id} {node.id} {NODE_WORDS[node.role]}"]
        lines += [str(self.plan.host(node.id, family)) for family in Family]
        if node.role is not NodeRole.CLIENT:
            lines.append(f"AS {asn_of(self.city, self.plan, node.id)}")
        lines += [
            f"{link.id}: {link.a} {' '.join(self._prefixes(link))}" for link in self._up.get(node.id, ())
        ]
        return "\n".join(lines)

    def counted(self) -> str:
        """The whole city in numbers, for the heading."""
        sites = [site for site in self.city.sites.values() if site.role is SiteRole.ACCESS]
        levels = [site.level for site in sites]
        routers = sum(node.role is NodeRole.ROUTER for node in self.city.nodes.values())
        clients = sum(node.role is NodeRole.CLIENT for node in self.city.nodes.values())
        parts = [
            f"{LEVEL_WORDS[level]}{levels.count(level)}个"
            for level in (Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE)
        ]
        parts.append(f"路由器{routers}台")
        parts.append(f"服务器{len(self.city.nodes) - routers - clients}台")
        if clients:
            parts.append(f"终端{clients}台")
        parts.append(f"链路{len(self.city.links)}条")
        if self.city.networks:
            parts.append(f"专用网络{len(self.city.networks)}个")
        return " · ".join(parts)


def network_style(number: int) -> CardStyle:
    """The header of the card of the city's n-th private network."""
    return CardStyle(NETWORK_COLOURS[number % len(NETWORK_COLOURS)], PAPER)
