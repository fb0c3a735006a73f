"""Does the kernel do what the policy says? Compiled rules in a real nftables, and real connections in both families."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from deploy.base.policy_rules import nft_rules
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.policy.points import ANY, AddressMatch, EdgeRule, rules_for_host, rules_from_zone
from inventories.policy.records import Action, PolicyRule
from inventories.policy.resolve import ResolvedPolicy, resolve
from inventories.policy.verdict import evaluate
from inventories.records import Family
from tests.inventories import policies

ROOT = Path(__file__).parents[2]

needs_kernel = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root, network namespaces and nft"
)

EDGE = EdgeRule(
    rule="r-1",
    action=Action.ALLOW,
    sources=ANY,
    destinations=ANY,
    protocol="tcp",
    ports=((80, 80),),
    ends=None,
    owner="data-bureau",
    reason="x",
)
PAIR = AddressMatch(
    prefixes={Family.IPV4: ("192.0.2.0/25", "198.18.0.1/32"), Family.IPV6: ("2001:db8::1/128", "3fff::/20")}
)
ONE = AddressMatch(prefixes={Family.IPV4: ("192.0.2.1/32",), Family.IPV6: ("2001:db8::1/128",)})


def lines(**changes: object) -> tuple[str, ...]:
    return nft_rules([msgspec.structs.replace(EDGE, **changes)]).rules


def test_a_rule_without_addresses_is_one_line_for_both_families() -> None:
    assert lines() == ('tcp dport 80 counter accept comment "policy:r-1"',)


def test_addresses_make_a_line_a_family() -> None:
    assert lines(sources=ONE, ports=((53, 53), (8000, 8099)), protocol="udp", action=Action.DENY) == (
        'ip saddr 192.0.2.1/32 udp dport 53 counter drop comment "policy:r-1"',
        'ip saddr 192.0.2.1/32 udp dport 8000-8099 counter drop comment "policy:r-1"',
        'ip6 saddr 2001:db8::1/128 udp dport 53 counter drop comment "policy:r-1"',
        'ip6 saddr 2001:db8::1/128 udp dport 8000-8099 counter drop comment "policy:r-1"',
    )
    assert lines(destinations=msgspec.structs.replace(ONE, negated=True))[1] == (
        'ip6 daddr != 2001:db8::1/128 tcp dport 80 counter accept comment "policy:r-1"'
    )


def test_a_family_without_addresses_gets_no_line_and_a_family_that_asks_nothing_gets_its_own() -> None:
    lame = {Family.IPV4: ("192.0.2.1/32",), Family.IPV6: ()}
    assert lines(sources=AddressMatch(prefixes=lame)) == (
        'ip saddr 192.0.2.1/32 tcp dport 80 counter accept comment "policy:r-1"',
    )
    assert lines(sources=AddressMatch(prefixes=lame, negated=True))[1] == (
        'meta nfproto ipv6 tcp dport 80 counter accept comment "policy:r-1"'
    )


def test_many_prefixes_are_one_set_however_many_rules_use_them() -> None:
    many = {
        Family.IPV4: tuple(f"192.0.2.{n}/32" for n in range(0, 40, 2)),
        Family.IPV6: tuple(f"2001:db8::{n:x}/128" for n in range(0, 40, 2)),
    }
    match = AddressMatch(prefixes=many)
    text = nft_rules([msgspec.structs.replace(EDGE, sources=match, destinations=match)] * 3)
    assert len(text.declarations) == 2
    assert len(text.rules) == 6
    assert "elements = { 2001:db8::/128, 2001:db8::2/128, " in text.declarations[1].replace("::0/", "::/")
    name = text.declarations[1].split()[1]
    assert text.rules[1].startswith(f"ip6 saddr @{name} ip6 daddr @{name} tcp")
    assert lines(sources=msgspec.structs.replace(PAIR, negated=True))[0].startswith("ip saddr != @policy4_")


def test_pairs_of_prefixes_jump_to_the_ports_of_their_rule() -> None:
    rule = msgspec.structs.replace(EDGE, sources=PAIR, destinations=ONE, ports=((80, 80), (443, 443)), ends=5)
    text = nft_rules([rule, msgspec.structs.replace(rule, protocol="udp")])
    assert text.declarations[0] == (
        'chain policy-r-1-tcp { tcp dport 80 meta time < 5 counter accept comment "policy:r-1"; '
        'tcp dport 443 meta time < 5 counter accept comment "policy:r-1"; }'
    )
    assert text.declarations[1].startswith("chain policy-r-1-udp {")
    assert text.rules[:4] == (
        "ip saddr 192.0.2.0/25 ip daddr 192.0.2.1/32 meta l4proto tcp jump policy-r-1-tcp",
        "ip saddr 198.18.0.1/32 ip daddr 192.0.2.1/32 meta l4proto tcp jump policy-r-1-tcp",
        "ip6 saddr 2001:db8::1/128 ip6 daddr 2001:db8::1/128 meta l4proto tcp jump policy-r-1-tcp",
        "ip6 saddr 3fff::/20 ip6 daddr 2001:db8::1/128 meta l4proto tcp jump policy-r-1-tcp",
    )
    assert len(text.declarations) == 2


def table(rules: Sequence[EdgeRule]) -> str:
    """A host's table that holds these rules and nothing else that opens a port."""
    text = nft_rules(rules)
    return "\n".join(
        [
            "flush ruleset",
            "table inet jizuo {",
            *text.declarations,
            "chain input {",
            "type filter hook input priority filter; policy drop;",
            "ct state established,related accept",
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
            *text.rules,
            "}",
            "}",
        ]
    )


