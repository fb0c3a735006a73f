"""What may stand in a rule's `from` and `to`?

`public` and `internet` are zones; all others name their kind: `network:health`, `unit:data-bureau`,
`system:gov-data-portal`, `site:360902105201`, `below:360902`, `role:cloud`, `node:ops-1`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class SelectorKind(StrEnum):
    """What a selector names."""

    PUBLIC = "public"  # the public zone (公用网络区): the city's and its partners' prefixes
    INTERNET = "internet"  # every address that is nobody's here
    NETWORK = "network"  # a department's private network (专用网络区)
    UNIT = "unit"  # as source its private networks, as destination the nodes of its systems
    SYSTEM = "system"  # the nodes of a system
    SITE = "site"  # the LAN and the routers and servers of one site
    BELOW = "below"  # a site and all below it
    ROLE = "role"  # the nodes of a role
    NODE = "node"


#: Selectors that are zones: a word alone.
ZONES = (SelectorKind.PUBLIC, SelectorKind.INTERNET)
#: Selectors that name something: `KIND:ID`.
NAMING = tuple(kind for kind in SelectorKind if kind not in ZONES)


class Selector(NamedTuple):
    """A selector of a rule; zones have no name."""

    kind: SelectorKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else str(self.kind)


def parse_selector(text: str) -> Selector | None:
    """The selector that a text stands for; None when it is none. Whether its name exists is not asked."""
    kind, colon, name = text.partition(":")
    if not colon:
        return Selector(SelectorKind(kind)) if kind in ZONES else None
    return Selector(SelectorKind(kind), name) if kind in NAMING and name else None
