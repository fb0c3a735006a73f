"""Does ICMP tell the living, the silent and the unreachable apart, with and without raw sockets?"""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.availability.icmp_packets import EchoPacket, checksum, parse
from inventories.records import Family

from . import namespace

LIVING = ["127.0.0.1", "127.1.2.3", "::1", "0:0:0:0:0:0:0:1", "192.0.2.1", "2001:db8:1::1"]
SILENT = ["192.0.2.77", "2001:db8:1::77"]
NO_WAY = ["203.0.113.1", "198.51.100.1", "2001:db8:2::1", "2001:db8:3::1", "2001:db8:4::1"]

PROBE = """
import asyncio, json, sys
from checks.availability.run import probe_all
from checks.availability.targets import Kind, Target
from inventories.records import Family
async def main():
    targets = [
        Target(subject=a, check="icmp", kind=Kind.ICMP, family=family, address=a)
        for a in {addresses!r}
        for family in [Family("ipv6" if ":" in a else "ipv4")]
    ]
    records = await probe_all(targets, echo_timeout=0.3, attempts=2, **{limits!r})
    print(json.dumps([[r.subject, r.status, r.reason, r.value, r.evidence] for r in records]))
asyncio.run(main())
"""


def probe(addresses: list[str], privileges: str, **limits: float) -> dict[str, list[object]]:
    program = PROBE.format(addresses=addresses, limits=limits)
    rows = namespace.run("-c", program, privileges=privileges)
    assert [row[0] for row in rows] == addresses
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("privileges", [namespace.RAW, namespace.PING_SOCKETS], ids=["raw", "ping socket"])
def test_living_silent_and_unreachable(privileges: str) -> None:
    found = probe(LIVING + SILENT + NO_WAY, privileges)
    for address in LIVING:
        status, reason, value, evidence = found[address]
        assert (status, reason) == ("pass", ""), evidence
        assert isinstance(value, float)
        assert 0 < value < 0.25
    assert {found[address][1] for address in SILENT} == {"timeout"}
    assert {found[address][1] for address in NO_WAY} == {"unreachable"}
    assert "blackhole" in str(found["203.0.113.1"][3])


def test_without_the_right_to_probe_nothing_is_said_of_the_target() -> None:
    found = probe(["127.0.0.1", "::1"], namespace.NEITHER)
    for status, reason, value, evidence in found.values():
        assert (status, reason, value) == ("error", "not_permitted", None)
        assert "ping_group_range" in str(evidence)
        assert "run as root" in str(evidence)


def test_many_targets_with_a_third_dead_are_bounded_and_the_living_unharmed() -> None:
    living = [f"127.0.{i // 250}.{i % 250 + 1}" for i in range(1400)]
    silent = [f"192.0.2.{i}" for i in range(2, 250)] + [f"2001:db8:1::{i:x}" for i in range(2, 354)]
    found = probe(living + silent, namespace.RAW, deadline=5)
    assert sum(found[address][0] == "pass" for address in living) == len(living)
    assert {found[address][1] for address in silent} == {"timeout"}
    assert max(float(str(found[address][2])) for address in living) < 0.25


def test_a_deadline_keeps_what_has_answered() -> None:
    found = probe([*LIVING[:3], *SILENT], namespace.RAW, deadline=0.4)
    assert [found[address][0] for address in LIVING[:3]] == ["pass"] * 3
    assert {found[address][1] for address in SILENT} == {"timeout"}


def test_checksum_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF
    packet = EchoPacket(Family.IPV4, 0x1234, b"m" * 8).request(70000, 1)
    assert checksum(packet) == 0


@given(st.binary(max_size=120), st.sampled_from(Family), st.booleans())
def test_what_others_send_is_no_answer(data: bytes, family: Family, raw: bool) -> None:
    assert parse(data, EchoPacket(family, 1, os.urandom(8)), raw) is None


def test_errors_are_matched_to_their_request() -> None:
    ours = EchoPacket(Family.IPV4, 7, b"a" * 8)
    theirs = EchoPacket(Family.IPV4, 7, b"b" * 8)
    outer = bytes([0x45]) + bytes(19)
    inner = bytes([0x45]) + bytes(15) + bytes([192, 0, 2, 9])
    unreachable = struct.pack("!BBHHH", 3, 1, 0, 0, 0)
    whole = parse(outer + unreachable + inner + ours.request(5, 0), ours, raw=True)
    assert whole is not None
    assert (whole.target, whole.destination) == (5, "192.0.2.9")
    assert whole.error == "destination unreachable (host unreachable)"
    cut_off = parse(outer + unreachable + inner + ours.request(5, 0)[:8], ours, raw=True)
    assert cut_off is not None
    assert cut_off.target == 5
    assert parse(outer + unreachable + inner + theirs.request(5, 0), ours, raw=True) is None
