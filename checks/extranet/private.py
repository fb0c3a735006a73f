"""Is each department's private network on a router the routing table of its own that the plan has? Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from netaddr import IPNetwork

from checks.security.stream import Capture
from inventories.private import PrivateSite
from inventories.records import Family

from .expected import DEFAULT
from .judging import Deviation
from .observed import Hop, KernelRoute, Unreadable, plain, read_routes
from .routes import crossing_prefix, kernel_deviations

SECTION = "private-networks"


class Namespace(msgspec.Struct):
    """A network namespace of a router: what the collector said of it, by what it is."""

    name: str
    said: dict[str, str]

    def routes(self, family: Family) -> list[KernelRoute]:
        """Its routes.

        Raises:
            Unreadable: What the host said is no list of routes.
        """
        return read_routes(f"{SECTION} {self.name}", self.said.get(family.value, ""), family)

    def overlays(self) -> dict[str, dict[str, Any]]:
        """Its VXLAN devices by name, as `ip -j -d link` has them."""
        try:
            links = json.loads(self.said.get("links") or "[]")
        except ValueError as error:
            raise Unreadable(f"section {SECTION} {self.name} is no JSON: {error}") from None
        return {
            link["ifname"]: link["linkinfo"]["info_data"]
            for link in links
            if link.get("linkinfo", {}).get("info_kind") == "vxlan"
        }


def namespaces(capture: Capture) -> list[Namespace]:
    """The network namespaces of a router.

    Raises:
        Unreadable: The collector printed no such section.
    """
    if SECTION not in capture:
        raise Unreadable(f"the collector printed no section {SECTION}")
    found: dict[str, Namespace] = {}
    for line in capture[SECTION].lines:
        name, what, said = (*line.split(" ", 2), "", "")[:3]
        found.setdefault(name, Namespace(name, {})).said[what] = said
    return list(found.values())


def private_deviations(site: PrivateSite, found: Sequence[Namespace], family: Family) -> Iterator[Deviation]:
    """What is not as the plan has it with one private network on one router, in one family."""
    overlay = f"vx-{site.network}"
    homes = [namespace for namespace in found if overlay in namespace.overlays()]
    if not homes:
        yield Deviation("no_network", f"{site.network} has no routing table of its own here")
        return
    (home, *_) = homes
    others = sorted(set(home.overlays()) - {overlay})
    if others:
        yield Deviation("not_apart", f"{site.network} shares its routing table with {', '.join(others)}")
    yield from _overlay_deviations(site, home.overlays()[overlay])
    routes = home.routes(family)
    allowed = _routes_of(site, routes, family)
    required = {prefix: hops for prefix, hops in allowed.items() if hops}
    for deviation in kernel_deviations(routes, allowed, required):
        yield Deviation(deviation.reason, f"{site.network}: {deviation.text}")


def _overlay_deviations(site: PrivateSite, device: dict[str, Any]) -> Iterator[Deviation]:
    local = plain(str(device.get("local6") or device.get("local") or "::"))
    if device.get("id") != site.vni:
        yield Deviation(
            "wrong_overlay", f"{site.network} has the VNI {device.get('id')}, the plan {site.vni}"
        )
    if local != site.loopback:
        yield Deviation(
            "wrong_overlay", f"{site.network} is tunnelled from {local}, not from {site.loopback}"
        )
    if device.get("learning"):
        yield Deviation("learns", f"{site.network} learns who is where from packets, which anybody can forge")


def _routes_of(site: PrivateSite, routes: Sequence[KernelRoute], family: Family) -> dict[str, set[Hop]]:
    """Every route of the network on this router, and where it leads."""
    overlay = f"vx-{site.network}"
    found = {peer.lan[family]: {Hop(overlay, peer.address)} for peer in site.peers if family in peer.lan}
    if family in site.gateway:
        found[str(IPNetwork(site.gateway[family]).cidr)] = {Hop(f"lan-{site.network}")}
    if site.way_out is not None:
        found[DEFAULT[family]] = {Hop(overlay, site.way_out.address)}
    if site.crossing is not None:
        crossing = crossing_prefix(site, family)
        # How the inner end is called is the router's own affair.
        device = next((r.hops[0].device for r in routes if r.prefix == crossing and r.hops), "the crossing")
        found[crossing] = {Hop(device)}
        found[DEFAULT[family]] = {Hop(device, site.crossing.public[family])}
        found[site.prefixes[family]] = set()
    return found


def unknown_networks(sites: Sequence[PrivateSite], found: Sequence[Namespace]) -> Iterator[Deviation]:
    """Overlays of networks that the plan does not have on this router."""
    known = {f"vx-{site.network}" for site in sites}
    for namespace in found:
        for name, device in namespace.overlays().items():
            if name not in known:
                text = f"overlay {name} (VNI {device.get('id')}), which the plan does not have here"
                yield Deviation("unknown_network", text)
