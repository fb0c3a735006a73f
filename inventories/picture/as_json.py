"""What does a program get of the network? A JSON document whose keys are the attributes of the graph's records."""

from __future__ import annotations

import msgspec

from inventories.picture.graph import Graph


def render_json(graph: Graph) -> str:
    """`city`, `division`, `county`, `networks`, `nodes`, `links`: the keys of :mod:`inventories.picture.graph`."""
    return msgspec.json.format(msgspec.json.encode(graph), indent=2).decode() + "\n"
