"""Does the walk through an nftables ruleset agree with what the kernel does with real packets?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from checks.security.firewall import Access, access
from inventories.records import Family

from . import knock, namespace

#: Rulesets, and who gets in: (IPv4 22, IPv4 80, IPv4 64999, IPv6 22, IPv6 80, IPv6 64999).
CASES: dict[str, tuple[str, str]] = {
    "no ruleset": ("", "open " * 6),
    "policy drop": (
        "table inet f { chain i { type filter hook input priority 0; policy drop; } }",
        "closed " * 6,
    ),
    "policy accept": (
        "table inet f { chain i { type filter hook input priority 0; policy accept; tcp dport 22 drop; } }",
        "closed open open closed open open",
    ),
    "a final reject": (
        "table inet f { chain i { type filter hook input priority 0; policy accept;"
        " ct state established,related accept; tcp dport { 22, 80 } accept;"
        " reject with icmpx type admin-prohibited; } }",
        "open open closed open open closed",
    ),
    "IPv4 only": (
        "table ip f { chain i { type filter hook input priority 0; policy drop; tcp dport 80 accept; } }",
        "closed open closed open open open",
    ),
    "IPv6 forgotten in an inet table": (
        "table inet f { chain i { type filter hook input priority 0; policy drop;"
        " meta nfproto ipv6 accept; tcp dport 80 accept; } }",
        "closed open closed open open open",
    ),
    "sources in named sets": (
        "table inet f { set m { type ipv4_addr; flags interval; elements = { 10.9.0.0/16 }; }"
        " set n { type ipv6_addr; flags interval; elements = { 2001:db8:9::/48 }; }"
        " chain i { type filter hook input priority 0; policy drop; ct state vmap { established : accept,"
        " related : accept, invalid : drop }; ip saddr @m tcp dport 22 accept;"
        " ip6 saddr @n tcp dport 22 accept; tcp dport 80 accept; } }",
        "limited open closed limited open closed",
    ),
    "interfaces": (
        'table inet f { chain i { type filter hook input priority 0; policy drop; iifname "lo" accept;'
        ' iifname "mgmt0" tcp dport 22 accept; iifname != "lo" tcp dport 80 accept; } }',
        "limited open closed limited open closed",
    ),
    "a verdict map with chains": (
        "table inet f { chain web { accept; }"
        " chain ssh { ip saddr 10.9.0.1 accept; ip6 saddr 2001:db8:9::1 accept; }"
        " chain i { type filter hook input priority 0; policy drop;"
        " tcp dport vmap { 22 : jump ssh, 80 : goto web }; } }",
        "limited open closed limited open closed",
    ),
    "two chains, the stricter counts": (
        "table inet f { chain i { type filter hook input priority 0; policy accept; } }"
        " table inet g { chain i { type filter hook input priority 10; policy drop; tcp dport 22 accept; } }",
        "open closed closed open closed closed",
    ),
    "all but some sources dropped": (
        "table inet f { chain i { type filter hook input priority 0; policy drop;"
        " ip saddr != 10.9.0.0/16 tcp dport 22 drop; ip6 saddr != 2001:db8:9::/48 tcp dport 22 drop;"
        " tcp dport { 22, 80 } accept; } }",
        "limited open closed limited open closed",
    ),
    "ranges, and limits that let the first packets pass": (
        "table inet f { chain i { type filter hook input priority 0; policy drop;"
        " tcp dport 20-30 limit rate 1000/second counter accept; meta l4proto tcp th dport 80 accept; } }",
        "open open closed open open closed",
    ),
    "a port of one family": (
        "table inet f { chain i { type filter hook input priority 0; policy drop;"
        " ip6 version 6 tcp dport 22 accept; ip protocol tcp tcp dport 80 accept; } }",
        "closed open closed open closed closed",
    ),
    "return to the policy": (
        "table inet f { chain a { tcp dport 80 return; drop; }"
        " chain i { type filter hook input priority 0; policy accept; jump a; } }",
        "closed open closed closed open closed",
    ),
    "a source in an address and port set": (
        "table inet f { set s { type ipv4_addr . inet_service; elements = { 10.9.0.1 . 22 }; }"
        " chain i { type filter hook input priority 0; policy drop; ip saddr . tcp dport @s accept;"
        " ct state new tcp dport 80 accept; } }",
        "limited open closed closed open closed",
    ),
    "the other hook does not count": (
        "table inet f { chain o { type filter hook forward priority 0; policy drop; } }",
        "open " * 6,
    ),
    "everybody is no restriction": (
        "table inet f { chain i { type filter hook input priority 0; policy drop;"
        " ip saddr 0.0.0.0/0 tcp dport 22 accept; ip6 saddr ::/0 tcp dport 22 accept; } }",
        "open closed closed open closed closed",
    ),
    "a destination is no restriction of sources": (
        "table inet f { chain i { type filter hook input priority 0; policy drop;"
        " ip daddr 192.0.2.1 tcp dport 22 accept; ip6 daddr 2001:db8:1::1 tcp dport 22 accept; } }",
        "open closed closed open closed closed",
    ),
}


@pytest.fixture(scope="module")
def live() -> dict[str, tuple[list[dict[str, Any]], list[bool]]]:
    """Each ruleset as nft lists it, and which of the six doors a stranger got through."""
    if shutil.which("nft") is None:
        pytest.skip("nft is not installed (Debian package nftables)")
    rulesets = {name: ruleset for name, (ruleset, _) in CASES.items()}
    script = str(Path(knock.__file__))
    return dict(namespace.run(script, setup="", standard_input=json.dumps(rulesets)))


@pytest.mark.parametrize("name", CASES)
def test_who_gets_in(name: str, live: dict[str, tuple[list[dict[str, Any]], list[bool]]]) -> None:
    listed, entered = live[name]
    found = [access(listed, family, "tcp", port) for family in Family for port in knock.PORTS]
    assert " ".join(who.name.lower() for who in found) == CASES[name][1].strip()
    assert [who is Access.OPEN for who in found] == entered, "the kernel does otherwise"
