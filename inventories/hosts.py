"""What one host has to know: the finished data that the deploys read, derived from city, plan and topology.

Groups are not merged and nothing is looked up later: a host's data is whole, so that what a deploy does on
a host follows from code, these data and the host's own facts alone.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from netaddr import IPAddress, IPNetwork

from inventories.backups.records import BackupPolicy, Backups, DatabaseBackup, Verification
from inventories.monitoring import ALERTMANAGER_PORT, CLUSTER_PORT, PROMETHEUS_PORT, WATCHING
from inventories.plan import AddressPlan
from inventories.policy.points import (
    EdgeRule,
    rules_for_host,
    rules_for_lan,
    rules_from_zone,
    rules_to_internet,
)
from inventories.policy.resolve import ResolvedPolicy, resolve
from inventories.private import PrivateSite, network_of, private_sites
from inventories.records import NO_LINUX, City, Family, Link, Node, NodeRole, SiteRole
from inventories.topology import RoutedNode, Topology, build_topology

#: Interface names that a host itself makes; link ids may not be called so.
LAN_BRIDGE = "lan0"
SERVICE_INTERFACE = "lo"
MANAGEMENT_INTERFACE = "mgmt0"

MIRROR_PORT = 8081
BACKUP_PORT = 8443
#: pgBackRest's own (its option tls-server-port).
DATABASE_PORT = 8432
NODE_EXPORTER_PORT = 9100
EXPORTER_PORT = 9910
#: Where the city's long storage takes samples, over TLS, from those whom the policy lets in; the port that
#: VictoriaMetrics' own proxy has.
STORAGE_PORT = 8427


class InterfaceKind(StrEnum):
    """What an interface is."""

    LINK = "link"  # routed, a /31 and a /127
    LAN = "lan"  # the bridge of a site's LAN, with access links as ports
    ACCESS = "access"  # a client's port on a LAN
    SERVICE = "service"  # lo, which carries the loopback or service address


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """An interface and its addresses with prefix lengths, IPv4 first."""

    name: str
    kind: InterfaceKind
    addresses: tuple[str, ...]
    gateways: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()


class Source(StrEnum):
    """From where a built-in service may be reached, the same for both families; all else is the policy's to say."""

    MANAGEMENT = "management"
    LINKS = "links"


class HostPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The policy's rules at each point of enforcement that stands on a host, in their order.

    `host` is the host's own firewall, `lan` the hosts of a router's public LAN; the others are the border's: what comes
    from the internet, what goes out to it, and what comes from each private network.
    """

    host: tuple[EdgeRule, ...] = ()
    lan: tuple[EdgeRule, ...] = ()
    from_internet: tuple[EdgeRule, ...] = ()
    to_internet: tuple[EdgeRule, ...] = ()
    from_network: dict[str, tuple[EdgeRule, ...]] = {}


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A port that the host's firewall opens."""

    name: str
    protocol: str
    ports: tuple[int, ...]
    source: Source


class BackupJob(msgspec.Struct, frozen=True, kw_only=True):
    """A policy as one client carries it out; addresses are service addresses on the extranet."""

    policy: str
    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    may_be_empty: tuple[str, ...]
    schedule: str
    rpo: int
    repository: str
    copies: tuple[str, ...]
    #: Databases that are dumped into each snapshot, or kept continuously by their own tools.
    databases: tuple[DatabaseBackup, ...]
    #: The part of the day in which a run of the timer may begin; None for any time.
    window: str | None
    #: What the job may take of the way to each repository, in Mbit/s; 0 is no limit.
    bandwidth: dict[str, int]
    keep: dict[str, int]
    verify: Verification


class HeldRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A client's repository on this node: what is kept of it, and when old snapshots are removed."""

    client: str
    policy: str
    keep: dict[str, int]
    window: str
    databases: tuple[DatabaseBackup, ...]


