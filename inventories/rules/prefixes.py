"""Are the city's prefixes, sizes and names (`city.toml`) well formed, and do none of them overlap?"""

from __future__ import annotations

import itertools
import re
import zoneinfo
from typing import NamedTuple

from netaddr import AddrFormatError, IPAddress, IPNetwork

from inventories.problems import shown
from inventories.records import Family, Layout, Level
from inventories.rules.ranges import overlap, refusal
from inventories.sources import Draft

#: RFC 1035 section 2.3.1, as RFC 1123 section 2.1 widens it; at least two labels.
_DOMAIN = re.compile(
    r"^(?=.{1,200}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?\Z"
)
_LENGTH = re.compile(r"/[0-9]{1,3}\Z")
_VERSION = {Family.IPV4: 4, Family.IPV6: 6}


class _Prefix(NamedTuple):
    field: str
    network: IPNetwork


def check(draft: Draft) -> None:
    """Notes prefixes that are none, overlap or come from a special range, and sizes that do not nest."""
    layout = draft.layout
    if layout is None:
        return
    _check_names(draft, layout)
    found = [
        _prefix(draft, "ipv4.prefix", layout.ipv4.prefix, Family.IPV4, "city"),
        _prefix(draft, "ipv6.prefix", layout.ipv6.prefix, Family.IPV6, "city"),
        _prefix(draft, "management.ipv4", layout.management.ipv4, Family.IPV4, "management"),
        _prefix(draft, "management.ipv6", layout.management.ipv6, Family.IPV6, "management"),
    ]
    for division, partner in layout.partners.items():
        _check_partner(draft, layout, division)
        found.append(_prefix(draft, f"partners.{division}.ipv4", partner.ipv4, Family.IPV4, "city"))
        found.append(_prefix(draft, f"partners.{division}.ipv6", partner.ipv6, Family.IPV6, "city"))
    if layout.internet is not None:
        found.append(_prefix(draft, "internet.ipv4", layout.internet.ipv4, Family.IPV4, "city"))
        found.append(_prefix(draft, "internet.ipv6", layout.internet.ipv6, Family.IPV6, "city"))
    _check_overlaps(draft, layout, [prefix for prefix in found if prefix is not None])
    for prefix in filter(None, found[4:]):
        _check_neighbour_size(draft, layout, prefix)
    if found[2] is not None:
        _check_numbers(draft, layout, found[2].network.size)
    _check_ipv6_sizes(draft, layout, found[1])
    _check_ipv4_sizes(draft, layout, found[0])


def _report(draft: Draft, field: str, what: str, fix: str) -> None:
    draft.report(draft.city, "", field, what, fix)


def _check_names(draft: Draft, layout: Layout) -> None:
    if not draft.divisions.knows(layout.division):
        place = (draft.city, "", "division")
        draft.report_unknown(
            place, "division", layout.division, draft.divisions.records, "add it to divisions.csv"
        )
    elif len(layout.division) != 4:
        _report(
            draft, "division", f"division {layout.division} is no city", "write a city's code of 4 digits"
        )
    if not _DOMAIN.match(layout.domain):
        fix = "write lower-case labels with dots between them: yichun.example"
        _report(draft, "domain", f"domain {shown(layout.domain)} is no DNS name", fix)
    if not _is_time_zone(layout.time_zone) and (zones := zoneinfo.available_timezones()):
        place = (draft.city, "", "time_zone")
        draft.report_unknown(place, "time zone", layout.time_zone, zones, "write an IANA name: Asia/Shanghai")


def _is_time_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder, a path that leads out, an unknown name
        return False
    return True


def _prefix(draft: Draft, field: str, text: str, family: Family, use: str) -> _Prefix | None:
    """The network of a prefix, None (and a problem) when the text is none or may not be used."""
    try:
        if not _LENGTH.search(text):
            raise AddrFormatError("no prefix length")
        network = IPNetwork(text)
    except (AddrFormatError, ValueError, TypeError):
        example = "198.18.0.0/15" if family is Family.IPV4 else "2001:db8::/32"
        fix = f"write an {_name(family)} address and its length: {example}"
        _report(draft, field, f"{field} is {shown(text)}, which is no prefix", fix)
        return None
    if network.version != _VERSION[family]:
        other = Family.IPV6 if family is Family.IPV4 else Family.IPV4
        _report(draft, field, f"{field} is an {_name(other)} prefix", f"write an {_name(family)} prefix")
        return None
    if network.ip != network.network:
        what = f"{field} {text} has bits set behind its {network.prefixlen} bits"
        _report(draft, field, what, f"write {network.cidr}")
    special = refusal(network.cidr, use)
    if special is not None:
        what = f"{field} {text} lies in {special.network}, {special.name} ({special.source})"
        _report(draft, field, what, "write a prefix of your own, or of a documentation range for a sample")
    return _Prefix(field, network.cidr)


def _name(family: Family) -> str:
    return "IPv4" if family is Family.IPV4 else "IPv6"


def _check_partner(draft: Draft, layout: Layout, division: str) -> None:
    field = f"partners.{division}"
    if division == layout.division:
        _report(
            draft,
            field,
            f"the city {division} is its own partner",
            "name a neighbour: the province, another city",
        )
    elif not draft.divisions.knows(division):
        place = (draft.city, "", field)
        cities = [code for code, row in draft.divisions.records.items() if row.level is Level.CITY]
        draft.report_unknown(place, "division", division, cities, "add it to divisions.csv")


