"""The extranet from outside: real packets between villages, servers and the partner city, in both families."""

from __future__ import annotations

import json
import time
from itertools import product

import pytest
from netaddr import IPNetwork

from checks.availability.targets import reachable_nodes
from deploy.lab import network
from deploy.lab.failover import INTERVAL, cut_plane, lost_during, wait_for_planes
from deploy.lab.lab import Lab
from inventories.private import network_of
from inventories.records import Family, NodeRole, Plane

from .conftest import Execute


def reachable(lab: Lab, on: Execute, source: str, target: str, family: Family, seconds: float = 15) -> bool:
    """Whether an echo comes back, within the time that routing may take to settle."""
    deadline = time.monotonic() + seconds
    while True:
        address = str(lab.plan.host(target, family))
        if on(source, "ping", "-n", "-q", "-c", "1", "-W", "1", address, check=False).returncode == 0:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("source", ["client-1", "client-2", "offsite-1", "fengcheng"])
def test_every_node_is_reached(lab: Lab, on: Execute, source: str, family: Family) -> None:
    # The province carries the city's own prefixes; a partner city's way to it is not this city's.
    apart = {"offsite-1": {"province-1"}}.get(source, set())
    wanted = [node for node in reachable_nodes(lab.city) if node not in apart]
    unreached = [node for node in wanted if not reachable(lab, on, source, node, family, 5)]
    assert unreached == []


@pytest.mark.parametrize("plane", [Plane.A, Plane.B])
def test_a_plane_may_be_cut_and_healed(lab: Lab, on: Execute, plane: Plane) -> None:
    """Less than a second is lost each way, in each family; ten milliseconds between two packets."""
    try:
        cut = lost_during(lab, "client-1", "cloud-1", 400, lambda: cut_plane(lab, plane, up=False))
        for family, node in product(
            Family, ("cloud-1", "xinchuang-1", "backup-1", "offsite-1", "ops-1", "client-2")
        ):
            assert reachable(lab, on, "client-1", node, family, 5), f"{node} over {family} on one plane"
    finally:
        heal = lost_during(lab, "client-1", "cloud-1", 400, lambda: cut_plane(lab, plane, up=True))
    print(f"plane {plane}: lost {cut} when cut, {heal} when healed")
    assert max(cut.values()) * INTERVAL < 1
    assert max(heal.values()) * INTERVAL < 1
    wait_for_planes(lab)


def test_a_county_shows_in_the_core_as_one_prefix_a_family(lab: Lab, on: Execute) -> None:
    for family in Family:
        found = on("core-a", "vtysh", "-c", f"show bgp {family} unicast json").stdout
        routes = set(json.loads(found)["routes"])
        for county in ("360902", "360981"):
            prefix = lab.plan.county_prefix(county, family)
            inside = {route for route in routes if IPNetwork(route) in prefix}
            assert inside == {str(prefix)}


def test_the_province_sees_the_city_as_one_prefix_a_family(lab: Lab, on: Execute) -> None:
    """And the city takes the province's own prefix, no part of it and no default."""
    layout = lab.city.layout
    for family, prefix in ((Family.IPV4, layout.ipv4.prefix), (Family.IPV6, layout.ipv6.prefix)):
        found = json.loads(on("province-1", "vtysh", "-c", f"show bgp {family} unicast json").stdout)[
            "routes"
        ]
        learned = {name: len(paths) for name, paths in found.items() if any(path["path"] for path in paths)}
        assert learned == {prefix: 2}, "one prefix, over both planes"
        partner = layout.partners["36"]
        wanted = partner.ipv4 if family is Family.IPV4 else partner.ipv6
        seen = json.loads(on("core-a", "vtysh", "-c", f"show bgp {family} unicast json").stdout)["routes"]
        asn = str(partner.asn)
        assert {name for name, paths in seen.items() for path in paths if path["path"].endswith(asn)} == {
            wanted
        }


def test_the_default_comes_from_the_border_alone(lab: Lab, on: Execute) -> None:
    for family in Family:
        default = "0.0.0.0/0" if family is Family.IPV4 else "::/0"
        for core in ("core-a", "core-b"):
            found = json.loads(on(core, "vtysh", "-c", f"show bgp {family} unicast {default} json").stdout)
            origins = {path["aspath"]["string"].split()[-1] for path in found["paths"]}
            border = json.loads(on("border-1", "vtysh", "-c", "show bgp summary json").stdout)
            assert origins == {str(border["ipv4Unicast"]["as"])}


