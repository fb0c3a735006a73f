"""Do both vendors' configurations say what the topology says, in both families alike?

Golden files are whole; after a meant change, `JIZUO_GOLDEN=write pytest tests/deploy/vendors/test_configuration.py`
writes them anew, and `git diff` shows what became of it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from netaddr import IPNetwork

from deploy.vendors.configuration import NotRenderedError, router_configuration
from deploy.vendors.dialects import COMWARE, VRP, Dialect
from deploy.vendors.filters import filters
from deploy.vendors.policies import policy_of
from deploy.vendors.ports import numbered_ports
from inventories.hosts import HostData
from inventories.records import Family
from inventories.topology import Relation
from tests.deploy.vendors.city import LAB, ROOT, hosts_of

GOLDEN = Path(__file__).parent / "golden"
DIALECTS = [pytest.param(VRP, id="vrp"), pytest.param(COMWARE, id="comware")]
LAB_HOSTS = hosts_of(LAB)
ROUTERS = [
    name for name, data in LAB_HOSTS.items() if data.routing and data.routing.forwards and name != "border-1"
]


def rendered(data: HostData, dialect: Dialect) -> str:
    assert data.routing is not None
    passwords = {neighbor.link: f"PASSWORD-{neighbor.link}" for neighbor in data.routing.neighbors}
    return router_configuration(data.routing, data, passwords, numbered_ports(data, dialect), dialect)


def sections(text: str) -> dict[str, list[str]]:
    """The lines of each view by its path, without indentation."""
    found: dict[str, list[str]] = {"": []}
    path: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            if line == "#":
                path = []
            continue
        depth = len(line) - len(stripped)
        del path[depth:]
        found.setdefault("/".join(path), []).append(stripped)
        path.append(stripped)
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("node", ["core-a", "yuanzhou", "cihua", "yufang"])
def test_golden_lab(node: str, dialect: Dialect) -> None:
    compare(rendered(LAB_HOSTS[node], dialect), f"lab-{node}.{dialect.family}.cfg")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_golden_yichun(dialect: Dialect) -> None:
    """A county of the real city: it knows its townships by exact prefixes, the core by what it must not say."""
    hosts = hosts_of(ROOT / "inventories" / "yichun")
    routers = {name: data for name, data in hosts.items() if data.routing and data.routing.aggregate}
    data = next(data for name, data in routers.items() if data.site == "360921")
    compare(rendered(data, dialect), f"yichun-360921.{dialect.family}.cfg")


def compare(text: str, name: str) -> None:
    file = GOLDEN / name
    if os.environ.get("JIZUO_GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("node", ROUTERS)
def test_every_neighbour_is_protected_in_both_families(node: str, dialect: Dialect) -> None:
    data = LAB_HOSTS[node]
    assert data.routing is not None
    found = sections(rendered(data, dialect))
    bgp = next(lines for path, lines in found.items() if path.startswith("bgp ") and "/" not in path)
    gtsm = "valid-ttl-hops 1" if dialect is VRP else "ttl-security hops 1"
    bfd = "bfd enable" if dialect is VRP else "bfd single-hop"
    clear = "cipher" if dialect is VRP else "simple"
    for neighbor in data.routing.neighbors:
        for family in Family:
            peer = f"peer {neighbor.remote[family]}"
            assert f"{peer} as-number {neighbor.asn}" in bgp
            assert f"{peer} password {clear} PASSWORD-{neighbor.link}" in bgp
            assert f"{peer} {gtsm}" in bgp
            assert f"{peer} {bfd}" in bgp
            routes = next(
                lines
                for path, lines in found.items()
                if path.startswith("bgp ")
                and path.endswith(f"{family}{'-family' if dialect is VRP else ''} unicast")
            )
            assert f"{peer} enable" in routes
            assert any(line.startswith(f"{peer} route-limit {neighbor.limit} ") for line in routes)
            for direction in ("import", "export"):
                named = [
                    line.split()[3]
                    for line in routes
                    if re.fullmatch(rf"{peer} route-policy \S+ {direction}", line)
                ]
                assert len(named) == 1
                assert any(line.startswith(f"route-policy {named[0]} ") for line in found[""])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("node", ROUTERS)
def test_every_list_and_policy_that_is_named_is_there(node: str, dialect: Dialect) -> None:
    text = rendered(LAB_HOSTS[node], dialect)
    lists = set(
        re.findall(r"^ ?(?:ip|ipv6) (ip-prefix|ipv6-prefix|prefix-list) (\S+) index", text, re.MULTILINE)
    )
    names = {name for _, name in lists}
    used = set(
        re.findall(r"if-match (?:ip-prefix|ip address prefix-list|ipv6 address prefix-list) (\S+)", text)
    )
    assert used == names


@pytest.mark.parametrize("node", ROUTERS)
def test_filters_mirror_each_other(node: str) -> None:
    """As many rules in IPv6 as in IPv4, the same but for the addresses, and only what has link scope besides."""
    data = LAB_HOSTS[node]
    by_family = {family: [f for f in filters(data) if f.family is family] for family in Family}
    assert [f.number for f in by_family[Family.IPV4]] == [f.number for f in by_family[Family.IPV6]]
    assert len(by_family[Family.IPV4]) == (4 if any(i.kind == "lan" for i in data.interfaces) else 3)
    for four, six in zip(by_family[Family.IPV4], by_family[Family.IPV6], strict=True):
        common = [rule for rule in six.rules if not rule.link_scope]
        assert len(common) == len(four.rules)
        for a, b in zip(four.rules, common, strict=True):
            assert (a.number, a.permit, a.protocol, a.port) == (b.number, b.permit, b.protocol, b.port)
            assert meaning(data, a.source) == meaning(data, b.source)
            assert meaning(data, a.destination) == meaning(data, b.destination)
        for rule in six.rules:
            assert not rule.link_scope or rule.source == "fe80::/10" or rule.destination == "ff02::/16"


def meaning(data: HostData, prefix: str) -> str:
    """What a prefix of a rule stands for, in words that know no family."""
    if not prefix:
        return "any"
    if prefix in data.management_prefixes.values():
        return "management"
    if prefix.split("/")[0] in data.management.values():
        return "own management address"
    lans = [str(IPNetwork(a).cidr) for i in data.interfaces if i.kind == "lan" for a in i.addresses]
    assert prefix in lans
    return "LAN"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("node", ROUTERS)
def test_rendered_filters_mirror_each_other(node: str, dialect: Dialect) -> None:
    """The text too: each IPv4 list has an IPv6 list beside it, and every port filters both families."""
    found = sections(rendered(LAB_HOSTS[node], dialect))
    lists = {path.removeprefix("acl "): lines for path, lines in found.items() if path.startswith("acl ")}
    four = {name: lines for name, lines in lists.items() if not name.startswith("ipv6 ")}
    assert {f"ipv6 {name}" for name in four} == set(lists) - set(four)
    for name, lines in four.items():
        others = [line for line in lists[f"ipv6 {name}"] if "fe80::" not in line and "ff02::" not in line]
        assert [line.split()[:3] for line in lines] == [line.split()[:3] for line in others]
    ports = {
        path: lines
        for path, lines in found.items()
        if path.startswith("interface ") and "LoopBack" not in path
    }
    for lines in ports.values():
        if dialect is VRP:
            policy = next(line.split()[1] for line in lines if line.startswith("traffic-policy "))
            matched = found[f"traffic classifier {policy} operator or"]
            number = matched[0].split()[-1]
            assert matched == [f"if-match acl {number}", f"if-match ipv6 acl {number}"]
        else:
            applied = [line.split() for line in lines if line.startswith("packet-filter ")]
            assert [words[-2:] for words in applied] == [applied[0][-2:]] * 2
            assert applied[1][1] == "ipv6"


@pytest.mark.parametrize("family", list(Family))
def test_policies_say_what_frr_says(family: Family) -> None:
    """The county: its summary and nothing else upwards, a default and nothing else downwards, no county's parts in."""
    node = LAB_HOSTS["yuanzhou"].routing
    assert node is not None
    policy = policy_of(node, family)
    policies = {p.name: p.nodes for p in policy.route_policies}
    lists = {p.name: p.items for p in policy.prefix_lists}
    for session in policy.sessions:
        steps = policies[session.exports]
        (item,) = lists[steps[0].prefix_list]
        if session.neighbor.relation is Relation.UP:
            assert (
                [s.permit for s in steps] == [True] and item.prefix == node.aggregate[family] and item.exact
            )
            first, second = policies[session.imports]
            assert not first.permit and {i.prefix for i in lists[first.prefix_list]} >= {
                node.aggregate[family]
            }
            assert second.permit and not second.prefix_list
            assert not session.default
        else:
            assert [s.permit for s in steps] == [True] and item.length == 0 and item.exact
            assert session.default


def test_village_takes_only_the_default_from_above() -> None:
    node = LAB_HOSTS["yufang"].routing
    assert node is not None
    policy = policy_of(node, Family.IPV6)
    steps = next(p.nodes for p in policy.route_policies if p.name == policy.sessions[0].imports)
    assert [step.prefix_list for step in steps if step.permit] == ["DEFAULT"]


def test_border_is_refused_in_words() -> None:
    with pytest.raises(NotRenderedError, match=r"border-1 is the border.*os_family be debian"):
        rendered(LAB_HOSTS["border-1"], VRP)
