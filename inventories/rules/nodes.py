"""Does each node stand at a known site whose role fits its own?"""

from __future__ import annotations

from inventories.problems import with_article
from inventories.records import NO_LINUX, Cloud, Level, Node, NodeRole, Site, SiteRole
from inventories.sources import Draft

#: The sites at which a node of a role stands; a router may stand at any.
_SITE_ROLES = {
    NodeRole.CLOUD: (SiteRole.CLOUD, SiteRole.XINCHUANG),
    NodeRole.BACKUP: (SiteRole.BACKUP,),
    NodeRole.OFFSITE: (SiteRole.OFFSITE,),
    NodeRole.OPERATIONS: (SiteRole.OPERATIONS,),
    NodeRole.AGENT: (SiteRole.ACCESS,),
    NodeRole.CLIENT: (SiteRole.ACCESS, SiteRole.BORDER),
}
#: The cloud of the nodes at a site of each role.
CLOUD_OF = {SiteRole.CLOUD: Cloud.GOVERNMENT, SiteRole.XINCHUANG: Cloud.XINCHUANG}
#: Names that the address plan gives to something else in the city's zone.
_RESERVED = ("localhost", "management", "gateway")


def check(draft: Draft) -> None:
    """Notes nodes of unknown sites, and nodes whose role, cloud or name does not fit."""
    for key, node in draft.nodes.records.items():
        if key in _RESERVED:
            draft.report(
                draft.nodes, key, "id", f"the name {key!r} is taken in the city's zone", "choose another"
            )
        site = draft.sites.records.get(node.site)
        if site is not None:
            _check_place(draft, key, node, site)
        elif not draft.sites.knows(node.site):
            place = (draft.nodes, key, "site")
            draft.report_unknown(place, "site", node.site, draft.sites.records, "add it to sites.csv")


def _check_place(draft: Draft, key: str, node: Node, site: Site) -> None:
    roles = _SITE_ROLES.get(node.role, tuple(SiteRole))
    if site.role not in roles:
        what = f"{with_article(node.role)} node stands at the {site.role} site {site.id}"
        wanted = " or ".join(roles)
        draft.report(draft.nodes, key, "site", what, f"write a site with the role {wanted}, or another role")
    elif node.role is NodeRole.AGENT and site.level is not Level.COUNTY:
        what = f"an agent node stands at {site.id}, a site of the {site.level} level"
        draft.report(
            draft.nodes, key, "site", what, "write the county's site: an agent watches a whole county"
        )
    if node.os_family in NO_LINUX and node.role is not NodeRole.ROUTER:
        what = (
            f"os_family is {node.os_family}, which is a router's, but {key} is {with_article(node.role)} node"
        )
        draft.report(draft.nodes, key, "os_family", what, "write debian or dnf")
    if node.role is NodeRole.ROUTER and site.role in (SiteRole.BORDER, SiteRole.PROVINCE):
        others = [other.id for other in draft.nodes.records.values() if other.site == node.site]
        if others[0] != key and draft.nodes.records[others[0]].role is NodeRole.ROUTER:
            what = f"site {site.id} has a second router, {key} beside {others[0]}"
            draft.report(draft.nodes, key, "site", what, f"{with_article(site.role)} site has one router")
    cloud = CLOUD_OF.get(site.role)
    if cloud is not None and node.role is NodeRole.CLOUD and node.cloud is not cloud:
        what = f"cloud is {node.cloud}, but site {site.id} is of the {cloud} cloud"
        draft.report(draft.nodes, key, "cloud", what, f"write {cloud}")
