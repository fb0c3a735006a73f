"""Which rows has the address plan? Every prefix and every address as text, made while they are read.

Addresses are written as RFC 5952 says. The C library's `inet_ntop` does that some ten times faster than
Python code could.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from socket import AF_INET6, inet_ntoa, inet_ntop
from typing import NamedTuple

from inventories.blocks import CITY
from inventories.geometry import POOL, Span
from inventories.numbering import Numbers
from inventories.private_numbering import crossing_link, private_lan
from inventories.records import Family, Level, LinkKind, NodeRole, SiteRole

V4, V6 = Family.IPV4, Family.IPV6


class PrefixRow(NamedTuple):
    """A prefix: `role` is city, county, township, village, site, lan, link, loopback, infrastructure,
    reserved, management, partner or internet; `division` and `site` say whose it is; `parent` is the prefix
    that holds it, if any.

    Role `site` is the part of a county's or township's prefix that its own site takes, or the prefix of a
    site of the city itself. Role `internet` is the border's LAN: the segment to the provider.
    """

    prefix: str
    family: Family
    role: str
    division: str
    site: str
    parent: str


class AddressRow(NamedTuple):
    """An address on a host's interface: `role` is gateway, loopback, link, host or management."""

    address: str
    family: Family
    host: str
    interface: str
    role: str
    dns_name: str


class PrivatePrefixRow(NamedTuple):
    """A prefix in the routing table of a private network: `role` is network (the whole) or lan (a site's).

    Two networks may have the same prefix, so these are no rows of the public plan.
    """

    network: str
    prefix: str
    family: Family
    role: str
    division: str
    site: str
    parent: str


class PrivateAddressRow(NamedTuple):
    """An address in the routing table of a private network: `role` is gateway or host; no public name has it."""

    network: str
    address: str
    family: Family
    host: str
    interface: str
    role: str


def text4(value: int) -> str:
    """Write an IPv4 address."""
    return inet_ntoa(value.to_bytes(4))


def text6(value: int) -> str:
    """Write an IPv6 address in the form of RFC 5952."""
    return inet_ntop(AF_INET6, value.to_bytes(16))


def text(span: Span) -> str:
    """Write a prefix."""
    return f"{(text4 if span.version == 4 else text6)(span.base)}/{span.bits}"


def prefixes(numbers: Numbers) -> Iterator[PrefixRow]:
    """Yield every prefix, each after the one that holds it."""
    return chain(
        _city_prefixes(numbers),
        _partner_prefixes(numbers),
        _internet_prefixes(numbers),
        chain.from_iterable(_county_prefixes(numbers, county) for county in numbers.counties),
        _link_prefixes(numbers),
    )


def _city_prefixes(numbers: Numbers) -> Iterator[PrefixRow]:
    geometry, layout, code = numbers.geometry, numbers.city.layout, numbers.city.layout.division
    city6, city4 = text(geometry.city6), text(geometry.city4)
    yield PrefixRow(city6, V6, "city", code, "", "")
    yield PrefixRow(city4, V4, "city", code, "", "")
    first = text(Span(geometry.city6.base, layout.ipv6.county, 6))
    yield PrefixRow(first, V6, "reserved", code, "", city6)
    own6 = text(Span(numbers.site6[CITY], layout.ipv6.county, 6))
    own4 = text(Span(numbers.county4[CITY].base, numbers.county4[CITY].bits, 4))
    yield PrefixRow(own6, V6, "site", code, "", city6)
    yield PrefixRow(own4, V4, "site", code, "", city4)
    yield from _infrastructure(numbers, CITY, code, first, own4)
    for span, family, city, holder in (
        (geometry.management6, V6, geometry.city6, city6),
        (geometry.management4, V4, geometry.city4, city4),
    ):
        yield PrefixRow(text(span), family, "management", code, "", holder if span.overlaps(city) else "")
    for site in numbers.city_sites:
        prefix = text(Span(numbers.site6[site], layout.ipv6.township, 6))
        yield PrefixRow(prefix, V6, "site", code, site, own6)
        yield PrefixRow(text(Span(numbers.lan6[site], layout.ipv6.lan, 6)), V6, "lan", code, site, prefix)
        yield PrefixRow(text(Span(numbers.lan4[site], layout.ipv4.city_lan, 4)), V4, "lan", code, site, own4)


