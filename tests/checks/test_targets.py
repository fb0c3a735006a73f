"""Are the targets those that inventory and plan say, in both families?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checks.availability.targets import EndpointError, Kind, targets_of
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family, NetworkZone, System

from .city import tiny_city

LAB = Path(__file__).parents[2] / "inventories" / "lab"


def system(*endpoints: str, **fields: Any) -> System:
    return System(
        id="portal", name="门户", section="三", owners=("u",), kind="system", endpoints=endpoints, **fields
    )


def test_every_node_of_the_public_zone_is_pinged_in_both_families_at_its_own_address() -> None:
    """Hosts of private networks and of the internet are no target: the public zone has no way to them."""
    city = load_city(LAB)
    apart = {"internet-1", "health-1", "health-2", "civil-1", "civil-2"}
    assert apart < set(city.nodes)
    plan = build_plan(city)
    pings = {(t.subject, t.family): t for t in targets_of(city, plan) if t.check == "icmp"}
    assert set(pings) == {(node, family) for node in set(city.nodes) - apart for family in Family}
    loopback = str(plan.loopback("core-a", Family.IPV6))
    assert pings["core-a", Family.IPV6].address == loopback
    rows = {row.address for row in plan.addresses()}
    assert {target.address for target in pings.values()} <= rows
    assert {target.kind for target in pings.values()} == {Kind.ICMP}


def test_endpoints_become_targets_with_address_port_and_name() -> None:
    city = tiny_city(
        systems=[
            system(
                "http://cloud-1/portal/?a=1",
                "https://cloud-1:8443",
                "tcp://cloud-1:5432",
                "dns://ops-1/cloud-1.city.example",
                "dns://ops-1/city.example",
                "icmp://core-1",
                "icmp://core-1",
            )
        ]
    )
    plan = build_plan(city)
    targets = [target for target in targets_of(city, plan) if target.subject == "portal"]
    assert len(targets) == 12, "six endpoints, the twin counted once, in two families"
    keys = {(target.check, target.family) for target in targets}
    assert len(keys) == 12
    web, tls, tcp, name, zone, ping = (target for target in targets if target.family is Family.IPV6)
    address = str(plan.host("cloud-1", Family.IPV6))
    assert (web.kind, web.address, web.port, web.path) == (Kind.HTTP, address, 80, "/portal/?a=1")
    assert web.host == "cloud-1.city.example"
    assert (tls.kind, tls.port, tls.path) == (Kind.HTTPS, 8443, "/")
    assert (tcp.kind, tcp.port) == (Kind.TCP, 5432)
    assert [(q.record_type, q.expected) for q in name.questions] == [
        ("AAAA", (address,)),
        ("A", (str(plan.host("cloud-1", Family.IPV4)),)),
    ]
    assert [(q.name, q.record_type) for q in zone.questions] == [("city.example", "SOA")]
    assert name.address == str(plan.host("ops-1", Family.IPV6))
    assert ping.address == str(plan.loopback("core-1", Family.IPV6))


@pytest.mark.parametrize("network", [NetworkZone.POLICE, NetworkZone.OTHER])
def test_what_stands_on_another_network_is_not_probed(network: NetworkZone) -> None:
    city = tiny_city(systems=[system("icmp://cloud-1", network=network)])
    assert not [target for target in targets_of(city, build_plan(city)) if target.subject == "portal"]


@pytest.mark.parametrize(
    ("endpoint", "complaint"),
    [
        ("gopher://cloud-1", "'gopher' is not a valid Kind; write SCHEME://NODE"),
        ("http://elsewhere/", "'elsewhere' is no node of nodes.csv"),
        ("tcp://cloud-1", "no port; write tcp://cloud-1:PORT"),
        ("http://cloud-1:99999/", "[Pp]ort"),
        ("dns://ops-1", "no name to ask for; write dns://NODE/NAME"),
    ],
)
def test_an_endpoint_that_cannot_be_probed_is_named(endpoint: str, complaint: str) -> None:
    city = tiny_city(systems=[system(endpoint)])
    with pytest.raises(EndpointError, match=f"system portal: endpoint .*{complaint}"):
        targets_of(city, build_plan(city))
