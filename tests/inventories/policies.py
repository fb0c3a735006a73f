"""Policies for tests: random ones for the lab's city, and a small independent interpreter of compiled rules."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path

import msgspec
from hypothesis import strategies as st

from inventories.load import load_city
from inventories.plan import AddressPlan, build_plan
from inventories.policy.points import AddressMatch, EdgeRule
from inventories.policy.records import Action, Policy, PolicyRule, PolicyService
from inventories.policy.resolve import ResolvedPolicy, resolve
from inventories.records import City, Family

LAB = Path(__file__).parents[2] / "inventories" / "lab"
#: The day of the tests' questions; some rules of random policies have ended before it, some end later.
TODAY = date(2027, 6, 15)
ENDED, LASTING = date(2026, 1, 31), date(2099, 12, 31)

SERVICES = {
    "web": PolicyService(id="web", tcp=(80, 443)),
    "dns": PolicyService(id="dns", tcp=(53,), udp=(53,)),
    "range": PolicyService(id="range", tcp=("8000-8099",), udp=(53, "8090-8100")),
}
PORTS = (53, 80, 443, 8000, 8095, 8100, 9)
ANYWHERE = (
    "public", "internet", "role:cloud", "role:client", "role:router", "below:360902", "below:360902105", "site:360981",
    "site:360902105201", "site:offsite-pingxiang", "site:border", "node:ops-1", "node:client-1", "node:cloud-1",
    "node:internet-1", "system:gov-data-portal", "system:egov-extranet",
)  # fmt: skip
SOURCES = (*ANYWHERE, "network:health", "network:civil", "unit:health-commission")
DESTINATIONS = (*ANYWHERE, "unit:data-bureau", "unit:approval-bureau")
#: An end of a connection in both families, as the other end sees it; private networks show something else in IPv4.
Ends = dict[str, dict[Family, str]]


@cache
def lab() -> tuple[City, AddressPlan]:
    """The lab's city and its plan."""
    city = load_city(LAB)
    return city, build_plan(city)


def policy_of(rules: Sequence[PolicyRule]) -> ResolvedPolicy:
    """These rules, with the services above, in the lab's city."""
    city, plan = lab()
    policy = Policy(services=SERVICES, rules={rule.id: rule for rule in rules})
    return resolve(msgspec.structs.replace(city, policy=policy), plan)


def rule(
    id: str,
    sources: Sequence[str],
    destinations: Sequence[str],
    services: Sequence[str] = ("web",),
    action: Action = Action.ALLOW,
    until: date | None = None,
) -> PolicyRule:
    """A rule, with an owner and a reason."""
    return PolicyRule(
        id=id,
        sources=tuple(sources),
        destinations=tuple(destinations),
        services=tuple(services),
        action=action,
        owner="data-bureau",
        reason="试验",
        until=until,
    )


def some(choices: Sequence[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(choices), min_size=1, max_size=3, unique=True)


RULES = st.lists(
    st.builds(
        rule,
        id=st.just(""),
        sources=some(SOURCES),
        destinations=some(DESTINATIONS),
        services=some(list(SERVICES)),
        action=st.sampled_from(list(Action)),
        until=st.sampled_from([None, None, ENDED, LASTING, TODAY]),
    ),
    max_size=7,
).map(lambda rules: [msgspec.structs.replace(rule, id=f"r{n}") for n, rule in enumerate(rules)])


@cache
def ends() -> Ends:
    """Every node of the lab as others see it, the networks', and addresses that are nobody's."""
    resolved = policy_of([])
    found: Ends = {
        "somewhere": {Family.IPV4: "8.8.8.8", Family.IPV6: "2400:3200::1"},
        "nowhere-in-the-city": {Family.IPV4: "198.18.99.99", Family.IPV6: "2001:db8:9999::9"},
        "province": {Family.IPV4: "192.0.2.200", Family.IPV6: "3fff:360::200"},
        "management": {Family.IPV4: "198.19.240.9", Family.IPV6: "2001:db8:ff00::9"},
    }
    for node, addresses in resolved.hosts.items():
        zone = resolved.host_zones[node]
        shows = resolved.crossing[zone.partition(":")[2]] if zone.startswith("network:") else addresses
        found[node] = {
            family: str(ipaddress.ip_address(shows[family][0][0]))
            if family is Family.IPV4
            else str(ipaddress.IPv6Address(addresses[family][0][0]))
            for family in Family
        }
    return found


def matches(match: AddressMatch, family: Family, address: str) -> bool:
    """Whether a compiled match holds an address."""
    inside = any(
        ipaddress.ip_address(address) in ipaddress.ip_network(prefix) for prefix in match.prefixes[family]
    )
    return inside != match.negated


def walk(
    rules: Sequence[EdgeRule],
    family: Family,
    source: str,
    destination: str,
    protocol: str,
    port: int,
    now: int,
) -> str:
    """The id of the compiled rule that lets a connection pass; empty where it is denied."""
    for edge in rules:
        if (
            edge.protocol == protocol
            and any(first <= port <= last for first, last in edge.ports)
            and matches(edge.sources, family, source)
            and matches(edge.destinations, family, destination)
            and (edge.ends is None or now < edge.ends)
        ):
            return edge.rule if edge.action is Action.ALLOW else ""
    return ""
