"""A small city for tests of the checks."""

from __future__ import annotations

from collections.abc import Iterable

from inventories.backups.records import BackupPolicy, Backups
from inventories.records import (
    City,
    Division,
    Ipv4Layout,
    Ipv6Layout,
    Layout,
    Level,
    Management,
    Node,
    NodeRole,
    Partner,
    Site,
    SiteRole,
    System,
)

LAYOUT = Layout(
    name="宜春市",
    division="3609",
    domain="city.example",
    ipv6=Ipv6Layout(prefix="2001:db8::/32"),
    ipv4=Ipv4Layout(prefix="198.18.0.0/15"),
    management=Management(ipv4="198.19.240.0/24", ipv6="2001:db8:ff00::/64"),
    partners={"3603": Partner(ipv4="192.0.2.0/24", ipv6="3fff:363::/32")},
)
DIVISIONS = [
    Division(code="3609", name="宜春市", level=Level.CITY),
    Division(code="3603", name="萍乡市", level=Level.CITY),
]
SITES = [
    Site(id="core", division="3609", level=Level.CITY, role=SiteRole.CORE),
    Site(id="cloud", division="3609", level=Level.CITY, role=SiteRole.CLOUD),
    Site(id="partner", division="3603", level=Level.CITY, role=SiteRole.OFFSITE),
]
NODES = [
    Node(id="core-1", site="core", role=NodeRole.ROUTER),
    Node(id="cloud-1", site="cloud", role=NodeRole.CLOUD),
    Node(id="cloud-2", site="cloud", role=NodeRole.CLOUD),
    Node(id="backup-1", site="cloud", role=NodeRole.BACKUP),
    Node(id="offsite-1", site="partner", role=NodeRole.OFFSITE),
    Node(id="ops-1", site="cloud", role=NodeRole.OPERATIONS),
]


def tiny_city(
    *,
    nodes: Iterable[Node] = NODES,
    systems: Iterable[System] = (),
    backups: Iterable[BackupPolicy] = (),
    places: Backups | None = None,
) -> City:
    """A city with a core, a cloud and a partner."""
    return City(
        layout=LAYOUT,
        divisions={division.code: division for division in DIVISIONS},
        sites={site.id: site for site in SITES},
        nodes={node.id: node for node in nodes},
        links={},
        systems={system.id: system for system in systems},
        backups={policy.id: policy for policy in backups},
        backup_places=places,
    )