class HostedSystem(msgspec.Struct, frozen=True, kw_only=True):
    """A system of the plan that this host serves."""

    id: str
    name: str
    owners: tuple[str, ...]


class HostData(msgspec.Struct, frozen=True, kw_only=True):
    """All that the deploys read about one host."""

    name: str
    fqdn: str
    domain: str
    site: str
    role: NodeRole
    os_family: str
    time_zone: str
    management: dict[Family, str]
    management_prefixes: dict[Family, str]
    #: Every prefix of the extranet: the city's and its partners'.
    extranet_prefixes: dict[Family, tuple[str, ...]]
    #: Every prefix that is not the internet: the extranet's, management's and the private networks'.
    inside_prefixes: dict[Family, tuple[str, ...]]
    #: How many connections a second one source of the internet may begin (the border's limit).
    new_connections: int
    service: dict[Family, str]
    interfaces: tuple[Interface, ...]
    routing: RoutedNode | None
    #: The private networks that this router takes part in.
    networks: tuple[PrivateSite, ...]
    #: The prefixes of the private network in which this host stands; empty for every other.
    own_network: dict[Family, str]
    services: tuple[Service, ...]
    policy: HostPolicy
    #: Management addresses of the operations nodes: packages, time and logs.
    operations: dict[str, dict[Family, str]]
    systems: tuple[HostedSystem, ...]
    backups: tuple[BackupJob, ...]
    #: Seconds between two scrapes of Prometheus; probes go out every second one.
    monitoring_interval: int
    #: Months for which the long storage keeps samples.
    monitoring_history: int
    #: Whether the city's sums are written to the province, and whether it may log in and read them.
    monitoring_province: bool
    monitoring_federation: bool
    #: The repositories that this node holds for others.
    held_repositories: tuple[HeldRepository, ...]
    #: Clients that keep a repository on this host.
    backup_clients: tuple[str, ...]
    #: Names and addresses of every node, for /etc/hosts: name -> (IPv4, IPv6) service addresses.
    neighbors: dict[str, tuple[str, str]]


def linux_nodes(city: City) -> dict[str, Node]:
    """The nodes that deploys and checks log in to; routers that are no Linux have a command line of their own."""
    return {name: node for name, node in city.nodes.items() if node.os_family not in NO_LINUX}


def host_data(city: City, plan: AddressPlan, topology: Topology | None = None) -> dict[str, HostData]:
    """The data of every node of the city, by node id."""
    topology = topology or build_topology(city, plan)
    layout = city.layout
    extranet = {
        Family.IPV4: (layout.ipv4.prefix, *(partner.ipv4 for partner in layout.partners.values())),
        Family.IPV6: (layout.ipv6.prefix, *(partner.ipv6 for partner in layout.partners.values())),
    }
    management = {Family.IPV4: layout.management.ipv4, Family.IPV6: layout.management.ipv6}
    inside = {
        family: (
            *extranet[family],
            management[family],
            *(getattr(n, family.value) for n in city.networks.values()),
        )
        for family in Family
    }
    operations = {
        node.id: {family: str(plan.management(node.id, family)) for family in Family}
        for node in city.nodes.values()
        if node.role is NodeRole.OPERATIONS
    }
    servers = {
        node.id: (str(plan.host(node.id, Family.IPV4)), str(plan.host(node.id, Family.IPV6)))
        for node in city.nodes.values()
        if node.role not in (NodeRole.ROUTER, NodeRole.CLIENT)
    }
    networks = private_sites(city, plan)
    hosts_of_networks = network_of(city)
    resolved = resolve(city, plan)
    return {
        node.id: HostData(
            name=node.id,
            fqdn=f"{node.id}.{layout.domain}",
            domain=layout.domain,
            site=node.site,
            role=node.role,
            os_family=node.os_family.value,
            time_zone=layout.time_zone,
            management={family: str(plan.management(node.id, family)) for family in Family},
            management_prefixes=management,
            extranet_prefixes=extranet,
            inside_prefixes=inside,
            new_connections=layout.internet.new_connections if layout.internet else 0,
            service={family: str(plan.host(node.id, family)) for family in Family},
            interfaces=tuple(_interfaces(city, plan, topology, node)),
            routing=topology.nodes.get(node.id),
            networks=networks.get(node.id, ()),
            own_network=_own_network(city, hosts_of_networks.get(node.id, "")),
            services=tuple(services_of(node, topology)),
            policy=_policy(city, plan, resolved, node),
            operations=operations,
            systems=tuple(
                HostedSystem(id=system.id, name=system.name, owners=system.owners)
                for system in city.systems.values()
                if node.id in system.nodes and node.role is NodeRole.CLOUD
            ),
            backups=tuple(_jobs(city, node)),
            monitoring_interval=layout.monitoring.interval,
            monitoring_history=layout.monitoring.history,
            monitoring_province=layout.monitoring.province is not None,
            monitoring_federation=layout.monitoring.federation,
            held_repositories=tuple(_held_repositories(city, node)),
            backup_clients=tuple(_clients(city, node)),
            neighbors=servers,
        )
        for node in city.nodes.values()
    }


