"""Does the audit find each deviation from the plan, in its family, and nothing else? On what real hosts said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from checks.extranet.run import evaluate, expectation
from checks.record import Status, exit_code
from checks.security.run import NotCollected
from inventories.records import Family, OperatingSystemFamily

from .city import Captures, captures, findings, planned, records, replaced, said, streams, taken

Break = Callable[[Captures], Captures]

CLOUD = {Family.IPV4: "198.18.136.130/32", Family.IPV6: "2001:db8:302::2/128"}


def remote(node: str, link: str, family: Family) -> str:
    """The address of the neighbour over a link."""
    return next(n.remote[family] for n in planned().topology.nodes[node].neighbors if n.link == link)


def in_section(node: str, section: str, pattern: str, text: str) -> Break:
    return lambda city: replaced(city, node, section, pattern, text)


def without_session(node: str, address: str) -> Break:
    """A BGP session that is not configured."""

    def change(city: Captures) -> Captures:
        lines = [line for line in city[node]["bgp-sessions"].lines if not line.startswith(f"{address} ")]
        return said(city, node, "bgp-sessions", "\n".join(lines))

    return change


def in_table(node: str, family: Family, change: Callable[[dict[str, Any]], None]) -> Break:
    """Another BGP table: `change` is given its prefixes with their paths."""

    def apply(city: Captures) -> Captures:
        section = f"bgp-{family}"
        table = json.loads("\n".join(city[node][section].lines))
        change(table["routes"])
        return said(city, node, section, json.dumps(table))

    return apply


def in_kernel(node: str, family: Family, change: Callable[[list[dict[str, Any]]], object]) -> Break:
    """Another routing table of the kernel."""

    def apply(city: Captures) -> Captures:
        section = f"routes-{family}"
        routes = json.loads("\n".join(city[node][section].lines))
        change(routes)
        return said(city, node, section, json.dumps(routes))

    return apply


def path(peer: str, *asns: int) -> dict[str, Any]:
    return {"peerId": peer, "path": " ".join(map(str, asns)), "valid": True}


def without(family: Family, prefix: str, peer: str) -> Callable[[dict[str, Any]], None]:
    """A table in which a neighbour does not bring a prefix, and the others' way is used."""

    def change(routes: dict[str, Any]) -> None:
        left = [entry for entry in routes[prefix] if entry["peerId"] != peer]
        assert 0 < len(left) < len(routes[prefix])
        left[0]["bestpath"] = True
        routes[prefix] = left

    return change


