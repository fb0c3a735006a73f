"""Where does a packet get to? Follows it through the hosts' own routes and firewalls, as they described them; pure.

Nothing is sent: the routes and the rulesets that the hosts have loaded are read, and a packet is led through them
from the host that sends it, network by network, as the kernels would. So every port, source and family can be
tried without a connection, and what stopped a packet has a name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import msgspec
from netaddr import IPAddress, IPNetwork

from checks.security.run import Captures, NotCollected
from checks.security.stream import Capture
from inventories.hosts import LAN_BRIDGE, MANAGEMENT_INTERFACE, HostData
from inventories.private import PrivateSite
from inventories.records import NO_LINUX, City, Family, Link, LinkKind

from .expected import span
from .observed import Hop, KernelRoute, NoLinux, Unreadable, kernel_routes
from .private import Namespace, namespaces
from .routes import crossing_prefix
from .ruleset import Packet, Ruleset

_FARTHEST = 32


class Place(msgspec.Struct, frozen=True):
    """A routing table: a host's own, or that of a private network on a router."""

    node: str
    network: str = ""


class Arrival(msgspec.Struct, frozen=True):
    """How a packet comes to a place: by which interface, from whom, and past which port of a bridge."""

    place: Place
    interface: str = ""
    sender: str = ""
    port: str = ""  # the port of a LAN's bridge
    gateway_port: str = ""  # the bridge's port behind which a private network's gateway stands


class End(msgspec.Struct, frozen=True):
    """Where a packet's way ended: taken by the host that it was meant for, or arrived there, or stopped before."""

    delivered: bool
    where: str
    why: str = ""
    arrived: bool = False


class _Router:
    """One routing table with its firewall."""

    def __init__(self, routes: Mapping[Family, list[KernelRoute]], objects: list[dict[str, Any]]) -> None:
        self.ruleset = Ruleset(objects)
        self._tables = {
            family: sorted(((span(route.prefix), route) for route in found), key=lambda e: -e[0].length)
            for family, found in routes.items()
        }

    def route(self, address: int, family: Family) -> KernelRoute | None:
        """The longest prefix that holds an address."""
        for prefix, route in self._tables[family]:
            if prefix.first <= address <= prefix.last:
                return route
        return None

    def device_of(self, prefix: str, family: Family) -> str:
        """The interface of a prefix that is connected."""
        return next((r.hops[0].device for _, r in self._tables[family] if r.prefix == prefix and r.hops), "")


