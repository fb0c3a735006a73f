"""Does ICMP tell the living, the silent and the unreachable apart, with and without raw sockets?"""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.availability.icmp import _round_trip
from checks.availability.icmp_packets import EchoPacket, checksum, parse
from inventories.records import Family

from . import namespace, strange_hosts

LIVING = ["127.0.0.1", "127.1.2.3", "::1", "0:0:0:0:0:0:0:1", "192.0.2.1", "2001:db8:1::1"]
SILENT = ["192.0.2.77", "2001:db8:1::77"]
NO_WAY = ["203.0.113.1", "198.51.100.1", "2001:db8:2::1", "2001:db8:3::1", "2001:db8:4::1"]

PROBE = """
import asyncio, json, sys, time
from checks.availability.dns import Question
from checks.availability.run import probe_all
from checks.availability.targets import Kind, Target
from inventories.records import Family
{before}
async def main():
    targets = [
        Target(subject=a, check="x", kind=Kind({kind!r}), family=family, address=a, port=53, host="h",
               questions=(Question("city.example", "SOA"),))
        for a in {addresses!r}
        for family in [Family("ipv6" if ":" in a else "ipv4")]
    ]
    task = asyncio.create_task(hog()) if "hog" in globals() else None
    started = time.monotonic()
    records = await probe_all(targets, **{limits!r})
    seconds = time.monotonic() - started
    print(json.dumps([[r.subject, r.status, r.reason, r.value, r.evidence, seconds] for r in records]))
asyncio.run(main())
"""
TUN = pytest.mark.skipif(not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="no access to /dev/net/tun")
#: CAP_NET_RAW (13) out of the effective and permitted sets, by capset(2) of the calling thread.
GIVE_UP_RAW_SOCKETS = """
import ctypes
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
assert ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()) == 0
"""
#: What probing takes of the kernel: sockets, packets, reads of them and turns of the event loop, counted at the real
#: ones and written to a file at the end. A time would say more of the machine than of the program.
COUNTING = """
import atexit, collections, pathlib, selectors
from checks.availability import run
counted = collections.Counter()
atexit.register(lambda: pathlib.Path({file!r}).write_text(json.dumps(counted)))
class Counting:
    def __init__(self, socket):
        self.socket = socket
    def __getattr__(self, name):
        counted[name] += 1
        return getattr(self.socket, name)
    def recvmsg(self, *arguments):
        counted["recvmsg"] += 1
        return self.socket.recvmsg(*arguments)
    def sendto(self, *arguments):
        counted["sendto"] += 1
        return self.socket.sendto(*arguments)
    def __enter__(self):
        return self.socket.__enter__()
    def __exit__(self, *error):
        self.socket.close()
def opened(family, open_socket=run.open_socket):
    counted["sockets"] += 1
    echo = open_socket(family)
    return echo._replace(socket=Counting(echo.socket))
run.open_socket = opened
def select(self, timeout=None, select=selectors.EpollSelector.select):
    counted["turns"] += 1
    return select(self, timeout)
selectors.EpollSelector.select = select
"""
LIMITS = {"echo_timeout": 0.3, "attempts": 2, "timeout": 0.5}


def probe(
    addresses: list[str],
    privileges: str = namespace.RAW,
    *,
    kind: str = "icmp",
    before: str = "",
    setup: str = namespace.DEAD_NETWORK,
    **limits: float,
) -> dict[str, list[object]]:
    """Status, reason, value, evidence, seconds of the whole run, by address."""
    program = PROBE.format(addresses=addresses, limits={**LIMITS, **limits}, kind=kind, before=before)
    rows = namespace.run("-c", program, privileges=privileges, setup=setup)
    assert [row[0] for row in rows] == addresses
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("privileges", [namespace.RAW, namespace.PING_SOCKETS], ids=["raw", "ping socket"])
def test_living_silent_and_unreachable(privileges: str) -> None:
    found = probe(LIVING + SILENT + NO_WAY, privileges)
    for address in LIVING:
        status, reason, value, evidence, _ = found[address]
        assert (status, reason) == ("pass", ""), evidence
        assert isinstance(value, float)
        assert 0 < value < 0.25
    assert {found[address][1] for address in SILENT} == {"timeout"}
    assert {found[address][1] for address in NO_WAY} == {"unreachable"}
    assert "blackhole" in str(found["203.0.113.1"][3])


def test_without_the_right_to_probe_nothing_is_said_of_the_target() -> None:
    found = probe(["127.0.0.1", "::1"], namespace.NEITHER)
    for status, reason, value, evidence, _ in found.values():
        assert (status, reason, value) == ("error", "not_permitted", None)
        assert "ping_group_range" in str(evidence)
        assert "run as root" in str(evidence)