V4, V6 = Family.IPV4, Family.IPV6
YUFANG_UP = {family: "198.18.4.6" if family is V4 else "2001:db8:100:1::6" for family in Family}
#: Name, what is broken, and the one finding that has to come of it.
BREAKS: list[tuple[str, Break, tuple[str, str, str, str]]] = [
    (
        "a session that is not established",
        in_section("yufang", "bgp-sessions", r"^(198\S+ bgpState) Established", r"\1 Active"),
        ("yufang", "bgp-sessions", "ipv4", "not_established"),
    ),
    (
        "the same over IPv6",
        in_section("yufang", "bgp-sessions", r"^(2001\S+ bgpState) Established", r"\1 Idle"),
        ("yufang", "bgp-sessions", "ipv6", "not_established"),
    ),
    (
        "a neighbour of another AS",
        in_section("cihua", "bgp-sessions", r"^(198\S+ remoteAs) \d+", r"\1 65000"),
        ("cihua", "bgp-sessions", "ipv4", "wrong_asn"),
    ),
    (
        "a session that is not there",
        without_session("yufang", YUFANG_UP[V6]),
        ("yufang", "bgp-sessions", "ipv6", "no_session"),
    ),
    (
        "a session too many",
        in_section("cihua", "bgp-sessions", r"\A", "2001:db8::bad session yes\n"),
        ("cihua", "bgp-sessions", "ipv6", "unknown_session"),
    ),
    (
        "more prefixes than the plan has",
        in_section("yufang", "bgp-sessions", r"^(198\S+ acceptedPrefixCounter) 1$", r"\1 2"),
        ("yufang", "bgp-sessions", "ipv4", "too_many_prefixes"),
    ),
    (
        "no prefix at all",
        in_section("yufang", "bgp-sessions", r"^(2001\S+ acceptedPrefixCounter) 1$", r"\1 0"),
        ("yufang", "bgp-sessions", "ipv6", "no_prefixes"),
    ),
    (
        "a session without a password",
        in_section("core-b", "bgp-sessions", r"^(2001\S+) authenticationEnabled 1\n", ""),
        ("core-b", "bgp-protection", "ipv6", "no_password"),
    ),
    (
        "no limit of prefixes",
        in_section("core-b", "bgp-sessions", r"^198\S+ prefixAllowedMax \d+\n", ""),
        ("core-b", "bgp-protection", "ipv4", "no_limit"),
    ),
    (
        "neighbours from anywhere",
        in_section("core-a", "bgp-sessions", r"^198\S+ externalBgpNbrMaxHopsAway 1\n", ""),
        ("core-a", "bgp-protection", "ipv4", "no_ttl_security"),
    ),
    (
        "BFD that is down",
        in_section("cloud-1", "bfd-sessions", r"^(2001\S+) up ok", r"\1 down control detection time expired"),
        ("cloud-1", "bfd-sessions", "ipv6", "bfd_down"),
    ),
    (
        "no BFD",
        in_section("cloud-1", "bfd-sessions", r"^198\S+ up ok\n", ""),
        ("cloud-1", "bfd-sessions", "ipv4", "no_bfd"),
    ),
    (
        "BFD with a stranger",
        in_section("cloud-1", "bfd-sessions", r"\A", "192.0.2.99 up ok\n"),
        ("cloud-1", "bfd-sessions", "ipv4", "unknown_session"),
    ),
    (
        "a village that brings in the cloud's address",
        in_table("yufang", V6, lambda routes: routes.update({CLOUD[V6]: [path("(unspec)")]})),
        ("yufang", "bgp-routes", "ipv6", "leak"),
    ),
    (
        "a county's part in the core",
        in_table(
            "core-a",
            V4,
            lambda routes: routes.update({"198.18.0.4/32": [path(remote("core-a", "yz-a", V4), 4200000013)]}),
        ),
        ("core-a", "bgp-routes", "ipv4", "leak"),
    ),
    (
        "a county at the province",
        in_table(
            "province-1",
            V6,
            lambda routes: routes.update(
                {
                    "2001:db8:100::/40": [
                        path(remote("province-1", "prov-a", V6), 4200000007, 4200000013),
                        path(remote("province-1", "prov-b", V6), 4200000008, 4200000013, 4200000013),
                    ]
                }
            ),
        ),
        ("province-1", "bgp-routes", "ipv6", "leak"),
    ),
    (
        "more than a default in a township",
        in_table(
            "cihua",
            V4,
            lambda routes: routes.update({CLOUD[V4]: [path(remote("cihua", "cihua-up", V4), 4200000013)]}),
        ),
        ("cihua", "bgp-routes", "ipv4", "leak"),
    ),
    (
        "a default from below",
        in_table(
            "cihua", V6, lambda routes: routes["::/0"].append(path(remote("cihua", "yufang-up", V6), 4200000014))
        ),
        ("cihua", "bgp-routes", "ipv6", "leak"),
    ),
    (
        "a village without a way out",
        in_table("yufang", V4, lambda routes: routes.pop("0.0.0.0/0")),
        ("yufang", "bgp-routes", "ipv4", "missing"),
    ),
    (
        "a county that is gone from the core",
        in_table("core-b", V6, lambda routes: routes.pop("2001:db8:200::/40")),
        ("core-b", "bgp-routes", "ipv6", "missing"),
    ),
    (
        "a route that nobody planned",
        in_kernel("fengcheng", V4, lambda r: r.append({"dst": "10.0.0.0/8", "dev": "fc-a"})),
        ("fengcheng", "kernel-routes", "ipv4", "unknown_route"),
    ),
    (
        "a way that nobody planned",
        in_kernel(
            "client-1", V6, lambda r: r.append({"dst": "default", "gateway": "2001:db8:ff00::1", "dev": "mgmt0"})
        ),
        ("client-1", "kernel-routes", "ipv6", "wrong_way"),
    ),
    (
        "packets thrown away",
        in_kernel("fengcheng", V6, lambda r: r.append({"type": "blackhole", "dst": CLOUD[V6]})),
        ("fengcheng", "kernel-routes", "ipv6", "wrong_way"),
    ),
    (
        "a host without a way out",
        in_kernel("client-2", V4, lambda r: r.remove(next(x for x in r if x["dst"] == "default"))),
        ("client-2", "kernel-routes", "ipv4", "not_installed"),
    ),
    (
        "a route that BGP has and the kernel has not",
        in_kernel("core-a", V6, lambda r: r.remove(next(x for x in r if x["dst"] == "2001:db8:200::/40"))),
        ("core-a", "kernel-routes", "ipv6", "not_installed"),
    ),
    (
        "a prefix over one plane",
        in_table("yuanzhou", V6, without(V6, CLOUD[V6], "2001:db8:0:1::1e")),
        ("yuanzhou", "planes", "ipv6", "one_plane"),
    ),
    (
        "both planes, one in use",
        in_table("cloud-1", V4, lambda routes: [p.pop("multipath", 0) for p in routes["0.0.0.0/0"]] and None),
        ("cloud-1", "planes", "ipv4", "not_shared"),
    ),
    (
        "a private network with another's number",
        in_section("yufang", "private-networks", r'"id":1001', '"id":1002'),
        ("yufang", "private-networks", "ipv4", "wrong_overlay"),
    ),
    (
        "a private network's site that is gone",
        in_section(
            "yufang", "private-networks", r'\{"dst":"3fff:100:0:2::/64"[^}]*\},', ""
        ),
        ("yufang", "private-networks", "ipv6", "not_installed"),
    ),
    (
        "a private network that knows a way elsewhere",
        in_section(
            "fengcheng",
            "private-networks",
            r'^(vpn-health ipv4 \[)',
            r'\1{"dst":"198.18.0.0/15","gateway":"198.51.100.34","dev":"lan-health"},',
        ),
        ("fengcheng", "private-networks", "ipv4", "unknown_route"),
    ),
    (
        "a host that does not answer",
        in_section("client-1", "extranet-reach", r"^(2001:db8:302::2 -) answered", r"\1 silent"),
        ("cloud-1", "reach@client-1", "ipv6", "unreachable"),
    ),
    (
        "a private network's host that answers the public zone",
        in_section("client-1", "extranet-reach", r"^(3fff:100:0:1::2 -) silent", r"\1 answered"),
        ("health-1", "no-way-across@client-1", "ipv6", "reachable"),
    ),
    (
        "a private network's host that answers another network",
        in_section("civil-1", "extranet-reach", r"^(3fff:100:0:1::2 -) silent", r"\1 answered"),
        ("health-1", "no-way-across@civil-1", "ipv6", "reachable"),
    ),
    (
        "the internet comes in",
        in_section("internet-1", "extranet-reach", r"^(198.18.128.1 -) silent", r"\1 answered"),
        ("core-a", "no-way-in@internet-1", "ipv4", "reachable"),
    ),
    (
        "a management address over the extranet",
        in_section("client-1", "extranet-reach", r"^(198\.19\.\S+\.7 yufang-c1) silent", r"\1 answered"),
        ("core-a", "no-management@client-1", "ipv4", "reachable"),
    ),
    (
        "probes that were not made",
        in_section("client-1", "extranet-reach", r"^2001:db8:302::2 - answered\n", ""),
        ("cloud-1", "reach@client-1", "ipv6", "no_answer_known"),
    ),
    (
        "a table that cannot be read",
        in_section("client-1", "routes-ipv6", r"\]$", ""),
        ("client-1", "kernel-routes", "ipv6", "unreadable"),
    ),
]  # fmt: skip


