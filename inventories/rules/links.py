"""Does each link join two known nodes whose roles make sense for its kind?"""

from __future__ import annotations

from collections.abc import Callable

from inventories.problems import with_article
from inventories.records import ON_A_LAN, Level, Link, LinkKind, Node, NodeRole, Plane, Site, SiteRole
from inventories.sources import Draft

#: Interfaces and names that hosts have already.
_OWN_PREFIXES = ("lan-", "br-", "pe-", "vx-", "to-")
_RESERVED = ("lo", "host0", "lan0", "mgmt0", "gateway", "management")
_RANK = {level: rank for rank, level in enumerate(Level)}

#: Reports what is wrong at a field of the link at hand.
Report = Callable[[str, str, str], None]


def check(draft: Draft) -> None:
    """Notes links with unknown ends, and ends whose role or place does not fit the link's kind."""
    access: dict[str, str] = {}
    for key, link in draft.links.records.items():
        if link.kind is LinkKind.ACCESS and access.setdefault(link.b, key) != key:
            what = f"{link.b} has an access link already, {access[link.b]}"
            fix = "keep one: a host has one address a family, on one LAN, public or of a private network"
            draft.report(draft.links, key, "b", what, fix)
        if key in _RESERVED or key.startswith(_OWN_PREFIXES):
            draft.report(
                draft.links, key, "id", f"the interface name {key!r} is taken on hosts", "choose another"
            )
        ends: list[tuple[Node, Site]] = []
        for field, name in (("a", link.a), ("b", link.b)):
            node = draft.nodes.records.get(name)
            if node is None and not draft.nodes.knows(name):
                place = (draft.links, key, field)
                draft.report_unknown(place, "node", name, draft.nodes.records, "add it to nodes.csv")
            site = draft.sites.records.get(node.site) if node else None
            if node is not None and site is not None:
                ends.append((node, site))
        if link.a == link.b:
            draft.report(
                draft.links, key, "b", f"the link joins {link.a!r} with itself", "name the other end"
            )
        elif len(ends) == 2:
            _check_ends(draft, key, link, *ends)


def _check_ends(draft: Draft, key: str, link: Link, a: tuple[Node, Site], b: tuple[Node, Site]) -> None:
    def report(field: str, what: str, fix: str) -> None:
        draft.report(draft.links, key, field, what, fix)

    _KINDS[link.kind](report, a, b)
    if link.network:
        _check_network(draft, key, link, a[1])
    upper = a[1]
    planes = {link.plane, upper.plane}
    if link.kind is not LinkKind.CORE and upper.role is SiteRole.CORE and planes == {Plane.A, Plane.B}:
        report(
            "plane",
            f"plane is {link.plane}, but core site {upper.id} is plane {upper.plane}'s",
            f"write {upper.plane}",
        )


def _check_network(draft: Draft, key: str, link: Link, upper: Site) -> None:
    if link.kind is not LinkKind.ACCESS or upper.role is not SiteRole.ACCESS:
        what = f"a link of kind {link.kind} at site {upper.id} is of the private network {link.network}"
        draft.report(
            draft.links, key, "network", what, "leave it empty: access links of access sites have one"
        )
    elif not draft.networks.knows(link.network):
        place = (draft.links, key, "network")
        draft.report_unknown(
            place, "private network", link.network, draft.networks.records, "add it to private-networks.csv"
        )


def _check_core(report: Report, a: tuple[Node, Site], b: tuple[Node, Site]) -> None:
    for field, (node, site) in (("a", a), ("b", b)):
        if node.role is not NodeRole.ROUTER or site.role is not SiteRole.CORE:
            what = (
                f"a core link ends at {node.id}, {with_article(node.role)} of the {site.role} site {site.id}"
            )
            report(field, what, "a core link joins two routers of core sites; write another kind or node")


def _check_uplink(report: Report, a: tuple[Node, Site], b: tuple[Node, Site]) -> None:
    routers = True
    for field, (node, _) in (("a", a), ("b", b)):
        if node.role is not NodeRole.ROUTER:
            routers = False
            kind = "access" if node.role in ON_A_LAN else "server"
            what = f"an uplink ends at {node.id}, {with_article(node.role)} node"
            report(field, what, f"an uplink joins two routers; write kind {kind}, or the router's id")
    if routers and not _is_above(a[1], b[1]):
        what = f"{a[0].id} ({a[1].level} {a[1].role}) is not above {b[0].id} ({b[1].level} {b[1].role})"
        swap = _is_above(b[1], a[1])
        fix = (
            f"swap the ends: a is the upper one, {b[0].id}"
            if swap
            else "an uplink leads to a higher level or the core"
        )
        report("a", what, fix)


def _is_above(upper: Site, lower: Site) -> bool:
    if upper.role is SiteRole.PROVINCE or lower.role is SiteRole.PROVINCE:
        return upper.role is SiteRole.PROVINCE and lower.role is SiteRole.CORE
    if upper.role is SiteRole.CORE:
        return lower.role is not SiteRole.CORE
    if upper.role is SiteRole.BORDER:
        return False  # what it lets through it tells the core, nobody else
    return lower.role is SiteRole.ACCESS and _RANK[upper.level] < _RANK[lower.level]


def _check_server(report: Report, a: tuple[Node, Site], b: tuple[Node, Site]) -> None:
    if a[0].role is not NodeRole.ROUTER or a[1].role is not SiteRole.CORE:
        what = (
            f"a server link begins at {a[0].id}, {with_article(a[0].role)} of the {a[1].role} site {a[1].id}"
        )
        report("a", what, "a is a router of a core site")
    if b[0].role is NodeRole.ROUTER or b[0].role in ON_A_LAN:
        kind = "uplink" if b[0].role is NodeRole.ROUTER else "access"
        what = f"a server link ends at {b[0].id}, {with_article(b[0].role)}"
        report("b", what, f"b is a server; write kind {kind}, or the server's id")


def _check_access(report: Report, a: tuple[Node, Site], b: tuple[Node, Site]) -> None:
    if a[0].role is not NodeRole.ROUTER:
        report(
            "a",
            f"an access link begins at {a[0].id}, {with_article(a[0].role)}",
            "a is the router of the host's site",
        )
    if b[0].role is NodeRole.ROUTER:
        report(
            "b", f"an access link ends at the router {b[0].id}", "b is a host; write kind uplink for a router"
        )
    elif a[1].id != b[1].id:
        what = f"{b[0].id} of site {b[1].id} is on the LAN of site {a[1].id}"
        report("b", what, "an access link stays within a site; change the host's site or the router")


_KINDS: dict[LinkKind, Callable[[Report, tuple[Node, Site], tuple[Node, Site]], None]] = {
    LinkKind.CORE: _check_core,
    LinkKind.UPLINK: _check_uplink,
    LinkKind.SERVER: _check_server,
    LinkKind.ACCESS: _check_access,
}
