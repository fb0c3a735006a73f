"""The edges under attack, with real packets: spoofed sources, rogue router advertisements, rogue DHCP, floods.

Each attack is also made with the guard taken away, to see that it would have worked.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.lab.lab import Lab
from inventories.records import Family

from .conftest import Execute
from .test_private_networks import FLAG, Arrivals

#: Sends one router advertisement (RFC 4861 section 4.2) for a prefix, from a raw socket; the kernel adds the checksum.
ADVERTISE = """
import socket, sys
device, prefix = sys.argv[1:]
option = bytes([3, 4, 64, 0xC0]) + (1800).to_bytes(4, "big") * 2 + bytes(4) + socket.inet_pton(socket.AF_INET6, prefix)
packet = bytes([134, 0, 0, 0, 64, 0]) + (1800).to_bytes(2, "big") + bytes(8) + option
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
s.sendto(packet, ("ff02::1", 0, 0, socket.if_nametoindex(device)))
"""
#: Sends one datagram from a server's port to a client's, to everybody on the LAN.
OFFER = """
import socket, sys
device, address, source, target = sys.argv[1:]
v6 = ":" in address
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.bind(("::" if v6 else "0.0.0.0", int(source)))
s.sendto(b"offer", (address, int(target), 0, socket.if_nametoindex(device)) if v6 else (address, int(target)))
"""
#: Waits for one datagram on a port and says so.
LISTEN = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", int(sys.argv[1])))
s.settimeout(float(sys.argv[2]))
print("ready", flush=True)
try:
    s.recv(100); print("got")
except TimeoutError:
    print("nothing")
"""


def counted(on: Execute, router: str, table: str, comment: str) -> int:
    """The packets that the rules with a comment have matched."""
    lines = on(router, "nft", "list", "table", *table.split()).stdout.splitlines()
    found = [line for line in lines if f'comment "{comment}"' in line]
    assert found, f"{router} has no rule {comment}"
    return sum(int(line.split("counter packets ")[1].split()[0]) for line in found)


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize(
    ("source", "router"), [("client-1", "yufang"), ("cloud-1", "core"), ("internet-1", "border-1")]
)
def test_a_spoofed_source_goes_no_further_than_its_edge(
    lab: Lab, on: Execute, family: Family, source: str, router: str
) -> None:
    """A host that bears another's address: nothing arrives, and the edge counts it."""
    victim, target = lab.plan.host("client-2", family), str(lab.plan.host("ops-1", family))
    routers = ("core-a", "core-b") if router == "core" else (router,)

    def spoofed() -> int:
        found = sum(counted(on, one, "inet jizuo", "spoofed source") for one in routers)
        return found + (counted(on, router, "bridge jizuo", "spoofed source") if source == "client-1" else 0)

    before = spoofed()
    length = 32 if family is Family.IPV4 else 128
    on(source, "ip", FLAG[family], "address", "add", f"{victim}/{length}", "dev", "lo")
    try:
        with Arrivals(lab, on, "ops-1", family) as arrived:
            options = ("-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", "-I", str(victim))
            done = on(source, "ping", *options, target, check=False)
            assert done.returncode == 1, done.stderr
            assert arrived.count() == 0
    finally:
        on(source, "ip", FLAG[family], "address", "delete", f"{victim}/{length}", "dev", "lo")
    assert spoofed() == before + 3


@pytest.fixture
def victim(lab: Lab) -> Iterator[list[str]]:
    """One more host on the LAN of client-1, which believes what it hears; returns how to run commands there."""
    name = f"{lab.places.namespace_prefix}victim"
    router = lab.places.namespace("yufang")
    steps = [
        ["ip", "netns", "add", name],
        ["ip", "-n", router, "link", "add", "victim0", "type", "veth", "peer", "name", "eth0", "netns", name],
        ["ip", "-n", router, "link", "set", "victim0", "master", "lan0", "up"],
        ["nsenter", f"--net=/run/netns/{name}", "sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2"],
        ["ip", "-n", name, "link", "set", "lo", "up"],
        ["ip", "-n", name, "link", "set", "eth0", "up"],
    ]
    try:
        for step in steps:
            subprocess.run(step, check=True, timeout=10, capture_output=True)
        time.sleep(2)  # its link-local address, after duplicate address detection
        yield ["nsenter", f"--net=/run/netns/{name}"]
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False, timeout=10)


@contextmanager
def without_guard(on: Execute, router: str) -> Iterator[None]:
    """Take the bridge's guard away; the host's own file brings it back."""
    on(router, "nft", "flush", "table", "bridge", "jizuo")
    try:
        yield
    finally:
        on(router, "nft", "-f", "/etc/nftables.conf")


def believed(victim: list[str], prefix: str) -> bool:
    """Whether the victim took an address or a default route from an advertisement."""
    shown = subprocess.run(
        [*victim, "ip", "-6", "address"], capture_output=True, text=True, check=True
    ).stdout
    shown += subprocess.run([*victim, "ip", "-6", "route"], capture_output=True, text=True, check=True).stdout
    return prefix in shown or "default" in shown


