"""The zones, read by BIND's own checker and by dnspython."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import dns.name
import dns.rdatatype
import dns.reversename
import dns.zone
import pytest

from inventories.allocation import PlanError
from inventories.export_zones import allocation_count, render_zones
from inventories.files import write_files
from inventories.load import load_city
from inventories.plan import AddressPlan, AddressRow, build_plan
from inventories.records import Family, Level, LinkKind, Node, NodeRole, SiteRole

from .editing import Editor
from .test_plan_errors import layout

HERE = Path(__file__).parent
CITIES = HERE.parents[1] / "inventories"
CHECKER = "named-checkzone"

Zones = dict[dns.name.Name, dns.zone.Zone]


@pytest.fixture(
    scope="module",
    params=[HERE / "small_city", CITIES / "lab", CITIES / "yichun"],
    ids=lambda path: path.name,
)
def plan(request: pytest.FixtureRequest) -> AddressPlan:
    return build_plan(load_city(request.param))


@pytest.fixture(scope="module", params=[HERE / "small_city", CITIES / "lab"], ids=lambda path: path.name)
def branch(request: pytest.FixtureRequest) -> AddressPlan:
    """A small plan: dnspython takes seconds for the records of a whole city."""
    return build_plan(load_city(request.param))


@pytest.fixture(scope="module")
def zones(branch: AddressPlan) -> Zones:
    return parsed(render_zones(branch))


@pytest.fixture
def editor() -> Editor:
    editor = Editor(load_city(HERE / "small_city"))
    editor.allocate()
    return editor


def parsed(files: dict[str, str]) -> Zones:
    zones = {}
    for name, text in files.items():
        origin = dns.name.from_text(name.removesuffix(".zone"))
        zones[origin] = dns.zone.from_text(text, origin=origin, relativize=False)
    return zones


def serials(files: dict[str, str]) -> dict[str, int]:
    return {name: int(re.search(r"(\d+) ; serial", text)[1]) for name, text in files.items()}  # type: ignore[index]


def zone_of(zones: Zones, name: dns.name.Name) -> dns.zone.Zone:
    """The zone that answers for a name: the longest that is a parent of it."""
    while name not in zones:
        name = name.parent()
    return zones[name]


def ours(plan: AddressPlan, row: AddressRow) -> bool:
    """Whether an address is the city's, by the prefixes of city.toml alone."""
    layout = plan.city.layout
    prefixes = (layout.ipv4.prefix, layout.ipv6.prefix, layout.management.ipv4, layout.management.ipv6)
    address = ipaddress.ip_address(row.address)
    return any(address in ipaddress.ip_network(prefix) for prefix in prefixes)


def test_no_zone_says_who_stands_in_a_private_network(branch: AddressPlan) -> None:
    """But for the border's crossing, as which the network's hosts show outside."""
    assert branch.city.networks
    texts = "".join(render_zones(branch).values())
    hosts = {row.host for row in branch.private_addresses() if row.role == "host"}
    for row in branch.private_addresses():
        assert not re.search(rf" {re.escape(row.address)}$", texts, re.MULTILINE)
    for host in hosts:
        assert not re.search(rf"^{host} IN ", texts, re.MULTILINE)
        assert re.search(rf"^{host}\.management IN AAAA ", texts, re.MULTILINE)
    for network in branch.city.networks:
        assert f" IN PTR from-{network}.{branch.border}.{branch.city.layout.domain}.\n" in texts


