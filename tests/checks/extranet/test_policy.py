"""Does the audit find each difference between the loaded firewalls and the policy, in its family, and nothing else?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from checks.extranet.policy import Case
from checks.record import Status
from inventories.policy.verdict import WITHIN_NETWORK
from inventories.records import Family

from .city import Captures, captures, findings, planned, records, said

Rule = list[dict[str, Any]]
Break = Callable[[Captures], Captures]

IPV6 = {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv6"}}
IPV4 = {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}}


def tcp(port: int) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": port}}


def cases(source: str, destination: str) -> list[Case]:
    found = [c for c in planned().cases if (c.source, c.destination) == (source, destination)]
    assert found, f"nothing is tried from {source} to {destination}"
    return found


def inserted(text: str, chain: str, rule: Rule) -> str:
    """A ruleset with a rule at the head of a chain of the table `inet jizuo`."""
    ruleset = json.loads(text)
    place = {"family": "inet", "table": "jizuo", "chain": chain}
    objects = ruleset["nftables"]
    assert any(o.get("chain", {}).get("name") == chain for o in objects), f"no chain {chain}"
    first = next((i for i, o in enumerate(objects) if "rule" in o), len(objects))
    objects.insert(first, {"rule": {**place, "comment": "forgotten", "expr": rule}})
    return json.dumps(ruleset)


def with_rule(node: str, chain: str, *rule: dict[str, Any]) -> Break:
    def change(city: Captures) -> Captures:
        text = "\n".join(city[node]["nftables"].lines)
        return said(city, node, "nftables", inserted(text, chain, list(rule)))

    return change


def with_rule_in_network(node: str, network: str, chain: str, *rule: dict[str, Any]) -> Break:
    def change(city: Captures) -> Captures:
        head = f"vpn-{network} nftables "
        lines = [
            head + inserted(line.removeprefix(head), chain, list(rule)) if line.startswith(head) else line
            for line in city[node]["private-networks"].lines
        ]
        assert lines != list(city[node]["private-networks"].lines)
        return said(city, node, "private-networks", "\n".join(lines))

    return change


ACCEPT, DROP = {"accept": None}, {"drop": None}

BREAKS: list[tuple[str, Break, tuple[str, str], tuple[str, str, str, str]]] = [
    (
        "a door that the policy does not know",
        with_rule("cloud-1", "input", IPV6, tcp(22), ACCEPT),
        ("client-1", "cloud-1"),
        ("cloud-1", "policy@client-1", "ipv6", "open"),
    ),
    (
        "a door that the policy opens and that is shut",
        with_rule("cloud-1", "input", IPV4, tcp(80), DROP),
        ("client-1", "cloud-1"),
        ("cloud-1", "policy@client-1", "ipv4", "shut"),
    ),
    (
        "a router on the way that knows better",
        with_rule("yuanzhou", "forward", IPV6, tcp(53), DROP),
        ("client-1", "ops-1"),
        ("ops-1", "policy@client-1", "ipv6", "shut"),
    ),
    (
        "a rule of the policy that denies, and is not there",
        with_rule("xinchuang-1", "input", IPV6, tcp(80), ACCEPT),
        ("client-2", "xinchuang-1"),
        ("xinchuang-1", "policy@client-2", "ipv6", "open"),
    ),
    (
        "a hole in the border, with the host's own firewall behind it",
        with_rule("border-1", "from_internet", IPV4, tcp(9090), ACCEPT),
        ("internet-1", "ops-1"),
        ("ops-1", "policy@internet-1", "ipv4", "unguarded"),
    ),
    (
        "a hole before a LAN",
        with_rule("yufang", "to_lan", IPV6, tcp(22), ACCEPT),
        ("cloud-1", "client-1"),
        ("client-1", "policy@cloud-1", "ipv6", "unguarded"),
    ),
    (
        "a private network that may go where it may not",
        with_rule("border-1", "from_civil", IPV6, tcp(53), ACCEPT),
        ("civil-1", "ops-1"),
        ("ops-1", "policy@civil-1", "ipv6", "unguarded"),
    ),
    (
        "a private network that is cut off from what it may reach",
        with_rule_in_network("border-1", "health", "forward", IPV4, DROP),
        ("health-1", "cloud-1"),
        ("cloud-1", "policy@health-1", "ipv4", "shut"),
    ),
    (
        "a private network's hosts that cannot talk to each other",
        with_rule_in_network("fengcheng", "health", "forward", IPV6, DROP),
        ("health-1", "health-2"),
        ("health-2", "policy@health-1", "ipv6", "shut"),
    ),
    (
        "a rule that nobody can judge",
        with_rule(
            "cloud-1",
            "input",
            IPV6,
            {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}},
            ACCEPT,
        ),
        ("client-1", "cloud-1"),
        ("cloud-1", "policy@client-1", "ipv6", "unknown_rule"),
    ),
]


def of_policy(city: Captures, tried: Sequence[Case]) -> list[tuple[str, str, str, str]]:
    return [finding for finding in findings(city, tried) if finding[1].startswith("policy@")]


@pytest.mark.parametrize(("broken", "pair", "finding"), [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS])
def test_one_difference_is_one_finding(
    broken: Break, pair: tuple[str, str], finding: tuple[str, str, str, str]
) -> None:
    tried = cases(*pair)
    assert findings(captures(), tried) == []
    assert of_policy(broken(captures()), tried) == [finding]


def test_translation_is_followed() -> None:
    """Without it a department's own IPv4 source comes to the border, which refuses it as spoofed."""
    city = captures()
    lines = [
        line.replace('"snat": {"family": "ip", "addr"', '"log": {"family": "ip", "addr"')
        for line in city["border-1"]["private-networks"].lines
    ]
    assert lines != list(city["border-1"]["private-networks"].lines)
    said(city, "border-1", "private-networks", "\n".join(lines))
    assert of_policy(city, cases("health-1", "cloud-1")) == [
        ("cloud-1", "policy@health-1", "ipv4", "shut"),
    ]


