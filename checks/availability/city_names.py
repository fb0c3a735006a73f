"""Whom to ask for the city's own names, and what are they? For machines that have no resolver of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import dns.resolver

from inventories.records import City, Family, NodeRole

from .names import Resolver

if TYPE_CHECKING:
    from inventories.plan import AddressPlan


class CityNames(NamedTuple):
    """Name servers to ask (None: the machine's own), and the zone in which the names of nodes stand."""

    resolver: Resolver | None = None
    domain: str = ""

    def full(self, host: str) -> str:
        """A host's name in the DNS: a node's stands in the city's zone, any other says it whole."""
        return f"{host}.{self.domain}" if self.domain and "." not in host else host


def names_of(city: City, plan: AddressPlan) -> CityNames:
    """The machine's resolver where it has one; otherwise the operations nodes, which serve the city's zones.

    Hosts of an extranet often have none: they find each other in /etc/hosts.
    """
    return CityNames(None if _has_resolver() else _operations(city, plan), city.layout.domain)


def _has_resolver() -> bool:
    try:
        return bool(dns.resolver.Resolver().nameservers)
    except dns.resolver.NoResolverConfiguration:
        return False


def _operations(city: City, plan: AddressPlan) -> Resolver | None:
    nodes = [node.id for node in city.nodes.values() if node.role == NodeRole.OPERATIONS]
    servers = tuple(str(plan.host(node, family)) for node in nodes for family in (Family.IPV6, Family.IPV4))
    return Resolver(servers) if servers else None