def _both(plan: AddressPlan, node: str) -> tuple[str, str]:
    return f"{plan.host(node, Family.IPV4)}/32", f"{plan.host(node, Family.IPV6)}/128"


def _interfaces(city: City, plan: AddressPlan, topology: Topology, node: Node) -> list[Interface]:
    routed = topology.nodes.get(node.id)
    found = []
    if routed is not None:
        found.append(
            Interface(name=SERVICE_INTERFACE, kind=InterfaceKind.SERVICE, addresses=_both(plan, node.id))
        )
        found += [
            Interface(
                name=neighbor.link,
                kind=InterfaceKind.LINK,
                addresses=(f"{neighbor.local[Family.IPV4]}/31", f"{neighbor.local[Family.IPV6]}/127"),
            )
            for neighbor in routed.neighbors
        ]
        if has_lan(city, node):
            found.append(
                Interface(
                    name=LAN_BRIDGE,
                    kind=InterfaceKind.LAN,
                    addresses=tuple(
                        f"{plan.gateway(node.site, family)}/{plan.lan(node.site, family).prefixlen}"
                        for family in Family
                    ),
                    ports=tuple(link.id for link in topology.access.get(node.id, ()) if not link.network),
                )
            )
    else:
        found += [
            Interface(
                name=link.id,
                kind=InterfaceKind.ACCESS,
                addresses=tuple(
                    f"{plan.host(node.id, family)}/{_lan(plan, node, link, family)[0].prefixlen}"
                    for family in Family
                ),
                gateways=tuple(str(_lan(plan, node, link, family)[1]) for family in Family),
            )
            for links in topology.access.values()
            for link in links
            if link.b == node.id
        ]
    return found


def has_lan(city: City, node: Node) -> bool:
    """Whether a router is the gateway of a LAN: that of an access site, or the border's to the internet."""
    role = city.sites[node.site].role
    return node.role is NodeRole.ROUTER and role in (SiteRole.ACCESS, SiteRole.BORDER)


def _lan(plan: AddressPlan, node: Node, link: Link, family: Family) -> tuple[IPNetwork, IPAddress]:
    """A host's LAN and gateway: those of its private network, where it has one."""
    if link.network:
        return (
            plan.private_lan(link.network, node.site, family),
            plan.private_gateway(link.network, node.site, family),
        )
    return plan.lan(node.site, family), plan.gateway(node.site, family)


