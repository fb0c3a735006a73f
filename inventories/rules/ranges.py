"""From which ranges must a city's addresses not come, and why?"""

from __future__ import annotations

import csv
import functools
from importlib import resources
from typing import NamedTuple

from netaddr import IPNetwork

from inventories.records import Family


class SpecialRange(NamedTuple):
    """A block of a special-purpose registry; `city` and `management` say what may be addressed from it."""

    network: IPNetwork
    name: str
    source: str
    city: bool
    management: bool


@functools.cache
def special_ranges() -> tuple[SpecialRange, ...]:
    """The table of `special-ranges.csv`. Python's own `ipaddress` lags behind the registries (3fff::/20)."""
    text = (resources.files("inventories") / "special-ranges.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        SpecialRange(
            IPNetwork(row["prefix"]),
            row["name"],
            row["source"],
            row["city"] == "yes",
            row["management"] == "yes",
        )
        for row in rows
    )


def bogons(family: Family) -> tuple[str, ...]:
    """The ranges of a family whose addresses no unicast packet of a city bears, in the table's order.

    Link-local addresses and multicast are among them: neither is routed. Ranges of documentation and benchmarks
    are not: samples and labs use them.
    """
    version = 4 if family is Family.IPV4 else 6
    return tuple(
        str(special.network)
        for special in special_ranges()
        if special.network.version == version and not special.city
    )


def overlap(left: IPNetwork, right: IPNetwork) -> bool:
    """Whether two prefixes of one family share an address."""
    return bool(left.version == right.version and left.first <= right.last and right.first <= left.last)


def refusal(network: IPNetwork, use: str) -> SpecialRange | None:
    """The range that forbids `network` for a use, `city` or `management`; None when it may be used."""
    for special in special_ranges():
        if overlap(network, special.network) and not getattr(special, use):
            return special
    return None
