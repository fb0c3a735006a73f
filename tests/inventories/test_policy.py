"""Does a policy mean the same in both families, and do the compiled rules do what the policy says?"""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventories.hosts import has_lan
from inventories.policy.points import (
    EdgeRule,
    rules_for_host,
    rules_for_lan,
    rules_from_zone,
    rules_to_internet,
)
from inventories.policy.records import Action, PolicyRule
from inventories.policy.resolve import INTERNET, PUBLIC, ResolvedPolicy, end_of, resolve
from inventories.policy.spans import difference, everything, from_prefixes, intersection, to_prefixes, union
from inventories.policy.verdict import WITHIN_NETWORK, Flow, decide, evaluate
from inventories.records import Family, NodeRole

from .policies import (
    DESTINATIONS,
    ENDED,
    LASTING,
    PORTS,
    RULES,
    SOURCES,
    TODAY,
    ends,
    lab,
    policy_of,
    rule,
    walk,
)

ZONE = ZoneInfo("Asia/Shanghai")
NOON = int(datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=ZONE).timestamp())
QUESTIONS = [("tcp", port) for port in PORTS] + [("udp", port) for port in PORTS]
HOSTS = ("cloud-1", "ops-1", "core-a", "client-1", "offsite-1")
SMALL = st.sets(st.integers(0, 60))


def expected(
    resolved: ResolvedPolicy, source: str, destination: str, protocol: str, port: int
) -> dict[Family, str]:
    """The rule that lets a connection pass, by family; empty where it is denied."""
    found = {}
    for family in Family:
        addresses = ends()[source][family], ends()[destination][family]
        verdict = evaluate(resolved, *addresses, protocol, port, TODAY)
        found[family] = verdict.rule.id if verdict.allowed and verdict.rule else verdict.built_in
    return found


def zone_of(resolved: ResolvedPolicy, end: str) -> str:
    if end in resolved.host_zones:
        return resolved.host_zones[end]
    return {"somewhere": INTERNET, "management": "management"}.get(end, PUBLIC)


@settings(max_examples=80, deadline=None)
@given(rules=RULES, data=st.data())
def test_both_families_have_one_verdict(rules: list[PolicyRule], data: st.DataObject) -> None:
    resolved = policy_of(rules)
    destination = data.draw(st.sampled_from(sorted(ends())))
    for source in ends():
        if zone_of(resolved, source).startswith("network:") or zone_of(resolved, destination).startswith(
            "network:"
        ):
            continue  # a private network's hosts: the next test
        for protocol, port in QUESTIONS:
            verdicts = expected(resolved, source, destination, protocol, port)
            assert verdicts[Family.IPV4] == verdicts[Family.IPV6], (source, destination, protocol, port)


@settings(max_examples=30, deadline=None)
@given(rules=RULES)
def test_a_private_network_has_one_verdict_though_ipv4_is_translated(rules: list[PolicyRule]) -> None:
    resolved = policy_of(rules)
    for source in ("health-1", "civil-2"):
        for destination in (*HOSTS, "internet-1", "somewhere"):
            for protocol, port in QUESTIONS:
                verdicts = expected(resolved, source, destination, protocol, port)
                assert verdicts[Family.IPV4] == verdicts[Family.IPV6], (source, destination, protocol, port)


@settings(max_examples=60, deadline=None)
@given(rules=RULES, host=st.sampled_from(HOSTS))
def test_a_host_s_rules_do_what_the_policy_says(rules: list[PolicyRule], host: str) -> None:
    resolved = policy_of(rules)
    compiled = rules_for_host(resolved, host)
    assert_same(resolved, compiled, list(ends()), [host])


@settings(max_examples=40, deadline=None)
@given(rules=RULES)
def test_the_rules_before_a_lan_do_what_the_policy_says(rules: list[PolicyRule]) -> None:
    resolved = policy_of(rules)
    assert_same(resolved, rules_for_lan(resolved, "360902105201"), list(ends()), ["client-1"])


