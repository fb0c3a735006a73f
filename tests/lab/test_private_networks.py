"""Departments' private networks, with real packets: apart from each other, from the public zone, from management."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy.lab.failover import lost
from deploy.lab.lab import Lab, enter
from inventories.records import Family

from .conftest import Execute

FLAG = {Family.IPV4: "-4", Family.IPV6: "-6"}


class Arrivals:
    """Counts echo requests that come to a host, less those of the nodes that probe: the city's, and the county's."""

    def __init__(self, lab: Lab, on: Execute, host: str, family: Family) -> None:
        self._on, self._host = on, host
        word, protocol = ("ip", "icmp") if family is Family.IPV4 else ("ip6", "icmpv6")
        probing = ", ".join(str(lab.plan.host(node, family)) for node in ("ops-1", "agent-1"))
        rule = f'iifname != "lo" {word} saddr != {{ {probing} }} {protocol} type echo-request counter'
        hook = "type filter hook prerouting priority -300;"
        table = "table inet arrivals"
        script = f"{table}\ndelete {table}\n{table} {{\nchain c {{\n{hook}\n{rule}\n}}\n}}\n"
        on(host, "nft", "-f", "-", input=script)

    def count(self) -> int:
        shown = self._on(self._host, "nft", "list", "table", "inet", "arrivals").stdout
        return int(shown.split("counter packets ")[1].split()[0])

    def __enter__(self) -> Arrivals:
        return self

    def __exit__(self, *_: object) -> None:
        self._on(self._host, "nft", "delete", "table", "inet", "arrivals")


def ping(on: Execute, host: str, address: str, *options: str) -> bool:
    done = on(host, "ping", "-n", "-q", "-c", "3", "-i", "0.05", "-W", "0.5", *options, address, check=False)
    return bool(done.returncode == 0)


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize(
    ("here", "there", "other"), [("health", "health-2", "civil-2"), ("civil", "civil-2", "health-2")]
)
def test_a_network_reaches_its_own_and_not_its_twin(
    lab: Lab, on: Execute, here: str, there: str, other: str, family: Family
) -> None:
    """Two departments with the same IPv4 addresses: each packet comes to the one that is meant."""
    address = str(lab.plan.host(there, family))
    assert (str(lab.plan.host(other, family)) == address) == (family is Family.IPV4)
    with Arrivals(lab, on, there, family) as meant, Arrivals(lab, on, other, family) as twin:
        assert ping(on, f"{here}-1", address)
        assert (meant.count(), twin.count()) == (3, 0)


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("target", ["cloud-1", "yufang", "fengcheng", "client-1", "ops-1"])
def test_a_private_host_reaches_nothing_of_the_public_zone(
    lab: Lab, on: Execute, family: Family, target: str
) -> None:
    with Arrivals(lab, on, target, family) as arrived:
        assert not ping(on, "health-1", str(lab.plan.host(target, family)))
        assert arrived.count() == 0
        assert ping(on, "client-2", str(lab.plan.host(target, family)))
        assert arrived.count() == 3, "nothing was counted: the test sees nothing"


@pytest.mark.parametrize("family", list(Family))
def test_the_public_zone_reaches_no_private_host(lab: Lab, on: Execute, family: Family) -> None:
    with Arrivals(lab, on, "health-2", family) as arrived:
        for source in ("client-1", "cloud-1", "fengcheng", "border-1"):
            assert not ping(on, source, str(lab.plan.host("health-2", family))), f"from {source}"
        assert arrived.count() == 0


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("address", ["service", "management"])
def test_the_router_itself_is_no_way_out_of_a_private_lan(
    lab: Lab, on: Execute, family: Family, address: str
) -> None:
    """A host that takes its router's public or management address for a neighbour on its LAN gets no answer.

    Linux answers ARP for any address of its own on any interface: a bridge in the public namespace must not.
    """
    target = (
        str(lab.plan.host("yufang", family))
        if address == "service"
        else lab.record.hosts["yufang"][list(Family).index(family)]
    )
    on("health-1", "ip", FLAG[family], "route", "replace", target, "dev", "yufang-h1", "metric", "1")
    try:
        assert not ping(on, "health-1", target, "-I", "yufang-h1")
        assert target not in {
            line.split()[0]
            for line in on("health-1", "ip", "neigh").stdout.splitlines()
            if "lladdr" in line and "yufang-h1" in line
        }
    finally:
        on("health-1", "ip", FLAG[family], "route", "delete", target, "dev", "yufang-h1", "metric", "1")


@pytest.mark.parametrize("family", list(Family))
def test_packets_larger_than_the_tunnel_s_arrive(lab: Lab, on: Execute, family: Family) -> None:
    address = str(lab.plan.host("health-2", family))
    assert ping(on, "health-1", address, "-s", "1472")
    assert ping(on, "health-1", address, "-s", "4000")


def inside(router: str, network: str, *command: str) -> tuple[str, ...]:
    return (router, "nsenter", f"--net=/run/netns/vpn-{network}", "--", *command)


def test_each_network_is_a_routing_table_of_its_own(lab: Lab, on: Execute) -> None:
    for network in lab.city.networks.values():
        for family in Family:
            prefix = network.ipv4 if family is Family.IPV4 else network.ipv6
            for router in ("yufang", "fengcheng"):
                # Outside, the whole IPv6 prefix leads to the border, where the policy is; IPv4 does not exist there.
                public = on(router, "ip", FLAG[family], "-oneline", "route", "show", "root", prefix).stdout
                outside = [line for line in public.splitlines() if not line.startswith("default")]
                assert [line.split()[0] for line in outside] in (
                    [],
                    [prefix] if family is Family.IPV6 else [],
                )
                assert not any(word in public for word in (" dev lan", " dev vx", " dev br", " dev pe"))
                own = on(
                    *inside(router, network.id, "ip", FLAG[family], "route", "show", "root", prefix)
                ).stdout
                within = [line for line in own.splitlines() if not line.startswith("default")]
                assert len(within) == 2, own


def test_a_network_that_the_kernel_lost_comes_back_and_its_neighbour_loses_nothing(
    lab: Lab, on: Execute, deploy_json: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    probes = {
        family: subprocess.Popen(
            [
                *enter(lab, "civil-1"), "ping", "-n", "-q", "-i", "0.01", "-c", "1200", "-W", "1",
                str(lab.plan.host("civil-2", family)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for family in Family
    }  # fmt: skip
    time.sleep(0.5)
    on("yufang", "ip", "netns", "delete", "vpn-health")
    address = str(lab.plan.host("health-2", Family.IPV6))
    assert not ping(on, "health-1", address)
    code, result = deploy_json("private", "--limit", "yufang")
    assert code == 0
    assert len(result["hosts"]["yufang"]["changed"]) == 1
    for family in Family:
        assert ping(on, "health-1", str(lab.plan.host("health-2", family)))
    code, result = deploy_json("private", "--limit", "yufang")
    assert (code, result["hosts"]["yufang"]["changed"]) == (0, [])
    said = on("yufang", "/usr/local/libexec/jizuo-private-network", "mode").stdout.strip()
    assert result["private_networks"] == {"yufang": said}
    assert {family: lost(process) for family, process in probes.items()} == dict.fromkeys(Family, 0)


def test_a_tunnel_takes_packets_from_its_routers_alone(lab: Lab, on: Execute) -> None:
    """VXLAN knows no login: a packet from a village's host that names the network is dropped and counted."""
    rule = "builtin:vxlan"

    def count() -> tuple[int, int]:
        lines = on("yufang", "nft", "list", "chain", "inet", "jizuo", "input").stdout.splitlines()
        taken = next(line for line in lines if rule in line)
        refused = next(line for line in lines if '"denied"' in line)
        one, other = (int(line.split("packets ")[1].split()[0]) for line in (taken, refused))
        return one, other

    before = count()
    loopback = str(lab.plan.loopback("yufang", Family.IPV6))
    send = (
        "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM);"
        f"s.sendto(bytes.fromhex('080000000003e900') + bytes(60), ('{loopback}', 4789))"
    )
    on("client-1", "python3", "-c", send)
    deadline = time.monotonic() + 3
    while (after := count())[1] == before[1] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert after == (before[0], before[1] + 1)
