"""The policy against reality: real connections from every zone to every zone, in both families, no difference."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import cache

import pytest
from netaddr import IPNetwork

from checks.availability.targets import reachable_nodes
from deploy.lab.lab import Lab, enter
from inventories.hosts import HostData, InterfaceKind, Source, host_data
from inventories.policy.explain import Question, explain, find_end
from inventories.policy.resolve import MANAGEMENT, ResolvedPolicy, resolve
from inventories.policy.verdict import evaluate
from inventories.private import network_of
from inventories.records import Family, NodeRole

from .on_management import by_router, operator, straight_to_hosts

#: From each zone one host, and of the public zone one of each level and kind.
SOURCES = (
    "client-1", "client-2", "fengcheng", "cloud-1", "offsite-1", "province-1",
    "internet-1", "health-1", "civil-1",
)  # fmt: skip
#: Ports that some rule opens somewhere, ports that only management reaches, and ports that nobody has.
PORTS = (22, 53, 80, 179, 443, 8081, 8443, 9090, 9100)
ASKED = (*(("tcp", port) for port in PORTS), ("udp", 53), ("udp", 123))
#: Machines of the management network: one that sends what is for a host's extranet address straight to that host, one
#: that has a router pass it on.
OPERATORS = ("management", "management by core-a")

#: Runs on a host with no more than Debian's smallest Python: opens the connections of standard input, a number at a
#: time, and prints what each met: `open`, `refused` (it came through, nobody listens) or `silent`.
CONNECT = """
import select, socket, sys, time
at_once, patience = int(sys.argv[1]), 0.6
question = {
    "53": bytes.fromhex("1234010000010000000000000000010001"),  # of the root's address: any name server answers
    "123": bytes([0x23] + 47 * [0]),  # a client's (RFC 5905 section 7.3): any time server answers
}
lines = sys.stdin.read().split()
for first in range(0, len(lines), at_once):
    waiting, met = {}, {}
    poll = select.poll()
    for line in lines[first:first + at_once]:
        protocol, address, port, device = line.split(",")
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        s.setblocking(False)
        if device:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        met[line] = "silent"
        if s.connect_ex((address, int(port))) not in (0, 115):  # no route; 115: on its way
            s.close()
            continue
        waiting[s.fileno()] = (line, s)
        if protocol == "udp":
            s.send(question[port])
        poll.register(s.fileno(), select.POLLOUT if protocol == "tcp" else select.POLLIN)
    deadline = time.monotonic() + patience
    while waiting and (left := deadline - time.monotonic()) > 0:
        for number, event in poll.poll(left * 1000):
            line, s = waiting.pop(number)
            poll.unregister(number)
            error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            met[line] = {0: "open", 111: "refused"}.get(error, "silent")
            s.close()
    for line, s in waiting.values():
        s.close()
    for line in lines[first:first + at_once]:
        print(met[line])
"""


#: The addresses of a node, or of an address, at which `jizuo policy explain` has a port open for a zone.
Explained = Callable[[str, str, tuple[str, int]], frozenset[str]]


@dataclass(frozen=True)
class Probe:
    """A connection, whether it is to a management address, and whether the policy allows it.

    `device` is the interface by which it leaves; empty for the one that routes say.
    """

    family: Family
    protocol: str
    target: str
    address: str
    port: int
    allowed: bool
    on_management: bool = False
    device: str = ""

    @property
    def what(self) -> tuple[str, str, bool, int, bool]:
        """All but the family."""
        return self.protocol, self.target, self.on_management, self.port, self.allowed


@pytest.fixture(scope="module")
def resolved(lab: Lab) -> ResolvedPolicy:
    return resolve(lab.city, lab.plan)


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> dict[str, HostData]:
    return host_data(lab.city, lab.plan)


def within_policy(lab: Lab, resolved: ResolvedPolicy, source: str) -> Iterator[Probe]:
    """To every host's address on the extranet, or in its private network."""
    networks = network_of(lab.city)
    for target in [node for node in lab.city.nodes if node != source]:
        # Another network's host has an address that is one's own network's as well: which host answers is not a
        # question of the policy, and is tested with the private networks.
        if networks.get(source) != networks.get(target) and target in networks and source in networks:
            continue
        for family in Family:
            address, begin = str(lab.plan.host(target, family)), str(lab.plan.host(source, family))
            for protocol, port in ASKED:
                verdict = evaluate(resolved, begin, address, protocol, port, network=networks.get(source, ""))
                yield Probe(family, protocol, target, address, port, verdict.allowed)


@pytest.fixture(scope="module")
def explained(lab: Lab, resolved: ResolvedPolicy) -> Explained:
    @cache
    def addresses(source: str, target: str, asked: tuple[str, int]) -> frozenset[str]:
        ends = [find_end(lab.city, lab.plan, resolved, word) for word in (source, target)]
        answer = explain(lab.city, lab.plan, resolved, Question(*ends, *asked, date.min))
        return frozenset(
            str(IPNetwork(prefix).ip)
            for decision in answer.decisions
            if decision.allowed
            for prefix in decision.destinations
        )

    return addresses


