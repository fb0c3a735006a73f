"""Does the walk of a packet through a ruleset agree with what the kernel does with that packet?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from checks.extranet.ruleset import Packet, Ruleset, UnknownRule
from inventories.records import Family

from .. import knock, namespace
from ..test_firewall import CASES as OTHER_CASES

Objects = list[dict[str, Any]]

_INPUT = "chain i { type filter hook input priority 0; policy drop; %s } }"
CASES = {name: text for name, (text, _) in OTHER_CASES.items()} | {
    "a rule that has ended": "table inet f { " + _INPUT % "meta time < 1700000000 accept;",
    "a rule that has not ended": "table inet f { " + _INPUT % "meta time < 4000000000 tcp dport 22 accept;",
    "a limit that one packet does not reach": "table inet f { "
    + _INPUT % "limit rate over 5/second drop; tcp dport 80 accept;",
    "sources counted one by one": "table inet f {"
    " set s { type ipv4_addr; size 100; flags dynamic,timeout; timeout 1m; } "
    + _INPUT % "ct state new update @s { ip saddr limit rate over 50/second } drop; accept;",
    "hops": "table inet f { " + _INPUT % "ip ttl 255 accept; ip6 hoplimit 64 tcp dport 22 accept;",
    "a sender": "table inet f { " + _INPUT % "ether saddr 02:00:00:00:00:02 tcp dport 80 accept;",
    "fragments": "table inet f { " + _INPUT % "ip6 daddr 2001:db8::/32 exthdr frag exists drop; accept;",
    "ICMP types before ports": "table inet f { "
    + _INPUT % "icmpv6 type echo-request accept; icmp type echo-request accept; udp dport 22 accept;",
    "a chain that decides nothing": "table inet f { chain b { tcp dport 80 accept; }"
    " chain a { tcp dport 22 accept; } " + _INPUT % "jump a; goto b; accept;",
    "all but a set": "table inet f { "
    + _INPUT % "ip saddr != { 192.0.2.0/24, 10.0.0.1 } accept; ip6 saddr != { 2001:db8:9::/48 } accept;",
    "interfaces by a star": 'table inet f { ' + _INPUT % 'iifname "ho*" tcp dport 22 accept;',
    "a range of addresses": "table inet f { "
    + _INPUT % "ip saddr 192.0.2.1-192.0.2.9 accept; ip6 saddr 2001:db8:1::3-2001:db8:1::9 accept;",
}  # fmt: skip


@pytest.fixture(scope="module")
def live() -> dict[str, tuple[Objects, list[bool]]]:
    """Each ruleset as nft lists it, and which of the six doors a stranger got through."""
    if shutil.which("nft") is None:
        pytest.skip("nft is not installed (Debian package nftables)")
    script = str(Path(knock.__file__))
    return dict(namespace.run(script, setup="", standard_input=json.dumps(CASES)))


def packet(family: Family, port: int) -> Packet:
    ends = {Family.IPV4: (0xC0000202, 0xC0000201), Family.IPV6: (2, 1)}
    source, destination = ends[family]
    if family is Family.IPV6:
        source, destination = (0x20010DB8000100000000000000000000 + end for end in ends[family])
    return Packet(
        family=family,
        source=source,
        destination=destination,
        protocol="tcp",
        port=port,
        iif="host0",
        sender="02:00:00:00:00:02",
        now=1800000000,
    )


@pytest.mark.parametrize("name", CASES)
def test_the_walk_agrees_with_the_kernel(name: str, live: dict[str, tuple[Objects, list[bool]]]) -> None:
    listed, entered = live[name]
    ruleset = Ruleset(listed)
    walked = [
        ruleset.passes(packet(family, port), "input").passes for family in Family for port in knock.PORTS
    ]
    assert walked == entered


def test_what_cannot_be_judged_is_not_guessed() -> None:
    chain = {"family": "inet", "table": "f", "name": "i", "hook": "input", "type": "filter", "prio": 0}
    rule = {
        "family": "inet",
        "table": "f",
        "chain": "i",
        "expr": [{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}}, {"accept": None}],
    }
    with pytest.raises(UnknownRule, match="meta mark"):
        Ruleset([{"chain": chain}, {"rule": rule}]).passes(packet(Family.IPV6, 22), "input")


def test_what_stopped_a_packet_has_a_name() -> None:
    chain = {
        "family": "inet",
        "table": "f",
        "name": "i",
        "hook": "input",
        "type": "filter",
        "policy": "accept",
    }
    rule = {"family": "inet", "table": "f", "chain": "i", "comment": "denied", "expr": [{"drop": None}]}
    answer = Ruleset([{"chain": chain}, {"rule": rule}]).passes(packet(Family.IPV4, 22), "input")
    assert (answer.passes, answer.by) == (False, "chain i (denied)")
