"""Does the linter find what is doubtful in a policy, and nothing in one that is well?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from inventories.load import load_city
from inventories.plan import build_plan
from inventories.policy.lint import Finding, Severity, lint
from inventories.policy.records import Action, Policy, PolicyRule
from inventories.policy.resolve import resolve
from inventories.policy.verdict import evaluate, holds
from inventories.records import City, Family, NetworkZone

from .policies import ENDED, LASTING, RULES, SERVICES, TODAY, ends, lab, policy_of, rule

YICHUN = Path(__file__).parents[2] / "inventories" / "yichun"
DENY = Action.DENY


def city_with_published_service() -> City:
    """The lab's city, its service site published to the internet."""
    city, _ = lab()
    system = msgspec.structs.replace(city.systems["yichun-gov-service-net"], network=NetworkZone.INTERNET)
    return msgspec.structs.replace(city, systems={**city.systems, system.id: system})


def findings(rules: Sequence[PolicyRule], at: date = TODAY) -> list[Finding]:
    """What is found about rules; unused services are left out, for these policies name few."""
    city, plan = city_with_published_service(), lab()[1]
    lines = {one.id: number for number, one in enumerate(rules, 1)}
    policy = Policy(services=SERVICES, rules={one.id: one for one in rules}, lines=lines)
    found = lint(city, resolve(msgspec.structs.replace(city, policy=policy), plan), at)
    return [finding for finding in found if finding.rule]


def names(rules: Sequence[PolicyRule], at: date = TODAY) -> list[tuple[str, str, Severity]]:
    return [(finding.rule, finding.check, finding.severity) for finding in findings(rules, at)]


WELL = [
    rule("no", ["site:offsite-pingxiang"], ["system:collab-office"], action=DENY),
    rule("web", ["public"], ["role:cloud"]),
    rule("in", ["internet"], ["system:yichun-gov-service-net"], until=LASTING),
    rule("health", ["network:health"], ["system:gov-data-portal"]),
    rule("names", ["public"], ["role:operations"], ["dns"]),
]


def test_nothing_is_found_in_a_policy_that_is_well() -> None:
    assert findings(WELL) == []


def test_nothing_is_found_in_yichun_s() -> None:
    city = load_city(YICHUN)
    assert lint(city, resolve(city, build_plan(city)), TODAY) == []


@pytest.mark.parametrize(
    ("rules", "check", "severity", "words"),
    [
        (
            [rule("a", ["public"], ["role:cloud"]), rule("z", ["role:client"], ["node:cloud-1"])],
            "shadowed", Severity.WARNING, "the same way, by a (line 1)",
        ),
        (
            [rule("a", ["public"], ["role:cloud"], action=DENY), rule("z", ["public"], ["node:cloud-1"])],
            "shadowed", Severity.ERROR, "never decides: all that it matches is decided before it by a (line 1)",
        ),
        (
            [
                rule("a", ["public"], ["node:cloud-1"]),
                rule("b", ["public"], ["node:xinchuang-1"]),
                rule("z", ["node:client-1"], ["role:cloud"]),
            ],
            "shadowed", Severity.WARNING, "jointly by a (line 1), b (line 2)",
        ),
        (
            [
                rule("a", ["below:360902"], ["role:cloud"], ["web"]),
                rule("b", ["below:360902"], ["role:cloud"], ["dns"], DENY),
                rule("z", ["node:client-1"], ["role:cloud"], ["dns", "web"]),
            ],
            "shadowed", Severity.ERROR, "jointly by a (line 1), b (line 2)",
        ),
        (
            [rule("a", ["public"], ["role:cloud"]), rule("z", ["public"], ["role:cloud"])],
            "duplicate", Severity.WARNING, "the same as a in line 1",
        ),
        (
            [rule("z", ["public"], ["role:cloud"], until=TODAY - timedelta(days=1))],
            "expired", Severity.WARNING, "ended with 2027-06-14",
        ),
        (
            [rule("z", ["public"], ["role:cloud"], until=TODAY + timedelta(days=30))],
            "expiring", Severity.NOTICE, "ends in 30 days",
        ),
        ([rule("z", ["unit:data-bureau"], ["role:cloud"])], "unused", Severity.WARNING, "from names unit:data-bureau"),
        (
            [rule("z", ["public"], ["unit:civil-affairs-bureau"])],
            "unused", Severity.WARNING, "to names unit:civil-affairs-bureau",
        ),
        (
            [rule("z", ["internet"], ["system:yichun-gov-service-net"])],
            "no-end-date", Severity.WARNING, "no end",
        ),
        (
            [rule("z", ["internet"], ["role:cloud"], until=LASTING)],
            "over-wide", Severity.WARNING, "the internet reaches xinchuang-1: no system",
        ),
        ([rule("z", ["public"], ["public"])], "over-wide", Severity.WARNING, "everything of the public zone"),
    ],
)  # fmt: skip
def test_each_doubt_is_found(rules: list[PolicyRule], check: str, severity: Severity, words: str) -> None:
    [finding] = findings(rules)
    assert (finding.check, finding.severity, finding.rule, finding.line) == (check, severity, "z", len(rules))
    assert words in finding.why


