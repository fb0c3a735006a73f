"""Which prefixes and addresses has everything in a city? The address plan, in both families.

The plan is a pure function of the city: no clock, no file, no network. Its numbers come from
:mod:`inventories.numbering`; here they get names and netaddr types. Rows are made while they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netaddr import IPAddress, IPNetwork

from inventories import plan_rows
from inventories.allocation import PlanError
from inventories.blocks import CITY
from inventories.geometry import POOL, Span
from inventories.numbering import Numbers
from inventories.plan_rows import AddressRow, PrefixRow, PrivateAddressRow, PrivatePrefixRow
from inventories.private_numbering import crossing_link, private_lan
from inventories.records import Allocations, City, Family, NodeRole
from inventories.usage import UsageRow, usage_of

__all__ = [
    "CITY_ITSELF",
    "AddressPlan",
    "AddressRow",
    "PlanError",
    "PrefixRow",
    "PrivateAddressRow",
    "PrivatePrefixRow",
    "UsageRow",
    "build_plan",
]


def build_plan(city: City) -> AddressPlan:
    """Number the whole city.

    Members that `allocations.csv` lacks are numbered in a way that depends on the inventory alone; they stand
    in :attr:`AddressPlan.new_allocations` and hold for ever only once they are written there.

    Raises:
        PlanError: a prefix is too small, overlaps another or is exhausted, or two members claim one slot;
            names level, division and what to change.
    """
    return AddressPlan(Numbers(city))


class AddressPlan:
    """The addresses of a city; every method raises KeyError for an id that the inventory has not."""

    def __init__(self, numbers: Numbers) -> None:
        """Wrap the numbers; use :func:`build_plan`."""
        self._numbers = numbers
        self.city: City = numbers.city

    @property
    def new_allocations(self) -> Allocations:
        """The allocations that the file lacks."""
        return self._numbers.ledger.new

    def prefixes(self) -> Iterator[PrefixRow]:
        """Yield every prefix of the public plan, each after the one that holds it."""
        return plan_rows.prefixes(self._numbers)

    def addresses(self) -> Iterator[AddressRow]:
        """Yield every address of the public plan; those of private networks stand apart."""
        return plan_rows.addresses(self._numbers)

    def private_prefixes(self) -> Iterator[PrivatePrefixRow]:
        """Yield the prefixes of every private network, each in the network's own routing table."""
        return plan_rows.private_prefixes(self._numbers)

    def private_addresses(self) -> Iterator[PrivateAddressRow]:
        """Yield every address that stands in a private network."""
        return plan_rows.private_addresses(self._numbers)

    def usage(self) -> list[UsageRow]:
        """Answer how full each pool is."""
        return usage_of(self._numbers)

    def site_prefix(self, site_id: str, family: Family) -> list[IPNetwork]:
        """Answer the prefixes of a site and all below it: one in IPv6, and in IPv4 as many as its blocks."""
        numbers = self._numbers
        site = self.city.sites[site_id]
        if family == Family.IPV6:
            bits = numbers.site6_bits(site_id)
            return [Span(numbers.site6[site_id], bits, 6).network()]
        if site_id in numbers.county4:
            return [self.county_prefix(site_id, family)]
        if numbers.group.get(site_id) == site.id:
            bits = self.city.layout.ipv4.block
            return [Span(base, bits, 4).network() for base in numbers.blocks[site_id].values()]
        return [self.lan(site_id, family)]

    def county_prefix(self, site_id: str, family: Family) -> IPNetwork:
        """Answer the prefix that sums up a county-level site, infrastructure included.

        For `@city` it is that of the city's own sites; their IPv6 infrastructure lies apart, in the city's
        slot 0.
        """
        numbers = self._numbers
        block = numbers.county4[site_id]
        if family == Family.IPV6:
            return Span(numbers.site6[site_id], self.city.layout.ipv6.county, 6).network()
        return Span(block.base, block.bits, 4).network()

    def lan(self, site_id: str, family: Family) -> IPNetwork:
        """Answer the LAN of a site."""
        numbers = self._numbers
        if family == Family.IPV6:
            return Span(numbers.lan6[site_id], self.city.layout.ipv6.lan, 6).network()
        return Span(
            numbers.lan4[site_id], numbers.lan4_bits.get(site_id, self.city.layout.ipv4.lan), 4
        ).network()

    def gateway(self, site_id: str, family: Family) -> IPAddress:
        """Answer the first address of a site's LAN, which the site's router holds."""
        numbers = self._numbers
        lan = numbers.lan6[site_id] if family == Family.IPV6 else numbers.lan4[site_id]
        return _address(lan + 1, family)

    def loopback(self, node_id: str, family: Family) -> IPAddress:
        """Answer a router's loopback."""
        return _address(self._numbers.loopback_address(node_id, family), family)

    def link_prefix(self, link_id: str, family: Family) -> IPNetwork:
        """Answer the /127 (RFC 6164) or /31 (RFC 3021) of a routed link."""
        base = self._numbers.link_base(link_id, family)
        return Span(base, 127, 6).network() if family == Family.IPV6 else Span(base, 31, 4).network()

    def link_address(self, link_id: str, node_id: str, family: Family) -> IPAddress:
        """Answer a node's address on a routed link: the upper end `a` has the lower address."""
        link = self.city.links[link_id]
        end = (link.a, link.b).index(node_id) if node_id in (link.a, link.b) else None
        if end is None:
            raise KeyError(f"{node_id} is no end of link {link_id}")
        return _address(self._numbers.link_base(link_id, family) + end, family)

    def host(self, node_id: str, family: Family) -> IPAddress:
        """Answer a node's service address: the loopback of a router, the address on the LAN of any other."""
        if self.city.nodes[node_id].role == NodeRole.ROUTER:
            return self.loopback(node_id, family)
        return _address(self._numbers.host_address(node_id, family), family)

    def management(self, node_id: str, family: Family) -> IPAddress:
        """Answer a node's address on the management network."""
        numbers = self._numbers
        span = numbers.geometry.management6 if family == Family.IPV6 else numbers.geometry.management4
        return _address(span.base + numbers.management[node_id], family)

    def infrastructure(self, site_id: str, family: Family) -> IPNetwork:
        """Answer the prefix of a county-level site's loopbacks and links; `@city` is the city's own."""
        numbers = self._numbers
        if family == Family.IPV6:
            return Span(numbers.infrastructure6[site_id], self.city.layout.ipv6.township, 6).network()
        return numbers.county4[site_id].infrastructure.network()

    def loopback_pool(self, site_id: str, family: Family) -> IPNetwork:
        """Answer the prefix of a county-level site's loopbacks; `@city` is the city's own."""
        numbers = self._numbers
        if family == Family.IPV6:
            return Span(numbers.infrastructure6[site_id], POOL, 6).network()
        return numbers.county4[site_id].loopbacks.network()

    def private_sites(self, network_id: str) -> Mapping[str, int]:
        """Answer the sites of a private network, each with its slot; the border's site is among them."""
        return self._numbers.private[network_id]

    def private_lan(self, network_id: str, site_id: str, family: Family) -> IPNetwork:
        """Answer the LAN of a private network at a site."""
        return self.lan(private_lan(network_id, site_id), family)

    def private_gateway(self, network_id: str, site_id: str, family: Family) -> IPAddress:
        """Answer the first address of a private network's LAN at a site, which the site's router holds."""
        return self.gateway(private_lan(network_id, site_id), family)

    def crossing(self, network_id: str, family: Family) -> tuple[IPAddress, IPAddress]:
        """Answer the ends of the border's link into a private network: public end, private end.

        Outside, the network's IPv4 hosts show as the private end, for their own range may exist twice.
        """
        base = self._numbers.link_base(crossing_link(network_id), family)
        return _address(base, family), _address(base + 1, family)

    @property
    def border(self) -> str:
        """The border router, an empty string where the city has none."""
        return self._numbers.border

    def owner(self, site_id: str) -> str:
        """Answer the county-level site to which a site belongs, `@city` for sites of the city itself."""
        return self._numbers.owner[site_id]


def _address(value: int, family: Family) -> IPAddress:
    return IPAddress(value, 6 if family == Family.IPV6 else 4)


#: The owner of what belongs to the city itself.
CITY_ITSELF = CITY
