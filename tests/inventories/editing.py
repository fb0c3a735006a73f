"""A city that a test edits: divisions with sites, routers and uplinks come and go, and slots stay."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import msgspec

from inventories import allocation_file
from inventories.plan import AddressPlan, build_plan
from inventories.records import (
    Allocations,
    City,
    Division,
    Family,
    Layout,
    Level,
    Link,
    LinkKind,
    Node,
    NodeRole,
    Record,
    Site,
)

#: What stands at a place of the plan: `("lan", site, family)` and the like, and its prefix or address as
#: text.
Places = dict[tuple[str, str, str], str]


class Editor:
    """The records of a city, changed in place; `allocations` are what the file would hold."""

    def __init__(self, city: City) -> None:
        self.layout: Layout = city.layout
        self.divisions = dict(city.divisions)
        self.sites = dict(city.sites)
        self.nodes = dict(city.nodes)
        self.links = dict(city.links)
        self.units = dict(city.units)
        self.networks = dict(city.networks)
        self.allocations: Allocations = city.allocations

    def city(self) -> City:
        return City(
            layout=self.layout,
            divisions=dict(self.divisions),
            sites=dict(self.sites),
            nodes=dict(self.nodes),
            links=dict(self.links),
            units=dict(self.units),
            networks=dict(self.networks),
            allocations=self.allocations,
        )

    def allocate(self) -> AddressPlan:
        """Build the plan and carry its allocations over, as `plan --allocate` and the next run do."""
        plan = build_plan(self.city())
        self.allocations = allocation_file.merged(self.allocations, plan.new_allocations)
        return plan

    def add(self, code: str, level: Level, parent: str = "", above: str = "core-a") -> None:
        """Add a division with its site, its router and the uplink to the router `above`."""
        division = parent or self.layout.division
        self.divisions[code] = Division(code=code, name=f"名{code}", level=level, parent=division)
        self.sites[code] = Site(id=code, division=code, level=level, parent=parent)
        self.nodes[f"r{code}"] = Node(id=f"r{code}", site=code, role=NodeRole.ROUTER)
        self.add_link(f"u{code}", above, f"r{code}")

    def add_client(self, node: str, site: str) -> None:
        self.nodes[node] = Node(id=node, site=site, role=NodeRole.CLIENT)

    def add_link(self, link: str, above: str, below: str, kind: LinkKind = LinkKind.UPLINK) -> None:
        self.links[link] = Link(id=link, a=above, b=below, kind=kind)

    def remove_node(self, node: str) -> None:
        del self.nodes[node]
        for link in [link.id for link in self.links.values() if node in (link.a, link.b)]:
            del self.links[link]

    def remove_site(self, site: str) -> None:
        """Remove a site with all below it, and the divisions and nodes that stand there."""
        for child in [child.id for child in self.sites.values() if child.parent == site]:
            self.remove_site(child)
        for node in [node.id for node in self.nodes.values() if node.site == site]:
            self.remove_node(node)
        self.divisions.pop(self.sites.pop(site).division, None)

    def rename(self, code: str, name: str) -> None:
        self.divisions[code] = msgspec.structs.replace(self.divisions[code], name=name)

    def shuffle(self, key: Mapping[str, int]) -> None:
        """Put the rows of every file into another order."""
        for table in (self.divisions, self.sites, self.nodes, self.links):
            rows = sorted(table.items(), key=lambda item: key.get(item[0], hash(item[0]) % 97))
            table.clear()
            table.update(rows)  # type: ignore[arg-type]

    def write(self, folder: Path) -> None:
        """Write the four required tables and the allocations as files of an inventory."""
        write_table(folder / "divisions.csv", self.divisions)
        write_table(folder / "sites.csv", self.sites)
        write_table(folder / "nodes.csv", self.nodes)
        write_table(folder / "links.csv", self.links)
        (folder / allocation_file.FILE).write_text(allocation_file.text(self.allocations), encoding="utf-8")


def write_table(path: Path, records: Mapping[str, Record]) -> None:
    rows = [msgspec.to_builtins(record) for record in records.values()]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def places(plan: AddressPlan) -> Places:
    """Everything that the plan numbers, by what it is; a village under another township is another."""
    found: Places = {}
    city = plan.city
    for family in Family:
        for site in city.sites.values():
            whose = f"{site.parent}>{site.id}"
            found["lan", whose, family] = str(plan.lan(site.id, family))
            found["gateway", whose, family] = str(plan.gateway(site.id, family))
            if family is Family.IPV6 or site.level is Level.COUNTY:
                found["site", whose, family] = str(plan.site_prefix(site.id, family)[0])
        for network in city.networks:
            for site, slot in plan.private_sites(network).items():
                found["slot", f"{network}>{site}", family] = str(slot)
                found["private lan", f"{network}>{site}", family] = str(
                    plan.private_lan(network, site, family)
                )
            if plan.border:
                found["crossing", network, family] = str(plan.crossing(network, family)[0])
        networks = {link.b: link.network for link in city.links.values() if link.network}
        for node in city.nodes.values():
            # In another network, or in none, a host is another one.
            whose = f"{node.id}@{node.site}/{networks.get(node.id, '')}"
            found["host", whose, family] = str(plan.host(node.id, family))
            found["management", node.id, family] = str(plan.management(node.id, family))
        for link in city.links.values():
            if link.kind is not LinkKind.ACCESS:
                whose = f"{plan.owner(city.nodes[link.a].site)}:{link.id}"
                found["link", whose, family] = str(plan.link_prefix(link.id, family))
    return found
