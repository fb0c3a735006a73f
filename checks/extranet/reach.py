"""Who reaches whom, and who must not? Real echo requests from one node of each level, in both families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from checks.availability.targets import reachable_nodes
from checks.record import Record, Status
from checks.security.stream import Capture
from inventories.hosts import HostData, InterfaceKind
from inventories.records import NO_LINUX, City, Family, Level, Node, NodeRole, SiteRole

from .expected import ExpectedTable, span
from .judging import Deviation, judge, without_verdict

#: Addresses of the management network that a vantage tries to reach over the extranet: a sample, for each that
#: is rightly silent takes two seconds.
_MANAGEMENT_SAMPLE = 4
#: Hosts of private networks and of the internet that a vantage tries to reach; likewise.
_STRANGER_SAMPLE = 24


#: What each routed node should know, by family and node.
Tables = Mapping[Family, Mapping[str, ExpectedTable]]


class Probe(msgspec.Struct, frozen=True):
    """An echo request: to whom, at which address, by which interface (where one has to be named), and what is right."""

    target: str
    family: Family
    address: str
    answers: bool
    interface: str = ""
    what: str = ""

    @property
    def line(self) -> str:
        """The line of a collector's request."""
        return f"reach {self.address} {self.interface}".rstrip()

    @property
    def check(self) -> str:
        """The check's name, without the vantage."""
        return "reach" if self.answers else f"no-{self.what}"


class Vantage(msgspec.Struct, frozen=True):
    """A node from which is probed, and what."""

    node: str
    probes: tuple[Probe, ...]


def vantages_of(city: City, hosts: dict[str, HostData], tables: Tables) -> list[Vantage]:
    """A node of each level with all that it has to reach, and all that it must not."""
    well = reachable_nodes(city)
    return [
        Vantage(node, tuple(_probes(city, hosts, hosts[node], well, tables)))
        for node in _vantage_nodes(city, well)
    ]


def _knows_way_back(tables: Tables, target: str, address: str, family: Family) -> bool:
    """Whether a node's routes, if it is routed at all, lead to an address: the province knows the city alone."""
    table = tables[family].get(target)
    if table is None:
        return True
    number = span(address).first
    return any(found.first <= number <= found.last for found in map(span, table.learned | table.own))


def _vantage_nodes(city: City, well: Sequence[str]) -> list[str]:
    """Of each level one: a client and a router of a village, routers of a township and a county, a server, a partner's
    server; and a host of each private network and of the internet."""
    nodes = [city.nodes[name] for name in well if city.nodes[name].os_family not in NO_LINUX]
    rest = [node for node in city.nodes.values() if node.id not in set(well)]

    def first(found: Iterable[Node]) -> list[str]:
        return [node.id for node in list(found)[:1]]

    def level(wanted: Level, role: NodeRole) -> Iterator[Node]:
        return (node for node in nodes if city.sites[node.site].level is wanted and node.role is role)

    def of_site(*roles: SiteRole) -> Iterator[Node]:
        return (node for node in nodes if city.sites[node.site].role in roles)

    found = [
        *first(level(Level.VILLAGE, NodeRole.CLIENT)),
        *first(level(Level.VILLAGE, NodeRole.ROUTER)),
        *first(level(Level.TOWNSHIP, NodeRole.ROUTER)),
        *first(level(Level.COUNTY, NodeRole.ROUTER)),
        *first(of_site(SiteRole.CLOUD, SiteRole.XINCHUANG)),
        *first(of_site(SiteRole.OFFSITE)),
        *first(node for node in rest if city.sites[node.site].role is SiteRole.BORDER),
    ]
    networks = {link.b: link.network for link in city.links.values() if link.network}
    for network in city.networks:
        found += first(node for node in rest if networks.get(node.id) == network)
    return list(dict.fromkeys(found))


def _probes(
    city: City, hosts: dict[str, HostData], data: HostData, well: Sequence[str], tables: Tables
) -> Iterator[Probe]:
    node = city.nodes[data.name]
    networks = {link.b: link.network for link in city.links.values() if link.network}
    own = networks.get(node.id, "")
    ways_out = [i.name for i in data.interfaces if i.kind in (InterfaceKind.LINK, InterfaceKind.ACCESS)]
    inside = node.id in well
    internet = city.sites[node.site].role is SiteRole.BORDER and not inside
    strangers = [name for name in city.nodes if name not in set(well) and name != node.id]
    for family in Family:
        if inside:
            for name in well:
                if _knows_way_back(tables, name, data.service[family], family):
                    yield Probe(name, family, hosts[name].service[family], answers=True)
        for name in [name for name in strangers if own and networks.get(name) == own]:
            yield Probe(name, family, hosts[name].service[family], answers=True)
        if internet:
            for name in well[:_STRANGER_SAMPLE]:
                if city.sites[city.nodes[name].site].role is not SiteRole.BORDER:
                    yield Probe(name, family, hosts[name].service[family], answers=False, what="way-in")
        for name in _others(hosts, strangers, networks, own, family)[:_STRANGER_SAMPLE]:
            yield Probe(name, family, hosts[name].service[family], answers=False, what="way-across")
        for name in [name for name in well if name != node.id][:_MANAGEMENT_SAMPLE]:
            address = hosts[name].management[family]
            yield Probe(name, family, address, answers=False, interface=ways_out[0], what="management")


def _others(
    hosts: dict[str, HostData],
    strangers: Sequence[str],
    networks: dict[str, str],
    own: str,
    family: Family,
) -> list[str]:
    """Hosts of the internet and of other private networks, but for addresses that one's own network has as well."""
    ours = {hosts[name].service[family] for name, network in networks.items() if own and network == own}
    return [
        name
        for name in strangers
        if (networks.get(name) or "internet") != own and hosts[name].service[family] not in ours
    ]


def request_of(vantage: Vantage | None) -> str:
    """What the collector is asked for on a node: the facts of the extranet, and the probes from there."""
    lines = dict.fromkeys(probe.line for probe in vantage.probes) if vantage else ()
    return "\n".join(["extranet", *lines, ""])


def reach_records(vantage: Vantage, capture: Capture) -> list[Record]:
    """A record for each probe of a vantage: the subject is whom it tried to reach."""
    section = capture.get("extranet-reach")
    answers: dict[str, str] = {}
    for line in section.lines if section else ():
        words = line.split()
        if len(words) == 3:
            answers[f"reach {words[0]} {words[1]}".removesuffix(" -")] = words[2]
    said = section.lines[-1] if section and section.lines else "nothing"
    records = []
    for probe in vantage.probes:
        answer = answers.get(probe.line)
        check = f"{probe.check}@{vantage.node}"
        if answer is None:
            why = f"{vantage.node} did not say whether {probe.address} answers ({said})"
            records.append(
                without_verdict(probe.target, check, probe.family, Status.ERROR, "no_answer_known", why)
            )
            continue
        answered = answer == "answered"
        deviations = []
        if answered is not probe.answers:
            by = f" by {probe.interface}" if probe.interface else ""
            reason, text = (
                ("unreachable", f"{probe.address} does not answer {vantage.node}")
                if probe.answers
                else ("reachable", f"{probe.address} answers {vantage.node}{by}, which nothing allows")
            )
            deviations.append(Deviation(reason, text))
        well = f"{probe.address}: {'answers' if answered else 'does not answer'} {vantage.node}"
        records.append(judge(probe.target, check, probe.family, deviations, well))
    return records
