"""Does a way over links lead from the city core to every site and every node?

What lies behind one missing link is one problem, at the highest site that is cut off.
"""

from __future__ import annotations

from collections import defaultdict

from inventories.records import Level, SiteRole
from inventories.sources import Draft

_RANK = {level: rank for rank, level in enumerate(Level)}


def check(draft: Draft) -> None:
    """Notes what the core does not reach; says nothing while rows of sites, nodes or links are refused."""
    sources = (draft.sites, draft.nodes, draft.links)
    if not all(source.readable and not source.broken for source in sources):
        return
    neighbours: dict[str, set[str]] = defaultdict(set)
    sites, nodes = draft.sites.records, draft.nodes.records
    excused = []
    for link in draft.links.records.values():
        if link.a in nodes and link.b in nodes:
            neighbours[link.a].add(link.b)
            neighbours[link.b].add(link.a)
        else:  # an end with an unknown name is a problem already; what it cuts off is no second one
            excused += [draft.suggestions.nearest(end, nodes) for end in (link.a, link.b)]
    core = [
        key for key, node in nodes.items() if node.site in sites and sites[node.site].role is SiteRole.CORE
    ]
    if not core:
        return  # a problem of its own
    reached = _reach([*core, *(key for key in excused if key in nodes)], neighbours)
    _report_nodes(draft, reached, neighbours)
    if all(node.site in sites for node in nodes.values()):
        _report_empty_sites(draft)


def _reach(begin: list[str], neighbours: dict[str, set[str]]) -> set[str]:
    reached = set(begin)
    waiting = list(begin)
    while waiting:
        for node in neighbours.get(waiting.pop(), ()):
            if node not in reached:
                reached.add(node)
                waiting.append(node)
    return reached


def _report_nodes(draft: Draft, reached: set[str], neighbours: dict[str, set[str]]) -> None:
    sites, nodes = draft.sites.records, draft.nodes.records
    place = {key: number for number, key in enumerate(nodes)}
    reached_sites = {nodes[key].site for key in reached}
    seen = set(reached)
    for key in nodes:
        if key in seen or nodes[key].site not in sites:
            continue
        island = _reach([key], neighbours)
        seen |= island
        cut = sorted((node for node in island if nodes[node].site in sites), key=place.__getitem__)
        top = min(cut, key=lambda node: _RANK[sites[nodes[node].site].level])
        site = nodes[top].site
        more = f" (nor {len(cut) - 1} more nodes behind it)" if len(cut) > 1 else ""
        fix = f"add a link from a reachable node to {top} in links.csv"
        if site in reached_sites:
            what = f"node {top} of site {site} cannot be reached from the core{more}"
            draft.report(draft.nodes, top, "id", what, fix)
        else:
            what = f"site {site} cannot be reached from the core: its node {top} has no way there{more}"
            draft.report(draft.sites, site, "id", what, fix)


def _report_empty_sites(draft: Draft) -> None:
    taken = {node.site for node in draft.nodes.records.values()}
    for key in draft.sites.records:
        if key not in taken:
            what = f"site {key} cannot be reached from the core: it has no node"
            draft.report(
                draft.sites, key, "id", what, "add its router to nodes.csv and an uplink to links.csv"
            )