def test_many_targets_with_a_third_dead_are_bounded_and_the_living_unharmed(tmp_path: Path) -> None:
    living = [f"127.0.{i // 250}.{i % 250 + 1}" for i in range(1400)]
    silent = [f"192.0.2.{i}" for i in range(2, 250)] + [f"2001:db8:1::{i:x}" for i in range(2, 354)]
    counting = COUNTING.format(file=str(tmp_path / "counted"))
    found = probe(living + silent, namespace.RAW, before=counting, deadline=5)
    assert sum(found[address][0] == "pass" for address in living) == len(living)
    assert {found[address][1] for address in silent} == {"timeout"}
    assert max(float(str(found[address][2])) for address in living) < 0.25
    counted = json.loads((tmp_path / "counted").read_text())
    assert counted["sockets"] == 2, "one a family, however many targets"
    assert counted["sendto"] == len(living) + LIMITS["attempts"] * len(silent)
    # A read for each answer, and one that finds nothing after each tick and each pause: none for who is silent.
    assert counted["recvmsg"] <= len(living) + 200
    assert counted["turns"] <= 300


@pytest.mark.slow
def test_a_city_that_is_dead_as_a_whole_ends_in_time() -> None:
    silent = [f"192.0.2.{i}" for i in range(2, 250)] + [f"2001:db8:1::{i:x}" for i in range(2, 1500)]
    program = LOSS.format(addresses=silent, window=2.0, deadline=20, before="")
    rows = namespace.run("-c", program)
    assert [row[:1] + row[2:4] for row in rows] == [["timeout", 4, 0]] * len(silent)


def test_a_deadline_keeps_what_has_answered() -> None:
    found = probe([*LIVING[:3], *SILENT], namespace.RAW, deadline=0.4)
    assert [found[address][0] for address in LIVING[:3]] == ["pass"] * 3
    assert {found[address][1] for address in SILENT} == {"timeout"}


def test_nobody_is_waited_for_when_all_have_answered() -> None:
    found = probe(LIVING, namespace.RAW, echo_timeout=20)
    assert float(str(found["::1"][4])) < 2


@pytest.mark.parametrize(
    "kind", ["tcp", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("http", "dns"))]
)
def test_other_probes_of_the_silent_time_out_and_of_the_unreachable_say_so(kind: str) -> None:
    found = probe([*SILENT, *NO_WAY], kind=kind)
    assert {found[address][1] for address in SILENT} == {"timeout"}
    assert {found[address][1] for address in NO_WAY} == {"unreachable"}
    assert not any("the run's" in str(answer[3]) for answer in found.values()), "each has a limit of its own"


def test_a_busy_event_loop_does_not_show_in_the_round_trip_time() -> None:
    hog = """
async def hog():
    while True:
        time.sleep(0.1)
        await asyncio.sleep(0)
"""
    found = probe(LIVING, before=hog)
    assert max(float(str(found[address][2])) for address in LIVING) < 0.05
    assert float(str(found[LIVING[0]][4])) > 0.1


@TUN
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("privileges", [namespace.RAW, namespace.PING_SOCKETS], ids=["raw", "ping socket"])
def test_strange_answers(privileges: str, family: str) -> None:
    """Packets from a program: late, twice, from another address, garbled, and errors true and false."""
    behaviours = {
        strange_hosts.WELL: "",
        strange_hosts.LATE: "",
        strange_hosts.TWICE: "",
        strange_hosts.OTHER_SOURCE: "timeout",
        strange_hosts.GARBLED: "timeout",
        strange_hosts.UNREACHABLE: "unreachable",
        strange_hosts.EXCEEDED: "unreachable",
        strange_hosts.SHORT_ERROR: "unreachable",
        strange_hosts.FALSE_ERROR: "timeout",
    }
    names = {behaviour: strange_hosts.address(behaviour, family) for behaviour in behaviours}
    # A ping socket needs no right but that to the device, which is opened before the rights are given up.
    before = "from tests.checks import strange_hosts\nstrange_hosts.start()"
    if privileges:
        before += f"\n{GIVE_UP_RAW_SOCKETS}"
    setup = "ip link set lo up\nsysctl -qw net.ipv4.ping_group_range='0 0'"
    found = probe(list(names.values()), before=before, setup=setup)
    reasons = {behaviour: found[names[behaviour]][1] for behaviour in behaviours}
    if privileges:  # the kernel itself takes errors to sockets, by what is left of the packet
        for kind in (strange_hosts.SHORT_ERROR, strange_hosts.EXCEEDED, strange_hosts.FALSE_ERROR):
            assert reasons.pop(kind) in ("timeout", "unreachable")
            behaviours.pop(kind)
    assert reasons == behaviours
    late = float(str(found[names[strange_hosts.LATE]][2]))
    assert strange_hosts.DELAY <= late < strange_hosts.DELAY + 0.2, "counted from the request it answers"


