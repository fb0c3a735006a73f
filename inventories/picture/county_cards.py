"""What does a county's card say, in short or whole, and what do its townships' cards?"""

from __future__ import annotations

from collections.abc import Iterator

from inventories.picture.content import Card, Content, Entry
from inventories.picture.style import (
    PLAIN,
    TOWNSHIP,
)
from inventories.records import Family, Level, Node, Site
from inventories.tree import place_name


def counties(content: Content) -> list[Site]:
    """The county-level sites in the inventory's order."""
    return [site for site in content.city.sites.values() if site.level is Level.COUNTY]


def county_card(content: Content, site: Site, whole: bool) -> Card:
    """A county: `whole` down to villages and hosts, otherwise its townships with their number of villages."""
    routers = content.routers(site)
    children = [content.city.sites[key] for key in content.tree.children.get(site.id, ())]
    entries: list[Entry] = []
    if whole:
        entries += _host_entries(content, routers, 1)
        for child in children:
            entries += _site_entries(content, child, 1, details=True)
    else:
        entries += _township_entries(content, children)
    links = [link for node in routers for link in content.up.get(node.id, ())]
    return Card(
        f"county-{site.id}",
        place_name(content.city, site),
        PLAIN,
        _counted(content, site),
        _site_facts(content, site, routers),
        tuple(entries),
        1 if whole else 2,
        content.uplinks(links),
        content.lack([node.id for node in routers], content.core_planes) if routers else "未建",
    )


def county_itself(content: Content, site: Site) -> Card:
    """A county's own routers and the hosts on its LAN, without what lies below."""
    card = county_card(content, site, whole=False)
    return card._replace(entries=tuple(_host_entries(content, content.routers(site), 1)), columns=1)


def below_cards(content: Content, county: Site, details: bool) -> list[Card]:
    """A card for each township of a county, and one for the villages directly below it."""
    children = [content.city.sites[key] for key in content.tree.children.get(county.id, ())]
    townships = [site for site in children if site.level is Level.TOWNSHIP]
    villages = [site for site in children if site.level is not Level.TOWNSHIP]
    cards = [_township_card(content, site, details) for site in townships]
    if villages:
        entries = [entry for site in villages for entry in _site_entries(content, site, 1, details)]
        title = f"{place_name(content.city, county)}直属"
        links = (
            link
            for site in villages
            for node in content.routers(site)
            for link in content.up.get(node.id, ())
        )
        card = Card(f"direct-{county.id}", title, TOWNSHIP, f"{len(villages)}村", (), tuple(entries), 1)
        cards.insert(0, card._replace(uplinks=content.uplinks(links, with_hint=False)))
    return cards


def _township_card(content: Content, site: Site, details: bool) -> Card:
    routers = content.routers(site)
    entries = _host_entries(content, routers, 1)
    villages = [content.city.sites[key] for key in content.tree.children.get(site.id, ())]
    for village in villages:
        entries += _site_entries(content, village, 1, details)
    facts = [fact for node in routers for fact in content.addresses(node)]
    for node in routers:
        facts += [f"上联 {' · '.join(content.prefixes(link))}" for link in content.up.get(node.id, ())]
    return Card(
        f"township-{site.id}",
        place_name(content.city, site),
        TOWNSHIP,
        f"{len(villages)}村" if villages else "",
        tuple(facts),
        tuple(entries),
        1,
        content.uplinks(link for node in routers for link in content.up.get(node.id, ())),
        "" if any(content.up.get(node.id) for node in routers) else "未连接" if routers else "未建",
    )


def _township_entries(content: Content, children: list[Site]) -> Iterator[Entry]:
    direct = [site for site in children if site.level is Level.VILLAGE]
    for site in children:
        if site.level is Level.TOWNSHIP:
            routers = content.routers(site)
            villages = len(content.tree.children.get(site.id, ()))
            links = [link for node in routers for link in content.up.get(node.id, ())]
            yield Entry(
                id=f"township-{site.id}",
                label=place_name(content.city, site),
                depth=1,
                right=f"{villages}" if villages else "",
                missing="" if links else "未连接" if routers else "未建",
                hint=f"{place_name(content.city, site)} {site.id} {villages}村\n"
                + "\n".join(content.hint(node) for node in routers),
                uplinks=content.uplinks(links),
            )
    if direct:
        # A functional zone has some villages of its own and no township: they are named.
        for site in direct:
            yield from _site_entries(content, site, 1, details=False)


def _site_entries(content: Content, site: Site, depth: int, details: bool) -> Iterator[Entry]:
    """A township or village with all below it."""
    routers = content.routers(site)
    links = [link for node in routers for link in content.up.get(node.id, ())]
    lines: list[str] = []
    if details:
        for node in routers:
            lines += content.addresses(node, named=True)
    yield Entry(
        id=f"site-{site.id}",
        label=place_name(content.city, site),
        depth=depth,
        details=tuple(lines),
        missing="" if links else "未连接" if routers else "未建",
        hint=f"{place_name(content.city, site)} {site.id}\n"
        + "\n".join(content.hint(node) for node in routers),
        uplinks=content.uplinks(links),
    )
    yield from _host_entries(content, routers, depth + 1, details)
    for key in content.tree.children.get(site.id, ()):
        yield from _site_entries(content, content.city.sites[key], depth + 1, details)


def _host_entries(content: Content, routers: list[Node], depth: int, details: bool = True) -> list[Entry]:
    return [
        entry
        for router in routers
        for host in content.hosts.get(router.id, ())
        for entry in content.node_entries(host, depth, details, None)
    ]


def _counted(content: Content, site: Site) -> str:
    below = [content.city.sites[key].level for key in content.tree.below(site.id)]
    townships, villages = below.count(Level.TOWNSHIP), below.count(Level.VILLAGE)
    parts = [f"{townships}乡" if townships else "", f"{villages}村" if villages else ""]
    return " · ".join(part for part in parts if part)


def _site_facts(content: Content, site: Site, routers: list[Node]) -> tuple[str, ...]:
    prefixes = " · ".join(str(content.plan.county_prefix(site.id, family)) for family in Family)
    facts = [fact for node in routers for fact in content.addresses(node, named=True)]
    return (*facts, f"汇总 {prefixes}")