def services_of(node: Node, topology: Topology) -> list[Service]:
    """What a node's firewall opens whatever the policy says: the kit's own ways to manage it, and routing."""

    def service(name: str, source: Source, *ports: int, protocol: str = "tcp") -> Service:
        return Service(name=name, protocol=protocol, ports=ports, source=source)

    found = [
        service("ssh", Source.MANAGEMENT, 22),
        service("node-exporter", Source.MANAGEMENT, NODE_EXPORTER_PORT),
    ]
    if node.id in topology.nodes:
        found += [
            service("bgp", Source.LINKS, 179),
            service("bfd", Source.LINKS, 3784, 3785, 4784, protocol="udp"),
        ]
    if node.role is NodeRole.OPERATIONS:
        found += [
            service("mirror", Source.MANAGEMENT, MIRROR_PORT),
            service("syslog", Source.MANAGEMENT, 514),
            service("ntp", Source.MANAGEMENT, 123, protocol="udp"),
            service("exporter", Source.MANAGEMENT, EXPORTER_PORT),
        ]
    if node.role in WATCHING:
        found.append(
            service("monitoring", Source.MANAGEMENT, PROMETHEUS_PORT, ALERTMANAGER_PORT, CLUSTER_PORT)
        )
    if node.role is NodeRole.AGENT:
        found.append(service("monitoring", Source.MANAGEMENT, PROMETHEUS_PORT))
    return found


def _own_network(city: City, name: str) -> dict[Family, str]:
    network = city.networks.get(name)
    return {Family.IPV4: network.ipv4, Family.IPV6: network.ipv6} if network else {}


def _policy(city: City, plan: AddressPlan, resolved: ResolvedPolicy, node: Node) -> HostPolicy:
    is_border = node.id == plan.border
    has_clients = node.role is NodeRole.ROUTER and city.sites[node.site].role is SiteRole.ACCESS
    zones = {
        network: rules_from_zone(resolved, f"network:{network}") for network in city.networks if is_border
    }
    return HostPolicy(
        host=rules_for_host(resolved, node.id),
        lan=rules_for_lan(resolved, node.site) if has_clients else (),
        from_internet=rules_from_zone(resolved, "internet") if is_border else (),
        to_internet=rules_to_internet(resolved) if is_border else (),
        from_network=zones,
    )


def _jobs(city: City, node: Node) -> list[BackupJob]:
    places = city.backup_places or Backups()
    return [
        BackupJob(
            policy=policy.id,
            paths=policy.paths,
            exclude=policy.exclude,
            may_be_empty=policy.may_be_empty,
            schedule=policy.schedule,
            rpo=policy.rpo,
            repository=policy.repository,
            copies=policy.copies,
            databases=policy.database,
            window=policy.window,
            bandwidth={
                place: _narrower(policy.bandwidth, places.repository(place).bandwidth)
                for place in (policy.repository, *policy.copies)
            },
            keep=policy.keep,
            verify=policy.verify,
        )
        for policy in city.backups.values()
        if node.id in clients_of(city, policy)
    ]


def _narrower(one: int, other: int) -> int:
    """The smaller of two limits, of which 0 is none."""
    return min((limit for limit in (one, other) if limit), default=0)


def _held_repositories(city: City, node: Node) -> list[HeldRepository]:
    window = (city.backup_places or Backups()).repository(node.id).window
    return [
        HeldRepository(
            client=client, policy=policy.id, keep=policy.keep, window=window, databases=policy.database
        )
        for policy in city.backups.values()
        if node.id in (policy.repository, *policy.copies)
        for client in clients_of(city, policy)
    ]


def clients_of(city: City, policy: BackupPolicy) -> tuple[str, ...]:
    """The nodes that a policy's systems stand on, in the inventory's order, each once."""
    nodes = [
        node for system in policy.systems if system in city.systems for node in city.systems[system].nodes
    ]
    return tuple(dict.fromkeys(nodes))


def _clients(city: City, node: Node) -> list[str]:
    clients = [
        client
        for policy in city.backups.values()
        if node.id in (policy.repository, *policy.copies)
        for client in clients_of(city, policy)
    ]
    return list(dict.fromkeys(clients))
