"""What does a router say of its sessions and routes? Reads the collector's sections into types; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import msgspec

from checks.security.stream import Capture
from inventories.records import Family

from .expected import canonical


class NotRunning(Exception):
    """The host answered, and says that its routing does not run; the message is what it said."""


class Unreadable(Exception):
    """The host's answer cannot be read: nothing can be said of it. The message names the section."""


class BgpSession(msgspec.Struct, frozen=True):
    """A BGP session as one end has it."""

    state: str
    asn: int
    accepted: int
    limit: int
    authenticated: bool
    hops: int  # how far away the neighbour may stand (RFC 5082); 0 where it may stand anywhere


class BfdSession(msgspec.Struct, frozen=True):
    """A BFD session as one end has it."""

    status: str
    diagnostic: str


class Path(msgspec.Struct, frozen=True):
    """One way to a prefix in the BGP table."""

    peer: str  # the neighbour's address; empty where the node itself brings the prefix in
    length: int  # AS numbers in its path
    used: bool  # the best path, or one of several that are as good


class Hop(msgspec.Struct, frozen=True):
    """Where a route leads: an interface, and a gateway where there is one."""

    device: str
    gateway: str = ""


class KernelRoute(msgspec.Struct, frozen=True):
    """A route of the kernel's main table; without hops it discards packets."""

    prefix: str
    protocol: str
    hops: tuple[Hop, ...]


class NoLinux(Unreadable):
    """It is a router that no collector runs on."""


#: Kinds of routes that are no way anywhere (ip-route(8)).
_DISCARDS = frozenset({"blackhole", "unreachable", "prohibit"})


def family_of(address: str) -> Family:
    """The family of a numeric address."""
    return Family.IPV6 if ":" in address else Family.IPV4


def plain(address: str) -> str:
    """An address as the plan writes it."""
    return str(ip_address(address.partition("%")[0]))


def bgp_sessions(capture: Capture) -> dict[str, BgpSession]:
    """The BGP sessions by the neighbour's address.

    Raises:
        NotRunning: bgpd does not run, or FRR is not there.
        Unreadable: The collector printed no such section.
    """
    values: dict[str, dict[str, str]] = {}
    for line in _lines(capture, "bgp-sessions"):
        address, key, *rest = line.split()
        values.setdefault(plain(address), {})[key] = rest[0] if rest else ""
    return {
        address: BgpSession(
            state=found.get("bgpState", "unknown"),
            asn=int(found.get("remoteAs", 0)),
            accepted=int(found.get("acceptedPrefixCounter", 0)),
            limit=int(found.get("prefixAllowedMax", 0)),
            authenticated=found.get("authenticationEnabled") == "1",
            hops=int(found.get("externalBgpNbrMaxHopsAway", 0)),
        )
        for address, found in values.items()
    }


def bfd_sessions(capture: Capture) -> dict[str, BfdSession]:
    """The BFD sessions by the neighbour's address.

    Raises:
        NotRunning: bfdd does not run, or FRR is not there.
        Unreadable: The collector printed no such section.
    """
    found = {}
    for line in _lines(capture, "bfd-sessions"):
        address, status, *diagnostic = line.split()
        found[plain(address)] = BfdSession(status, " ".join(diagnostic))
    return found


def bgp_table(capture: Capture, family: Family) -> dict[str, tuple[Path, ...]]:
    """Every way to every prefix that BGP knows in a family.

    Raises:
        NotRunning: bgpd does not run, or FRR is not there.
        Unreadable: What the host said is no table.
    """
    section = f"bgp-{family}"
    lines = _lines(capture, section)
    if not lines or not lines[0].startswith("{"):
        raise NotRunning(lines[0] if lines else "vtysh said nothing")
    table = _json(section, "\n".join(lines))
    return {
        canonical(prefix, family): tuple(_path(path) for path in paths)
        for prefix, paths in table.get("routes", {}).items()
    }


def kernel_routes(capture: Capture, family: Family) -> list[KernelRoute]:
    """The routes of the kernel's main table, link-local ones left out.

    Raises:
        Unreadable: What the host said is no list of routes.
    """
    section = f"routes-{family}"
    if section not in capture:
        raise Unreadable(f"the collector printed no section {section}")
    return read_routes(section, "\n".join(capture[section].lines), family)


def read_routes(section: str, text: str, family: Family) -> list[KernelRoute]:
    """The routes that `ip -j route` printed; as `kernel_routes`."""
    return [
        KernelRoute(canonical(route["dst"], family), route.get("protocol", ""), _hops(route))
        for route in _json(section, text or "[]")
        if not route["dst"].startswith(("fe80:", "ff00:"))
    ]


def _path(path: Mapping[str, Any]) -> Path:
    peer = str(path.get("peerId", ""))
    return Path(
        peer=plain(peer) if peer and not peer.startswith("(") else "",
        length=len(str(path.get("path", "")).split()),
        used=bool(path.get("bestpath") or path.get("multipath")),
    )


def _hops(route: Mapping[str, Any]) -> tuple[Hop, ...]:
    if route.get("type") in _DISCARDS:
        return ()
    return tuple(_hop(part) for part in route.get("nexthops", [route]))


def _hop(part: Mapping[str, Any]) -> Hop:
    gateway = part.get("gateway") or part.get("via", {}).get("host", "")
    return Hop(device=str(part.get("dev", "")), gateway=plain(gateway) if gateway else "")


def _lines(capture: Capture, section: str) -> tuple[str, ...]:
    found = capture.get(section)
    if found is None:
        raise Unreadable(f"the collector printed no section {section}")
    if found.status != 0:
        raise NotRunning(found.lines[0] if found.lines else f"exit status {found.status}")
    return found.lines


def _json(section: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Unreadable(f"section {section} is no JSON: {error}") from None