LOSS = """
import asyncio, json
from checks.availability.run import Limits, probe
from checks.availability.targets import Kind, Target
from inventories.records import Family
from tests.checks import strange_hosts
{before}
async def main():
    targets = [
        Target(subject=a, check="icmp", kind=Kind.ICMP, family=Family("ipv6" if ":" in a else "ipv4"), address=a)
        for a in {addresses!r}
    ]
    limits = Limits(echo_timeout=0.6, attempts=4, every=True, window={window})
    found = await probe(targets, limits, deadline={deadline})
    print(json.dumps([[p.outcome.reason, p.outcome.seconds, *p.tally] for p in found]))
asyncio.run(main())
"""


@TUN
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_loss_is_counted_and_one_answer_is_enough(family: str) -> None:
    """Reason, packets sent, packets answered; errors that a later answer contradicts are loss."""
    expected = {
        strange_hosts.WELL: (None, 4, 4),
        strange_hosts.TWICE: (None, 4, 4),
        strange_hosts.LOSSY: (None, 4, 3),
        strange_hosts.FLAPPING: (None, 4, 1),
        strange_hosts.UNREACHABLE: ("unreachable", 4, 0),
        strange_hosts.GARBLED: ("timeout", 4, 0),
    }
    addresses = [strange_hosts.address(behaviour, family) for behaviour in expected]
    program = LOSS.format(addresses=addresses, window=0.4, deadline=None, before="strange_hosts.start()")
    rows = namespace.run("-c", program, setup="ip link set lo up")
    assert [(reason, sent, answered) for reason, _, sent, answered, _ in rows] == list(expected.values())
    for _, seconds, _, answered, total in rows:
        assert total == pytest.approx(seconds * answered if answered else 0)
        assert not answered or seconds < 0.3, "an answer that comes twice counts once"


@pytest.mark.parametrize("step", [0.0, 0.05, -0.0005, 3600.0, -3600.0])
def test_a_stamp_counts_only_while_the_clock_was_let_alone(step: float) -> None:
    """Sent 0.1 s ago, answered after 1 ms, read now; meanwhile the clock was set by a step."""
    wall, monotonic = time.time(), time.monotonic()
    seconds = _round_trip(wall - step - 0.1, monotonic - 0.1, wall - 0.099)
    if abs(step) < 0.001:
        assert seconds == pytest.approx(0.001 + step, abs=1e-5)
    else:
        assert 0.1 <= seconds < 0.2, (
            "what the clock says is wrong, and what the other one says an upper bound"
        )


def test_what_has_answered_counts_when_a_round_is_cut_off() -> None:
    program = LOSS.format(addresses=[*LIVING, *SILENT], window=20, deadline=1.0, before="")
    rows = namespace.run("-c", program, setup=namespace.DEAD_NETWORK)
    reasons = [reason for reason, *_ in rows]
    assert reasons == [None] * len(LIVING) + ["timeout"] * len(SILENT)
    assert all(0 < sent < 4 for _, _, sent, _, _ in rows)


@pytest.mark.parametrize("step", [-3600.0, -0.3, 0.3, 3600.0])
def test_a_clock_that_is_set_does_not_show_in_the_round_trip_time(step: float) -> None:
    """This machine's clock is everybody's: the program alone sees it jump while packets are under way."""
    before = f"""
import time, threading
true, jumped = time.time, threading.Event()
time.time = lambda: true() + ({step} if jumped.is_set() else 0.0)
threading.Timer(0.15, jumped.set).start()
"""
    program = LOSS.format(addresses=LIVING[:4] * 50, window=0.3, deadline=None, before=before)
    rows = namespace.run("-c", program, setup=namespace.DEAD_NETWORK)
    assert {(reason, sent, answered) for reason, _, sent, answered, _ in rows} == {(None, 4, 4)}
    assert all(0 < seconds < 0.2 for _, seconds, *_ in rows)


@TUN
def test_the_last_answer_ends_the_wait() -> None:
    late = [strange_hosts.address(strange_hosts.LATE, family) for family in ("ipv4", "ipv6")]
    before = "from tests.checks import strange_hosts\nstrange_hosts.start()"
    found = probe(late, before=before, setup="ip link set lo up", echo_timeout=20)
    assert {found[address][0] for address in late} == {"pass"}
    assert float(str(found[late[0]][4])) < strange_hosts.DELAY + 1


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