@pytest.mark.parametrize(
    "rules",
    [
        # The earlier one ends first, covers less of the sources, destinations or ports, or comes after.
        [rule("a", ["public"], ["role:cloud"], until=LASTING), rule("z", ["public"], ["node:cloud-1"])],
        [rule("a", ["role:client"], ["role:cloud"]), rule("z", ["public"], ["node:cloud-1"])],
        [rule("a", ["public"], ["node:cloud-1"]), rule("z", ["public"], ["role:cloud"])],
        [rule("a", ["public"], ["role:cloud"], ["dns"]), rule("z", ["public"], ["role:cloud"], ["range"])],
        [rule("a", ["public"], ["role:cloud"], until=ENDED), rule("z", ["public"], ["role:cloud"])],
    ],
)
def test_what_is_not_covered_is_not_shadowed(rules: list[PolicyRule]) -> None:
    assert "shadowed" not in [check for _, check, _ in names(rules)]
    assert "duplicate" not in [check for _, check, _ in names(rules)]


def test_a_selector_of_one_family_is_an_error() -> None:
    city, plan = lab()
    policy = Policy(services=SERVICES, rules={"z": rule("z", ["network:health"], ["role:cloud"])})
    city = msgspec.structs.replace(city, policy=policy)
    resolved = resolve(city, plan, {"health": {Family.IPV4: "198.18.133.217/32"}})
    [finding] = [finding for finding in lint(city, resolved, TODAY) if finding.rule]
    assert (finding.check, finding.severity) == ("one-family", Severity.ERROR)
    assert "network:health, which stands for ipv4 addresses only" in finding.why


def test_many_ports_from_a_zone_are_too_wide() -> None:
    city, plan = lab()
    services = {"all": msgspec.structs.replace(SERVICES["web"], id="all", tcp=("1-65535",))}
    policy = Policy(services=services, rules={"z": rule("z", ["public"], ["role:cloud"], ["all"])})
    city = msgspec.structs.replace(city, policy=policy)
    [finding] = lint(city, resolve(city, plan), TODAY)
    assert (finding.check, "65535 tcp ports" in finding.why) == ("over-wide", True)


def test_a_service_that_no_rule_names_is_unused() -> None:
    city, plan = lab()
    policy = Policy(services=SERVICES, rules={"z": WELL[1]}, service_lines={"dns": 4, "range": 7})
    city = msgspec.structs.replace(city, policy=policy)
    found = lint(city, resolve(city, plan), TODAY)
    assert [(f.check, f.severity, f.line) for f in found] == [
        ("unused", Severity.NOTICE, 4),
        ("unused", Severity.NOTICE, 7),
    ]


@settings(max_examples=60, deadline=None)
@given(rules=RULES)
def test_a_shadowed_rule_decides_about_nothing(rules: list[PolicyRule]) -> None:
    """Without it, every verdict is the same; and a rule that decides about something is never called shadowed."""
    shadowed = {f.rule for f in findings(rules) if f.check in ("shadowed", "duplicate")}
    resolved = policy_of(rules)
    deciding = {
        verdict.rule.id
        for source in ends()
        for destination in ends()
        for protocol, port in (("tcp", 80), ("tcp", 53), ("udp", 53), ("tcp", 8050), ("udp", 8095))
        for family in Family
        if (
            verdict := evaluate(
                resolved, ends()[source][family], ends()[destination][family], protocol, port, TODAY,
                network={"health": "health", "civil": "civil"}.get(source.partition("-")[0], ""),
            )
        ).rule
    }  # fmt: skip
    assert not shadowed & deciding
    for one in resolved.rules:
        if one.id in shadowed:
            assert holds(one, TODAY)
