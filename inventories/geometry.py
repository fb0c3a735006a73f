"""Where do the slots of each pool lie? The layout's prefixes and level sizes as integers.

IPv6 levels are prefix lengths on the way from the city to a LAN. In IPv4 every county-level site has one
aligned block: its first quarter is infrastructure, of which the first quarter holds the loopbacks and the
rest the links; the other three quarters are handed out to townships in blocks.

Slot 0 of loopbacks and links stays unused: its IPv6 form is the subnet-router anycast address
(RFC 4291 section 2.6.1), which RFC 6164 section 5.2 keeps off links.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from netaddr import AddrFormatError, IPNetwork

from inventories.allocation import PlanError
from inventories.records import Layout

#: The prefix length of an infrastructure pool, of loopbacks or of links, in IPv6.
POOL = 64


class Span(NamedTuple):
    """A prefix as integers: first address, prefix length, address version (4 or 6)."""

    base: int
    bits: int
    version: int

    @property
    def size(self) -> int:
        """How many addresses the prefix holds."""
        return 1 << ((32 if self.version == 4 else 128) - self.bits)

    def overlaps(self, other: Span) -> bool:
        """Answer whether the two prefixes share an address."""
        return (
            self.version == other.version
            and self.base < other.base + other.size
            and other.base < self.base + self.size
        )

    def network(self) -> IPNetwork:
        """Answer the prefix as netaddr has it."""
        return IPNetwork((self.base, self.bits), version=self.version)


class Block(NamedTuple):
    """The IPv4 block of a county-level site or of the city's own sites, and what lies where in it."""

    base: int
    bits: int

    @property
    def size(self) -> int:
        """How many addresses the block holds."""
        return 1 << (32 - self.bits)

    @property
    def infrastructure(self) -> Span:
        """The first quarter: loopbacks and links."""
        return Span(self.base, self.bits + 2, 4)

    @property
    def loopbacks(self) -> Span:
        """The first quarter of the infrastructure: a /32 each."""
        return Span(self.base, self.bits + 4, 4)

    @property
    def links(self) -> int:
        """The first address of the links, which fill the rest of the infrastructure: a /31 each."""
        return self.base + self.size // 16

    @property
    def link_slots(self) -> int:
        """How many links the infrastructure has room for, slot 0 included."""
        return self.size * 3 // 32

    @property
    def sites(self) -> int:
        """The first address of the three quarters that the sites take."""
        return self.base + self.size // 4

    def site_slots(self, bits: int) -> int:
        """How many prefixes of `bits` bits the sites' three quarters hold."""
        return (self.size * 3 // 4) >> (32 - bits)


class Geometry:
    """The layout as integers.

    `city6` and `city4` are the city's prefixes, `management6` and `management4` those of the management
    network, `partners` those of the neighbours by division code (IPv6, IPv4), `internet` those of the segment to the
    internet.
    """

    def __init__(self, layout: Layout) -> None:
        """Read the layout.

        Raises:
            PlanError: a prefix is not one, prefixes overlap, or a level does not fit into the one above it;
                all such problems at once.
        """
        problems: list[str] = []
        self.layout = layout
        self.city6 = _span(layout.ipv6.prefix, 6, "[ipv6] prefix", problems)
        self.city4 = _span(layout.ipv4.prefix, 4, "[ipv4] prefix", problems)
        self.management6 = _span(layout.management.ipv6, 6, "[management] ipv6", problems)
        self.management4 = _span(layout.management.ipv4, 4, "[management] ipv4", problems)
        self.partners = {
            code: (
                _span(partner.ipv6, 6, f"[partners.{code}] ipv6", problems),
                _span(partner.ipv4, 4, f"[partners.{code}] ipv4", problems),
            )
            for code, partner in layout.partners.items()
        }
        self.internet: tuple[Span, Span] | None = None
        if layout.internet is not None:
            self.internet = (
                _span(layout.internet.ipv6, 6, "[internet] ipv6", problems),
                _span(layout.internet.ipv4, 4, "[internet] ipv4", problems),
            )
        where = f"{layout.name} ({layout.division})"
        if not problems:
            _check_ipv6(self, where, problems)
            _check_ipv4(self, where, problems)
            _check_overlaps(self, where, problems)
        if problems:
            raise PlanError(problems)
        ipv6, ipv4 = layout.ipv6, layout.ipv4
        #: How far a slot of each IPv6 level is shifted.
        self.county6 = 128 - ipv6.county
        self.township6 = 128 - ipv6.township
        self.village6 = 128 - ipv6.village
        self.counties = 1 << (ipv6.county - self.city6.bits)
        self.townships = 1 << (ipv6.township - ipv6.county)
        self.villages = 1 << (ipv6.village - ipv6.township)
        #: Addresses of an IPv4 LAN and of a LAN of the city's own sites; LANs in an IPv4 block.
        self.lan4 = 1 << (32 - ipv4.lan)
        self.city_lan4 = 1 << (32 - ipv4.city_lan)
        self.lans_per_block = 1 << (ipv4.lan - ipv4.block)

    def block_bits(self, site: str) -> int:
        """Answer the prefix length of a county-level site's IPv4 block, or of the city's own by its code."""
        return self.layout.ipv4.county_sizes.get(site, self.layout.ipv4.county)


def _span(text: str, version: int, where: str, problems: list[str]) -> Span:
    try:
        network = IPNetwork(text, version=version)
    except (AddrFormatError, ValueError):
        problems.append(
            f'city.toml: {where}: "{text}" is not an IPv{version} prefix; write one such as '
            f'"{"198.18.0.0/15" if version == 4 else "2001:db8::/32"}"'
        )
        return Span(0, 0, version)
    if network.value != network.first:
        problems.append(f'city.toml: {where}: "{text}" has bits set past its length; write "{network.cidr}"')
    return Span(network.first, network.prefixlen, version)


def _check_ipv6(geometry: Geometry, where: str, problems: list[str]) -> None:
    """Each level must be longer than the one above; a LAN is /64 or shorter (RFC 7421)."""
    levels = geometry.layout.ipv6
    ladder = [
        ("city", "prefix", geometry.city6.bits),
        ("county", "county", levels.county),
        ("township", "township", levels.township),
        ("village", "village", levels.village),
    ]
    for (_, above, above_bits), (level, key, bits) in pairwise(ladder):
        if bits <= above_bits:
            problems.append(
                f"city.toml: [ipv6] {key} = {bits}: {where}: the {level} level does not fit: it must be "
                f"longer than {above} (/{above_bits}); make {key} longer or {above} shorter"
            )
    if not levels.village < levels.lan <= POOL:
        problems.append(
            f"city.toml: [ipv6] lan = {levels.lan}: {where}: a LAN is longer than the village level "
            f"(/{levels.village}, RIPE-690) and at most /{POOL} (RFC 7421); set lan = {POOL}, village shorter"
        )
    if levels.township >= POOL:
        problems.append(
            f"city.toml: [ipv6] township = {levels.township}: {where}: the infrastructure at the county "
            f"level needs two /{POOL} of a township's size; make township shorter than {POOL}"
        )


def _check_ipv4(geometry: Geometry, where: str, problems: list[str]) -> None:
    """Blocks must fit into the city, and LANs into blocks."""
    ipv4 = geometry.layout.ipv4
    sizes = {"[ipv4] county": ipv4.county}
    sizes |= {f"[ipv4.county_sizes] {site}": bits for site, bits in ipv4.county_sizes.items()}
    for key, bits in sizes.items():
        if bits < geometry.city4.bits:
            problems.append(
                f"city.toml: {key} = {bits}: {where}: the county level is larger than the city's prefix "
                f"(/{geometry.city4.bits}); make it longer or [ipv4] prefix shorter"
            )
        if bits + 2 > ipv4.block or bits > 27:
            problems.append(
                f"city.toml: {key} = {bits}: {where}: the county level is too small: it must hold an "
                f"infrastructure quarter and blocks of /{ipv4.block}; make it at most "
                f"{min(ipv4.block - 2, 27)}"
            )
    if not ipv4.block <= ipv4.lan <= 29:
        problems.append(
            f"city.toml: [ipv4] lan = {ipv4.lan}: {where}: a LAN must lie between the block (/{ipv4.block}) "
            "and /29, which has room for a gateway and five hosts"
        )
    city_bits = ipv4.county_sizes.get(geometry.layout.division, ipv4.county)
    if not city_bits + 2 <= ipv4.city_lan <= 29:
        problems.append(
            f"city.toml: [ipv4] city_lan = {ipv4.city_lan}: {where}: a LAN of the city level must lie "
            f"between /{city_bits + 2}, three of which its block has, and /29"
        )


def _check_overlaps(geometry: Geometry, where: str, problems: list[str]) -> None:
    """No two of the layout's inputs may share addresses; only management may lie within the city's prefix."""
    inputs = [
        ("[ipv6] prefix", geometry.city6),
        ("[ipv4] prefix", geometry.city4),
        ("[management] ipv6", geometry.management6),
        ("[management] ipv4", geometry.management4),
    ]
    for code, (ipv6, ipv4) in geometry.partners.items():
        inputs += [(f"[partners.{code}] ipv6", ipv6), (f"[partners.{code}] ipv4", ipv4)]
    if geometry.internet is not None:
        inputs += [("[internet] ipv6", geometry.internet[0]), ("[internet] ipv4", geometry.internet[1])]
    for index, (one, first) in enumerate(inputs):
        for other, second in inputs[index + 1 :]:
            within = other.startswith("[management]") and one.endswith("prefix") and second.bits > first.bits
            if first.overlaps(second) and not within:
                problems.append(
                    f"city.toml: {where}: {one} {first.network()} and {other} {second.network()} overlap at "
                    "the city level; choose another prefix for one of them"
                )
