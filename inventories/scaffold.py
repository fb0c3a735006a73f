"""What a new city's inventory files look like: the statistical divisions in, the text of each file out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import jinja2
import msgspec
from netaddr import AddrFormatError, IPNetwork

from inventories.records import (
    Architecture,
    Cloud,
    Division,
    HostName,
    Ipv4Layout,
    Ipv6Layout,
    Level,
    Link,
    LinkKind,
    Node,
    NodeRole,
    OperatingSystemFamily,
    Plane,
    Record,
    Site,
    SiteRole,
)
from inventories.sizing import ADDRESS_BITS, SMALLEST, Demand, capacity, demands, smallest_size

_LEVELS = list(Level)
_TEMPLATE = Path(__file__).with_name("city.toml.jinja")
#: The bits that the city's own sites (core, clouds, backup, operations, departments to come) take in IPv4.
CITY_BITS = 19
#: The routers above the city core and at the way to the internet.
PROVINCE, BORDER = "province-1", "border-1"


class ScaffoldError(Exception):
    """The divisions do not make the city that was asked for; the message says what would."""


class CityRequest(NamedTuple):
    """What the one who makes a city has to say beyond the statistics."""

    #: The prefecture city's code, 4 digits.
    city: str
    #: The zone of the hosts' names.
    domain: str
    #: Townships of the statistics that are county-level peers in the extranet (functional zones).
    zones: tuple[str, ...] = ()
    #: The prefecture city where the off-site copies stand, 4 digits; none without.
    partner: str = ""
    #: What the off-site site is called after `offsite-`, in pinyin; the partner's code without.
    partner_name: str = ""
    #: The city's prefixes and its neighbours': the defaults are documentation and benchmark ranges
    #: (RFC 3849, 2544, 9637, 5737), for planning on paper and in the lab only.
    ipv6: str = "2001:db8::/32"
    ipv4: str = "198.18.0.0/15"
    partner_ipv6: str = "3fff:363::/32"
    partner_ipv4: str = "192.0.2.0/25"
    province_ipv6: str = "3fff:360::/32"
    province_ipv4: str = "192.0.2.128/25"
    #: A private AS number (RFC 6996) that no router of the city takes: those count on from the first of the range.
    province_asn: int = 4210000000
    internet_ipv6: str = "3fff:f00::/64"
    internet_ipv4: str = "203.0.113.0/24"


class CityRecords(NamedTuple):
    """The records of a new city before they become text."""

    divisions: list[Division]
    sites: list[Site]
    nodes: list[Node]
    links: list[Link]


def scaffold(divisions: Iterable[Division], request: CityRequest) -> dict[str, str]:
    """The files of a new city: name -> text (UTF-8, LF), ready to be written into an empty folder.

    Raises:
        ScaffoldError: a name or prefix is none, a code is not among the divisions or of the wrong level, or
            the city does not fit the IPv4 prefix.
    """
    _check(request)
    records = city_records(divisions, request)
    return {
        "city.toml": city_toml(records, request),
        "divisions.csv": csv_text(Division, records.divisions),
        "sites.csv": csv_text(Site, records.sites),
        "nodes.csv": csv_text(Node, records.nodes),
        "links.csv": csv_text(Link, records.links),
    }


def _check(request: CityRequest) -> None:
    """Refuse what would be written into files and be wrong there."""
    for label in (*request.domain.split("."), *filter(None, [request.partner_name])):
        try:
            msgspec.convert(label, HostName)
        except msgspec.ValidationError as error:
            raise ScaffoldError(
                f"{label!r} is no name: write lower-case letters, digits and hyphens (RFC 1123)"
            ) from error
    for prefix, version in ((request.ipv4, 4), (request.ipv6, 6)):
        try:
            network = IPNetwork(prefix, version=version)
        except (AddrFormatError, ValueError) as error:
            example = CityRequest._field_defaults[f"ipv{version}"]
            raise ScaffoldError(f"{prefix!r} is no IPv{version} prefix; write one as in {example}") from error
        if network.cidr != network or network.ip != network.network:
            raise ScaffoldError(f"{prefix} has bits beyond its length; write {network.cidr}")
    if IPNetwork(request.ipv6).prefixlen > Ipv6Layout(prefix="").county - 4:
        raise ScaffoldError(f"{request.ipv6} leaves no /40 for each county; give a /36 or larger (--ipv6)")


def city_records(divisions: Iterable[Division], request: CityRequest) -> CityRecords:
    """The city's divisions, and a site with a router and its uplinks for each of them.

    Raises:
        ScaffoldError: a code is not among the divisions or of the wrong level.
    """
    chosen = _chosen(divisions, request)
    access = list(_access_sites(chosen, request))
    sites = [*_city_sites(request, chosen[request.city].parent), *access]
    servers = list(_servers(request, chosen))
    province = chosen[chosen[request.city].parent]
    nodes = [*_top_routers(province), *servers, *_access_routers(access, chosen)]
    links = [
        Link(id="core-ab", a="core-a", b="core-b", kind=LinkKind.CORE),
        *_province_links(),
        *dual_homed(BORDER, BORDER, LinkKind.UPLINK),
        *(link for server in servers for link in dual_homed(server.id, server.id, LinkKind.SERVER)),
        *(link for site in access for link in _uplinks(site)),
    ]
    return CityRecords(list(chosen.values()), sites, nodes, links)


def dual_homed(name: str, node: str, kind: LinkKind) -> list[Link]:
    """A node's two links to the city core, one in each plane."""
    return [
        Link(id=f"{name}-{plane}", a=f"core-{plane}", b=node, kind=kind, plane=plane)
        for plane in (Plane.A, Plane.B)
    ]


