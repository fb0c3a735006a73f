"""Base and extranet as wholes, on hosts of `@fake`: what every host is sent, nothing twice, how often it is asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from netaddr import IPAddress, IPNetwork

import deploy.base.firewall as firewall_module
from deploy.base.role import base
from deploy.extranet.configuration import FAMILIES, frr_configuration, network_files
from deploy.extranet.role import extranet
from deploy.hoststate.files import File
from inventories.hosts import HostData, Source, host_data
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family, NodeRole
from inventories.topology import RoutedNode
from tests.deploy.fake_hosts import LAB, FakeCity

DATA = host_data(load_city(LAB), build_plan(load_city(LAB)))
NAMES = tuple(DATA)


def passwords(node: RoutedNode) -> dict[str, str]:
    return {neighbor.link: f"{neighbor.link}-password" for neighbor in node.neighbors}


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCity:
    city = FakeCity(tmp_path / "state", monkeypatch)
    city.answers.append(lambda command: [""] if command.startswith("systemd-detect-virt") else None)
    original = firewall_module.try_script

    def remember(rules: str) -> str:
        file = File(firewall_module.CONFIGURATION, rules, mode="600")
        script = original(rules)
        city._planned[script] = [file]
        return script

    monkeypatch.setattr(firewall_module, "try_script", remember)
    # The hosts of @fake are nowhere: that SSH still answers is the lab's to show.
    monkeypatch.setattr(firewall_module, "must_answer", lambda addresses: None)
    return city


@pytest.mark.parametrize(("role", "budget"), [(base, 23), (extranet, 8)])
def test_a_host_that_has_everything_is_sent_nothing(city: FakeCity, role: object, budget: int) -> None:
    sent = city.run(role, *NAMES)
    assert len(sent) == len(NAMES)
    assert city.run(role, *NAMES) == {}
    assert max(city.asked.values()) <= budget, "remote commands of a run that changes nothing"


@pytest.mark.parametrize("loaded", ["none", "77"])
def test_rules_that_the_kernel_lost_are_sent_again(city: FakeCity, loaded: str) -> None:
    city.run(base, "cloud-1")
    city.loaded = loaded
    sent = city.run(base, "cloud-1")
    assert len(sent["@fake/cloud-1"]) == 2, "rules on trial, rules kept"
    assert "systemd-run" in sent["@fake/cloud-1"][0]


def test_each_host_is_sent_its_own_and_no_other_s(city: FakeCity) -> None:
    city.run(base, *NAMES)
    for name, data in DATA.items():
        files = city.files[f"@fake/{name}"]
        assert files["/etc/hostname"].data.decode() == f"{name}\n"
        rules = files["/etc/nftables.conf"].data.decode()
        assert data.management_prefixes[Family.IPV4] in rules
        assert data.management_prefixes[Family.IPV6] in rules


def rule_lines(city: FakeCity, name: str) -> list[str]:
    return city.files[f"@fake/{name}"]["/etc/nftables.conf"].data.decode().splitlines()


def test_ipv6_is_no_less_protected(city: FakeCity) -> None:
    """Every rule that names an IPv4 address has a twin for IPv6 that opens the same ports to the same side."""
    city.run(base, *NAMES)
    for name in NAMES:
        four, six = set(), set()
        for line in rule_lines(city, name):
            text = line.strip()
            # Tunnels are IPv6 alone; DHCP has other ports in each family.
            if "dport" not in text or "builtin:vxlan" in text or "rogue DHCP" in text:
                continue
            # A set of the policy is named by what is in it: a family's set has its twin in the same place.
            text = re.sub(r"@policy[46]_[0-9a-f]+", "@policy", text)
            generic = re.sub(r"(@\w+?)[46]\b", r"\1", re.sub(r"([sd]addr) [0-9a-f:./]+", r"\1 ADDRESS", text))
            generic = generic.replace("ip ttl", "ip hops").replace("ip6 hoplimit", "ip6 hops")
            if re.search(r"\bip ", generic):
                four.add(generic)
            if re.search(r"\bip6 ", generic):
                six.add(generic.replace("ip6 ", "ip "))
        assert four, f"{name} opens nothing: the test reads the rules wrongly"
        assert four == six


def test_servers_forward_nothing(city: FakeCity) -> None:
    city.run(base, *NAMES)
    for name, data in DATA.items():
        settings = city.files[f"@fake/{name}"]["/etc/sysctl.d/60-jizuo.conf"].data.decode()
        wanted = "1" if data.role is NodeRole.ROUTER else "0"
        assert f"net.ipv4.ip_forward = {wanted}\n" in settings
        assert f"net.ipv6.conf.all.forwarding = {wanted}\n" in settings


def test_the_container_alone_keeps_its_hands_off_the_clock(city: FakeCity) -> None:
    city.run(base, "cloud-1")
    assert city.files["@fake/cloud-1"]["/etc/systemd/system/chrony.service.d/jizuo.conf"].content is None


@pytest.mark.parametrize("data", [data for data in DATA.values() if data.routing], ids=lambda data: data.name)
def test_routing_configuration(data: HostData) -> None:
    """Every neighbour in both families, with BFD and GTSM, and nothing accepted from below but the plan's own."""
    assert data.routing is not None
    text = frr_configuration(data.routing, passwords(data.routing))
    assert f"router bgp {data.routing.asn}" in text
    for neighbor in data.routing.neighbors:
        for family in FAMILIES:
            peer = neighbor.remote[Family(family.name)]
            assert f" neighbor {peer} password {neighbor.link}-password\n" in text
            assert re.search(rf"^  neighbor {re.escape(peer)} maximum-prefix \d+ restart 5$", text, re.M)
            for line in (f"remote-as {neighbor.asn}", "bfd", "bfd profile extranet", "ttl-security hops 1"):
                assert f" neighbor {peer} {line}\n" in text
            assert re.search(rf"^  neighbor {re.escape(peer)} route-map \S+ in$", text, re.M)
            assert re.search(rf"^  neighbor {re.escape(peer)} route-map \S+ out$", text, re.M)
    assert ("no ip forwarding" in text) == (data.role is not NodeRole.ROUTER)
    assert ("no ipv6 forwarding" in text) == (data.role is not NodeRole.ROUTER)
    used = set(re.findall(r"route-map (\S+) (?:in|out)$", text, re.M))
    assert used <= set(re.findall(r"^route-map (\S+) (?:permit|deny)", text, re.M)), (
        "an undefined route map permits all"
    )
    lists = set(re.findall(r"address prefix-list (\S+)$", text, re.M))
    assert lists <= set(re.findall(r"prefix-list (\S+) seq", text, re.M)), "an undefined prefix list"


def test_what_a_router_accepts_from_below_lies_below() -> None:
    county = {family: build_plan(load_city(LAB)).county_prefix("360902", family) for family in Family}
    routing = DATA["cihua"].routing
    assert routing is not None
    for neighbor in routing.neighbors:
        for family, accepted in neighbor.accept.items():
            for prefix, _ in accepted:
                assert IPNetwork(prefix) in county[family]


def test_interfaces_have_both_families() -> None:
    for name, data in DATA.items():
        files = {file.path: file.data.decode() for file in network_files(data)}
        for interface in data.interfaces:
            text = files[f"/etc/systemd/network/30-{interface.name}.network"]
            versions = {
                IPAddress(line.split("=")[1].split("/")[0]).version
                for line in text.splitlines()
                if line.startswith("Address=")
            }
            assert versions == {4, 6}, f"{name} {interface.name}"
            assert "IPv6AcceptRA=no" in text


def test_every_service_has_a_source() -> None:
    for data in DATA.values():
        assert {service.source for service in data.services} <= set(Source)
        assert any(
            service.ports == (22,) and service.source is Source.MANAGEMENT for service in data.services
        )