def test_a_rogue_router_advertisement_reaches_nobody(lab: Lab, on: Execute, victim: list[str]) -> None:
    rule = ("yufang", "bridge jizuo", "rogue router advertisement")
    before = counted(on, *rule)
    on("client-1", "python3", "-c", ADVERTISE, "yufang-c1", "2001:db8:bad::")
    time.sleep(1)
    assert not believed(victim, "2001:db8:bad:")
    # To the other host and to the router itself.
    assert counted(on, *rule) == before + 2
    with without_guard(on, "yufang"):
        on("client-1", "python3", "-c", ADVERTISE, "yufang-c1", "2001:db8:bad::")
        time.sleep(1)
        assert believed(victim, "2001:db8:bad:"), "the advertisement is none: nothing was tested"
        assert "2001:db8:bad:" not in on("yufang", "ip", "-6", "route").stdout, (
            "the router itself believed it"
        )


@pytest.mark.parametrize(
    ("address", "source", "target", "comment"),
    [
        ("255.255.255.255", "67", "68", "rogue DHCP server"),
        ("ff02::1", "547", "546", "rogue DHCPv6 server"),
    ],
)
def test_a_rogue_dhcp_server_reaches_nobody(
    on: Execute, victim: list[str], address: str, source: str, target: str, comment: str
) -> None:
    def offered() -> str:
        listening = subprocess.Popen(
            [*victim, "python3", "-c", LISTEN, target, "1.5"], stdout=subprocess.PIPE, text=True
        )
        assert listening.stdout is not None
        assert listening.stdout.readline() == "ready\n"
        on("client-1", "python3", "-c", OFFER, "yufang-c1", address, source, target)
        return listening.communicate(timeout=10)[0].strip()

    before = counted(on, "yufang", "bridge jizuo", comment)
    assert offered() == "nothing"
    assert counted(on, "yufang", "bridge jizuo", comment) > before
    with without_guard(on, "yufang"):
        assert offered() == "got", "the offer is none: nothing was tested"


def test_bogons_go_nowhere(lab: Lab, on: Execute) -> None:
    """A packet to a range that nobody has stops at the first router, in both families."""
    for family, bogon in ((Family.IPV4, "100.64.0.1"), (Family.IPV6, "100::1")):
        before = counted(on, "yufang", "inet jizuo", "bogon")
        on(
            "client-1",
            "ping",
            FLAG[family],
            "-n",
            "-q",
            "-c",
            "2",
            "-i",
            "0.2",
            "-W",
            "1",
            bogon,
            check=False,
        )
        assert counted(on, "yufang", "inet jizuo", "bogon") == before + 2


#: Begins a number of connections as fast as it can and prints how many were answered.
KNOCK = """
import select, socket, sys
address, number = sys.argv[1], int(sys.argv[2])
poll, sockets = select.poll(), {}
for _ in range(number):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.setblocking(False)
    s.connect_ex((address, 80))
    sockets[s.fileno()] = s
    poll.register(s.fileno(), select.POLLOUT)
answered = 0
while sockets and (events := poll.poll(700)):
    for handle, _ in events:
        poll.unregister(handle)
        s = sockets.pop(handle)
        answered += s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        s.close()
print(answered)
"""


@pytest.mark.parametrize("family", list(Family))
def test_one_source_of_the_internet_may_begin_so_many_connections(
    lab: Lab, on: Execute, family: Family
) -> None:
    """Three hundred at once: the burst gets in, the rest is dropped; a city's own host is not limited."""
    assert lab.city.layout.internet is not None
    burst = 2 * lab.city.layout.internet.new_connections
    time.sleep(
        burst / lab.city.layout.internet.new_connections + 0.5
    )  # what other tests used up is full again
    address = str(lab.plan.host("cloud-1", family))
    dropped = counted(on, "border-1", "inet jizuo_limits", "too many new connections")
    answered = int(on("internet-1", "python3", "-c", KNOCK, address, "300").stdout)
    assert burst - 5 <= answered < 250, "some more get in while the burst lasts"
    assert (
        counted(on, "border-1", "inet jizuo_limits", "too many new connections") >= dropped + 300 - answered
    )
    assert int(on("client-1", "python3", "-c", KNOCK, address, "300").stdout) == 300


def test_every_rule_s_counter_is_in_prometheus_s_reach(lab: Lab, on: Execute) -> None:
    """The node exporter serves what the kernel counts, by rule, family and verdict."""
    on("yufang", "systemctl", "start", "jizuo-firewall-counters.service")
    address, folder = lab.record.hosts["yufang"][1], "/etc/jizuo/monitoring"
    # As Prometheus does it: nobody without its certificate is answered.
    ask = (
        f"import ssl, urllib.request as r; c = ssl.create_default_context(cafile='{folder}/authority.pem'); "
        f"c.load_cert_chain('{folder}/client.pem', '{folder}/client-key.pem'); "
        f"print(r.urlopen('https://[{address}]:9100/metrics', timeout=10, context=c).read().decode())"
    )
    body = on("ops-1", "python3", "-c", ask).stdout
    series = [line for line in body.splitlines() if line.startswith("jizuo_firewall_packets_total{")]
    for wanted in (
        'rule="spoofed source"',
        'rule="rogue router advertisement"',
        'network="health"',
        'rule="denied"',
    ):
        assert any(wanted in line for line in series), wanted
    assert len(series) < 120, "series of one router"
