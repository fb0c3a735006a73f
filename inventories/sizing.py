"""How large an IPv4 block each county-level site needs, so that all of them fit the city's prefix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from inventories.records import Ipv4Layout, Level, Node, NodeRole, Site, SiteRole

#: Bits of an IPv4 address (RFC 791).
ADDRESS_BITS = 32
#: A county-level site takes no less than this, in bits: zones grow by sites that no statistics count.
SMALLEST = 22
#: The part of what is needed today that must still be free when a size is chosen: one part in so many.
HEADROOM = 16


class Demand(NamedTuple):
    """What one county-level site asks of its IPv4 block, in counts."""

    site: str
    townships: int
    villages: int
    blocks: int  # of Ipv4Layout.block bits, rounded up for each township, as a block serves one township only
    routers: int
    links: int  # uplinks of the routers below the site's own

    @property
    def with_headroom(self) -> Demand:
        """The same with the headroom on top, rounded up."""
        grown = (-(-count * (HEADROOM + 1) // HEADROOM) for count in (self.blocks, self.routers, self.links))
        return Demand(self.site, self.townships, self.villages, *grown)


class Capacity(NamedTuple):
    """What an IPv4 block of one size holds, in counts.

    A quarter of it is infrastructure, a quarter of that loopbacks; the rest is links, and blocks.
    """

    blocks: int
    routers: int
    links: int

    def holds(self, demand: Demand) -> bool:
        """Whether every part of the demand fits."""
        return demand.blocks <= self.blocks and demand.routers <= self.routers and demand.links <= self.links


def capacity(bits: int, layout: Ipv4Layout) -> Capacity:
    """What a block of `bits` bits holds under the layout; a link takes two addresses (/31, RFC 3021)."""
    addresses = 1 << (ADDRESS_BITS - bits)
    infrastructure = addresses // 4
    loopbacks = infrastructure // 4
    blocks = (addresses - infrastructure) >> (ADDRESS_BITS - layout.block)
    # The first slot of each is not given out: it is the network's own address.
    return Capacity(blocks, loopbacks - 1, (infrastructure - loopbacks) // 2 - 1)


def demands(sites: Iterable[Site], nodes: Iterable[Node], layout: Ipv4Layout) -> list[Demand]:
    """What each county-level access site needs, in the order of the sites.

    Every access site takes one LAN of `layout.lan` bits; the LANs of a township and its villages share
    blocks of `layout.block` bits with no other township, and so do those of the county's own site and of
    the villages directly below it.
    """
    access = {site.id: site for site in sites if site.role is SiteRole.ACCESS}
    counties = {site.id: _county(site, access) for site in access.values()}
    lans: dict[str, dict[str, int]] = {}
    for site in access.values():
        group = site.parent if site.level is Level.VILLAGE else site.id
        of_county = lans.setdefault(counties[site.id], {})
        of_county[group] = of_county.get(group, 0) + 1
    routers: dict[str, int] = {}
    for node in nodes:
        if node.role is NodeRole.ROUTER and node.site in counties:
            county = counties[node.site]
            routers[county] = routers.get(county, 0) + 1
    lans_per_block = 1 << (layout.lan - layout.block)
    found = []
    for county, groups in lans.items():
        total = sum(groups.values())
        blocks = sum(-(-count // lans_per_block) for count in groups.values())
        townships = len(groups) - 1
        of_site = routers.get(county, 0)
        found.append(Demand(county, townships, total - townships - 1, blocks, of_site, max(of_site - 1, 0)))
    return found


def smallest_size(demand: Demand, layout: Ipv4Layout) -> int:
    """The prefix length, in bits, of the smallest block that holds the demand with its headroom.

    Raises:
        ValueError: not even a /8 would do.
    """
    grown = demand.with_headroom
    for bits in range(SMALLEST, 7, -1):
        if capacity(bits, layout).holds(grown):
            return bits
    raise ValueError(
        f"{demand.site} needs {demand.blocks} blocks of /{layout.block}: no IPv4 prefix holds them"
    )


def _county(site: Site, access: dict[str, Site]) -> str:
    while site.parent:
        site = access[site.parent]
    return site.id
