"""How does graphviz get the network? A graph in the DOT language, a cluster a county and a township.

Quoted strings follow https://graphviz.org/doc/info/lang.html: only the double quote is escaped in the language,
and a backslash is the label's own escape, so that it is doubled.
"""

from __future__ import annotations

from collections.abc import Iterable

from inventories.picture.graph import Graph, GraphLink, GraphNode
from inventories.picture.style import NEUTRAL, PLANE_COLOURS
from inventories.records import City, Plane
from inventories.tree import place_name

_SHAPES = {"router": "box", "client": "ellipse"}
#: What tells the planes apart without colour.
_STYLES = {Plane.A.value: "solid", Plane.B.value: "dashed", Plane.BOTH.value: "solid"}


def render_dot(city: City, graph: Graph) -> str:
    """The graph; `rankdir=LR`, because a city has far more villages than levels."""
    inside: dict[str, dict[str, list[GraphNode]]] = {}
    for node in graph.nodes:
        inside.setdefault(node.county, {}).setdefault(node.township, []).append(node)
    lines = [f"graph {quoted(graph.city)} {{"]
    lines += [
        "  rankdir=LR;",
        '  node [fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=9];',
    ]
    for county, townships in sorted(inside.items()):
        lines += _indented(_cluster(city, county, _townships(city, townships)))
    lines += _indented(map(_edge, graph.links))
    return "\n".join([*lines, "}", ""])


def quoted(text: str) -> str:
    """A string of the DOT language that shows as `text`."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


def _townships(city: City, townships: dict[str, list[GraphNode]]) -> list[str]:
    lines: list[str] = []
    for township, nodes in sorted(townships.items()):
        lines += _cluster(city, township, [_node(node) for node in nodes])
    return lines


def _cluster(city: City, site: str, lines: list[str]) -> list[str]:
    """Lines in a cluster of a site; as they are where there is no site."""
    if not site:
        return lines
    label = f"label={quoted(place_name(city, city.sites[site]))};"
    return [f"subgraph {quoted(f'cluster_{site}')} {{", *_indented([label, *lines]), "}"]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _node(node: GraphNode) -> str:
    label = f"{node.name}\n{node.ipv4}\n{node.ipv6}"
    # \n is the label's own line break, so the parts are escaped one by one
    text = "\\n".join(quoted(part)[1:-1] for part in label.split("\n"))
    shape = _SHAPES.get(node.role, "cylinder")
    return f'{quoted(node.id)} [label="{text}", shape={shape}];'


def _edge(link: GraphLink) -> str:
    colour = PLANE_COLOURS.get(Plane(link.plane), NEUTRAL)
    style = _STYLES[link.plane]
    tooltip = quoted(f"{link.ipv4} {link.ipv6}")
    return (
        f"{quoted(link.a)} -- {quoted(link.b)} "
        f"[id={quoted(link.id)}, color={quoted(colour)}, style={style}, tooltip={tooltip}];"
    )