def _partner_prefixes(numbers: Numbers) -> Iterator[PrefixRow]:
    seen: set[str] = set()
    for site in numbers.partner_sites:
        code = numbers.city.sites[site].division
        span6, span4 = numbers.geometry.partners[code]
        if code not in seen:
            yield PrefixRow(text(span6), V6, "partner", code, "", "")
            yield PrefixRow(text(span4), V4, "partner", code, "", "")
        seen.add(code)
        lan6 = text(Span(span6.base, numbers.city.layout.ipv6.lan, 6))
        yield PrefixRow(lan6, V6, "lan", code, site, text(span6))
        yield PrefixRow(text(span4), V4, "lan", code, site, text(span4))


def _internet_prefixes(numbers: Numbers) -> Iterator[PrefixRow]:
    for site in numbers.border_sites:
        code = numbers.city.sites[site].division
        for span, family in zip(numbers.geometry.internet or (), (V6, V4), strict=False):
            # The segment is the border's LAN: as a row of role lan it would stand there twice.
            yield PrefixRow(text(span), family, "internet", code, site, "")


def _infrastructure(
    numbers: Numbers, owner: str, code: str, parent6: str, parent4: str
) -> Iterator[PrefixRow]:
    base, block = numbers.infrastructure6[owner], numbers.county4[owner]
    site = "" if owner == CITY else owner
    whole6 = text(Span(base, numbers.city.layout.ipv6.township, 6))
    whole4 = text(block.infrastructure)
    yield PrefixRow(whole6, V6, "infrastructure", code, site, parent6)
    yield PrefixRow(whole4, V4, "infrastructure", code, site, parent4)
    yield PrefixRow(text(Span(base, POOL, 6)), V6, "loopback", code, site, whole6)
    yield PrefixRow(text(block.loopbacks), V4, "loopback", code, site, whole4)


def _county_prefixes(numbers: Numbers, county: str) -> Iterator[PrefixRow]:
    geometry, layout, sites = numbers.geometry, numbers.city.layout, numbers.city.sites
    code, block = sites[county].division, numbers.county4[county]
    whole6 = text(Span(numbers.site6[county], layout.ipv6.county, 6))
    whole4 = text(Span(block.base, block.bits, 4))
    yield PrefixRow(whole6, V6, "county", code, county, text(geometry.city6))
    yield PrefixRow(whole4, V4, "county", code, county, text(geometry.city4))
    yield from _infrastructure(numbers, county, code, whole6, whole4)
    township_bits = layout.ipv6.township
    own = text(Span(numbers.lan6[county], township_bits, 6))
    yield PrefixRow(own, V6, "site", code, county, whole6)
    direct: list[str] = []
    for child in numbers.children.get(county, ()):
        if sites[child].level == Level.TOWNSHIP:
            prefix = f"{text6(numbers.site6[child])}/{township_bits}"
            yield PrefixRow(prefix, V6, "township", sites[child].division, child, whole6)
            yield from _group_prefixes(
                numbers, child, "township", prefix, whole4, numbers.children.get(child, [])
            )
        else:
            direct.append(child)
    yield from _group_prefixes(numbers, county, "site", own, whole4, direct)


def _group_prefixes(
    numbers: Numbers, group: str, role: str, parent6: str, parent4: str, villages: list[str]
) -> Iterator[PrefixRow]:
    """Yield a group's IPv4 blocks, its own LAN and what its villages have."""
    layout, sites = numbers.city.layout, numbers.city.sites
    code, new, row = sites[group].division, tuple.__new__, PrefixRow
    per_block = numbers.geometry.lans_per_block * numbers.geometry.lan4
    blocks: dict[int, str] = {}
    for base in numbers.blocks[group].values():
        blocks[base] = f"{text4(base)}/{layout.ipv4.block}"
        yield PrefixRow(blocks[base], V4, role, code, group, parent4)
    village, lan, lan4 = f"/{layout.ipv6.village}", f"/{layout.ipv6.lan}", f"/{layout.ipv4.lan}"
    origin, lan6s, lan4s = numbers.county4[numbers.owner[group]].base, numbers.lan6, numbers.lan4
    own = text6(lan6s[group])
    yield PrefixRow(own + village, V6, "site", code, group, parent6)
    for site in (group, *villages):
        first = lan6s[site]
        name = inet_ntop(AF_INET6, first.to_bytes(16))
        code = sites[site].division
        if site != group:
            yield new(row, (name + village, V6, "village", code, site, parent6))
        yield new(row, (name + lan, V6, "lan", code, site, name + village))
        base = lan4s[site]
        holder = blocks[base - (base - origin) % per_block]
        name = inet_ntoa(base.to_bytes(4))
        yield new(row, (name + lan4, V4, "lan", code, site, holder))


