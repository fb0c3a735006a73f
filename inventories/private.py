"""How is a department's private network (专用网络区) built on each router that takes part in it? Pure.

A network is a routing table of its own on every router that has one of its LANs, and on the border. Its packets
cross the public part inside VXLAN (RFC 7348) between the routers' loopbacks, over IPv6. Everything about the
overlay follows from the plan, so nothing is learned and nothing can be forged by a host: each router has a slot
in the network, from which its overlay address (fe80::SLOT, RFC 4291) and its MAC address (locally administered,
IEEE 802 clause 8.2) follow, and each knows the LANs and loopbacks of the others. IPv4 routes have an IPv6 next
hop (RFC 8950), so that the overlay needs no IPv4 addresses.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from inventories.plan import AddressPlan
from inventories.records import City, Family, NodeRole


class Overlay(msgspec.Struct, frozen=True, kw_only=True):
    """Another router of the network: who stands where in the overlay, and which LAN lies behind."""

    node: str
    slot: int
    loopback: str
    lan: dict[Family, str]

    @property
    def address(self) -> str:
        """Its overlay address."""
        return overlay_address(self.slot)

    @property
    def mac(self) -> str:
        """Its MAC address in the overlay."""
        return overlay_mac(self.slot)


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """The border's link between the public routing table and the network's: both ends, without length."""

    public: dict[Family, str]
    private: dict[Family, str]


class PrivateSite(msgspec.Struct, frozen=True, kw_only=True):
    """One private network on one router.

    `gateway` are the router's addresses on its LAN with prefix length, empty on the border, which has none.
    `ports` are the access links of the LAN. `way_out` is the border, None where the city has none
    and on the border itself, which has a `crossing` instead. `zone` numbers the network's connections where the
    kernel keeps those of several networks in one table.
    """

    network: str
    unit: str
    vni: int
    zone: int
    slot: int
    loopback: str
    prefixes: dict[Family, str]
    gateway: dict[Family, str]
    lan: dict[Family, str]
    ports: tuple[str, ...]
    peers: tuple[Overlay, ...]
    way_out: Overlay | None = None
    crossing: Crossing | None = None

    @property
    def address(self) -> str:
        """The router's overlay address."""
        return overlay_address(self.slot)

    @property
    def mac(self) -> str:
        """The router's MAC address in the overlay."""
        return overlay_mac(self.slot)

    @property
    def devices(self) -> tuple[str, ...]:
        """The network's own interfaces on the router; a packet that comes in by any other is none of the network's."""
        ends = {"vpn": True, "vx": True, "lan": bool(self.gateway), "out": self.crossing is not None}
        return tuple(f"{kind}-{self.network}" for kind, there in ends.items() if there)

    @property
    def lan_mac(self) -> str:
        """The router's MAC address as the gateway of its LAN."""
        return lan_mac(self.vni)


#: The largest zone of connection tracking (Linux: 16 bits).
LAST_ZONE = 65535


def lan_mac(vni: int) -> str:
    """The MAC address of a network's gateway on every LAN of it: locally administered, unicast."""
    return f"02:01:{vni >> 16 & 255:02x}:{vni >> 8 & 255:02x}:{vni & 255:02x}:01"


def overlay_address(slot: int) -> str:
    """The overlay address of a slot."""
    return f"fe80::{slot:x}"


def overlay_mac(slot: int) -> str:
    """The MAC address of a slot: locally administered, unicast."""
    return f"02:00:00:{slot >> 16 & 255:02x}:{slot >> 8 & 255:02x}:{slot & 255:02x}"


def connection_zones(city: City) -> dict[str, int]:
    """Each network's zone of connection tracking (16 bits in Linux, 0 is the host's own): its VNI where that fits.

    Raises:
        ValueError: there are more networks than zones.
    """
    if len(city.networks) > LAST_ZONE:
        raise ValueError(f"more than {LAST_ZONE} private networks")
    zones: dict[str, int] = {}
    # Those that fit come first, so that a network with a large VNI displaces none of them.
    for network in sorted(city.networks.values(), key=lambda network: network.vni):
        zone = (network.vni - 1) % LAST_ZONE + 1
        while zone in zones.values():
            zone = zone % LAST_ZONE + 1
        zones[network.id] = zone
    return zones


def private_sites(city: City, plan: AddressPlan) -> dict[str, tuple[PrivateSite, ...]]:
    """Every private network on every router that takes part in it, by router."""
    found: dict[str, list[PrivateSite]] = {}
    ports: dict[tuple[str, str], list[str]] = {}
    for link in city.links.values():
        if link.network:
            ports.setdefault((link.network, link.a), []).append(link.id)
    zones = connection_zones(city)
    for network in city.networks:
        routers = dict.fromkeys(router for name, router in ports if name == network)
        members = [_overlay(city, plan, network, router) for router in routers]
        border = plan.border
        if border:
            members.append(_overlay(city, plan, network, border))
        for member in members:
            links = tuple(ports.get((network, member.node), ()))
            site = _site(city, plan, network, member, members, links, zones[network])
            found.setdefault(member.node, []).append(site)
    return {router: tuple(sites) for router, sites in found.items()}


def _overlay(city: City, plan: AddressPlan, network: str, router: str) -> Overlay:
    site = city.nodes[router].site
    slot = plan.private_sites(network)[site]
    lan = {} if router == plan.border else {f: str(plan.private_lan(network, site, f)) for f in Family}
    return Overlay(node=router, slot=slot, loopback=str(plan.loopback(router, Family.IPV6)), lan=lan)


def _site(
    city: City,
    plan: AddressPlan,
    network: str,
    own: Overlay,
    members: list[Overlay],
    ports: tuple[str, ...],
    zone: int,
) -> PrivateSite:
    record, site, border = city.networks[network], city.nodes[own.node].site, plan.border
    is_border = own.node == border
    way_out = None if is_border else next((member for member in members if member.node == border), None)
    gateway = {
        family: f"{plan.private_gateway(network, site, family)}/{plan.private_lan(network, site, family).prefixlen}"
        for family in own.lan
    }
    crossing = None
    if is_border:
        ends = {family: plan.crossing(network, family) for family in Family}
        crossing = Crossing(
            public={family: str(end[0]) for family, end in ends.items()},
            private={family: str(end[1]) for family, end in ends.items()},
        )
    return PrivateSite(
        network=network,
        unit=record.unit,
        vni=record.vni,
        zone=zone,
        slot=own.slot,
        loopback=own.loopback,
        prefixes={Family.IPV4: record.ipv4, Family.IPV6: record.ipv6},
        gateway=gateway,
        lan=own.lan,
        ports=ports,
        peers=tuple(member for member in members if member.node != own.node),
        way_out=way_out,
        crossing=crossing,
    )


def crossing_prefixes(city: City, plan: AddressPlan) -> dict[str, dict[Family, str]]:
    """As what each private network's hosts show outside of it; empty where the city has no border.

    IPv4 is translated to one address (the department's own range may exist twice), IPv6 is not.
    """
    if not plan.border:
        return {}
    return {
        network.id: {
            Family.IPV4: f"{plan.crossing(network.id, Family.IPV4)[1]}/32",
            Family.IPV6: network.ipv6,
        }
        for network in city.networks.values()
    }


def network_of(city: City) -> Mapping[str, str]:
    """The private network of each host that stands in one."""
    return {
        link.b: link.network
        for link in city.links.values()
        if link.network and city.nodes[link.b].role is not NodeRole.ROUTER
    }