def opened(host: HostData) -> list[tuple[str, int]]:
    """What the kit itself opens on a host to the management network."""
    return [
        (service.protocol, port)
        for service in host.services
        if service.source is Source.MANAGEMENT
        for port in service.ports
    ]


def into_management(
    resolved: ResolvedPolicy, explained: Explained, hosts: dict[str, HostData], source: str
) -> Iterator[Probe]:
    """To every other host's management address, by the way out that a host has on the extranet, not by its own
    management port: what is open there to management, and a port of the policy."""
    zone = resolved.host_zones[source]
    links = [i.name for i in hosts[source].interfaces if i.kind in (InterfaceKind.LINK, InterfaceKind.ACCESS)]
    for target in [node for node in hosts if node != source]:
        for family in Family:
            address = hosts[target].management[family]
            for asked in [*opened(hosts[target]), ("tcp", 80)]:
                allowed = address in explained(zone, address, asked)
                yield Probe(family, asked[0], target, address, asked[1], allowed, True, links[0])


def from_management(explained: Explained, hosts: dict[str, HostData], *, straight: bool) -> Iterator[Probe]:
    """To every host's extranet address; straight to it, also to its management address."""
    for target, host in hosts.items():
        for asked in dict.fromkeys([*ASKED, *opened(host)]):
            answered = explained(MANAGEMENT, target, asked)
            for family in Family:
                service, management = host.service[family], host.management[family]
                yield Probe(family, asked[0], target, service, asked[1], service in answered)
                if straight:
                    yield Probe(family, asked[0], target, management, asked[1], management in answered, True)


@pytest.fixture(scope="module")
def met(
    lab: Lab, resolved: ResolvedPolicy, explained: Explained, hosts: dict[str, HostData]
) -> dict[str, list[tuple[Probe, str]]]:
    """What every connection met, all sources at once."""
    wanted = {
        source: [*within_policy(lab, resolved, source), *into_management(resolved, explained, hosts, source)]
        for source in SOURCES
    }
    wanted |= {
        name: [*from_management(explained, hosts, straight=name == "management")] for name in OPERATORS
    }
    with ExitStack() as stack:
        places = {source: enter(lab, source) for source in SOURCES}
        ways = (straight_to_hosts(lab), by_router(lab, "core-a"))
        for number, (name, way) in enumerate(zip(OPERATORS, ways, strict=True), 1):
            places[name] = stack.enter_context(operator(lab, number, way))
        running = {name: connect(places[name], name, probes) for name, probes in wanted.items()}
        found = {}
        for name, process in running.items():
            assert process.stdout is not None
            said = process.stdout.read().split()
            assert process.wait(timeout=60) == 0
            found[name] = list(zip(wanted[name], said, strict=True))
    return found


def connect(place: list[str], name: str, probes: list[Probe]) -> subprocess.Popen[str]:
    """Begin the connections from a place."""
    # The border lets one source of the internet begin some connections a second: stay below.
    at_once = "20" if name == "internet-1" else "64"
    process = subprocess.Popen(
        [*place, "python3", "-c", CONNECT, at_once], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write("\n".join(f"{p.protocol},{p.address},{p.port},{p.device}" for p in probes))
    process.stdin.close()
    return process


@pytest.mark.parametrize("source", [*SOURCES, *OPERATORS])
def test_what_the_policy_says_is_what_packets_meet(
    met: dict[str, list[tuple[Probe, str]]], source: str
) -> None:
    different = [
        f"{probe.family} {probe.protocol} {probe.target} [{probe.address}]:{probe.port} is {what}, the policy says "
        f"{'allowed' if probe.allowed else 'denied'}"
        for probe, what in met[source]
        if (what in ("open", "refused")) != probe.allowed
    ]
    assert different == []
    wanted = [probe for probe, _ in met[source]]
    print(
        f"{source}: {len(wanted)} connections, {sum(p.allowed for p in wanted)} allowed, as the policy says"
    )
    four, six = ({p.what for p in wanted if p.family is family} for family in Family)
    assert four == six


def test_every_zone_is_on_both_sides(lab: Lab, met: dict[str, list[tuple[Probe, str]]]) -> None:
    networks = network_of(lab.city)
    for source, probes in met.items():
        to_management = {probe.target for probe, _ in probes if probe.on_management}
        assert to_management == (set() if source == OPERATORS[1] else set(lab.city.nodes) - {source})
    assert any(probe.allowed for probe, _ in met[OPERATORS[0]] if probe.on_management)
    public = set(reachable_nodes(lab.city))
    for network in lab.city.networks:
        assert any(networks.get(source) == network for source in SOURCES)
    assert set(SOURCES) & public
    outside = [
        n.id
        for n in lab.city.nodes.values()
        if n.role is NodeRole.CLIENT and n.id not in public | set(networks)
    ]
    assert outside == ["internet-1"]
    assert set(outside) & set(SOURCES)