def _link_prefixes(numbers: Numbers) -> Iterator[PrefixRow]:
    """Yield each routed link's prefixes; the site is that of its lower end."""
    nodes, sites, links = numbers.city.nodes, numbers.city.sites, numbers.city.links
    new, row = tuple.__new__, PrefixRow
    holders = {
        owner: (
            base + (1 << (128 - POOL)),
            numbers.county4[owner].links,
            text(Span(base, numbers.city.layout.ipv6.township, 6)),
            text(numbers.county4[owner].infrastructure),
        )
        for owner, base in numbers.infrastructure6.items()
    }
    for link_id, slot in numbers.link.items():
        base6, base4, parent6, parent4 = holders[numbers.link_owner[link_id]]
        site = nodes[links[link_id].b if link_id in links else numbers.border].site
        code = sites[site].division
        name = inet_ntop(AF_INET6, (base6 + 2 * slot).to_bytes(16))
        yield new(row, (name + "/127", V6, "link", code, site, parent6))
        name = inet_ntoa((base4 + 2 * slot).to_bytes(4))
        yield new(row, (name + "/31", V4, "link", code, site, parent4))


def addresses(numbers: Numbers) -> Iterator[AddressRow]:
    """Yield every address: of nodes, then of links, then of gateways."""
    return chain(_node_addresses(numbers), _link_addresses(numbers), _gateways(numbers))


def _node_addresses(numbers: Numbers) -> Iterator[AddressRow]:
    city, new, row = numbers.city, tuple.__new__, AddressRow
    tail, management_tail = f".{city.layout.domain}", f".management.{city.layout.domain}"
    management6, management4 = numbers.geometry.management6.base, numbers.geometry.management4.base
    pools = {owner: (base, numbers.county4[owner].base) for owner, base in numbers.infrastructure6.items()}
    access = {link.b: link.id for link in city.links.values() if link.kind is LinkKind.ACCESS}
    for node_id, node in city.nodes.items():
        if node_id in numbers.loopback:
            interface, role = "lo", "loopback"
            base, base4 = pools[numbers.owner[node.site]]
            slot = numbers.loopback[node_id]
        else:
            interface, role, lan = access.get(node_id, "lo"), "host", numbers.lan_of[node_id]
            base, base4 = numbers.lan6[lan], numbers.lan4[lan]
            slot = numbers.host[node_id]
        name = node_id + tail
        # A private network's addresses stand apart, in `private_addresses`.
        if node_id in numbers.loopback or numbers.lan_of[node_id] == node.site:
            address = inet_ntop(AF_INET6, (base + slot).to_bytes(16))
            yield new(row, (address, V6, node_id, interface, role, name))
            yield new(row, (inet_ntoa((base4 + slot).to_bytes(4)), V4, node_id, interface, role, name))
        name, slot = node_id + management_tail, numbers.management[node_id]
        address = inet_ntop(AF_INET6, (management6 + slot).to_bytes(16))
        yield new(row, (address, V6, node_id, "mgmt0", "management", name))
        address = inet_ntoa((management4 + slot).to_bytes(4))
        yield new(row, (address, V4, node_id, "mgmt0", "management", name))


def _link_addresses(numbers: Numbers) -> Iterator[AddressRow]:
    links, new, row = numbers.city.links, tuple.__new__, AddressRow
    tail = f".{numbers.city.layout.domain}"
    pools = {
        owner: (
            base + (1 << (128 - POOL)),
            numbers.county4[owner].links,
        )
        for owner, base in numbers.infrastructure6.items()
    }
    for link_id, slot in numbers.link.items():
        base, base4 = pools[numbers.link_owner[link_id]]
        if link_id not in links:
            yield from _crossing_addresses(numbers, link_id, (base + 2 * slot, base4 + 2 * slot))
            continue
        link = links[link_id]
        for end, node in enumerate((link.a, link.b), 2 * slot):
            name = f"{link_id}.{node}{tail}"
            address = inet_ntop(AF_INET6, (base + end).to_bytes(16))
            yield new(row, (address, V6, node, link_id, "link", name))
            address = inet_ntoa((base4 + end).to_bytes(4))
            yield new(row, (address, V4, node, link_id, "link", name))


