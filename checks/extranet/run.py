"""Is the extranet as the inventory has it? Reads every host once and holds what it says against the plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date

import msgspec

from checks.record import Record, Status
from checks.security.run import Captures, NotCollected
from checks.security.stream import Capture
from inventories.hosts import HostData, host_data
from inventories.plan import build_plan
from inventories.records import NO_LINUX, City, Family
from inventories.topology import Topology, build_topology

from .expected import ExpectedTable, expected_tables
from .firewall import firewall_deviations
from .judging import Deviation, judge, without_verdict
from .observed import NotRunning, Unreadable, bfd_sessions, bgp_sessions, bgp_table, kernel_routes
from .planes import plane_deviations, plane_links
from .policy import Case, cases_of, policy_records
from .private import namespaces, private_deviations, unknown_networks
from .reach import Vantage, reach_records, request_of, vantages_of
from .routes import allowed_routes, installed_routes, kernel_deviations, required_routes, table_deviations
from .ruleset import UnknownRule
from .sessions import bfd_deviations, protection_deviations, session_deviations

BGP, PROTECTION, BFD = "bgp-sessions", "bgp-protection", "bfd-sessions"
TABLE, KERNEL, PLANES, PRIVATE = "bgp-routes", "kernel-routes", "planes", "private-networks"
FIREWALL = "firewall"


class Expectation(msgspec.Struct, frozen=True):
    """All that the inventory says of the extranet."""

    city: City
    topology: Topology
    hosts: dict[str, HostData]
    tables: dict[Family, dict[str, ExpectedTable]]
    vantages: dict[str, Vantage]
    cases: tuple[Case, ...]

    def requests(self) -> dict[str, str]:
        """What each host's collector is asked for, where one can run."""
        return {
            name: request_of(self.vantages.get(name))
            for name, node in self.city.nodes.items()
            if node.os_family not in NO_LINUX
        }


def expectation(city: City, today: date | None = None) -> Expectation:
    """Derive everything that hosts are held against.

    `today` is the day of the policy; now, in the city's time zone, unless given.
    """
    plan = build_plan(city)
    topology = build_topology(city, plan)
    hosts = host_data(city, plan, topology)
    tables = {family: expected_tables(topology, family) for family in Family}
    return Expectation(
        city=city,
        topology=topology,
        hosts=hosts,
        tables=tables,
        vantages={vantage.node: vantage for vantage in vantages_of(city, hosts, tables)},
        cases=tuple(cases_of(city, plan, hosts, today)),
    )


def evaluate(expected: Expectation, captures: Captures) -> list[Record]:
    """The records of a city, from what its hosts said."""
    records: list[Record] = []
    for name, node in expected.city.nodes.items():
        capture = None if node.os_family in NO_LINUX else captures[name]
        for family in Family:
            records += _node_records(expected, expected.hosts[name], capture, family)
        if (vantage := expected.vantages.get(name)) and capture is not None:
            records += _reach(vantage, capture)
    return [*records, *policy_records(expected.city, expected.cases, expected.hosts, captures)]


def _reach(vantage: Vantage, capture: Capture | NotCollected) -> list[Record]:
    if not isinstance(capture, NotCollected):
        return reach_records(vantage, capture)
    return [
        without_verdict(
            probe.target,
            f"{probe.check}@{vantage.node}",
            probe.family,
            Status.ERROR,
            capture.reason,
            capture.evidence,
        )
        for probe in vantage.probes
    ]


def _node_records(
    expected: Expectation, data: HostData, capture: Capture | NotCollected | None, family: Family
) -> list[Record]:
    checks = _checks_of(data)
    if capture is None:
        why = "no Linux: the collector does not run there, its neighbours' sessions with it are audited"
        return [_other(data, check, family, Status.NOT_APPLICABLE, "no_linux", why) for check in checks]
    if isinstance(capture, NotCollected):
        why = capture.evidence.removeprefix(f"{data.name}: ")
        return [_other(data, check, family, Status.ERROR, capture.reason, why) for check in checks]
    return [_record(expected, data, check, capture, family) for check in checks]


