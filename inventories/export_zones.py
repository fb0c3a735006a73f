"""The address plan as DNS zones: the forward zone of the city's domain and the reverse zones of its prefixes.

Reverse zones are cut where a label ends (RFC 1035 section 3.5, RFC 3596 section 2.5): IPv4 at an octet, no
longer than /24; IPv6 at a nibble, one zone for the city's prefix that delegates a zone for each county's
prefix (and those of the city's own infrastructure and of management). A partner's prefixes are its own: their
reverse zones are its own too.

The serial (RFC 1912 section 2.2 asks only that it grows) comes from no clock: it is the number of
allocations, which never shrinks because slots are only added. Where the same zone was written before, the
earlier file counts: the same records keep its serial, other records take the next one, so that also a removal
is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

from inventories.allocation import PlanError
from inventories.export_csv import sorted_addresses
from inventories.geometry import Geometry, Span
from inventories.plan import AddressPlan, AddressRow
from inventories.records import Family, NodeRole

#: Seconds of a record's life in a cache, and the SOA's refresh, retry, expire and negative life (RIPE-203).
TTL = 3600
TIMERS = (86400, 7200, 3600000, 3600)

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SERIAL = re.compile(r"^( +)([0-9]+)( ; serial)$", re.MULTILINE)
_LONGEST_NAME = 253
_OCTET, _LONGEST_OCTET_CUT, _NIBBLE = 8, 24, 4


class Cut(NamedTuple):
    """Where a prefix's zones begin: each is `bits` long; with `below` it delegates zones that long."""

    span: Span
    bits: int
    below: int = 0