@settings(max_examples=40, deadline=None)
@given(rules=RULES)
def test_the_border_s_rules_do_what_the_policy_says(rules: list[PolicyRule]) -> None:
    resolved = policy_of(rules)
    inside = [end for end in ends() if zone_of(resolved, end) == PUBLIC]
    outside = ["somewhere", "internet-1"]
    assert_same(resolved, rules_from_zone(resolved, INTERNET), outside, inside)
    assert_same(resolved, rules_from_zone(resolved, "network:health"), ["health-1"], [*inside, *outside])
    assert_same(resolved, rules_from_zone(resolved, "network:civil"), ["civil-1"], [*inside, *outside])
    assert_same(resolved, rules_to_internet(resolved), [*inside, "health-2", "civil-1"], outside)


def assert_same(
    resolved: ResolvedPolicy, compiled: tuple[EdgeRule, ...], sources: list[str], destinations: list[str]
) -> None:
    for source in sources:
        for destination in destinations:
            for protocol, port in QUESTIONS:
                want = expected(resolved, source, destination, protocol, port)
                for family in Family:
                    addresses = ends()[source][family], ends()[destination][family]
                    got = walk(compiled, family, *addresses, protocol, port, NOON)
                    assert got == want[family], (source, destination, protocol, port, family)


@pytest.mark.parametrize("selector", SOURCES)
def test_every_selector_has_both_families_or_none(selector: str) -> None:
    resolved = policy_of([rule("r", [selector], DESTINATIONS)])
    addresses = resolved.selectors[selector, True]
    assert bool(addresses[Family.IPV4]) == bool(addresses[Family.IPV6])


def test_zones_are_apart_and_complete() -> None:
    resolved = policy_of([])
    for family in Family:
        zones = [resolved.zones[zone][family] for zone in (PUBLIC, INTERNET, "management", "network:health")]
        zones.append(union(*(shows[family] for shows in resolved.crossing.values())))
        for number, zone in enumerate(zones):
            for other in zones[number + 1 :]:
                both = intersection(zone, other)
                assert not both or family is Family.IPV6  # there a network shows itself
        assert union(*zones, resolved.zones["network:civil"][family]) == everything(family)


def test_what_only_looks_like_the_public_zone_is_not_in_it() -> None:
    """Management and translated addresses lie within the city's IPv4 prefix; in IPv6 they may not."""
    resolved = policy_of([rule("all", ["public"], ["public"])])
    _, plan = lab()
    crossing = str(plan.crossing("health", Family.IPV4)[1])
    cloud = str(plan.host("cloud-1", Family.IPV4))
    assert evaluate(resolved, str(plan.host("client-1", Family.IPV4)), cloud, "tcp", 80).allowed
    assert not evaluate(resolved, crossing, cloud, "tcp", 80).allowed
    assert not evaluate(resolved, str(plan.management("ops-1", Family.IPV4)), cloud, "tcp", 80).allowed


def test_within_a_private_network_no_rule_is_asked() -> None:
    resolved = policy_of([rule("no", ["public", "internet"], ["public"], action=Action.DENY)])
    _, plan = lab()
    own = {node: {f: str(plan.host(node, f)) for f in Family} for node in ("health-1", "health-2", "civil-2")}
    for family in Family:
        verdict = evaluate(
            resolved, own["health-1"][family], own["health-2"][family], "tcp", 22, network="health"
        )
        assert verdict == (True, None, WITHIN_NETWORK)
    assert not evaluate(
        resolved, own["health-1"][Family.IPV6], own["civil-2"][Family.IPV6], "tcp", 22
    ).allowed


def test_two_networks_with_one_range_have_to_be_told_apart() -> None:
    resolved = policy_of([rule("health", ["network:health"], ["role:cloud"])])
    _, plan = lab()
    own, cloud = (str(plan.host(node, Family.IPV4)) for node in ("health-1", "cloud-1"))
    with pytest.raises(ValueError, match="health, civil: say which"):
        evaluate(resolved, own, cloud, "tcp", 80)
    assert evaluate(resolved, own, cloud, "tcp", 80, network="health").allowed
    assert not evaluate(resolved, own, cloud, "tcp", 80, network="civil").allowed
    with pytest.raises(ValueError, match="not of one address family"):
        evaluate(resolved, own, "2001:db8::1", "tcp", 80)


