"""Are the targets those that inventory and plan say, in both families?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from checks.availability.targets import EndpointError, Kind, reachable_nodes, targets_of, unprobed_of
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family, HostedBy, NetworkZone, SiteRole, System

from .city import NODES, tiny_city

LAB = Path(__file__).parents[2] / "inventories" / "lab"


def system(*endpoints: str, **fields: Any) -> System:
    return System(
        **{"hosted_by": HostedBy.CITY, **fields},
        id="portal",
        name="门户",
        section="三",
        owners=("u",),
        kind="system",
        endpoints=endpoints,
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


def test_what_is_not_deployed_in_a_family_is_no_target_there_and_listed() -> None:
    city = tiny_city(
        nodes=[
            structs.replace(node, families=(Family.IPV4,)) if node.id == "cloud-2" else node for node in NODES
        ],
        systems=[system("http://cloud-1/", "tcp://cloud-1:22", families=(Family.IPV6,))],
    )
    targets = targets_of(city, build_plan(city))
    assert [target.family for target in targets if target.subject == "portal"] == [Family.IPV6] * 2
    assert [target.family for target in targets if target.subject == "cloud-2"] == [Family.IPV4]
    assert set(unprobed_of(city)) == {
        ("cloud-2", "icmp", "ipv6", "not_deployed"),
        ("portal", "http://cloud-1/", "ipv4", "not_deployed"),
        ("portal", "tcp://cloud-1:22", "ipv4", "not_deployed"),
    }


def test_what_stands_elsewhere_is_probed_under_its_name() -> None:
    city = tiny_city(systems=[system("https://service.example/path", "icmp://service.example")])
    targets = [target for target in targets_of(city, build_plan(city)) if target.subject == "portal"]
    assert [(t.address, t.host, t.port) for t in targets] == [("", "service.example", 443)] * 2 + [
        ("", "service.example", 0)
    ] * 2


@pytest.mark.parametrize("path", [LAB, LAB.parent / "yichun"], ids=["lab", "yichun"])
def test_every_node_and_system_is_probed_or_listed_with_a_reason_in_each_family(path: Path) -> None:
    city = load_city(path)
    probed = {(target.subject, target.family.value) for target in targets_of(city, build_plan(city))}
    unprobed = {(one.subject, one.family) for one in unprobed_of(city)}
    assert not probed & unprobed
    assert probed | unprobed == {
        (subject, f.value) for subject in (*city.nodes, *city.systems) for f in Family
    }
    access = {city.nodes[node].site for node in reachable_nodes(city)}
    sites = {site.id for site in city.sites.values() if site.role is SiteRole.ACCESS}
    assert sites <= access, "every site has a router or CPE that is pinged"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hosted_by": HostedBy.NOBODY}, "nothing_to_run"),
        ({"network": NetworkZone.POLICE, "endpoints": ("icmp://cloud-1",)}, "police_network"),
        ({"network": NetworkZone.OTHER}, "other_network"),
        ({"hosted_by": HostedBy.PROVINCE}, "no_endpoint"),
    ],
)
def test_a_system_that_is_not_probed_says_why(changes: dict[str, Any], reason: str) -> None:
    given = structs.replace(system(hosted_by=HostedBy.CITY), **changes)
    city = tiny_city(systems=[given])
    check = "".join(given.endpoints)
    assert unprobed_of(city) == [("portal", check, family, reason) for family in ("ipv4", "ipv6")]


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