def _crossing_addresses(numbers: Numbers, link: str, first: tuple[int, int]) -> Iterator[AddressRow]:
    """Yield both ends of the border's link into a private network: the second is as what its hosts show."""
    network, tail = link.removeprefix(crossing_link("")), f".{numbers.border}.{numbers.city.layout.domain}"
    for end, way in enumerate(("to", "from")):
        name = f"{way}-{network}{tail}"
        yield AddressRow(text6(first[0] + end), V6, numbers.border, link, "link", name)
        yield AddressRow(text4(first[1] + end), V4, numbers.border, link, "link", name)


#: Sites whose router is the gateway of a LAN: the access sites, and the border towards the internet.
_WITH_GATEWAY = (SiteRole.ACCESS, SiteRole.BORDER)


def _gateways(numbers: Numbers) -> Iterator[AddressRow]:
    """Yield the gateway of every LAN that has one; of a site's several routers the first by id is named."""
    city, new, row = numbers.city, tuple.__new__, AddressRow
    tail = f".{city.layout.domain}"
    routers: dict[str, str] = {}
    for node in city.nodes.values():
        if node.role is NodeRole.ROUTER and city.sites[node.site].role in _WITH_GATEWAY:
            known = routers.get(node.site)
            routers[node.site] = node.id if known is None or node.id < known else known
    for site, router in routers.items():
        name = f"gateway.{site}{tail}"
        first = inet_ntop(AF_INET6, (numbers.lan6[site] + 1).to_bytes(16))
        yield new(row, (first, V6, router, "lan0", "gateway", name))
        first = inet_ntoa((numbers.lan4[site] + 1).to_bytes(4))
        yield new(row, (first, V4, router, "lan0", "gateway", name))


def private_lan_interface(network: str) -> str:
    """Answer what a router's interface on its LAN of a private network is called."""
    return f"lan-{network}"


def private_prefixes(numbers: Numbers) -> Iterator[PrivatePrefixRow]:
    """Yield each private network's prefixes, then its LANs; the border has a slot and no LAN."""
    city = numbers.city
    for name, network in city.networks.items():
        code = city.layout.division
        yield PrivatePrefixRow(name, network.ipv6, V6, "network", code, "", "")
        yield PrivatePrefixRow(name, network.ipv4, V4, "network", code, "", "")
        for site in numbers.private[name]:
            if city.sites[site].role is SiteRole.BORDER:
                continue
            lan, code = private_lan(name, site), city.sites[site].division
            lan6 = text(Span(numbers.lan6[lan], POOL, 6))
            yield PrivatePrefixRow(name, lan6, V6, "lan", code, site, network.ipv6)
            lan4 = text(Span(numbers.lan4[lan], network.lan4, 4))
            yield PrivatePrefixRow(name, lan4, V4, "lan", code, site, network.ipv4)


def private_addresses(numbers: Numbers) -> Iterator[PrivateAddressRow]:
    """Yield every address of the private networks: of hosts, then of the gateways of their LANs."""
    nodes = numbers.city.nodes
    routers: dict[str, tuple[str, str]] = {}
    for link in numbers.city.links.values():
        if link.network not in numbers.private:
            continue
        host, network = link.b, link.network
        lan, slot = private_lan(network, nodes[host].site), numbers.host[host]
        address = text6(numbers.lan6[lan] + slot)
        yield PrivateAddressRow(network, address, V6, host, link.id, "host")
        yield PrivateAddressRow(network, text4(numbers.lan4[lan] + slot), V4, host, link.id, "host")
        known = routers.get(lan, (network, link.a))
        routers[lan] = min(known, (network, link.a))
    for lan, (network, router) in routers.items():
        interface = private_lan_interface(network)
        address = text6(numbers.lan6[lan] + 1)
        yield PrivateAddressRow(network, address, V6, router, interface, "gateway")
        yield PrivateAddressRow(network, text4(numbers.lan4[lan] + 1), V4, router, interface, "gateway")
