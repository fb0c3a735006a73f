"""What do the cards of the city itself say: its core, the province, clouds, the border, private networks?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from inventories.picture.content import Card, Content, Entry
from inventories.picture.graph import above, network_sites
from inventories.picture.style import (
    CORE_STYLES,
    LEVEL_WORDS,
    NETWORK_COLOURS,
    PAPER,
    PLANE_WORDS,
    ROLE_STYLES,
    ROLE_WORDS,
    CardStyle,
)
from inventories.records import ON_A_LAN, Family, Level, Link, LinkKind, NodeRole, Plane, Site, SiteRole
from inventories.tree import place_name

#: A card of more nodes than this has two columns.
_LONG = 12
#: Of a private network with more LANs than this only their number in each county is shown.
_MANY_LANS = 30


def core_cards(content: Content) -> list[tuple[Plane, Card]]:
    """A card for each plane that the core has; what belongs to both stands between them."""
    cards = []
    for plane in (Plane.A, Plane.BOTH, Plane.B):
        nodes = [node for node in content.city.nodes.values() if core_plane(content, node.id) is plane]
        if nodes:
            facts = [fact for node in nodes for fact in (node.name or node.id, *content.addresses(node))]
            facts += [link_words(content, link) for link in core_links(content, plane, plane)]
            title = f"{ROLE_WORDS[SiteRole.CORE]} · {PLANE_WORDS[plane]}"
            ids = " ".join(node.id for node in nodes)
            cards.append((plane, Card(f"core-{plane}", title, CORE_STYLES[plane], ids, tuple(facts))))
    return cards


def core_plane(content: Content, node: str) -> Plane | None:
    """The plane of a node of the core; None for any other."""
    site = content.city.sites[content.city.nodes[node].site]
    return site.plane if site.role is SiteRole.CORE else None


def core_links(content: Content, one: Plane, other: Plane) -> list[Link]:
    """The links between the core's routers of two planes."""
    links = (link for link in content.city.links.values() if link.kind is LinkKind.CORE)
    return [
        link for link in links if {core_plane(content, link.a), core_plane(content, link.b)} == {one, other}
    ]


def link_words(content: Content, link: Link) -> str:
    """A routed link's id and prefixes."""
    return f"{link.id} {' · '.join(content.prefixes(link))}"


def province_card(content: Content) -> Card | None:
    """The province's routers; None where the city has no site of the province."""
    cards = service_cards(content, SiteRole.PROVINCE, details=True)
    if not cards:
        return None
    entries = tuple(entry for card in cards for entry in card.entries)
    return cards[0]._replace(entries=entries, right=f"{len(entries)}个节点")


def province_links(content: Content) -> list[Link]:
    """The links from the province's routers to the core's."""
    nodes, sites = content.city.nodes, content.city.sites
    return [
        link
        for link in content.city.links.values()
        if link.a in nodes and sites[nodes[link.a].site].role is SiteRole.PROVINCE
    ]


def service_cards(content: Content, role: SiteRole, details: bool) -> list[Card]:
    """A card for each site of the city itself with a role; `details` gives every node its addresses."""
    sites = [site for site in content.city.sites.values() if site.role is role]
    return [_service_card(content, site, details) for site in sites]


def _service_card(content: Content, site: Site, details: bool) -> Card:
    keys = content.tree.nodes.get(site.id, [])
    title = ROLE_WORDS[site.role]
    if site.role in (SiteRole.OFFSITE, SiteRole.PROVINCE):
        title += f" · {place_name(content.city, site)}"
    facts: list[str] = []
    if site.role is SiteRole.BORDER and content.city.layout.internet is not None:
        internet = content.city.layout.internet
        facts = [f"互联网段 {internet.ipv4} · {internet.ipv6}"]
    # The province stands above the core: no plane leads up from it.
    planes = None if site.role is SiteRole.PROVINCE else content.core_planes
    entries = tuple(
        entry
        for key in keys
        if content.city.nodes[key].role not in ON_A_LAN
        for entry in content.node_entries(key, 1, details, planes)
    )
    uplinks = content.uplinks(link for key in keys for link in content.up.get(key, ()))
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


def network_cards(content: Content, within: set[str] | None = None) -> list[Card]:
    """A card for each private network with a LAN at one of the sites `within` (None: at any)."""
    cards = []
    for number, (key, sites) in enumerate(network_sites(content.city).items()):
        network = content.city.networks[key]
        unit = content.city.units.get(network.unit)
        here = [site for site in sites if within is None or site in within]
        if within is not None and not here:
            continue
        entries = (
            [_network_entry(content, key, site) for site in here]
            if len(here) <= _MANY_LANS
            else _network_counties(content, key, here)
        )
        name = network.name or key
        facts = (
            f"{unit.name if unit else network.unit}  VNI {network.vni}",
            f"{network.ipv4} · {network.ipv6}",
        )
        style = network_style(number)
        cards.append(Card(f"network-{key}", name, style, f"{len(here)}处", facts, tuple(entries)))
    return cards


def _network_entry(content: Content, key: str, site: str) -> Entry:
    lans = tuple(str(content.plan.private_lan(key, site, family)) for family in Family)
    name = place_name(content.city, content.city.sites[site])
    return Entry(
        f"lan-{key}-{site}", name, 1, False, "", (" · ".join(lans),), hint=f"{name} {' '.join(lans)}"
    )


def _network_counties(content: Content, key: str, sites: Iterable[str]) -> list[Entry]:
    """How many LANs a private network has in each county."""
    counted = Counter(above(content.city, site, Level.COUNTY) for site in sites)
    return [
        Entry(
            f"lan-{key}-{county}",
            place_name(content.city, content.city.sites[county]),
            1,
            right=f"{number}处",
        )
        for county, number in counted.items()
    ]


def counted(content: Content) -> str:
    """The whole city in numbers, for the heading."""
    sites = [site for site in content.city.sites.values() if site.role is SiteRole.ACCESS]
    levels = [site.level for site in sites]
    routers = sum(node.role is NodeRole.ROUTER for node in content.city.nodes.values())
    clients = sum(node.role is NodeRole.CLIENT for node in content.city.nodes.values())
    parts = [
        f"{LEVEL_WORDS[level]}{levels.count(level)}个"
        for level in (Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE)
    ]
    parts.append(f"路由器{routers}台")
    parts.append(f"服务器{len(content.city.nodes) - routers - clients}台")
    if clients:
        parts.append(f"终端{clients}台")
    parts.append(f"链路{len(content.city.links)}条")
    if content.city.networks:
        parts.append(f"专用网络{len(content.city.networks)}个")
    return " · ".join(parts)


def network_style(number: int) -> CardStyle:
    """The header of the card of the city's n-th private network."""
    return CardStyle(NETWORK_COLOURS[number % len(NETWORK_COLOURS)], PAPER)