def _check_numbers(draft: Draft, layout: Layout, nodes: int) -> None:
    """Notes a neighbour's AS number that one of the city's nodes may have: BGP would take its routes for a loop."""
    last = layout.asn + nodes - 1
    for code, partner in layout.partners.items():
        if layout.asn <= partner.asn <= last:
            what = f"asn {partner.asn} lies among the city's own, {layout.asn} to {last}"
            fix = "write the neighbour's own, or change asn of the city"
            _report(draft, f"partners.{code}.asn", what, fix)


def _check_neighbour_size(draft: Draft, layout: Layout, prefix: _Prefix) -> None:
    """Notes a neighbour's prefix that holds no LAN, and an IPv6 segment to the internet that is no single one."""
    version, bits = prefix.network.version, prefix.network.prefixlen
    # A LAN of a length that cannot be is told where the sizes are checked.
    longest, held = (30, "a gateway and a host") if version == 4 else (min(layout.ipv6.lan, 64), "a LAN")
    if bits > longest:
        what = f"{prefix.field} {prefix.network} has no room for {held}"
        _report(draft, prefix.field, what, f"write a prefix of /{longest} or shorter")
    elif prefix.field == "internet.ipv6" and bits < longest:
        what = f"{prefix.field} {prefix.network} is no single segment: a LAN is a /{longest}"
        first = next(prefix.network.subnet(longest))
        _report(draft, prefix.field, what, f"write the segment's own prefix, such as {first}")


def _check_overlaps(draft: Draft, layout: Layout, prefixes: list[_Prefix]) -> None:
    """Notes prefixes that overlap; the management network may lie in the city's last county-sized part."""
    counties = {"ipv4.prefix": layout.ipv4.county, "ipv6.prefix": layout.ipv6.county}
    for first, second in itertools.combinations(prefixes, 2):
        if not overlap(first.network, second.network):
            continue
        what = f"{second.field} {second.network} overlaps {first.field} {first.network}"
        fix = f"write a prefix apart from {first.network}"
        if first.field in counties and second.field.startswith("management."):
            last = _last_part(first.network, counties[first.field])
            if last is not None and second.network in last:
                continue
            fix += f", or one within its last county's part, {last}" if last is not None else ""
        _report(draft, second.field, what, fix)


def _last_part(network: IPNetwork, bits: int) -> IPNetwork | None:
    """The last of the parts of `bits` bits of a network, None when it has no such parts."""
    width = 32 if network.version == 4 else 128
    if not network.prefixlen < bits <= width:
        return None
    return IPNetwork(f"{IPAddress(network.last, network.version)}/{bits}").cidr


def _check_ipv6_sizes(draft: Draft, layout: Layout, prefix: _Prefix | None) -> None:
    """A /64 is the longest prefix in which a host can make its own address (RFC 4862, RFC 7421)."""
    sizes = layout.ipv6
    chain = [
        ("county", sizes.county),
        ("township", sizes.township),
        ("village", sizes.village),
        ("lan", sizes.lan),
    ]
    _check_chain(draft, "ipv6", prefix, chain, 64)


def _check_ipv4_sizes(draft: Draft, layout: Layout, prefix: _Prefix | None) -> None:
    """A /30 is the longest prefix in which a gateway and a host have an address each."""
    sizes = layout.ipv4
    chain = [("county", sizes.county), ("block", sizes.block), ("lan", sizes.lan)]
    _check_chain(draft, "ipv4", prefix, chain, 30, may_equal="lan")
    city = ("county", sizes.county_sizes.get(layout.division, sizes.county))
    _check_chain(draft, "ipv4", None, [city, ("city_lan", sizes.city_lan)], 30)
    counties = [key for key, site in draft.sites.records.items() if site.level is Level.COUNTY]
    for key, bits in sizes.county_sizes.items():
        field = f"ipv4.county_sizes.{key}"
        if (
            key not in counties
            and key != layout.division
            and draft.sites.readable
            and key not in draft.sites.broken
        ):
            what = f"county_sizes has {key!r}, which is no county-level site"
            fix = draft.suggestions.fix(key, [*counties, layout.division], "remove it")
            _report(draft, field, what, fix)
        lowest = prefix.network.prefixlen + 1 if prefix else 1
        if not lowest <= bits < sizes.block:
            what = f"the size of {key} is {bits} bits"
            _report(
                draft,
                field,
                what,
                f"write {lowest} to {sizes.block - 1}: within the city's prefix, above a block",
            )


def _check_chain(
    draft: Draft,
    table: str,
    prefix: _Prefix | None,
    chain: list[tuple[str, int]],
    longest: int,
    may_equal: str = "",
) -> None:
    """Notes sizes that are not longer than the one before, or longer than `longest` bits."""
    above, bits_above = (prefix.field, prefix.network.prefixlen) if prefix else ("", 0)
    for name, bits in chain:
        lowest = bits_above if name == may_equal else bits_above + 1
        if not lowest <= bits <= longest:
            within = f": a {name} lies within the {above} of {bits_above} bits" if above else ""
            fix = (
                f"write {lowest} to {longest}{within}"
                if lowest <= longest
                else f"shorten {above}: it leaves no room"
            )
            _report(draft, f"{table}.{name}", f"{name} is {bits} bits", fix)
            return  # what follows would be measured against a wrong size
        above, bits_above = f"{table}.{name}", bits