def test_a_city_that_is_well_gives_no_finding() -> None:
    found = records(captures(), planned().cases)
    assert [record for record in found if record.status is not Status.PASS] == []
    assert exit_code(found) == 0
    series = {(record.subject, record.check, record.family) for record in found}
    assert len(series) == len(found)


@pytest.mark.parametrize(("broken", "finding"), [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS])
def test_one_deviation_is_one_finding(broken: Break, finding: tuple[str, str, str, str]) -> None:
    found = findings(broken(captures()))
    if finding[3] == "wrong_overlay":  # an overlay carries both families
        assert found == [finding, (finding[0], finding[1], "ipv6", finding[3])]
    else:
        assert found == [finding]


def test_evidence_names_prefix_node_and_plane() -> None:
    change = in_table("yuanzhou", V6, without(V6, CLOUD[V6], "2001:db8:0:1::1e"))
    (record,) = [record for record in records(change(captures())) if record.status is Status.FAIL]
    assert record.evidence == (
        "yuanzhou: 2001:db8:302::2/128 comes over plane A only, not over plane B (core-b over yz-b)"
    )


def test_a_router_whose_bgp_is_dead() -> None:
    """The host answers: that is a finding at the sessions, and what cannot be said of the rest is not claimed."""
    city = captures()
    for section in ("bgp-sessions", "bfd-sessions", "bgp-ipv4", "bgp-ipv6"):
        said(city, "yufang", section, "bgpd is not running", 1)
    found = [record for record in records(city) if record.status is not Status.PASS]
    assert {(r.subject, r.check, r.status) for r in found} == {
        ("yufang", "bgp-sessions", Status.FAIL),
        ("yufang", "bfd-sessions", Status.FAIL),
        ("yufang", "bgp-protection", Status.NOT_APPLICABLE),
        ("yufang", "bgp-routes", Status.NOT_APPLICABLE),
    }