def run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@needs_kernel
@pytest.mark.parametrize("name", ["lab", "yichun"])
def test_the_kernel_takes_the_policies_of_the_kit(name: str) -> None:
    city = load_city(ROOT / "inventories" / name)
    resolved = resolve(city, build_plan(city))
    hosts = [node for node in city.nodes if city.nodes[node].role != "client"][:40]
    for rules in [rules_for_host(resolved, node) for node in hosts] + [rules_from_zone(resolved, "public")]:
        run("unshare", "--net", "nft", "-c", "-f", "-", text=table(rules))


@needs_kernel
def test_the_end_of_a_rule_is_the_city_s_midnight_in_every_time_zone() -> None:
    ends = int(datetime(2028, 1, 1, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())
    text = table([msgspec.structs.replace(EDGE, ends=ends)])
    for zone, shown in (("Asia/Shanghai", "2028-01-01 00:00:00"), ("UTC", "2027-12-31 16:00:00")):
        listed = run(
            "unshare", "--net", "env", f"TZ={zone}", "sh", "-c", "nft -f - && nft list ruleset", text=text
        )
        assert f'meta time < "{shown}"' in listed


#: Serves all ports of both protocols: TCP by accepting, UDP by sending back.
SERVE = """
import selectors, socket, sys
chosen = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            s = socket.socket(family, kind)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((any_address, port))
            if kind == socket.SOCK_STREAM:
                s.listen(256)
            chosen.register(s, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in chosen.select():
        if key.fileobj.type == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:
            data, sender = key.fileobj.recvfrom(10)
            key.fileobj.sendto(data, sender)
"""
#: Tries [source, destination, protocol, port] of standard input at once; prints which were answered.
CONNECT = """
import json, selectors, socket, sys, time
chosen, open_ = selectors.DefaultSelector(), []
for number, (source, destination, protocol, port) in enumerate(json.load(sys.stdin)):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    s.setblocking(False)
    s.bind((source, 0))
    s.connect_ex((destination, port))
    if protocol == "udp":
        s.send(b"?")
    chosen.register(s, selectors.EVENT_WRITE if protocol == "tcp" else selectors.EVENT_READ, number)
deadline = time.monotonic() + 0.7
while (left := deadline - time.monotonic()) > 0 and chosen.get_map():
    for key, _ in chosen.select(left):
        if not key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            open_.append(key.data)
        chosen.unregister(key.fileobj)
print(json.dumps(sorted(open_)))
"""
HOST, SOURCES = (
    "cloud-1",
    ("client-1", "client-2", "core-a", "ops-1", "offsite-1", "somewhere", "health-1", "province"),
)
PORTS = (53, 80, 8095)


class Wire:
    """A host with its firewall in one network namespace, and everybody else in another, on a pair of veth."""

    def __init__(self) -> None:
        self.host, self.others = (f"jizuo-policy-{os.getpid()}-{end}" for end in ("host", "others"))
        self.questions = [
            (policies.ends()[source][family], policies.ends()[HOST][family], protocol, port)
            for source in SOURCES
            for family in Family
            for protocol in ("tcp", "udp")
            for port in PORTS
        ]

    def up(self) -> None:
        for name in (self.host, self.others):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run(
            "ip", "-n", self.host, "link", "add", "wire", "type", "veth", "peer", "wire", "netns", self.others
        )
        for name, ends in ((self.host, [HOST]), (self.others, list(SOURCES))):
            run("ip", "-n", name, "link", "set", "wire", "up")
            for end in ends:
                for family, address in policies.ends()[end].items():
                    bits = "32" if family is Family.IPV4 else "128"
                    quiet = [] if family is Family.IPV4 else ["nodad"]
                    run("ip", "-n", name, "address", "add", f"{address}/{bits}", "dev", "wire", *quiet)
            for option, everything in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
                run("ip", "-n", name, option, "route", "add", everything, "dev", "wire")

    def down(self) -> None:
        for name in (self.host, self.others):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def load(self, rules: Sequence[EdgeRule]) -> None:
        run("ip", "netns", "exec", self.host, "nft", "-f", "-", text=table(rules))

    def answered(self) -> set[int]:
        """The numbers of the questions that were answered."""
        command = ["ip", "netns", "exec", self.others, sys.executable, "-c", CONNECT]
        return set(json.loads(run(*command, text=json.dumps(self.questions))))

    def counted(self) -> dict[str, int]:
        """Packets that each rule of the policy has decided about."""
        listed = json.loads(run("ip", "netns", "exec", self.host, "nft", "-j", "list", "ruleset"))
        found: dict[str, int] = {}
        for entry in listed["nftables"]:
            comment = entry.get("rule", {}).get("comment", "")
            if comment.startswith("policy:"):
                packets = next(
                    part["counter"]["packets"] for part in entry["rule"]["expr"] if "counter" in part
                )
                name = comment.partition(":")[2]
                found[name] = found.get(name, 0) + packets
        return found


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    made = Wire()
    try:
        made.up()
        command = ["ip", "netns", "exec", made.host, sys.executable, "-c", SERVE, *map(str, PORTS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield made
            server.kill()
    finally:
        made.down()


def assert_kernel_agrees(wire: Wire, resolved: ResolvedPolicy) -> None:
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    verdicts = [evaluate(resolved, *question, today) for question in wire.questions]
    wire.load(rules_for_host(resolved, HOST))
    answered = wire.answered()
    for number, (question, verdict) in enumerate(zip(wire.questions, verdicts, strict=True)):
        assert (number in answered) == verdict.allowed, (question, verdict)
    deciding = {verdict.rule.id for verdict in verdicts if verdict.rule}
    assert {rule for rule, packets in wire.counted().items() if packets} == deciding


@needs_kernel
def test_real_connections_meet_the_policy_and_each_rule_counts_what_it_decides(wire: Wire) -> None:
    rule = policies.rule
    ended = policies.ENDED
    resolved = policies.policy_of(
        [
            rule("ended", ["internet"], ["role:cloud"], ["web"], until=ended),
            rule("no-office", ["site:offsite-pingxiang"], ["role:cloud"], ["web"], Action.DENY),
            rule("web", ["public"], ["role:cloud"], ["web"], until=policies.LASTING),
            rule("health", ["network:health"], ["system:gov-data-portal"], ["range"]),
            rule("names", ["internet", "below:360902105"], ["node:cloud-1"], ["dns"]),
            rule("other", ["public"], ["role:operations"], ["range"]),
        ]
    )
    assert_kernel_agrees(wire, resolved)
    assert set(wire.counted()) == {"ended", "no-office", "web", "health", "names"}


@needs_kernel
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=policies.RULES)
def test_the_kernel_does_what_random_policies_say(wire: Wire, rules: list[PolicyRule]) -> None:
    assert_kernel_agrees(wire, policies.policy_of(rules))


@needs_kernel
def test_the_kernel_itself_ends_a_rule(wire: Wire) -> None:
    now = int(datetime.now(UTC).timestamp())
    open_port = msgspec.structs.replace(EDGE, ends=now + 3600)
    wire.load([open_port])
    assert wire.answered() == {n for n, q in enumerate(wire.questions) if q[2:] == ("tcp", 80)}
    wire.load([msgspec.structs.replace(open_port, ends=now - 1)])
    assert wire.answered() == set()
