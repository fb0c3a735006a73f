"""The policy against reality: real connections from every zone to every zone, in both families, no difference."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import pytest

from checks.availability.targets import reachable_nodes
from deploy.lab.lab import Lab, enter
from inventories.policy.resolve import ResolvedPolicy, resolve
from inventories.policy.verdict import evaluate
from inventories.private import network_of
from inventories.records import Family, NodeRole

#: From each zone one host, and of the public zone one of each level and kind.
SOURCES = (
    "client-1", "client-2", "fengcheng", "cloud-1", "offsite-1", "province-1",
    "internet-1", "health-1", "civil-1",
)  # fmt: skip
#: Ports that some rule opens somewhere, ports that only management reaches, and ports that nobody has.
PORTS = (22, 53, 80, 179, 443, 8081, 8443, 9090, 9100)

#: Runs on a host with no more than Debian's smallest Python: opens the connections of standard input, a number at a
#: time, and prints what each met: `open`, `refused` (it came through, nobody listens) or `silent`.
CONNECT = """
import select, socket, sys, time
at_once, patience = int(sys.argv[1]), 0.6
question = bytes.fromhex("1234010000010000000000000000010001")  # of the root's address: any name server answers
lines = sys.stdin.read().split()
for first in range(0, len(lines), at_once):
    waiting, met = {}, {}
    poll = select.poll()
    for line in lines[first:first + at_once]:
        protocol, address, port = line.split(",")
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        s.setblocking(False)
        met[line] = "silent"
        if s.connect_ex((address, int(port))) not in (0, 115):  # no route; 115: on its way
            s.close()
            continue
        waiting[s.fileno()] = (line, s)
        if protocol == "udp":
            s.send(question)
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


@dataclass(frozen=True)
class Probe:
    """A connection, and whether the policy allows it."""

    family: Family
    protocol: str
    target: str
    address: str
    port: int
    allowed: bool


@pytest.fixture(scope="module")
def resolved(lab: Lab) -> ResolvedPolicy:
    return resolve(lab.city, lab.plan)


def probes(lab: Lab, resolved: ResolvedPolicy, source: str) -> list[Probe]:
    networks = network_of(lab.city)
    found = []
    targets = [node for node in lab.city.nodes if node != source]
    for target in targets:
        # Another network's host has an address that is one's own network's as well: which host answers is not a
        # question of the policy, and is tested with the private networks.
        if networks.get(source) != networks.get(target) and target in networks and source in networks:
            continue
        for family in Family:
            address, begin = str(lab.plan.host(target, family)), str(lab.plan.host(source, family))
            for protocol, port in [*(("tcp", port) for port in PORTS), ("udp", 53), ("udp", 123)]:
                verdict = evaluate(resolved, begin, address, protocol, port, network=networks.get(source, ""))
                found.append(Probe(family, protocol, target, address, port, verdict.allowed))
    return found


@pytest.fixture(scope="module")
def met(lab: Lab, resolved: ResolvedPolicy) -> dict[str, list[tuple[Probe, str]]]:
    """What every connection met, all sources at once."""
    running = {}
    for source in SOURCES:
        wanted = probes(lab, resolved, source)
        # The border lets one source of the internet begin some connections a second: stay below.
        at_once = "20" if source == "internet-1" else "64"
        process = subprocess.Popen(
            [*enter(lab, source), "python3", "-c", CONNECT, at_once],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write("\n".join(f"{p.protocol},{p.address},{p.port}" for p in wanted))
        process.stdin.close()
        running[source] = wanted, process
    found = {}
    for source, (wanted, process) in running.items():
        assert process.stdout is not None
        said = process.stdout.read().split()
        assert process.wait(timeout=60) == 0
        found[source] = list(zip(wanted, said, strict=True))
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_what_the_policy_says_is_what_packets_meet(
    met: dict[str, list[tuple[Probe, str]]], source: str
) -> None:
    different = [
        f"{probe.family} {probe.protocol} {probe.target}:{probe.port} is {what}, the policy says "
        f"{'allowed' if probe.allowed else 'denied'}"
        for probe, what in met[source]
        if (what in ("open", "refused")) != probe.allowed
    ]
    assert different == []
    wanted = [probe for probe, _ in met[source]]
    print(
        f"{source}: {len(wanted)} connections, {sum(p.allowed for p in wanted)} allowed, as the policy says"
    )
    four = {(p.protocol, p.target, p.port, p.allowed) for p in wanted if p.family is Family.IPV4}
    six = {(p.protocol, p.target, p.port, p.allowed) for p in wanted if p.family is Family.IPV6}
    assert four == six


def test_every_zone_is_on_both_sides(lab: Lab) -> None:
    networks = network_of(lab.city)
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
