"""Where in the city does a subject of a record stand, what is it called, and whose is it?"""

from __future__ import annotations

from typing import NamedTuple

from inventories.records import City, Level, Node, Site, SiteRole, System


class Place(NamedTuple):
    """A node or system among the five levels; names are for people, ids for labels.

    `county` and `township` are the ids of the sites above (or of the site itself), empty for what belongs
    to the city as a whole; `unit` is the id of the responsible unit.
    """

    kind: str
    name: str
    level: str
    county: str
    township: str
    site: str
    unit: str


#: What a record speaks of when the inventory no longer has it: it must show, not vanish.
UNKNOWN_PLACE = Place("unknown", "", "", "", "", "", "")


def places(city: City) -> dict[str, Place]:
    """The place of every node and system, by id."""
    found = {node.id: _place_of_node(city, node) for node in city.nodes.values()}
    found.update((system.id, _place_of_system(city, system)) for system in city.systems.values())
    return found


def county_names(city: City) -> dict[str, str]:
    """The counties and county-level zones by site id, in the inventory's order."""
    return {
        site.id: division_name(city, site.division)
        for site in city.sites.values()
        if site.level == Level.COUNTY
    }


def division_name(city: City, code: str) -> str:
    """A division's name; its code where the inventory does not know it."""
    division = city.divisions.get(code)
    return division.name if division else code


def site_name(city: City, site_id: str) -> str:
    """What people call a site: its division for access sites, its routers' or servers' name otherwise."""
    site = city.sites.get(site_id)
    if site is None:
        return site_id
    return division_name(city, site.division) if site.role == SiteRole.ACCESS else site.id


def ancestor(city: City, site_id: str, level: Level) -> Site | None:
    """The site of a level at or above a site; None where there is none."""
    site = city.sites.get(site_id)
    for _ in Level:  # a tree of five levels: a loop in bad data ends too
        if site is None or site.level == level:
            return site
        site = city.sites.get(site.parent)
    return None


def _place_of_node(city: City, node: Node) -> Place:
    site = city.sites.get(node.site)
    county = ancestor(city, node.site, Level.COUNTY)
    township = ancestor(city, node.site, Level.TOWNSHIP)
    return Place(
        kind=f"{node.role}",
        name=node.name or node.id,
        level=f"{site.level}" if site else "",
        county=county.id if county else "",
        township=township.id if township else "",
        site=node.site,
        unit="",
    )


def _place_of_system(city: City, system: System) -> Place:
    on = next((city.nodes[node] for node in system.nodes if node in city.nodes), None)
    below = _place_of_node(city, on) if on else UNKNOWN_PLACE
    return Place(
        kind="system",
        name=system.name,
        level=below.level or f"{Level.CITY}",
        county=below.county,
        township=below.township,
        site=below.site,
        unit=system.owners[0] if system.owners else "",
    )


def site_path(city: City, site_id: str) -> str:
    """Where the status page of a site's division is: `village/360902103201`; the city's for what is no division's."""
    site = city.sites.get(site_id)
    if site is None or site.role != SiteRole.ACCESS:
        return f"{Level.CITY}/{city.layout.division}"
    return f"{site.level}/{site.division}"