def _province_links() -> list[Link]:
    """The city core's way up, one link in each plane: the province's router is the upper end."""
    return [
        Link(id=f"{PROVINCE}-{plane}", a=PROVINCE, b=f"core-{plane}", plane=plane)
        for plane in (Plane.A, Plane.B)
    ]


#: Columns that few cities need.
SELDOM = frozenset({"families"})


def csv_text(record: type[Record], rows: Sequence[Record]) -> str:
    """Records as the text of their file: a header of field names, `;` between the parts of a cell, LF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    # A column that may be left out, and says nothing of any row, is left out (`families` of nodes).
    names = [
        field.name
        for field in msgspec.structs.fields(record)
        if field.name not in SELDOM or any(getattr(row, field.name) for row in rows)
    ]
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return ";".join(value)
    return str(value.value if isinstance(value, Enum) else value)


def _chosen(divisions: Iterable[Division], request: CityRequest) -> dict[str, Division]:
    """The province, the city with all below it, and the partner city; by level, then by code."""
    known = {division.code: division for division in divisions}
    _expect(known, request.city, Level.CITY, "the city")
    _expect(known, known[request.city].parent, Level.PROVINCE, "the province above the city")
    if request.partner:
        _expect(known, request.partner, Level.CITY, "the partner city")
        if request.partner == request.city:
            raise ScaffoldError(
                "the partner city must be another prefecture city: off-site means not in this one"
            )
    for zone in request.zones:
        _expect(known, zone, Level.TOWNSHIP, "a zone")
    wanted = {known[request.city].parent, request.city, request.partner} - {""}
    for level in (Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE):
        below = (
            division.code
            for division in known.values()
            if division.level is level and division.parent in wanted and division.parent != request.partner
        )
        wanted.update(list(below))
    for zone in request.zones:
        if zone not in wanted:
            raise ScaffoldError(
                f"the zone {zone} {known[zone].name} does not stand below the city {request.city}"
            )
    ordered = sorted(wanted, key=lambda code: (_LEVELS.index(known[code].level), code))
    return {code: known[code] for code in ordered}


def _expect(known: dict[str, Division], code: str, level: Level, what: str) -> None:
    if code not in known:
        raise ScaffoldError(
            f"{what} {code} is not among the divisions; take a code of level {level.value} from them"
        )
    if known[code].level is not level:
        found = known[code]
        raise ScaffoldError(f"{what} {code} {found.name} is a {found.level.value}, not a {level.value}")


def _city_sites(request: CityRequest, province: str) -> Iterator[Site]:
    def site(name: str, role: SiteRole, plane: Plane = Plane.BOTH) -> Site:
        return Site(id=name, division=request.city, level=Level.CITY, role=role, plane=plane)

    yield Site(id="province", division=province, level=Level.PROVINCE, role=SiteRole.PROVINCE)
    yield site("core-a", SiteRole.CORE, Plane.A)
    yield site("core-b", SiteRole.CORE, Plane.B)
    yield site("cloud", SiteRole.CLOUD)
    yield site("xinchuang", SiteRole.XINCHUANG)
    yield site("backup", SiteRole.BACKUP)
    yield site("operations", SiteRole.OPERATIONS)
    yield site("border", SiteRole.BORDER)
    if request.partner:
        yield Site(id=_offsite(request), division=request.partner, level=Level.CITY, role=SiteRole.OFFSITE)


def _offsite(request: CityRequest) -> str:
    return f"offsite-{request.partner_name or request.partner}"


def _access_sites(chosen: dict[str, Division], request: CityRequest) -> Iterator[Site]:
    """County-level sites first, zones among them, then townships, then villages."""

    def level(division: Division) -> Level:
        return Level.COUNTY if division.code in request.zones else division.level

    for wanted in (Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE):
        for division in chosen.values():
            if level(division) is wanted:
                parent = "" if wanted is Level.COUNTY else division.parent
                yield Site(id=division.code, division=division.code, level=wanted, parent=parent)


def _top_routers(province: Division) -> Iterator[Node]:
    """The province's router, which stands here because the core speaks to it; the core's; the border's."""
    yield Node(id=PROVINCE, site="province", role=NodeRole.ROUTER, name=f"{province.name}骨干路由器")
    for plane in "ab":
        yield Node(
            id=f"core-{plane}",
            site=f"core-{plane}",
            role=NodeRole.ROUTER,
            name=f"城域核心路由器{plane.upper()}平面",
        )
    yield Node(id=BORDER, site="border", role=NodeRole.ROUTER, name="互联网接入区边界路由器")


