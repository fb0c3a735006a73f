"""What is to be probed, in which family, and what is not, and why: nodes' addresses and systems' endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import msgspec

from inventories.records import City, Family, HostedBy, NetworkZone, Node, NodeRole, SiteRole, System

from .dns import Question

if TYPE_CHECKING:
    from inventories.plan import AddressPlan


class Kind(StrEnum):
    """How a target is probed."""

    ICMP = "icmp"
    TCP = "tcp"
    TLS = "tls"
    HTTP = "http"
    HTTPS = "https"
    DNS = "dns"


class Exclusion(StrEnum):
    """Why something is not probed."""

    NOT_DEPLOYED = "not_deployed"  # the inventory says that it is not there in this family yet
    PRIVATE_NETWORK = "private_network"  # 专用网络区: the public zone has no way to its hosts
    INTERNET_ZONE = "internet_zone"  # 互联网接入区: likewise
    POLICE_NETWORK = "police_network"  # 公安网
    OTHER_NETWORK = "other_network"  # a network that is not the extranet
    NOTHING_TO_RUN = "nothing_to_run"  # a list, a standard, a mechanism
    NO_ENDPOINT = "no_endpoint"  # the inventory names no endpoint


class Unprobed(NamedTuple):
    """A node or an endpoint that is not probed in a family; the check is empty for a system without endpoints."""

    subject: str
    check: str
    family: str
    reason: str


#: The port of an endpoint whose URL names none (IANA service names); TCP and TLS have none.
DEFAULT_PORTS = {Kind.ICMP: 0, Kind.HTTP: 80, Kind.HTTPS: 443, Kind.DNS: 53}
#: Networks that the extranet does not reach: what stands there cannot be probed from here.
_ELSEWHERE = {
    NetworkZone.POLICE: Exclusion.POLICE_NETWORK,
    NetworkZone.OTHER: Exclusion.OTHER_NETWORK,
}


class Target(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One probe to make: one subject, one check, one address family.

    Attributes:
        subject: The id of the node or system that the record will name.
        check: `icmp` for a node, the endpoint's URL for a system; unique with subject and family.
        kind: How to probe.
        family: The address family.
        address: A numeric address of the family; empty for what stands elsewhere, whose `host` is resolved each time.
        port: The port; 0 for ICMP.
        host: The DNS name: for the Host header and the certificate, and to resolve where there is no address.
        path: Path and query (HTTP, HTTPS).
        questions: What to ask (DNS).
    """

    subject: str
    check: str
    kind: Kind
    family: Family
    address: str
    port: int = 0
    host: str = ""
    path: str = "/"
    questions: tuple[Question, ...] = ()


class EndpointError(ValueError):
    """An endpoint's URL cannot be probed; the message says what would be right."""


def targets_of(city: City, plan: AddressPlan) -> list[Target]:
    """Every target of a city.

    A node is pinged at its service address, a router at its loopback. A system is probed at each of its
    endpoints, unless it stands on a network that the extranet does not reach.

    Raises:
        EndpointError: A URL has no node of the inventory as host, an unknown scheme, or no port.
    """
    targets = [
        Target(
            subject=node, check="icmp", kind=Kind.ICMP, family=family, address=str(plan.host(node, family))
        )
        for node in reachable_nodes(city)
        for family in families_of(city.nodes[node])
    ]
    for system in city.systems.values():
        if system.network not in _ELSEWHERE:
            for endpoint in dict.fromkeys(system.endpoints):
                targets.extend(_endpoint_targets(city, plan, system, endpoint))
    return targets


def families_of(subject: Node | System) -> tuple[Family, ...]:
    """The families in which a node or system is expected to answer: both, unless the inventory says which."""
    return subject.families or tuple(Family)


def unprobed_of(city: City) -> list[Unprobed]:
    """Every node, system and endpoint that is not probed, family by family, with the reason."""
    reachable = frozenset(reachable_nodes(city))
    private = {link.b for link in city.links.values() if link.network}
    found = []
    for node in city.nodes.values():
        elsewhere = Exclusion.PRIVATE_NETWORK if node.id in private else Exclusion.INTERNET_ZONE
        for family in Family:
            if node.id not in reachable:
                found.append(Unprobed(node.id, "icmp", family, elsewhere))
            elif family not in families_of(node):
                found.append(Unprobed(node.id, "icmp", family, Exclusion.NOT_DEPLOYED))
    for system in city.systems.values():
        for family in Family:
            reason = _reason_of(system, family)
            if reason is not None:
                checks = dict.fromkeys(system.endpoints) or ("",)
                found += [Unprobed(system.id, check, family, reason) for check in checks]
    return found


def _reason_of(system: System, family: Family) -> Exclusion | None:
    """Why a system is not probed in a family, None where it is; the first reason that holds."""
    if system.hosted_by is HostedBy.NOBODY:
        return Exclusion.NOTHING_TO_RUN
    if system.network in _ELSEWHERE:
        return _ELSEWHERE[system.network]
    if not system.endpoints:
        return Exclusion.NO_ENDPOINT
    return None if family in families_of(system) else Exclusion.NOT_DEPLOYED


def reachable_nodes(city: City) -> list[str]:
    """The nodes that the extranet's public zone reaches: not the hosts of private networks and of the internet."""
    private = {link.b for link in city.links.values() if link.network}
    return [
        node.id
        for node in city.nodes.values()
        if node.id not in private
        and not (city.sites[node.site].role is SiteRole.BORDER and node.role is not NodeRole.ROUTER)
    ]


def _endpoint_targets(city: City, plan: AddressPlan, system: System, endpoint: str) -> Iterator[Target]:
    where = f"system {system.id}: endpoint {endpoint}"
    try:
        url = urlsplit(endpoint)
        kind, port = Kind(url.scheme), url.port
    except ValueError as error:
        raise EndpointError(f"{where}: {error}; write SCHEME://NODE[:PORT][/PATH], {_schemes()}") from None
    node = url.hostname or ""
    elsewhere = node not in city.nodes
    if elsewhere and ("." not in node or kind is Kind.DNS):
        raise EndpointError(
            f"{where}: {node!r} is no node of nodes.csv, and no DNS name of what stands elsewhere"
        )
    if port is None:
        if kind not in DEFAULT_PORTS:
            raise EndpointError(f"{where}: no port; write {kind}://{node}:PORT")
        port = DEFAULT_PORTS[kind]
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    questions = _questions(city, plan, url.path.strip("/"), where) if kind is Kind.DNS else ()
    for family in families_of(system):
        yield Target(
            subject=system.id,
            check=endpoint,
            kind=kind,
            family=family,
            address="" if elsewhere else str(plan.host(node, family)),
            port=port,
            host=node if elsewhere else f"{node}.{city.layout.domain}",
            path=path,
            questions=questions,
        )


def _schemes() -> str:
    return "SCHEME one of " + ", ".join(Kind)


def _questions(city: City, plan: AddressPlan, name: str, where: str) -> tuple[Question, ...]:
    """What to ask of a name server: a node's name has the addresses of the plan; any other name is a zone.

    Over either transport both AAAA and A are asked: a resolver over IPv4 needs right AAAA records as well.
    """
    if not name:
        raise EndpointError(f"{where}: no name to ask for; write dns://NODE/NAME")
    node = name.removesuffix(f".{city.layout.domain}")
    if node != name and node in city.nodes:
        return (
            Question(name, "AAAA", (str(plan.host(node, Family.IPV6)),)),
            Question(name, "A", (str(plan.host(node, Family.IPV4)),)),
        )
    return (Question(name, "SOA"),)