class World:
    """The extranet as its hosts describe it.

    Args:
        city: The city.
        hosts: Each host's data.
        captures: What the hosts said.
    """

    def __init__(self, city: City, hosts: Mapping[str, HostData], captures: Captures) -> None:
        self._city = city
        self._hosts = hosts
        self._captures = captures
        self._routers: dict[Place, _Router] = {}
        self._clocks: dict[str, int] = {}
        self._own: dict[tuple[Place, Family], frozenset[int]] = {}

    @cached_property
    def _links(self) -> Mapping[str, Link]:
        return self._city.links

    @cached_property
    def _lan_hosts(self) -> dict[tuple[str, str, str], Link]:
        """The access link of each host on a LAN: by router, network and address."""
        return {
            (link.a, link.network, self._hosts[link.b].service[family]): link
            for link in self._city.links.values()
            if link.kind is LinkKind.ACCESS
            for family in Family
        }

    @cached_property
    def _sites(self) -> dict[tuple[str, str], PrivateSite]:
        return {(d.name, site.network): site for d in self._hosts.values() for site in d.networks}

    @cached_property
    def _overlays(self) -> dict[tuple[str, str], str]:
        """The router behind each overlay address of a network."""
        return {(site.network, site.address): node for (node, _), site in self._sites.items()}

    def send(self, source: str, packet: Packet) -> End:
        """Lead a packet from the host that sends it to where its way ends.

        Raises:
            Unreadable: A host on the way did not say what it would do.
            UnknownRule: A rule on the way cannot be judged.
        """
        arrival = Arrival(Place(source))
        for _ in range(_FARTHEST):
            place = arrival.place
            router = self._router(place)
            if self._is_local(place, packet):
                return self._deliver(router, arrival, packet)
            onward = self._forward(router, arrival, packet)
            if isinstance(onward, End):
                return onward
            arrival, packet = onward
        return End(False, source, "goes round in circles")

    def _deliver(self, router: _Router, arrival: Arrival, packet: Packet) -> End:
        answer = router.ruleset.passes(self._at(packet, arrival), "input")
        return End(answer.passes, _name(arrival.place), answer.by, arrived=True)

    def _forward(self, router: _Router, arrival: Arrival, packet: Packet) -> End | tuple[Arrival, Packet]:
        """One step: the next place, or why there is none."""
        place, name = arrival.place, _name(arrival.place)
        route = router.route(packet.destination, packet.family)
        if route is None or not route.hops:
            return End(False, name, "no route" if route is None else f"a route that discards {route.prefix}")
        hop = route.hops[0]
        here = msgspec.structs.replace(self._at(packet, arrival), oif=hop.device)
        stopped = self._bridge(arrival, here)
        if stopped:
            return End(False, name, stopped)
        answer = router.ruleset.passes(here, "forward" if arrival.interface else "output")
        if not answer.passes:
            return End(False, name, answer.by)
        onward = self._next(place, hop, packet)
        if onward is None:
            return End(False, name, f"nobody at {IPAddress(packet.destination)} on {hop.device}")
        changes = {"source": router.ruleset.source_outside(here), "hops": packet.hops - 1}
        return onward, msgspec.structs.replace(packet, **changes)

    def _at(self, packet: Packet, arrival: Arrival) -> Packet:
        return msgspec.structs.replace(
            packet,
            iif=arrival.interface,
            oif="",
            sender=arrival.sender,
            now=self._clock(arrival.place.node),
        )

    def _bridge(self, arrival: Arrival, packet: Packet) -> str:
        """What the bridge of a LAN does with a packet of one of its hosts; empty where it lets it pass."""
        if not arrival.port:
            return ""
        ruleset = self._router(Place(arrival.place.node)).ruleset
        seen = msgspec.structs.replace(packet, iif=arrival.port, oif=arrival.gateway_port)
        answer = ruleset.passes(seen, "forward" if arrival.gateway_port else "input", bridge=True)
        return "" if answer.passes else f"bridge, {answer.by}"

    def _is_local(self, place: Place, packet: Packet) -> bool:
        key = place, packet.family
        if key not in self._own:
            self._own[key] = frozenset(self._addresses(place, packet.family))
        return packet.destination in self._own[key]

    def _addresses(self, place: Place, family: Family) -> Iterator[int]:
        """A place's own addresses, by the plan."""
        data, index = self._hosts[place.node], list(Family).index(family)
        if place.network:
            site = self._sites[place.node, place.network]
            if family in site.gateway:
                yield int(IPNetwork(site.gateway[family]).ip)
            if site.crossing is not None:
                yield int(IPAddress(site.crossing.private[family]))
            return
        yield int(IPAddress(data.management[family]))
        for interface in data.interfaces:
            yield int(IPNetwork(interface.addresses[index]).ip)
        for site in data.networks:
            if site.crossing is not None:
                yield int(IPAddress(site.crossing.public[family]))

    def _next(self, place: Place, hop: Hop, packet: Packet) -> Arrival | None:
        """Who stands at the other end of an interface."""
        if place.network:
            return self._next_in_network(place, hop, packet)
        if hop.device == LAN_BRIDGE:
            return self._on_lan(place, packet)
        if hop.device.startswith("to-") and (place.node, hop.device[3:]) in self._sites:
            site = self._sites[place.node, hop.device[3:]]
            inside = Place(place.node, site.network)
            device = self._router(inside).device_of(crossing_prefix(site, packet.family), packet.family)
            return Arrival(inside, device or "?")
        link = self._links.get(hop.device)
        if link is None or hop.device == MANAGEMENT_INTERFACE:
            return None
        other = link.b if link.a == place.node else link.a
        if link.kind is not LinkKind.ACCESS:
            return Arrival(Place(other), link.id)
        if not hop.gateway and (neighbor := self._on_lan(Place(other, link.network), packet)):
            return neighbor  # on the same LAN: the bridge passes it on, no router is asked
        if link.network:
            port = f"pe-{link.network}"
            return Arrival(Place(other, link.network), f"lan-{link.network}", port=link.id, gateway_port=port)
        return Arrival(Place(other), LAN_BRIDGE, port=link.id)

    def _next_in_network(self, place: Place, hop: Hop, packet: Packet) -> Arrival | None:
        site = self._sites[place.node, place.network]
        if hop.device == f"lan-{place.network}":
            return self._on_lan(place, packet)
        if hop.device == f"vx-{place.network}":
            other = self._overlays.get((place.network, hop.gateway))
            return Arrival(Place(other, place.network), hop.device, site.mac) if other else None
        if site.crossing is not None and hop.gateway == site.crossing.public[packet.family]:
            return Arrival(Place(place.node), f"to-{place.network}")
        return None

    def _on_lan(self, place: Place, packet: Packet) -> Arrival | None:
        link = self._lan_hosts.get(
            (place.node, place.network, str(IPAddress(packet.destination, _VERSION[packet.family])))
        )
        return Arrival(Place(link.b), link.id) if link else None

    def _router(self, place: Place) -> _Router:
        if place not in self._routers:
            capture = self._capture(place.node)
            if place.network:
                self._routers[place] = _inside(place, namespaces(capture))
            else:
                routes = {family: kernel_routes(capture, family) for family in Family}
                self._routers[place] = _Router(routes, _objects(capture))
        return self._routers[place]

    def _clock(self, node: str) -> int:
        if node not in self._clocks:
            lines = self._capture(node)["identity"].lines
            pairs = dict(line.split("=", 1) for line in lines if "=" in line)
            self._clocks[node] = int(pairs.get("time", 0))
        return self._clocks[node]

    def _capture(self, node: str) -> Capture:
        if self._city.nodes[node].os_family in NO_LINUX:
            raise NoLinux(
                f"{node} is on the way, and no Linux: its own command line shows its routes and rules"
            )
        capture = self._captures[node]
        if isinstance(capture, NotCollected):
            raise Unreadable(f"{node} is on the way and did not answer: {capture.reason}")
        return capture