def test_bind_accepts_every_zone(plan: AddressPlan, tmp_path: Path) -> None:
    checker = shutil.which(CHECKER)
    assert checker, f"{CHECKER} is missing: apt-get install bind9-utils"
    files = render_zones(plan)
    write_files(tmp_path, files)
    for name in files:
        origin = name.removesuffix(".zone")
        strict = [
            "-i",
            "local",
            "-k",
            "fail",
            "-n",
            "fail",
            "-m",
            "fail",
            "-r",
            "fail",
            "-S",
            "fail",
            "-T",
            "ignore",
        ]
        done = subprocess.run(
            [checker, *strict, origin, str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        assert "loaded serial" in done.stdout
        assert not re.search(r"warning|ignoring", done.stdout), done.stdout


def test_the_checker_sees_a_broken_zone(editor: Editor, tmp_path: Path) -> None:
    text = render_zones(build_plan(editor.city()))["yichun.example.zone"]
    (tmp_path / "broken").write_text(text + "bad_name IN A 198.18.0.999\n")
    done = subprocess.run(
        [CHECKER, "yichun.example", str(tmp_path / "broken")], capture_output=True, check=False
    )
    assert done.returncode != 0


def test_forward_and_reverse_say_the_same(branch: AddressPlan, zones: Zones) -> None:
    """Every address has its name, and all but a neighbour's and the provider's their way back."""
    domain = dns.name.from_text(branch.city.layout.domain)
    forward: dict[str, set[str]] = defaultdict(set)
    backward = 0
    for row in branch.addresses():
        forward[row.dns_name].add(row.address)
        if not ours(branch, row):  # their own zones answer for their prefixes
            assert not any(dns.reversename.from_address(row.address).is_subdomain(origin) for origin in zones)
            continue
        backward += 1
        reverse = dns.reversename.from_address(row.address)
        names = zone_of(zones, reverse).get_rdataset(reverse, dns.rdatatype.PTR)
        assert names is not None, row
        assert [str(rdata.target) for rdata in names] == [f"{row.dns_name}."]
    found: dict[str, set[str]] = defaultdict(set)
    for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
        for name, _, rdata in zones[domain].iterate_rdatas(kind):
            found[name.to_text(omit_final_dot=True)].add(rdata.address)
    assert found == forward
    assert sum(len(list(zone.iterate_rdatas(dns.rdatatype.PTR))) for zone in zones.values()) == backward


def test_a_whole_city_has_every_record(plan: AddressPlan) -> None:
    texts = "".join(render_zones(plan).values())
    rows = list(plan.addresses())
    own = [row for row in rows if ours(plan, row)]
    strangers = {row.host for row in rows if not ours(plan, row)}
    assert {plan.city.sites[plan.city.nodes[host].site].role for host in strangers} == {
        SiteRole.OFFSITE,
        SiteRole.PROVINCE,
        SiteRole.BORDER,
    }
    assert len(re.findall(r" IN A [0-9.]+$", texts, re.MULTILINE)) == sum(
        row.family == "ipv4" for row in rows
    )
    assert len(re.findall(r" IN AAAA [0-9a-f:]+$", texts, re.MULTILINE)) == sum(
        row.family == "ipv6" for row in rows
    )
    assert len(re.findall(r" IN PTR \S+\.$", texts, re.MULTILINE)) == len(own)


def test_ip6_arpa_is_cut_at_nibbles_and_delegated_county_by_county(branch: AddressPlan, zones: Zones) -> None:
    city = dns.name.from_text("8.b.d.0.1.0.0.2.ip6.arpa.")
    for site in branch.city.sites.values():
        if site.level is Level.COUNTY:
            prefix = branch.county_prefix(site.id, Family.IPV6)
            nibbles = f"{int(prefix.ip):032x}"[: prefix.prefixlen // 4]
            origin = dns.name.from_text(".".join(reversed(nibbles)) + ".ip6.arpa.")
            assert origin in zones
            assert zones[city].get_rdataset(origin, dns.rdatatype.NS)
    below = [origin for origin in zones if origin.is_subdomain(city) and origin != city]
    delegated = {
        name for name, node in zones[city].items() if name != city and node.get_rdataset(1, dns.rdatatype.NS)
    }
    assert delegated == set(below)
    assert all(rdataset.rdtype == dns.rdatatype.NS for name in delegated for rdataset in zones[city][name])


def test_a_county_size_between_nibbles_is_cut_at_the_next_one(editor: Editor) -> None:
    editor.allocations = {}
    editor.layout = layout(editor.layout, ipv6__county=38, management__ipv6="2001:db8:fc00::/64")
    origins = [str(origin) for origin in parsed(render_zones(build_plan(editor.city())))]
    reverse = [origin for origin in origins if origin.endswith("ip6.arpa.") and origin.count(".") > 10]
    assert {origin.count(".") - 2 for origin in reverse} == {10}


def test_management_apart_from_the_city_has_zones_of_its_own(editor: Editor) -> None:
    editor.layout = layout(editor.layout, management__ipv4="192.168.9.0/24", management__ipv6="3fff:9::/64")
    zones = parsed(render_zones(build_plan(editor.city())))
    assert dns.name.from_text("9.168.192.in-addr.arpa.") in zones
    assert dns.name.from_text("0.0.0.0.0.0.0.0.9.0.0.0.f.f.f.3.ip6.arpa.") in zones


def test_the_serial_counts_allocations_and_never_the_time(editor: Editor) -> None:
    plan = build_plan(editor.city())
    files = render_zones(plan)
    assert set(serials(files).values()) == {allocation_count(plan)}
    assert render_zones(build_plan(editor.city())) == files
    editor.add("360902105301", Level.VILLAGE, "360902105", "cihua")
    more = render_zones(editor.allocate())
    assert serials(more)["yichun.example.zone"] > serials(files)["yichun.example.zone"]


def test_with_the_earlier_files_a_serial_grows_only_where_records_changed(editor: Editor) -> None:
    first = render_zones(build_plan(editor.city()))
    editor.remove_node("client-1")
    plan = build_plan(editor.city())
    second = render_zones(plan, earlier=first)
    changed = {name for name in first if serials(second)[name] != serials(first)[name]}
    assert changed == {
        "yichun.example.zone", "18.198.in-addr.arpa.zone", "19.198.in-addr.arpa.zone",
        "1.0.8.b.d.0.1.0.0.2.ip6.arpa.zone", "f.f.8.b.d.0.1.0.0.2.ip6.arpa.zone",
    }  # fmt: skip
    assert all(serials(second)[name] == serials(first)[name] + 1 for name in changed)
    assert all(second[name] == first[name] for name in set(first) - changed)
    assert render_zones(plan, earlier=second) == second


def test_the_serial_wraps_as_rfc_1982_has_it(editor: Editor) -> None:
    plan = build_plan(editor.city())
    last = render_zones(plan, serial=2**32 - 1)
    editor.remove_node("client-1")
    following = render_zones(build_plan(editor.city()), earlier=last)
    assert serials(following)["yichun.example.zone"] == 1
    assert serials(following)["2.0.8.b.d.0.1.0.0.2.ip6.arpa.zone"] == 2**32 - 1


def test_a_name_that_is_no_host_name_is_refused(editor: Editor) -> None:
    editor.add_link("ends-", "core-a", "core-b", LinkKind.CORE)
    with pytest.raises(PlanError, match=r"ends-\.core-a\.yichun\.example .* is no host name"):
        render_zones(build_plan(editor.city()))


def test_a_name_for_two_things_is_refused(editor: Editor) -> None:
    """A link `core-a` of a node `management` and the management address of the node `core-a`."""
    editor.add("360902199", Level.TOWNSHIP, "360902")
    editor.nodes["management"] = Node(id="management", site="360902199", role=NodeRole.ROUTER)
    del editor.nodes["r360902199"]
    editor.links = {name: link for name, link in editor.links.items() if name != "u360902199"}
    editor.add_link("core-a", "yuanzhou", "management")
    with pytest.raises(PlanError, match=r"core-a\.management\.yichun\.example stands for"):
        render_zones(build_plan(editor.city()))


def test_a_zone_without_name_server_is_refused(editor: Editor) -> None:
    editor.remove_node("ops-1")
    with pytest.raises(PlanError, match="add a node whose role is operations"):
        render_zones(build_plan(editor.city()))
