"""How does a city stand as a tree: the sites of the city itself, then county, township, village?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from rich.text import Text
from rich.tree import Tree

from inventories.records import City, Level, Site, SiteRole

#: How many levels below the city a depth of that name shows.
DEPTHS = ("city", "county", "township", "village", "nodes")
#: The deepest tree that is shown unasked has no more lines than this.
READABLE_LINES = 60
_PLURAL = {Level.COUNTY: "counties", Level.TOWNSHIP: "townships", Level.VILLAGE: "villages"}


class SiteTree:
    """The sites of a city by their parent, and what stands at each."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.children: dict[str, list[str]] = defaultdict(list)
        self.nodes: dict[str, list[str]] = defaultdict(list)
        for key, site in city.sites.items():
            self.children[site.parent].append(key)
        for key, node in city.nodes.items():
            self.nodes[node.site].append(key)

    def below(self, site: str) -> Iterator[str]:
        """Every site below one, not itself."""
        for child in self.children.get(site, ()):
            yield child
            yield from self.below(child)

    def counts(self, site: str) -> dict[str, int]:
        """How many sites of each level, and how many nodes, stand below a site; nodes of its own included."""
        below = list(self.below(site))
        levels = Counter(self.city.sites[key].level for key in below)
        counted = {_PLURAL[level]: levels[level] for level in _PLURAL if levels[level]}
        return {**counted, "nodes": sum(len(self.nodes.get(key, ())) for key in (site, *below))}

    def as_data(self, depth: int) -> dict[str, Any]:
        """The tree as plain data, down to `depth` (an index of :data:`DEPTHS`)."""
        layout = self.city.layout
        return {
            "name": layout.name,
            "division": layout.division,
            "level": Level.CITY.value,
            "counts": city_counts(self.city),
            "sites": [self._site(key, depth) for key in self.children.get("", ())],
        }

    def _site(self, key: str, depth: int) -> dict[str, Any]:
        site = self.city.sites[key]
        data: dict[str, Any] = {
            "site": key,
            "name": place_name(self.city, site),
            "level": site.level.value,
            "role": site.role.value,
            "plane": site.plane.value,
            "counts": self.counts(key),
        }
        if depth >= len(DEPTHS) - 1:
            data["nodes"] = self.nodes.get(key, [])
        if _depth(site) < depth:
            data["sites"] = [self._site(child, depth) for child in self.children.get(key, ())]
        return data


def _depth(site: Site) -> int:
    """How deep a site stands, as an index of :data:`DEPTHS`; the province's own stands beside the city's."""
    return DEPTHS.index(site.level.value) if site.role is SiteRole.ACCESS else 0


def place_name(city: City, site: Site) -> str:
    """The name of a site's division; for a partner's site that is the other city's."""
    division = city.divisions.get(site.division)
    return division.name if division else site.division


def city_counts(city: City) -> dict[str, int]:
    """How many records of each kind the city has, and sites by level."""
    access = Counter(site.level for site in city.sites.values() if site.role is SiteRole.ACCESS)
    return {
        **{_PLURAL[level]: access[level] for level in _PLURAL},
        "divisions": len(city.divisions),
        "sites": len(city.sites),
        "nodes": len(city.nodes),
        "links": len(city.links),
        "units": len(city.units),
        "systems": len(city.systems),
        "policies": len(city.backups),
        "networks": len(city.networks),
    }


def readable_depth(city: City) -> int:
    """The deepest depth at which the tree is still read at a glance, at least the counties."""
    lines = Counter(map(_depth, city.sites.values()))
    total = 0
    for depth in range(len(DEPTHS)):
        total += lines[depth] if depth < len(DEPTHS) - 1 else len(city.nodes)
        if total > READABLE_LINES:
            return max(1, depth - 1)
    return len(DEPTHS) - 1


def render_tree(data: dict[str, Any]) -> Tree:
    """The tree for people."""
    root = Tree(_label(data["name"], data["division"], "city", data["counts"]))
    for site in data["sites"]:
        _render_site(root, site)
    return root


def _render_site(above: Tree, site: dict[str, Any]) -> None:
    is_access = site["role"] == SiteRole.ACCESS
    kind = site["level"] if is_access else site["role"]
    if site["plane"] != "both":
        kind += f", plane {site['plane']}"
    branch = above.add(_label(site["name"], site["site"], kind, site["counts"]))
    if site.get("nodes"):
        branch.add(Text(", ".join(site["nodes"]), style="dim"))
    for child in site.get("sites", ()):
        _render_site(branch, child)


def _label(name: str, identifier: str, kind: str, counts: dict[str, int]) -> Text:
    counted = count_words(counts)
    return Text.assemble((name, "bold"), f" {identifier} ", (f"({kind})", "cyan"), (f"  {counted}", "dim"))


def count_words(counts: dict[str, int]) -> str:
    """Counts in words, without those that are none: `2 counties, 1 township`."""
    return ", ".join(
        f"{number} {_singular(what) if number == 1 else what}" for what, number in counts.items() if number
    )


def _singular(plural: str) -> str:
    if plural.endswith("ies"):
        return f"{plural[:-3]}y"
    return plural.removesuffix("s")
