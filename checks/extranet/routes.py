"""Does a host know the routes of the plan and no others, in BGP and in the kernel? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from netaddr import IPNetwork

from inventories.hosts import MANAGEMENT_INTERFACE, SERVICE_INTERFACE, HostData, InterfaceKind
from inventories.private import PrivateSite
from inventories.records import Family, SiteRole
from inventories.topology import RoutedNode

from .expected import DEFAULT, ExpectedTable, canonical, takes_default_only
from .judging import Deviation
from .observed import Hop, KernelRoute, Path


def table_deviations(
    node: RoutedNode, table: Mapping[str, Sequence[Path]], expected: ExpectedTable, family: Family
) -> Iterator[Deviation]:
    """Prefixes of the BGP table that the plan does not know there, and those of the plan that are not there."""
    links = {neighbor.remote[family]: neighbor for neighbor in node.neighbors}
    for prefix, paths in table.items():
        for path in paths:
            if not path.peer:
                if prefix not in expected.own:
                    yield Deviation("leak", f"{prefix} is brought in here; {_reach_of(node, prefix, family)}")
            elif path.peer not in links:
                yield Deviation("leak", f"{prefix} from {path.peer}, whom the plan does not know")
            elif links[path.peer].link not in expected.links_of(prefix):
                from_whom = f"{links[path.peer].node} over {links[path.peer].link}"
                yield Deviation("leak", f"{prefix} from {from_whom}; {_reach_of(node, prefix, family)}")
    for prefix in sorted(expected.certain - table.keys()):
        whence = sorted(link for link, brings in expected.required.items() if prefix in brings)
        yield Deviation("missing", f"{prefix} is missing, expected {_over(whence)}")


def _over(links: Sequence[str]) -> str:
    return f"over {', '.join(links)}" if links else "as the node's own"


def _reach_of(node: RoutedNode, prefix: str, family: Family) -> str:
    """What the plan says of such a prefix at such a node."""
    if node.role is SiteRole.CORE and prefix != DEFAULT[family]:
        return "the core knows a county as one prefix, and what the plan names besides"
    if node.role is SiteRole.PROVINCE:
        return "the province sees the city's aggregate and nothing else"
    if takes_default_only(node):
        return "a township or village knows a default and what lies below it"
    return "the plan has no such route here"


def kernel_deviations(
    routes: Sequence[KernelRoute], allowed: Mapping[str, set[Hop]], required: Mapping[str, set[Hop]]
) -> Iterator[Deviation]:
    """Routes of the kernel that the plan does not know, that lead elsewhere, or that are lacking.

    Args:
        routes: What the kernel has in a family.
        allowed: Every prefix that it may have and where each may lead; nowhere where packets are to be discarded.
        required: What has to be there.
    """
    there: dict[str, set[Hop]] = {}
    for route in routes:
        there.setdefault(route.prefix, set()).update(route.hops)
        if route.prefix not in allowed:
            yield Deviation(
                "unknown_route", f"the kernel has {_told(route)}; the plan has no such route here"
            )
        elif wrong := set(route.hops) - allowed[route.prefix]:
            where = ", ".join(sorted(_where(hop) for hop in wrong))
            yield Deviation(
                "wrong_way", f"the kernel leads {route.prefix} to {where}, not as the plan has it"
            )
        elif not route.hops and allowed[route.prefix]:
            yield Deviation("wrong_way", f"the kernel discards {route.prefix}")
    for prefix, hops in required.items():
        if lacking := hops - there.get(prefix, set()):
            where = ", ".join(sorted(_where(hop) for hop in lacking))
            yield Deviation("not_installed", f"the kernel does not lead {prefix} to {where}, as it should")


def _told(route: KernelRoute) -> str:
    where = ", ".join(_where(hop) for hop in route.hops) or "nowhere"
    return f"{route.prefix} to {where} ({route.protocol or 'no protocol'})"


def _where(hop: Hop) -> str:
    return f"{hop.gateway} on {hop.device}" if hop.gateway else hop.device


def connected_routes(data: HostData, family: Family) -> dict[str, set[Hop]]:
    """What a host's own addresses and gateways put into its kernel."""
    index = list(Family).index(family)
    found: dict[str, set[Hop]] = {}
    management = IPNetwork(data.management_prefixes[family])
    found[str(management.cidr)] = {Hop(MANAGEMENT_INTERFACE)}
    for interface in data.interfaces:
        prefix = str(IPNetwork(interface.addresses[index]).cidr)
        if interface.kind is InterfaceKind.SERVICE:
            if family is Family.IPV6:  # IPv4 has it in the table `local` alone
                found.setdefault(prefix, set()).add(Hop(SERVICE_INTERFACE))
            continue
        found.setdefault(prefix, set()).add(Hop(interface.name))
        if interface.gateways:
            found.setdefault(DEFAULT[family], set()).add(Hop(interface.name, interface.gateways[index]))
    for site in data.networks:
        if site.crossing is not None:
            found[crossing_prefix(site, family)] = {Hop(f"to-{site.network}")}
    return found


def crossing_prefix(site: PrivateSite, family: Family) -> str:
    """The link between a private network and the public part, on the border."""
    assert site.crossing is not None  # noqa: S101 - asked of the border alone
    return str(IPNetwork(f"{site.crossing.public[family]}/{31 if family is Family.IPV4 else 127}").cidr)


def required_routes(data: HostData, family: Family) -> dict[str, set[Hop]]:
    """What has to be there whatever a protocol says: a router's LANs, a host's LAN and its way out.

    A router's links are left to its sessions, which tell of one that is down.
    """
    if data.routing is None:
        return connected_routes(data, family)
    names = {interface.name for interface in data.interfaces if interface.kind is InterfaceKind.LAN}
    names |= {f"to-{site.network}" for site in data.networks if site.crossing}
    return {
        prefix: hops
        for prefix, hops in connected_routes(data, family).items()
        if {hop.device for hop in hops} & names
    }


def allowed_routes(data: HostData, expected: ExpectedTable | None, family: Family) -> dict[str, set[Hop]]:
    """Everything that a host's kernel may have: what is connected, and what the plan's neighbours bring."""
    found = connected_routes(data, family)
    node = data.routing
    if node is None or expected is None:
        return found
    gateways = {neighbor.link: Hop(neighbor.link, neighbor.remote[family]) for neighbor in node.neighbors}
    for link, hop in gateways.items():
        for prefix in expected.required[link] | expected.allowed[link]:
            found.setdefault(prefix, set()).add(hop)
    if family in node.aggregate:
        found.setdefault(node.aggregate[family], set())
    for route in node.static[family]:
        hops = found.setdefault(canonical(route.prefix, family), set())
        if route.gateway:
            hops.update(_towards(data, route.gateway, family))
    return found


def _towards(data: HostData, gateway: str, family: Family) -> set[Hop]:
    """The crossing into a private network that has a gateway."""
    return {
        Hop(f"to-{site.network}", gateway)
        for site in data.networks
        if site.crossing and site.crossing.private[family] == gateway
    }


def installed_routes(
    node: RoutedNode, table: Mapping[str, Sequence[Path]], family: Family
) -> dict[str, set[Hop]]:
    """What BGP uses of what it learned, as the kernel has to have it."""
    links = {neighbor.remote[family]: neighbor.link for neighbor in node.neighbors}
    return {
        prefix: hops
        for prefix, paths in table.items()
        if not any(path.used and not path.peer for path in paths)
        and (hops := {Hop(links[p.peer], p.peer) for p in paths if p.used and p.peer in links})
    }