def test_a_village_knows_its_way_out_and_no_more(lab: Lab, on: Execute) -> None:
    for family in Family:
        found = json.loads(on("yufang", "vtysh", "-c", f"show bgp {family} unicast json").stdout)
        learned = [name for name, paths in found["routes"].items() if any(path["path"] for path in paths)]
        assert learned == ["0.0.0.0/0" if family is Family.IPV4 else "::/0"]


def test_a_village_cannot_announce_what_is_not_its_own(lab: Lab, on: Execute) -> None:
    """A more specific of the cloud's address, announced by a village router, stops at its township."""
    leaks = {Family.IPV4: "198.18.136.130/32", Family.IPV6: "2001:db8:302::2/128"}
    assert leaks[Family.IPV4].split("/")[0] == str(lab.plan.host("cloud-1", Family.IPV4))
    assert leaks[Family.IPV6].split("/")[0] == str(lab.plan.host("cloud-1", Family.IPV6))
    asn = json.loads(on("yufang", "vtysh", "-c", "show bgp summary json").stdout)["ipv4Unicast"]["as"]

    def leak(*, on_air: bool) -> None:
        lines = ["configure terminal"]
        for family, prefix in leaks.items():
            word = "ip" if family is Family.IPV4 else "ipv6"
            no = "" if on_air else "no "
            lines += [
                f"{no}{word} route {prefix} blackhole",
                f"router bgp {asn}",
                f"address-family {family} unicast",
                f"{no}network {prefix}",
                "exit-address-family",
                "exit",
            ]
        on("yufang", "vtysh", *[part for line in lines for part in ("-c", line)])

    leak(on_air=True)
    try:
        time.sleep(3)
        sent = on("yufang", "vtysh", "-c", "show bgp ipv4 unicast 198.18.136.130/32 json").stdout
        assert "198.18.136.130/32" in sent, "the village does not leak at all: nothing is tested"
        for family, prefix in leaks.items():
            seen = on("cihua", "vtysh", "-c", f"show bgp {family} unicast {prefix} json").stdout
            assert json.loads(seen) == {}, f"the township accepted {prefix}"
            assert reachable(lab, on, "client-2", "cloud-1", family, 3)
    finally:
        leak(on_air=False)


def test_the_management_network_is_out_of_band(lab: Lab, on: Execute) -> None:
    """A client cannot reach another host's management address by way of the extranet."""
    for index, family in enumerate(Family):
        target = lab.record.hosts["cloud-1"][index]
        gateway = str(lab.plan.gateway("360902105201", family))
        flag = "-6" if family is Family.IPV6 else "-4"
        on("client-1", "ip", flag, "route", "add", target, "via", gateway)
        try:
            done = on("client-1", "ping", "-n", "-c", "2", "-W", "1", target, check=False)
            assert done.returncode != 0, f"{target} answered over the extranet"
        finally:
            on("client-1", "ip", flag, "route", "delete", target, "via", gateway)


def test_the_core_router_may_die(lab: Lab, on: Execute) -> None:
    """Power cut at core-a: the city goes on over plane B; the router comes back and takes part again."""
    from deploy.lab import lab as labs

    lost = lost_during(lab, "client-1", "cloud-1", 400, lambda: labs.kill(lab, "core-a"))
    try:
        for family in Family:
            others = [node for node in reachable_nodes(lab.city) if node != "core-a"]
            assert [node for node in others if not reachable(lab, on, "client-1", node, family, 5)] == []
    finally:
        labs.start(lab, "core-a")
    print(f"core router killed: lost {lost}")
    assert max(lost.values()) * INTERVAL < 1
    wait_for_planes(lab)
    assert set(network.link_states(lab.places, lab.city.links).values()) == {"up"}
    for family in Family:
        assert reachable(lab, on, "client-1", "core-a", family)


def test_clients_are_on_lans_and_routers_hold_the_gateways(lab: Lab, on: Execute) -> None:
    for node in lab.city.nodes.values():
        if node.role is NodeRole.CLIENT:
            for family in Family:
                flag = "-6" if family is Family.IPV6 else "-4"
                route = on(node.id, "ip", flag, "route", "show", "default").stdout
                network = network_of(lab.city).get(node.id)
                gateway = (
                    lab.plan.private_gateway(network, node.site, family)
                    if network
                    else lab.plan.gateway(node.site, family)
                )
                assert str(gateway) in route
