"""Does the audit of the extranet see on real hosts what is broken there, each fault in its family, and no other?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from deploy.lab.lab import Lab
from inventories.records import Family
from inventories.topology import build_topology

from .conftest import ROOT, Execute, jizuo

INVENTORY = str(ROOT / "inventories/lab")
#: Within the cloud's LAN, where nobody is: what leaks there leads nobody astray.
LEAK = "2001:db8:302:0:ff::/80"

#: Subject, family, reason.
Finding = tuple[str, str, str]


def audit() -> tuple[int, set[Finding]]:
    """Exit code and findings of `jizuo check PATH extranet`."""
    done = jizuo("check", INVENTORY, "extranet", "--format", "json")
    assert done.stdout, done.stderr
    return done.returncode, {
        (record["subject"], record["family"], record["reason"])
        for record in json.loads(done.stdout)
        if record["status"] in ("fail", "error")
    }


def settled(wanted: set[Finding], seconds: float = 40) -> tuple[int, set[Finding]]:
    """The audit, again and again until it finds what is wanted: BGP takes its time to settle."""
    deadline = time.monotonic() + seconds
    while True:
        code, found = audit()
        if found == wanted or time.monotonic() > deadline:
            return code, found


def vtysh(on: Execute, host: str, *lines: str) -> None:
    on(host, "vtysh", *[part for line in ("configure terminal", *lines) for part in ("-c", line)])


@contextmanager
def leaked(on: Execute, lab: Lab) -> Iterator[None]:
    """A village brings in a part of the cloud's LAN."""
    asn = build_topology(lab.city, lab.plan).nodes["yufang"].asn

    def leak(no: str) -> None:
        lines = [f"{no}ipv6 route {LEAK} blackhole", f"router bgp {asn}", "address-family ipv6 unicast"]
        vtysh(on, "yufang", *lines, f"{no}network {LEAK}")

    leak("")
    try:
        yield
    finally:
        leak("no ")


@contextmanager
def one_plane(on: Execute, lab: Lab) -> Iterator[None]:
    """Plane B keeps the cloud's IPv4 address from a county."""
    core = build_topology(lab.city, lab.plan).nodes["core-b"]
    county = next(neighbor for neighbor in core.neighbors if neighbor.node == "fengcheng")
    cloud = f"{lab.plan.host('cloud-1', Family.IPV4)}/32"
    peer = f"neighbor {county.remote[Family.IPV4]} route-map"
    enter = (f"router bgp {core.asn}", "address-family ipv4 unicast")
    vtysh(
        on,
        "core-b",
        f"ip prefix-list LOST seq 5 permit {cloud}",
        "route-map TO-LOST deny 1",
        "match ip address prefix-list LOST",
        "route-map TO-LOST deny 2",
        "match ip address prefix-list SUMMARY",
        "route-map TO-LOST permit 10",
        *enter,
        f"{peer} TO-LOST out",
    )
    try:
        yield
    finally:
        vtysh(on, "core-b", *enter, f"{peer} TO-CITY-V4 out")
        vtysh(on, "core-b", "no route-map TO-LOST", "no ip prefix-list LOST")


@contextmanager
def open_door(on: Execute) -> Iterator[None]:
    """A cloud node lets SSH in from the extranet, over IPv6."""
    rule = "meta nfproto ipv6 tcp dport 22 accept comment forgotten"
    handle = "nft -a list chain inet jizuo input | sed -n 's/.*forgotten.*handle //p'"
    on("xinchuang-1", "sh", "-ec", f"nft insert rule inet jizuo input {rule}")
    try:
        yield
    finally:
        on("xinchuang-1", "sh", "-ec", f"nft delete rule inet jizuo input handle $({handle})")


def test_faults_are_named_and_nothing_else(lab: Lab, on: Execute) -> None:
    assert settled(set()) == (0, set()), "a city that is well"
    wanted = {
        ("yufang", "ipv6", "leak"),
        ("yufang", "ipv6", "unknown_route"),
        ("fengcheng", "ipv4", "one_plane"),
        ("xinchuang-1", "ipv6", "open"),
    }
    with ExitStack() as faults:
        for fault in (leaked(on, lab), one_plane(on, lab), open_door(on)):
            faults.enter_context(fault)
        assert settled(wanted) == (2, wanted)
    assert settled(set()) == (0, set()), "a city that is healed"
