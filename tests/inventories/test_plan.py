"""The address plan of three cities: what it gives to whom, and that nothing is given twice."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from netaddr import IPAddress, IPNetwork

from inventories.load import load_city
from inventories.plan import CITY_ITSELF, AddressPlan, build_plan
from inventories.private import network_of
from inventories.records import Family, LinkKind, NodeRole, SiteRole

from .editing import Editor

SMALL = Path(__file__).parent / "small_city"
CITIES = Path(__file__).parents[2] / "inventories"
V4, V6 = Family.IPV4, Family.IPV6


@pytest.fixture(scope="module", params=[SMALL, CITIES / "lab", CITIES / "yichun"], ids=lambda path: path.name)
def plan(request: pytest.FixtureRequest) -> AddressPlan:
    return build_plan(load_city(request.param))


@pytest.fixture(scope="module")
def small() -> AddressPlan:
    return build_plan(load_city(SMALL))


def at(plan: AddressPlan, node: str) -> SiteRole:
    """The role of the site at which a node stands."""
    return plan.city.sites[plan.city.nodes[node].site].role


def test_every_prefix_lies_in_its_parent_and_apart_from_its_siblings(plan: AddressPlan) -> None:
    rows = list(plan.prefixes())
    networks = {row.prefix: ipaddress.ip_network(row.prefix) for row in rows}
    siblings = defaultdict(set)
    for row in rows:
        if row.parent:
            assert networks[row.prefix].subnet_of(networks[row.parent]), row
            if row.prefix != row.parent:
                siblings[row.parent].add(row.prefix)
    for names in siblings.values():
        ordered = sorted((networks[name] for name in names), key=lambda n: (n.network_address, n.prefixlen))
        for one, other in pairwise(ordered):
            assert not one.overlaps(other), (one, other)
    roots = [networks[row.prefix] for row in rows if not row.parent]
    for index, one in enumerate(roots):
        assert not any(one.version == other.version and one.overlaps(other) for other in roots[index + 1 :])


def test_a_prefix_comes_after_the_one_that_holds_it(plan: AddressPlan) -> None:
    seen = {""}
    for row in plan.prefixes():
        assert row.parent in seen or row.parent == row.prefix
        seen.add(row.prefix)


def test_no_address_is_given_twice_and_each_stands_where_its_role_says(plan: AddressPlan) -> None:
    rows = list(plan.addresses())
    assert [address for address, times in Counter(row.address for row in rows).items() if times > 1] == []
    homes: dict[str, set[str]] = defaultdict(set)
    for prefix in plan.prefixes():
        homes[prefix.role].add(prefix.prefix)
    lengths = {role: {int(name.partition("/")[2]) for name in names} for role, names in homes.items()}
    wanted = {
        "loopback": "loopback",
        "link": "link",
        "gateway": "lan",
        "host": "lan",
        "management": "management",
    }
    for row in rows:
        role = wanted[row.role]
        if role == "lan" and at(plan, row.host) is SiteRole.BORDER:
            role = "internet"
        around = {
            str(ipaddress.ip_network(f"{row.address}/{length}", strict=False))
            for length in lengths[role]
            if length <= (32 if row.family is V4 else 128)
        }
        assert around & homes[role], row


def test_every_node_has_a_service_and_a_management_address_in_both_families(plan: AddressPlan) -> None:
    found = Counter((row.host, row.role, row.family) for row in plan.addresses())
    private = Counter((row.host, row.role, row.family) for row in plan.private_addresses())
    for node in plan.city.nodes.values():
        ours = node.role is NodeRole.ROUTER and at(plan, node.id) is not SiteRole.PROVINCE
        role = "loopback" if ours else "host"
        for family in Family:
            # A host of a private network has its service address there, and none that the public zone knows.
            stands = (found, private) if node.id not in network_of(plan.city) else (private, found)
            assert [table[node.id, role, family] for table in stands] == [1, 0]
            assert found[node.id, "management", family] == 1


def test_rows_say_what_the_methods_say(plan: AddressPlan) -> None:
    city = plan.city
    rows = {(row.host, row.interface, row.role, row.family): row for row in plan.addresses()}
    for family in Family:
        for link in city.links.values():
            if link.kind is not LinkKind.ACCESS:
                for end in (link.a, link.b):
                    row = rows[end, link.id, "link", family]
                    assert row.address == str(plan.link_address(link.id, end, family))
                    assert row.dns_name == f"{link.id}.{end}.{city.layout.domain}"
                assert plan.link_address(link.id, link.a, family) + 1 == plan.link_address(
                    link.id, link.b, family
                )
                assert plan.link_address(link.id, link.b, family) in plan.link_prefix(link.id, family)
        for node in city.nodes.values():
            assert rows[node.id, "mgmt0", "management", family].address == str(
                plan.management(node.id, family)
            )
            network = network_of(city).get(node.id)
            if network:
                assert plan.host(node.id, family) in plan.private_lan(network, node.site, family)
            elif node.role is NodeRole.ROUTER and at(plan, node.id) is SiteRole.PROVINCE:
                partner = city.layout.partners[city.sites[node.site].division]
                assert rows[node.id, "lo", "host", family].address == str(plan.host(node.id, family))
                assert plan.host(node.id, family) in IPNetwork(getattr(partner, family.value))
            elif node.role is NodeRole.ROUTER:
                assert rows[node.id, "lo", "loopback", family].address == str(plan.host(node.id, family))
                assert plan.host(node.id, family) in plan.loopback_pool(plan.owner(node.site), family)
            else:
                assert plan.host(node.id, family) in plan.lan(node.site, family)
    lans = {(row.site, row.family): row.prefix for row in plan.prefixes() if row.role in ("lan", "internet")}
    for site in city.sites.values():
        for family in Family:
            assert lans[site.id, family] == str(plan.lan(site.id, family))
            if site.role is SiteRole.BORDER:
                assert plan.site_prefix(site.id, family) == [plan.lan(site.id, family)]
            assert plan.gateway(site.id, family) == plan.lan(site.id, family)[1]


def test_a_county_is_one_prefix_in_each_family(plan: AddressPlan) -> None:
    for site in plan.city.sites.values():
        owner = plan.owner(site.id)
        # What a neighbour gives lies outside the city's prefixes.
        outside = site.division in plan.city.layout.partners or site.role is SiteRole.BORDER
        for family in Family:
            whole = plan.county_prefix(owner, family)
            if owner != CITY_ITSELF or family is V4:  # the city's own IPv6 infrastructure is slot 0
                assert plan.infrastructure(owner, family) in whole
            assert (plan.lan(site.id, family) in whole) != outside
            if site.role is SiteRole.ACCESS:
                assert all(prefix in whole for prefix in plan.site_prefix(site.id, family))


def test_lans_with_a_router_have_a_gateway(plan: AddressPlan) -> None:
    city = plan.city
    wanted = {
        node.site
        for node in city.nodes.values()
        if node.role is NodeRole.ROUTER and at(plan, node.id) in (SiteRole.ACCESS, SiteRole.BORDER)
    }
    for family in Family:
        rows = {
            row.dns_name: row for row in plan.addresses() if row.role == "gateway" and row.family is family
        }
        assert set(rows) == {f"gateway.{site}.{city.layout.domain}" for site in wanted}
        assert all(city.nodes[row.host].site in name.split(".") for name, row in rows.items())
        for row in rows.values():
            assert row.address == str(plan.gateway(city.nodes[row.host].site, family))


def test_two_private_networks_have_the_same_ipv4_addresses_and_ipv6_ones_of_their_own(
    small: AddressPlan,
) -> None:
    assert small.city.networks["health"].ipv4 == small.city.networks["civil"].ipv4
    found: dict[Family, list[str]] = {V4: [], V6: []}
    for row in small.private_addresses():
        found[row.family].append(row.address)
    assert len(found[V4]) > len(set(found[V4]))
    assert len(found[V6]) == len(set(found[V6]))
    within = Counter((row.network, row.address) for row in small.private_addresses())
    assert set(within.values()) == {1}


def test_private_rows_say_what_the_methods_say(plan: AddressPlan) -> None:
    city = plan.city
    wanted: set[tuple[str, str, str, str, str]] = set()
    lans = {(row.network, row.site, row.family, row.prefix) for row in plan.private_prefixes() if row.site}
    for link in city.links.values():
        if link.network:
            site = city.nodes[link.b].site
            for family in Family:
                gateway = str(plan.private_gateway(link.network, site, family))
                wanted.add((link.network, str(plan.host(link.b, family)), link.b, link.id, "host"))
                wanted.add((link.network, gateway, link.a, f"lan-{link.network}", "gateway"))
                lan = str(plan.private_lan(link.network, site, family))
                assert (link.network, site, family, lan) in lans
    rows = [(row.network, row.address, row.host, row.interface, row.role) for row in plan.private_addresses()]
    assert set(rows) == wanted
    assert len(rows) == len(wanted)
    assert all(city.sites[site].role is SiteRole.ACCESS for _, site, _, _ in lans)
    wholes = {(row.network, row.family): row.prefix for row in plan.private_prefixes() if not row.parent}
    assert wholes == {
        (network.id, family): getattr(network, family.value)
        for network in city.networks.values()
        for family in Family
    }
    for row in plan.private_prefixes():
        assert row.division == (city.sites[row.site].division if row.site else city.layout.division)
        if row.parent:
            assert row.parent == wholes[row.network, row.family]
            assert ipaddress.ip_network(row.prefix).subnet_of(ipaddress.ip_network(row.parent))  # type: ignore[arg-type]


def test_no_public_row_says_anything_of_a_private_network_but_the_border_s_crossing(
    plan: AddressPlan,
) -> None:
    for network in plan.city.networks.values():
        for family in Family:
            prefix = IPNetwork(getattr(network, family.value))
            public = [row.address for row in plan.addresses() if row.family is family]
            assert not any(address in prefix for address in map(IPAddress, public))
            names = {
                row.address: row.dns_name for row in plan.addresses() if row.interface == f"to-{network.id}"
            }
            for end, way in zip(plan.crossing(network.id, family), ("to", "from"), strict=True):
                assert names[str(end)] == f"{way}-{network.id}.{plan.border}.{plan.city.layout.domain}"


def test_text_is_as_rfc_5952_says(plan: AddressPlan) -> None:
    for row in (*plan.addresses(), *plan.private_addresses()):
        assert row.address == str(ipaddress.ip_address(row.address))
    for prefix in (*plan.prefixes(), *plan.private_prefixes()):
        assert prefix.prefix == str(ipaddress.ip_network(prefix.prefix))


def test_the_small_city_by_hand(small: AddressPlan) -> None:
    """Reckoned on paper from the scheme, so that the scheme itself cannot drift."""
    assert str(small.county_prefix("360902", V6)) == "2001:db8:100::/40"
    assert str(small.county_prefix("360902", V4)) == "198.18.0.0/18"  # the largest comes first
    assert str(small.infrastructure("360902", V6)) == "2001:db8:100::/48"
    assert str(small.lan("360902", V6)) == "2001:db8:101::/64"
    assert [str(prefix) for prefix in small.site_prefix("360902105", V6)] == ["2001:db8:102::/48"]
    assert [str(prefix) for prefix in small.site_prefix("360902105001", V6)] == ["2001:db8:102:100::/56"]
    assert str(small.lan("360902105201", V6)) == "2001:db8:102:200::/64"
    assert str(small.lan("360902400001", V6)) == "2001:db8:201:100::/64"  # directly below a zone
    assert str(small.lan("360902", V4)) == "198.18.16.0/28"  # after the infrastructure quarter, a /20
    assert [str(prefix) for prefix in small.site_prefix("360902105", V4)] == ["198.18.16.64/26"]
    assert str(small.lan("360902105201", V4)) == "198.18.16.96/28"
    assert str(small.gateway("360902105201", V4)) == "198.18.16.97"
    assert str(small.host("client-1", V4)) == "198.18.16.98"
    assert str(small.host("client-1", V6)) == "2001:db8:102:200::2"
    assert str(small.host("yuanzhou", V6)) == "2001:db8:100::1"
    assert str(small.host("yuanzhou", V4)) == "198.18.0.1"
    assert str(small.link_prefix("cihua-up", V6)) == "2001:db8:100:1::2/127"
    assert str(small.link_prefix("cihua-up", V4)) == "198.18.4.2/31"  # a /22 of loopbacks stands before
    assert str(small.host("offsite-1", V6)) == "3fff:363::2"
    assert str(small.host("offsite-1", V4)) == "192.0.2.2"
    assert str(small.host("province-1", V6)) == "3fff:360::2"  # a host of the province's own prefix
    assert str(small.host("province-1", V4)) == "203.0.113.130"
    assert str(small.gateway("border", V6)) == "3fff:f00::1"
    assert str(small.host("internet-1", V4)) == "203.0.113.2"
    assert str(small.private_lan("health", "360902105201", V4)) == "198.51.100.16/28"  # slot 0 is nobody's
    assert str(small.host("health-1", V4)) == str(small.host("civil-1", V4)) == "198.51.100.18"
    assert str(small.host("health-1", V6)) == "3fff:100:0:1::2"
    assert str(small.management("core-a", V6)) == "2001:db8:ff00::1"
    assert str(small.management("core-b", V4)) == "198.19.240.2"


def test_a_slot_in_the_file_is_not_given_again_when_its_member_is_gone(small_city: Path) -> None:
    with (small_city / "allocations.csv").open("a", encoding="utf-8") as file:
        file.write("360902105201/host,gone,2\nmanagement,gone,3\n")
    plan = build_plan(load_city(small_city))
    assert plan.host("client-1", V4) != plan.gateway("360902105201", V4) + 1
    slots = [plan.management(node, V4) - plan.management("core-a", V4) + 1 for node in plan.city.nodes]
    assert 3 not in slots
    assert len(set(slots)) == len(slots)


def test_allocations_that_are_new_are_told_and_none_when_the_file_has_all(small_city: Path) -> None:
    editor = Editor(load_city(small_city))
    first = editor.allocate()
    assert first.new_allocations["360902105"] == {"360902105001": 1, "360902105201": 2}
    assert "core-a" not in first.new_allocations["management"]
    again = editor.allocate()
    assert again.new_allocations == {}
    assert list(again.addresses()) == list(first.addresses())


def test_the_management_prefix_is_left_out_of_the_city(small: AddressPlan) -> None:
    for row in small.prefixes():
        if row.role in ("county", "site") and row.family is V6:
            assert not ipaddress.ip_network(row.prefix).overlaps(ipaddress.ip_network("2001:db8:ff00::/64"))
        if row.role == "county" and row.family is V4:
            assert not ipaddress.ip_network(row.prefix).overlaps(ipaddress.ip_network("198.19.240.0/24"))
