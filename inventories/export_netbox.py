"""The address plan as CSV files that NetBox 4.6 imports, in the order of their numbers.

The columns are those of NetBox's own import forms (`netbox/dcim/forms/bulk_import.py` and
`netbox/ipam/forms/bulk_import.py` of v4.6.8). Objects name each other by name, so that the files load into an
empty NetBox one after the other: sites, device types and roles, devices, VRFs, interfaces, prefix roles,
prefixes, addresses.

A private network is a VRF: a routing table of its own, in which a prefix may stand that stands in another's too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from inventories.export_csv import (
    sorted_addresses,
    sorted_prefixes,
    sorted_private_addresses,
    sorted_private_prefixes,
)
from inventories.plan import AddressPlan, AddressRow, PrefixRow, PrivateAddressRow, PrivatePrefixRow
from inventories.plan_rows import private_lan_interface
from inventories.records import Family, LinkKind, Node, NodeRole, SiteRole

#: What a role of a prefix is, as NetBox shows it beside the role's name.
PREFIX_ROLES = {
    "city": "the city's prefix",
    "county": "a county or county-level zone",
    "township": "a township with its villages",
    "village": "a village or community",
    "site": "a site's own place",
    "lan": "a LAN",
    "link": "a routed link (RFC 6164, RFC 3021)",
    "loopback": "routers' loopbacks",
    "infrastructure": "loopbacks and links",
    "reserved": "kept free",
    "management": "out of band",
    "partner": "a neighbour: the province, another prefecture city",
    "internet": "the segment to the internet's provider",
    "network": "a department's private network",
}
#: Roles of prefixes that only hold others.
CONTAINERS = frozenset(
    {"city", "county", "township", "village", "site", "infrastructure", "partner", "network"}
)
#: Colours (RGB) of device roles, as NetBox asks for one.
COLOURS = {
    NodeRole.ROUTER: "2196f3",
    NodeRole.CLOUD: "4caf50",
    NodeRole.BACKUP: "ff9800",
    NodeRole.OFFSITE: "ff5722",
    NodeRole.OPERATIONS: "9c27b0",
    NodeRole.AGENT: "00bcd4",
    NodeRole.CLIENT: "9e9e9e",
}
MANUFACTURER = "unspecified"
#: Height in rack units; NetBox asks for one.
UNITS = "1"


def render_netbox(plan: AddressPlan) -> dict[str, str]:
    """Answer the import files by name; that of VRFs is left out where the city has no private network."""
    city = plan.city
    # NetBox refuses the same prefix twice in one table.
    public = {row.prefix: row for row in sorted_prefixes(plan)}
    prefixes: list[PrefixRow | PrivatePrefixRow] = [*public.values(), *sorted_private_prefixes(plan)]
    addresses: list[AddressRow | PrivateAddressRow] = [
        *sorted_addresses(plan),
        *sorted_private_addresses(plan),
    ]
    tables: list[tuple[str, Sequence[str], Iterable[Sequence[str]]]] = [
        ("sites", ("name", "slug", "status", "time_zone", "description"), _sites(plan)),
        ("manufacturers", ("name", "slug"), [(MANUFACTURER, MANUFACTURER)]),
        ("device-types", ("manufacturer", "model", "slug", "u_height"), _device_types(plan)),
        ("device-roles", ("name", "slug", "color"), _device_roles(plan)),
        (
            "devices",
            ("name", "role", "manufacturer", "device_type", "status", "site", "description"),
            (_device(node) for node in city.nodes.values()),
        ),
        ("vrfs", ("name", "enforce_unique", "description"), _vrfs(plan)),
        ("interfaces", ("device", "name", "type", "enabled", "mgmt_only", "vrf"), _interfaces(plan, addresses)),
        (
            "prefix-roles",
            ("name", "slug", "weight", "description"),
            _prefix_roles({row.role for row in prefixes}),
        ),
        (
            "prefixes",
            ("prefix", "vrf", "status", "role", "scope_type", "scope_name", "is_pool", "description"),
            (_prefix(plan, row) for row in prefixes),
        ),
        (
            "ip-addresses",
            ("address", "vrf", "status", "role", "device", "interface", "is_primary", "is_oob", "dns_name",
            "description"), (_address(plan, row) for row in addresses),
        ),
    ]  # fmt: skip
    return {
        f"{number:02}-{name}.csv": _table(header, rows)
        for number, (name, header, rows) in enumerate(tables, 1)
        if name != "vrfs" or city.networks
    }


def _vrfs(plan: AddressPlan) -> Iterator[Sequence[str]]:
    """Yield the private networks; their number is VXLAN's, not BGP's, so that there is no route distinguisher."""
    for network in plan.city.networks.values():
        unit = plan.city.units[network.unit].name
        # NetBox takes a column that is missing for false.
        yield network.id, "true", f"{network.name or network.id} ({unit}), VNI {network.vni}"


def _vrf(row: PrefixRow | PrivatePrefixRow | AddressRow | PrivateAddressRow) -> str:
    return row.network if isinstance(row, PrivatePrefixRow | PrivateAddressRow) else ""


def _prefix_roles(used: set[str]) -> Iterator[Sequence[str]]:
    for weight, (role, text) in enumerate(PREFIX_ROLES.items(), 1000):
        if role in used:
            yield role, role, str(weight), text


def _name(plan: AddressPlan, division: str) -> str:
    row = plan.city.divisions.get(division)
    return row.name if row else division


def _sites(plan: AddressPlan) -> Iterator[Sequence[str]]:
    for site in plan.city.sites.values():
        what = f"({site.level})" if site.role is SiteRole.ACCESS else site.role
        text = f"{_name(plan, site.division)} {what}"
        yield site.id, site.id, "active", plan.city.layout.time_zone, text


def _device_types(plan: AddressPlan) -> Iterator[Sequence[str]]:
    for name in sorted({node.architecture.value for node in plan.city.nodes.values()}):
        yield MANUFACTURER, name, name, UNITS


def _device_roles(plan: AddressPlan) -> Iterator[Sequence[str]]:
    used = {node.role for node in plan.city.nodes.values()}
    for role in NodeRole:
        if role in used:
            yield role, role, COLOURS[role]


def _device(node: Node) -> Sequence[str]:
    return node.id, node.role, MANUFACTURER, node.architecture, "active", node.site, node.name


def _interfaces(
    plan: AddressPlan, addresses: Iterable[AddressRow | PrivateAddressRow]
) -> Iterator[Sequence[str]]:
    """Yield every interface once; one that has no address is an end of an access link."""
    kinds = {"lo": "virtual", "lan0": "bridge"}
    kinds |= {private_lan_interface(network): "virtual" for network in plan.city.networks}
    seen = {(row.host, row.interface): _vrf(row) for row in addresses}
    for link in plan.city.links.values():
        if link.kind is LinkKind.ACCESS:
            for end in (link.a, link.b):
                seen.setdefault((end, link.id), "")
    for (host, interface), vrf in sorted(seen.items()):
        management = str(interface == "mgmt0").lower()
        yield host, interface, kinds.get(interface, "other"), "true", management, vrf


def _prefix(plan: AddressPlan, row: PrefixRow | PrivatePrefixRow) -> Sequence[str]:
    status = "reserved" if row.role == "reserved" else "container" if row.role in CONTAINERS else "active"
    scope = "dcim.site" if row.site else ""
    # A pool's first and last address are usable too: loopbacks and links have no network or broadcast
    # address.
    pool = str(row.role in ("loopback", "link")).lower()
    return row.prefix, _vrf(row), status, row.role, scope, row.site, pool, _name(plan, row.division)


def _address(plan: AddressPlan, row: AddressRow | PrivateAddressRow) -> Sequence[str]:
    service = row.role in ("loopback", "host")
    # NetBox knows one out-of-band address a device.
    out_of_band = row.role == "management" and row.family is Family.IPV6
    return (
        f"{row.address}/{prefix_length(plan, row)}", _vrf(row), "active",
        "loopback" if row.role == "loopback" else "", row.host, row.interface, str(service).lower(),
        str(out_of_band).lower(), row.dns_name if isinstance(row, AddressRow) else "",
        plan.city.nodes[row.host].name,
    )  # fmt: skip


def prefix_length(plan: AddressPlan, row: AddressRow | PrivateAddressRow) -> int:
    """Answer the prefix length, in bits, with which an interface carries its address."""
    layout, single = plan.city.layout, 32 if row.family is Family.IPV4 else 128
    if isinstance(row, PrivateAddressRow):
        site = plan.city.nodes[row.host].site
        return int(plan.private_lan(row.network, site, row.family).prefixlen)
    if row.role == "link":
        return single - 1
    if row.role == "management":
        text = layout.management.ipv4 if row.family is Family.IPV4 else layout.management.ipv6
        return int(text.partition("/")[2])
    if row.role == "gateway" or (row.role == "host" and row.interface != "lo"):
        return int(plan.lan(plan.city.nodes[row.host].site, row.family).prefixlen)
    return single


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