def test_a_city_without_policy_allows_nothing() -> None:
    city, plan = lab()
    resolved = resolve(msgspec.structs.replace(city, policy=None), plan)
    assert not any(rules_for_host(resolved, node) for node in city.nodes)


def test_a_rule_ends_with_the_last_second_of_its_day_in_the_city() -> None:
    end = end_of(LASTING, "Asia/Shanghai")
    assert end is not None
    assert datetime.fromtimestamp(end, ZONE) == datetime(2100, 1, 1, tzinfo=ZONE)
    assert end_of(None, "Asia/Shanghai") is None
    resolved = policy_of([rule("r", ["public"], ["role:cloud"], until=ENDED)])
    address = ends()["client-1"][Family.IPV6], ends()["cloud-1"][Family.IPV6]
    assert evaluate(resolved, *address, "tcp", 80, ENDED).allowed
    assert not evaluate(resolved, *address, "tcp", 80, ENDED + timedelta(days=1)).allowed


def test_hosts_of_private_networks_get_no_rules_and_the_border_s_lan_is_no_selector() -> None:
    resolved = policy_of([rule("r", ["public"], ["public", "site:border", "role:client"])])
    assert rules_for_host(resolved, "health-1") == ()
    assert rules_for_lan(resolved, "border") == ()
    addresses = resolved.selectors["site:border", False]
    assert addresses == resolved.hosts["border-1"]


def test_a_site_s_selector_holds_its_lan_and_its_routers() -> None:
    city, plan = lab()
    for site in city.sites.values():
        resolved = policy_of([rule("r", [f"below:{site.id}"], ["public"], ["web"])])
        for node in city.nodes.values():
            if node.site != site.id or resolved.host_zones[node.id] != PUBLIC:
                continue
            for family in Family:
                assert not difference(resolved.hosts[node.id][family], resolved.rules[0].sources[family])
                if has_lan(city, node) and node.role is NodeRole.ROUTER and site.role != "border":
                    lan = from_prefixes([str(plan.lan(site.id, family))])
                    assert not difference(lan, resolved.rules[0].sources[family])


@given(SMALL, SMALL)
def test_spans_are_sets(one: set[int], other: set[int]) -> None:
    def spans(numbers: set[int]) -> tuple[tuple[int, int], ...]:
        return union((number, number) for number in numbers)

    assert union(spans(one), spans(other)) == spans(one | other)
    assert intersection(spans(one), spans(other)) == spans(one & other)
    assert difference(spans(one), spans(other)) == spans(one - other)
    prefixes = to_prefixes(spans(one), Family.IPV4)
    assert from_prefixes(prefixes) == spans(one)
    networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
    assert networks == list(ipaddress.collapse_addresses(networks))


@settings(max_examples=30, deadline=None)
@given(rules=RULES)
def test_deciding_about_many_is_deciding_about_each(rules: list[PolicyRule]) -> None:
    resolved = policy_of(rules)
    for family in Family:
        zones = resolved.zones[PUBLIC][family], resolved.zones[INTERNET][family]
        flow = Flow(union(*zones), union(*zones), ((1, 65535),))
        parts = decide(resolved.rules, family, "tcp", flow, TODAY)
        for source in ("client-1", "core-a", "somewhere"):
            for destination in HOSTS:
                for port in PORTS:
                    pair = [from_prefixes([ends()[end][family]])[0][0] for end in (source, destination)]
                    [part] = [
                        part
                        for part in parts
                        if all(
                            intersection(((number, number),), numbers)
                            for number, numbers in zip([*pair, port], part.flow, strict=True)
                        )
                    ]
                    verdict = evaluate(
                        resolved, ends()[source][family], ends()[destination][family], "tcp", port, TODAY
                    )
                    assert part.rule is verdict.rule
