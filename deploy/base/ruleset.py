"""Which packets does a host or router take, pass on and refuse? The nft script of one host. Pure.

Spoofed sources, bogons, management and private LANs are refused everywhere before any rule of the policy is asked.
The policy is asked where a packet ends: at a server, at a LAN, at the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from netaddr import IPAddress, IPNetwork

from deploy.base.policy_rules import nft_rules
from deploy.here import render
from inventories.hosts import LAN_BRIDGE, HostData, Interface, InterfaceKind
from inventories.records import Family, SiteRole
from inventories.rules.ranges import bogons
from inventories.topology import Relation, RoutedNode

TEMPLATES = Path(__file__).parent / "templates"


class NftFamily(msgspec.Struct, frozen=True):
    """How nft's language names a family."""

    name: str
    n: int
    ip: str
    type: str
    hops: str


FAMILIES = (
    NftFamily("ipv4", 4, "ip", "ipv4_addr", "ip ttl"),
    NftFamily("ipv6", 6, "ip6", "ipv6_addr", "ip6 hoplimit"),
)


class Edge(msgspec.Struct, frozen=True):
    """An interface and the sources that may come in by it.

    Where `refused` names a set, everything outside that set may come in too.
    """

    interface: str
    sources: dict[Family, tuple[str, ...]]
    refused: str = ""


class Guard(msgspec.Struct, frozen=True):
    """The ports of a bridge, behind which hosts of a LAN stand; `ports` as nft writes a set of them."""

    ports: str
    lan: dict[Family, str]
    gateway: dict[Family, str]

    @property
    def target(self) -> str:
        """The gateway as the target field of a neighbour advertisement (RFC 4861 section 4.4), which nft 1.0.6
        cannot name: a number of 128 bits."""
        return f"{int(IPAddress(self.gateway[Family.IPV6])):#034x}"


def ruleset(data: HostData) -> str:
    """The host's nft script: the tables `inet jizuo`, `bridge jizuo` and `inet jizuo_limits`."""
    routing = data.routing if data.routing is not None and data.routing.forwards else None
    lan = next((interface for interface in data.interfaces if interface.kind is InterfaceKind.LAN), None)
    border = routing is not None and routing.role is SiteRole.BORDER
    guards = []
    if lan is not None and lan.ports and not border:
        guards.append(_guard(lan.ports, _addresses(lan)))
    guards += [_guard(site.ports, site.gateway) for site in data.networks if site.ports]
    policy = data.policy
    points = {
        "host": nft_rules(policy.host),
        "lan": nft_rules(policy.lan),
        "from_internet": nft_rules(policy.from_internet),
        "to_internet": nft_rules(policy.to_internet),
    }
    zones = {network: nft_rules(rules) for network, rules in policy.from_network.items()}
    return render(
        TEMPLATES / "nftables.conf.j2",
        data=data,
        families=FAMILIES,
        policy=points,
        policy_sets=sorted(
            {line for rules in (*points.values(), *zones.values()) for line in rules.declarations}
        ),
        zones=zones,
        forwards=routing is not None,
        bogons={family: bogons(family) for family in Family},
        foreign=data.inside_prefixes if border else dict.fromkeys(Family, ()),
        border=border,
        limit=data.new_connections,
        lan=_networks(_addresses(lan)) if lan is not None else None,
        edges=_edges(data, routing, lan if not border else None),
        outer_edges=_outer_edges(routing, border=border),
        private_bridges=[f'"br-{site.network}"' for site in data.networks if site.ports],
        private_ports=[
            f'"{port}"'
            for site in data.networks
            if site.ports
            for port in (*site.ports, f"pe-{site.network}")
        ],
        gateway_ports=[f'"pe-{site.network}"' for site in data.networks if site.ports],
        guarded=guards,
        overlay_peers=sorted({peer.loopback for site in data.networks for peer in site.peers}),
    )


def _addresses(lan: Interface) -> dict[Family, str]:
    return dict(zip(Family, lan.addresses, strict=True))


def _networks(addresses: dict[Family, str]) -> dict[Family, str]:
    return {family: str(IPNetwork(address).cidr) for family, address in addresses.items()}


def _guard(ports: Sequence[str], gateway: dict[Family, str]) -> Guard:
    plain = {family: address.partition("/")[0] for family, address in gateway.items()}
    names = ", ".join(f'"{port}"' for port in ports)
    return Guard(f"{{ {names} }}", _networks(gateway), plain)


def _edges(data: HostData, routing: RoutedNode | None, lan: Interface | None) -> list[Edge]:
    """The interfaces behind which everything has an address of the plan: LANs, servers, what lies below."""
    if routing is None:
        return []
    found = []
    if lan is not None:
        found.append(Edge(LAN_BRIDGE, {family: (net,) for family, net in _networks(_addresses(lan)).items()}))
    for site in data.networks:
        if site.crossing is not None:
            ends, prefixes = site.crossing.private, site.prefixes
            sources = {
                Family.IPV4: (ends[Family.IPV4],),
                Family.IPV6: (ends[Family.IPV6], prefixes[Family.IPV6]),
            }
            found.append(Edge(f"to-{site.network}", sources))
    for neighbor in routing.neighbors:
        if neighbor.relation in (Relation.DOWN, Relation.SERVER) and neighbor.role is not SiteRole.BORDER:
            sources = {
                family: (*(prefix for prefix, _ in neighbor.accept[family]), neighbor.remote[family])
                for family in Family
            }
            found.append(Edge(neighbor.link, sources))
    return found


def _outer_edges(routing: RoutedNode | None, *, border: bool) -> list[Edge]:
    """The interfaces by which the rest of the world comes in: it bears no address of ours."""
    if routing is None:
        return []
    found = []
    if border:
        found.append(Edge(LAN_BRIDGE, dict.fromkeys(Family, ()), "inside"))
    for neighbor in routing.neighbors:
        if neighbor.role is SiteRole.BORDER:
            own = {
                family: (
                    *(p for p, longest in neighbor.accept[family] if longest > 0),
                    neighbor.remote[family],
                )
                for family in Family
            }
            found.append(Edge(neighbor.link, own, "extranet"))
    return found