def test_evidence_names_the_ports_the_source_and_the_rule() -> None:
    city = with_rule("cloud-1", "input", IPV4, tcp(80), DROP)(captures())
    (record,) = [r for r in records(city, cases("client-1", "cloud-1")) if r.status is Status.FAIL]
    assert record.evidence == (
        "cloud-1: tcp/80 from 198.18.16.98 (client-1): ends at cloud-1, chain input (forgotten); "
        "the policy allows it (public-systems)"
    )


def test_every_rule_of_the_policy_and_both_answers_are_tried() -> None:
    verdicts = [each.verdict for case in planned().cases for each in case.tries]
    policy = planned().city.policy
    assert policy is not None
    assert {v.rule.id for v in verdicts if v.rule} == set(policy.rules)
    assert {v.built_in for v in verdicts} == {"", WITHIN_NETWORK}
    for family in Family:
        tried = [e.verdict for c in planned().cases for e in c.tries if e.family is family]
        assert {v.allowed for v in tried} == {True, False}


def test_a_host_without_a_firewall() -> None:
    city = said(captures(), "client-1", "nftables", '{"nftables": []}')
    assert findings(city) == [
        ("client-1", "firewall", "ipv4", "no_firewall"),
        ("client-1", "firewall", "ipv6", "no_firewall"),
    ]


def test_management_that_passes_into_the_extranet() -> None:
    come = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "mgmt0"}}
    city = with_rule("core-a", "forward", IPV6, come, ACCEPT)(captures())
    assert findings(city) == [("core-a", "firewall", "ipv6", "not_apart")]


def test_a_private_network_whose_hosts_may_lie() -> None:
    city = with_rule_in_network("yufang", "health", "forward", IPV4, ACCEPT)(captures())
    assert findings(city) == [("yufang", "firewall", "ipv4", "spoofable")]


def test_a_host_that_shows_no_rules() -> None:
    city = said(captures(), "client-1", "nftables", "nft: command not found", 127)
    assert {finding[1:] for finding in findings(city)} == {
        ("firewall", "ipv4", "unreadable"),
        ("firewall", "ipv6", "unreadable"),
    }