_VERSION = {Family.IPV4: 4, Family.IPV6: 6}


def _name(place: Place) -> str:
    return f"{place.node} in {place.network}" if place.network else place.node


def read_rulesets(data: HostData, capture: Capture) -> tuple[Ruleset, dict[str, Ruleset]]:
    """A host's own ruleset, and those of its private networks.

    Raises:
        Unreadable: One of them is not there.
    """
    found = namespaces(capture) if data.networks else []
    inside = {site.network: _objects_of(_home(data.name, site.network, found)) for site in data.networks}
    return Ruleset(_objects(capture)), {network: Ruleset(objects) for network, objects in inside.items()}


def _home(node: str, network: str, found: list[Namespace]) -> Namespace:
    """The network namespace of a private network."""
    home = next((namespace for namespace in found if f"vx-{network}" in namespace.overlays()), None)
    if home is None:
        raise Unreadable(f"{node} has no routing table for {network}")
    return home


def _inside(place: Place, found: list[Namespace]) -> _Router:
    home = _home(place.node, place.network, found)
    return _Router({family: home.routes(family) for family in Family}, _objects_of(home))


def _objects_of(home: Namespace) -> list[dict[str, Any]]:
    return _read(home.said.get("nftables", ""), home.name)


def _objects(capture: Capture) -> list[dict[str, Any]]:
    section = capture.get("nftables")
    if section is None or section.status != 0:
        raise Unreadable("section nftables is not there")
    return _read("\n".join(section.lines), "section nftables")


def _read(text: str, where: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(text)["nftables"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{where} has no ruleset in JSON: {error}") from None
    return found