def _servers(request: CityRequest, chosen: dict[str, Division]) -> Iterator[Node]:
    yield Node(id="cloud-1", site="cloud", role=NodeRole.CLOUD, name="政务云节点1", cloud=Cloud.GOVERNMENT)
    yield Node(
        id="xinchuang-1",
        site="xinchuang",
        role=NodeRole.CLOUD,
        name="信创云节点1",
        os_family=OperatingSystemFamily.DNF,
        architecture=Architecture.AARCH64,
        cloud=Cloud.XINCHUANG,
    )
    yield Node(id="backup-1", site="backup", role=NodeRole.BACKUP, name="备份节点1")
    yield Node(id="ops-1", site="operations", role=NodeRole.OPERATIONS, name="运维节点1")
    if request.partner:
        name = f"{chosen[request.partner].name}异地备份节点1"
        yield Node(id="offsite-1", site=_offsite(request), role=NodeRole.OFFSITE, name=name)


def _access_routers(access: Iterable[Site], chosen: dict[str, Division]) -> Iterator[Node]:
    for site in access:
        does = "汇聚路由器" if site.level is Level.COUNTY else "接入路由器"
        name = f"{chosen[site.division].name}{does}"
        yield Node(id=f"r{site.id}", site=site.id, role=NodeRole.ROUTER, name=name)