def render_zones(
    plan: AddressPlan, *, serial: int | None = None, earlier: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Answer the zone files (RFC 1035 section 5), `<zone>.zone` each.

    The name servers are the nodes of role operations.

    Args:
        plan: the address plan.
        serial: the serial of every zone, 1 to 2^32-1; without it, see above.
        earlier: the files of an earlier run by name, for their serials.

    Raises:
        PlanError: no node can be the name server, or a name is no host name or stands for two things.
    """
    servers = [node.id for node in plan.city.nodes.values() if node.role is NodeRole.OPERATIONS]
    domain = plan.city.layout.domain
    if not servers:
        raise PlanError([f"nodes.csv: {domain} needs a name server: add a node whose role is operations"])
    rows = sorted_addresses(plan)
    _check_names(rows)
    bodies = {domain: _forward(rows, domain), **_reverse(rows, cuts(plan), servers, domain)}
    count = serial if serial is not None else allocation_count(plan)
    files = {}
    for origin, body in bodies.items():
        text = _head(origin, servers, domain, count) + body
        name = f"{origin}.zone"
        known = (earlier or {}).get(name)
        files[name] = _following(text, known) if known is not None and serial is None else text
    return files


def allocation_count(plan: AddressPlan) -> int:
    """Answer how many slots the file and the plan name, those of members that are gone included."""
    return sum(sum(map(len, slots.values())) for slots in (plan.city.allocations, plan.new_allocations))


def cuts(plan: AddressPlan) -> list[Cut]:
    """Answer where the reverse zones are cut; a management prefix within the city's has no cut of its own."""
    geometry = Geometry(plan.city.layout)
    below = -(-plan.city.layout.ipv6.county // _NIBBLE) * _NIBBLE
    found = [_cut4(geometry.city4), Cut(geometry.city6, -(-geometry.city6.bits // _NIBBLE) * _NIBBLE, below)]
    if not geometry.management4.overlaps(geometry.city4):
        found.append(_cut4(geometry.management4))
    if not geometry.management6.overlaps(geometry.city6):
        bits = -(-geometry.management6.bits // _NIBBLE) * _NIBBLE
        found.append(Cut(geometry.management6, bits))
    return found


def _cut4(span: Span) -> Cut:
    return Cut(span, min(-(-span.bits // _OCTET) * _OCTET, _LONGEST_OCTET_CUT))


def _check_names(rows: Iterable[AddressRow]) -> None:
    problems: dict[str, None] = {}
    owners: dict[str, tuple[str, str]] = {}
    for row in rows:
        name = row.dns_name
        if len(name) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, name.split("."))):
            problems[
                f"{name} ({row.role} of {row.host}, {row.interface}) is no host name (RFC 1123): letters a "
                f"to z, digits and inner hyphens, 63 characters a label and {_LONGEST_NAME} in all; rename "
                "the node or the link"
            ] = None
        owner = owners.setdefault(name, (row.host, row.interface))
        if owner != (row.host, row.interface):
            problems[
                f"{name} stands for {' '.join(owner)} and for {row.host} {row.interface}; rename the node or "
                "the link"
            ] = None
    if problems:
        raise PlanError(problems)


def _head(origin: str, servers: list[str], domain: str, serial: int) -> str:
    refresh, retry, expire, negative = TIMERS
    lines = [
        f"$ORIGIN {origin}.",
        f"$TTL {TTL}",
        f"@ IN SOA {servers[0]}.{domain}. hostmaster.{domain}. (",
        f"    {serial} ; serial",
        f"    {refresh} ; refresh",
        f"    {retry} ; retry",
        f"    {expire} ; expire",
        f"    {negative} ) ; negative",
        *(f"@ IN NS {server}.{domain}." for server in servers),
    ]
    return "\n".join(lines) + "\n"


def _forward(rows: Iterable[AddressRow], domain: str) -> str:
    tail = f".{domain}"
    kinds = {Family.IPV4: "A", Family.IPV6: "AAAA"}
    lines = [f"{row.dns_name.removesuffix(tail)} IN {kinds[row.family]} {row.address}" for row in rows]
    return "\n".join(sorted(lines)) + "\n"


def _reverse(rows: Iterable[AddressRow], zones: list[Cut], servers: list[str], domain: str) -> dict[str, str]:
    """Answer the body of each reverse zone that has records, parents before the zones they delegate."""
    bodies: dict[str, list[str]] = {}
    for row in rows:
        version, value = _value(row)
        cut = next((cut for cut in zones if cut.span.version == version and _holds(cut.span, value)), None)
        if cut is None:  # a partner's
            continue
        labels = _labels(version, value)
        step = _NIBBLE if version == 6 else _OCTET
        origin = ".".join(labels[len(labels) - cut.bits // step :]) + _suffix(version)
        body = bodies.setdefault(origin, [])
        depth = cut.bits // step
        if cut.below > cut.bits:
            child = ".".join(labels[len(labels) - cut.below // step :]) + _suffix(version)
            if child not in bodies:
                bodies[child] = []
                relative = child.removesuffix(f".{origin}")
                body += [f"{relative} IN NS {server}.{domain}." for server in servers]
            body, depth = bodies[child], cut.below // step
        body.append(f"{'.'.join(labels[: len(labels) - depth])} IN PTR {row.dns_name}.")
    return {origin: "\n".join(lines) + "\n" for origin, lines in bodies.items()}


def _value(row: AddressRow) -> tuple[int, int]:
    if row.family is Family.IPV4:
        return 4, int.from_bytes(inet_pton(AF_INET, row.address))
    return 6, int.from_bytes(inet_pton(AF_INET6, row.address))


def _holds(span: Span, value: int) -> bool:
    return span.base <= value < span.base + span.size


def _labels(version: int, value: int) -> list[str]:
    """The labels of an address's reverse name, without the suffix."""
    if version == 4:
        return [str(octet) for octet in reversed(value.to_bytes(4))]
    return list(f"{value:032x}"[::-1])


def _suffix(version: int) -> str:
    return ".in-addr.arpa" if version == 4 else ".ip6.arpa"


def _following(text: str, earlier: str) -> str:
    """The zone with the serial that follows from an earlier file's."""
    match = _SERIAL.search(earlier)
    if match is None:
        return text
    same = _SERIAL.sub(match[0], text, count=1)
    if same == earlier:
        return same
    ours = _SERIAL.search(text)
    least = int(ours[2]) if ours else 1
    # RFC 1982: the serial wraps, and 0 is kept free as some tools take it for "none".
    following = max(least, int(match[2]) + 1) if int(match[2]) < 2**32 - 1 else 1
    return _SERIAL.sub(rf"\g<1>{following}\g<3>", text, count=1)