def test_a_plane_that_is_down_is_said_once_a_family() -> None:
    city = captures()
    for family in Family:
        address = remote("fengcheng", "fc-a", family)
        replaced(
            city, "fengcheng", "bgp-sessions", rf"^({re.escape(address)} bgpState) Established", r"\1 Active"
        )
    assert findings(city) == [
        ("fengcheng", "bgp-sessions", "ipv4", "not_established"),
        ("fengcheng", "planes", "ipv4", "plane_down"),
        ("fengcheng", "bgp-sessions", "ipv6", "not_established"),
        ("fengcheng", "planes", "ipv6", "plane_down"),
    ]


def test_a_host_that_cannot_be_asked_is_an_error_and_never_a_pass() -> None:
    city: dict[str, Any] = dict(captures())
    city["client-1"] = NotCollected("timeout", "client-1: no end within 60 s")
    found = records(city)
    lost = [record for record in found if record.status is Status.ERROR]
    assert exit_code(found) == 1
    assert {record.reason for record in lost} == {"timeout"}
    assert {record.check for record in lost if record.subject == "client-1"} >= {"kernel-routes"}
    assert not [r for r in found if r.check.endswith("@client-1") and r.status is not Status.ERROR]
    from_there = [case for case in planned().cases if case.source == "client-1"]
    assert {r.status for r in records(city, from_there) if r.check == "policy@client-1"} == {Status.ERROR}


def test_a_router_that_is_no_linux_is_audited_by_its_neighbours() -> None:
    """No collector runs there: nothing is claimed of it, and what its neighbours say of their sessions counts."""
    city = planned().city
    router = structs.replace(city.nodes["yuanzhou"], os_family=OperatingSystemFamily.VRP)
    expected = expectation(structs.replace(city, nodes={**city.nodes, "yuanzhou": router}), taken())
    assert "yuanzhou" not in expected.requests()
    said_by = captures()
    del said_by["yuanzhou"]
    # Another county is the vantage now, whose capture has no probes.
    found = [r for r in evaluate(expected, said_by) if not r.check.endswith("@fengcheng")]
    others = [record for record in found if record.status is not Status.PASS]
    assert {(record.status, record.reason) for record in others} == {(Status.NOT_APPLICABLE, "no_linux")}
    assert {r.check for r in others if r.subject == "yuanzhou"} >= {"bgp-sessions", "kernel-routes", "planes"}
    assert ("cloud-1", "policy@client-1") in {(r.subject, r.check) for r in others}, "it is on the way there"
    replaced(
        said_by,
        "core-a",
        "bgp-sessions",
        r"^198.18.130.29 bgpState Established",
        "198.18.130.29 bgpState Idle",
    )
    broken = [record for record in evaluate(expected, said_by) if record.status is Status.FAIL]
    assert [(record.subject, record.reason) for record in broken] == [("core-a", "not_established")]


def test_the_captures_hold_no_secret() -> None:
    """Session passwords are 32 characters of base32; the collector prints none, and nothing that looks like one."""
    for node, stream in streams().items():
        assert "password" not in stream, node
        assert not re.search(r"\b[a-z2-7]{32}\b", stream), node