def _checks_of(data: HostData) -> list[str]:
    if data.routing is None:
        return [KERNEL, FIREWALL]
    planes = [PLANES] if plane_links(data.routing) else []
    private = [PRIVATE] if data.routing.forwards else []
    return [BGP, PROTECTION, BFD, TABLE, KERNEL, *planes, *private, FIREWALL]


def _record(expected: Expectation, data: HostData, check: str, capture: Capture, family: Family) -> Record:
    """One check of one node, or why it says nothing."""
    try:
        deviations, well = _CHECKS[check](expected, data, capture, family)
    except NotRunning as stopped:
        if check in (BGP, BFD):
            return judge(data.name, check, family, [Deviation("not_running", str(stopped))], "")
        why = f"{stopped}; {BGP} has the finding"
        return _other(data, check, family, Status.NOT_APPLICABLE, "not_running", why)
    except (Unreadable, UnknownRule) as problem:
        return _other(data, check, family, Status.ERROR, "unreadable", str(problem))
    return judge(data.name, check, family, deviations, well)


def _other(data: HostData, check: str, family: Family, status: Status, reason: str, why: str) -> Record:
    return without_verdict(data.name, check, family, status, reason, why)


Judged = tuple[list[Deviation], str]


def _bgp(expected: Expectation, data: HostData, capture: Capture, family: Family) -> Judged:
    node, sessions = expected.topology.nodes[data.name], bgp_sessions(capture)
    found = session_deviations(node, sessions, expected.tables[family][data.name], family)
    return list(found), f"{len(node.neighbors)} sessions established, none beyond"


def _protection(expected: Expectation, data: HostData, capture: Capture, family: Family) -> Judged:
    node = expected.topology.nodes[data.name]
    found = protection_deviations(node, bgp_sessions(capture), family)
    return list(found), "password, limit of prefixes and TTL security on every session"


def _bfd(expected: Expectation, data: HostData, capture: Capture, family: Family) -> Judged:
    node = expected.topology.nodes[data.name]
    found = bfd_deviations(node, bfd_sessions(capture), family)
    return list(found), f"{len(node.neighbors)} sessions up, none beyond"


def _table(expected: Expectation, data: HostData, capture: Capture, family: Family) -> Judged:
    table = bgp_table(capture, family)
    found = table_deviations(
        expected.topology.nodes[data.name], table, expected.tables[family][data.name], family
    )
    return list(found), f"{len(table)} prefixes, as the plan has them"


def _kernel(expected: Expectation, data: HostData, capture: Capture, family: Family) -> Judged:
    routes = kernel_routes(capture, family)
    allowed = allowed_routes(data, expected.tables[family].get(data.name), family)
    installed = {}
    if data.routing is not None:
        # Without BGP it is not known what it would have the kernel do; what is there can still be judged.
        with suppress(NotRunning):
            installed = installed_routes(data.routing, bgp_table(capture, family), family)
    found = kernel_deviations(routes, allowed, {**required_routes(data, family), **installed})
    return list(found), f"{len(routes)} routes, as the plan has them"


def _private(expected: Expectation, data: HostData, capture: Capture, family: Family) -> Judged:
    found = namespaces(capture)
    deviations = [d for site in data.networks for d in private_deviations(site, found, family)]
    names = ", ".join(site.network for site in data.networks)
    return [*deviations, *unknown_networks(data.networks, found)], f"{names or 'none'}, as the plan has them"


def _firewall(expected: Expectation, data: HostData, capture: Capture, family: Family) -> Judged:
    return list(firewall_deviations(data, capture, family)), "denies what nobody allows"


def _planes(expected: Expectation, data: HostData, capture: Capture, family: Family) -> Judged:
    node, table = expected.topology.nodes[data.name], bgp_table(capture, family)
    found = plane_deviations(node, bgp_sessions(capture), table, family)
    return list(found), "the same prefixes over both planes, and both in use"


_CHECKS: Mapping[str, Callable[[Expectation, HostData, Capture, Family], Judged]] = {
    BGP: _bgp,
    PROTECTION: _protection,
    BFD: _bfd,
    TABLE: _table,
    KERNEL: _kernel,
    PLANES: _planes,
    PRIVATE: _private,
    FIREWALL: _firewall,
}