def _uplinks(site: Site) -> list[Link]:
    """A county-level router stands in both planes; below it there is one way up."""
    name, router = f"u{site.id}", f"r{site.id}"
    if not site.parent:
        return dual_homed(name, router, LinkKind.UPLINK)
    return [Link(id=name, a=f"r{site.parent}", b=router)]


def city_toml(records: CityRecords, request: CityRequest) -> str:
    """The text of `city.toml`, with the reasoning behind each county's IPv4 size beside it.

    Raises:
        ScaffoldError: the sizes do not fit the IPv4 prefix.
    """
    names = {division.code: division.name for division in records.divisions}
    management = _management(request, len(records.nodes))
    # The management network stands in what would be the last county, so a county is no smaller than it.
    ipv4 = Ipv4Layout(prefix=request.ipv4, county=min(CITY_BITS, management.prefixlen))
    sizes = _sizes(records, ipv4, names)
    total = sum(1 << (ADDRESS_BITS - size.bits) for size in sizes) + (1 << (ADDRESS_BITS - CITY_BITS))
    total += management.size
    _fits(request, total)
    # Escaping is for HTML; this is TOML, of codes, prefixes and names out of the statistics.
    environment = jinja2.Environment(  # noqa: S701
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        request=request,
        name=names[request.city],
        partner=names.get(request.partner, ""),
        province=next(division for division in records.divisions if division.level is Level.PROVINCE),
        ipv4=ipv4,
        ipv6=Ipv6Layout(prefix=request.ipv6),
        lans_per_block=1 << (ipv4.lan - ipv4.block),
        city_bits=CITY_BITS,
        city_lans=3 << (ipv4.city_lan - CITY_BITS - 2),
        city_sites=sum(_takes_city_lan(site, request) for site in records.sites),
        sizes=sizes,
        smallest=SMALLEST,
        total=total,
        available=IPNetwork(request.ipv4).size,
        management_ipv4=management,
        management_ipv6=_management_ipv6(request),
    )


def _takes_city_lan(site: Site, request: CityRequest) -> bool:
    """Whether a site takes one of the city's own LANs: the border has the segment to the internet instead."""
    return site.level is Level.CITY and site.division == request.city and site.role is not SiteRole.BORDER


def _sizes(records: CityRecords, ipv4: Ipv4Layout, names: dict[str, str]) -> list[_Size]:
    sizes = []
    for demand in demands(records.sites, records.nodes, ipv4):
        try:
            bits = smallest_size(demand, ipv4)
        except ValueError as error:
            raise ScaffoldError(str(error)) from error
        sizes.append(_Size(demand, bits, names[demand.site], capacity(bits, ipv4).blocks))
    return sizes


class _Size(NamedTuple):
    """A county-level site's IPv4 size, in bits, and the blocks that it has room for."""

    demand: Demand
    bits: int
    name: str
    room: int


def _management(request: CityRequest, nodes: int) -> IPNetwork:
    """The last part of the city's IPv4 prefix with an address for every node and a quarter more."""
    bits = ADDRESS_BITS - (nodes * 5 // 4 + 2).bit_length()
    whole = IPNetwork(request.ipv4)
    return IPNetwork((whole.last - (1 << (ADDRESS_BITS - bits)) + 1, bits), version=4)


def _management_ipv6(request: CityRequest) -> IPNetwork:
    """The first /48 of the last county of the city's IPv6 prefix."""
    whole = IPNetwork(request.ipv6)
    county = 1 << (128 - Ipv6Layout(prefix=request.ipv6).county)
    return IPNetwork((whole.last - county + 1, 48), version=6)


def _fits(request: CityRequest, total: int) -> None:
    prefix = IPNetwork(request.ipv4)
    if total > prefix.size:
        enough = ADDRESS_BITS - (total - 1).bit_length()
        raise ScaffoldError(
            f"the city {request.city} needs {total} IPv4 addresses and {prefix} has {prefix.size}; "
            f"give it a /{enough} or larger (--ipv4)"
        )
