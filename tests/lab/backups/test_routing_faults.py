"""Faults of routing on real routers, each with what is lost: silence, flapping, leaks, dangerous configuration."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from deploy.extranet.configuration import frr_configuration
from deploy.extranet.passwords import session_password
from deploy.extranet.role import CONFIRM, RELOAD, REMEMBER, VALIDATE
from deploy.hoststate import files as files_module
from deploy.hoststate.files import File, apply_script, keep_script
from deploy.lab import network
from deploy.lab.failover import INTERVAL, lost, lost_during, probe, sessions_down, wait_for_planes
from deploy.lab.lab import Lab
from deploy.secrets import SecretStore
from inventories.records import Family, LinkKind, Plane
from inventories.topology import Neighbor, Relation, RoutedNode, build_topology
from tests.lab.conftest import Execute

CONFIGURATION = "/etc/frr/frr.conf"


@contextmanager
def silent(lab: Lab, on: Execute, plane: Plane) -> Iterator[None]:
    """Every link of a plane keeps its carrier and passes nothing, in either direction (nft drops stand in)."""
    links: dict[str, list[str]] = {}
    for link in lab.city.links.values():
        if link.plane is plane and link.kind is not LinkKind.ACCESS:
            for end in (link.a, link.b):
                links.setdefault(end, []).append(f'"{link.id}"')
    for node, names in links.items():
        chosen = ", ".join(names)
        script = (
            "table inet silence {\n"
            f"chain in {{ type filter hook prerouting priority -400; iifname {{ {chosen} }} drop; }}\n"
            f"chain out {{ type filter hook postrouting priority -400; oifname {{ {chosen} }} drop; }}\n}}\n"
        )
        on(node, "nft", "-f", "-", input=script)
    try:
        yield
    finally:
        for node in links:
            on(node, "nft", "delete", "table", "inet", "silence")


@pytest.mark.parametrize("plane", [Plane.A, Plane.B])
def test_a_silent_plane_costs_less_than_two_seconds(lab: Lab, on: Execute, plane: Plane) -> None:
    """Nothing says that the links are dead but BFD: three times 300 ms without a word."""
    with silent(lab, on, plane):  # what the fault costs to put in is not what it costs to be struck by it
        pass
    wait_for_planes(lab)
    fault = silent(lab, on, plane)
    try:
        cut = lost_during(lab, "client-1", "cloud-1", 500, lambda: fault.__enter__())
    finally:
        heal = lost_during(lab, "client-1", "cloud-1", 400, lambda: fault.__exit__(None, None, None))
    print(f"plane {plane} silent: lost {cut}; heard again: lost {heal}")
    assert max(cut.values()) * INTERVAL < 2
    assert max(heal.values()) * INTERVAL < 2
    wait_for_planes(lab)


def test_a_flapping_uplink_costs_what_it_costs_and_no_more(lab: Lab, on: Execute) -> None:
    """A county's uplink goes and comes ten times in four seconds: the other county's sessions do not notice."""
    before = uptimes(on, "core-a")
    others = {peer for peer in before if not described(on, "core-a", peer).startswith("yuanzhou")}
    assert len(others) > 6

    def flap() -> None:
        for _ in range(10):
            network.set_link(lab.places, lab.link("yz-a"), up=False)
            time.sleep(0.2)
            network.set_link(lab.places, lab.link("yz-a"), up=True)
            time.sleep(0.2)

    try:
        lost_packets = lost_during(lab, "client-1", "cloud-1", 800, flap)
    finally:
        network.set_link(lab.places, lab.link("yz-a"), up=True)
    wait_for_planes(lab)
    after = uptimes(on, "core-a")
    print(f"uplink flapped ten times: lost {lost_packets} of 800")
    assert max(lost_packets.values()) * INTERVAL < 2
    assert dropped(before, after, others) == set()


def test_a_leak_that_is_too_large_ends_its_session_and_no_other(lab: Lab, on: Execute) -> None:
    """A township announces sixty host routes out of its own county, which its county accepts one by one."""
    topology = build_topology(lab.city, lab.plan)
    cihua = topology.nodes["cihua"]
    limit = next(n.limit for n in topology.nodes["yuanzhou"].neighbors if n.node == "cihua")
    before = uptimes(on, "yuanzhou")
    ups = {peer for peer in before if not described(on, "yuanzhou", peer).startswith("cihua")}
    base = lab.plan.county_prefix("360902", Family.IPV4)
    leaked = [f"{base[16384 - 300 + number]}/32" for number in range(60)]
    assert limit < len(leaked)

    def leak(no: str) -> None:
        lines = ["configure terminal", *(f"{no}ip route {prefix} blackhole" for prefix in leaked)]
        lines += [f"router bgp {cihua.asn}", "address-family ipv4 unicast"]
        lines += [f"{no}network {prefix}" for prefix in leaked]
        # What a router announces its own configuration filters too: a leak is a configuration that does not.
        lines += ["exit-address-family", "exit", f"{no}route-map TO-ABOVE-V4 permit 5"]
        on("cihua", "vtysh", *[part for line in lines for part in ("-c", line)])

    leak("")
    try:
        deadline = time.monotonic() + 10
        while "cihua" not in down_names(on, "yuanzhou") and time.monotonic() < deadline:
            time.sleep(0.2)
        assert down_names(on, "yuanzhou") == {"cihua"}
        routes = json.loads(on("core-a", "vtysh", "-c", "show bgp ipv4 unicast json").stdout)["routes"]
        assert not any(prefix in routes for prefix in leaked)
        assert dropped(before, uptimes(on, "yuanzhou"), ups) == set()
    finally:
        leak("no ")
        time.sleep(1)
        on("yuanzhou", "vtysh", "-c", f"clear bgp ipv4 unicast {cihua.asn}")
    wait_until_up(lab, "yuanzhou", "cihua", "cihua-juwei")
    deadline = time.monotonic() + 15
    address = str(lab.plan.host("cloud-1", Family.IPV4))
    while on("client-2", "ping", "-n", "-q", "-c", "1", "-W", "1", address, check=False).returncode:
        assert time.monotonic() < deadline, "the township does not come back"


def test_one_changed_neighbour_drops_no_other(lab: Lab, on: Execute) -> None:
    """A village more below a township: reloaded, every other session stays, and no packet is lost."""
    node = build_topology(lab.city, lab.plan).nodes["cihua"]
    model = next(n for n in node.neighbors if n.node == "yufang")
    more = msgspec.structs.replace(
        model,
        link="new-village",
        node="new-village",
        asn=4200009999,
        local={Family.IPV4: "198.18.4.200", Family.IPV6: "2001:db8:100:1::c8"},
        remote={Family.IPV4: "198.18.4.201", Family.IPV6: "2001:db8:100:1::c9"},
    )
    before = uptimes(on, "cihua")
    running = probe(lab, "client-2", "cloud-1", 700)
    time.sleep(0.5)
    done = bring(on, "cihua", configuration(lab, node, more), on_trial=False)
    assert done.returncode == 0, done.stderr
    assert set(uptimes(on, "cihua")) == {*before, *more.remote.values()}
    done = bring(on, "cihua", configuration(lab, node), on_trial=False)
    assert done.returncode == 0, done.stderr
    assert {family: lost(process) for family, process in running.items()} == dict.fromkeys(Family, 0)
    after = uptimes(on, "cihua")
    assert set(after) == set(before)
    assert dropped(before, after, before) == set()


def test_a_configuration_that_frr_refuses_changes_nothing(lab: Lab, on: Execute) -> None:
    node = build_topology(lab.city, lab.plan).nodes["cihua"]
    before, file = uptimes(on, "cihua"), on("cihua", "cat", CONFIGURATION).stdout
    done = bring(on, "cihua", configuration(lab, node) + "router bgp no-number\n", on_trial=False)
    assert done.returncode == 1
    assert "validation failed, nothing was changed" in done.stderr
    assert on("cihua", "cat", CONFIGURATION).stdout == file
    after = uptimes(on, "cihua")
    assert set(after) == set(before)
    assert dropped(before, after, before) == set()


def test_a_configuration_that_loses_a_session_is_taken_back(lab: Lab, on: Execute) -> None:
    """A wrong AS number for one neighbour: valid for FRR, and that session would be gone."""
    node = build_topology(lab.city, lab.plan).nodes["cihua"]
    wrong = [
        msgspec.structs.replace(n, asn=n.asn + 1000) if n.node == "yufang" else n for n in node.neighbors
    ]
    before, file = uptimes(on, "cihua"), on("cihua", "cat", CONFIGURATION).stdout
    broken = msgspec.structs.replace(node, neighbors=tuple(wrong))
    done = bring(on, "cihua", configuration(lab, broken), on_trial=False)
    assert done.returncode == 1
    assert "was up before and is gone" in done.stderr
    assert on("cihua", "cat", CONFIGURATION).stdout == file
    wait_until_up(lab, "cihua")
    after = uptimes(on, "cihua")
    others = {peer for peer in before if not described(on, "cihua", peer).startswith("yufang")}
    assert dropped(before, after, others) == set()


def test_a_change_that_locks_the_controller_out_is_taken_back(
    lab: Lab, on: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interface file that takes the management address away: nobody says that the host was reached."""
    monkeypatch.setattr(files_module, "TRIAL", 4)
    lockout = File(
        "/etc/systemd/network/05-lockout.network", "[Match]\nName=mgmt0\n\n[Network]\nAddress=192.0.2.99/32\n"
    )
    arguments = ([lockout], {lockout.path}, (), ["networkctl reload", "networkctl reconfigure mgmt0"], ())
    on("client-2", "sh", "-s", input=apply_script(*arguments, on_trial=True))
    addresses = lab.record.hosts["client-2"]
    deadline = time.monotonic() + 5
    while addresses[0] in on("client-2", "ip", "address").stdout and time.monotonic() < deadline:
        time.sleep(0.1)
    assert addresses[0] not in on("client-2", "ip", "address").stdout, "the file locks nobody out"
    deadline = time.monotonic() + 20
    while not all(a in on("client-2", "ip", "address").stdout for a in addresses):
        assert time.monotonic() < deadline, "the host did not go back by itself"
        time.sleep(0.2)
    assert on("client-2", "ls", lockout.path, check=False).returncode != 0
    late = on("client-2", "sh", "-s", check=False, input=keep_script([lockout], {lockout.path}))
    assert late.returncode == 1
    assert "went back to its old files" in late.stderr


def test_no_password_is_seen_by_others(lab: Lab, on: Execute) -> None:
    """Not in a process list while FRR runs, not for an account that is not FRR's."""
    store = SecretStore(lab.places.state / "secrets")
    secrets = [session_password(store, link) for link in ("yz-a", "yz-b", "cihua-up")]
    text = on("yuanzhou", "cat", CONFIGURATION).stdout
    assert all(secret in text for secret in secrets)
    assert on("yuanzhou", "stat", "-c", "%a %U", CONFIGURATION).stdout == "640 frr\n"
    seen = on(
        "yuanzhou", "sh", "-c", "cat /proc/[0-9]*/cmdline /var/log/syslog /var/log/auth.log; journalctl -b"
    ).stdout
    assert "jizuo" in seen
    assert not any(secret in seen for secret in secrets)


def configuration(lab: Lab, node: RoutedNode, *more: Neighbor) -> str:
    store = SecretStore(lab.places.state / "secrets")
    node = msgspec.structs.replace(node, neighbors=(*node.neighbors, *more))
    assert all(neighbor.relation in (Relation.UP, Relation.DOWN) for neighbor in node.neighbors)
    return frr_configuration(node, {n.link: session_password(store, n.link) for n in node.neighbors})


def bring(on: Execute, router: str, text: str, *, on_trial: bool) -> Any:
    """Bring a configuration to a router in the way the deploy does."""
    file = File(CONFIGURATION, text, mode="640", owner="frr", group="frr")
    script = apply_script([file], {file.path}, [VALIDATE], [REMEMBER, RELOAD], [CONFIRM], on_trial=on_trial)
    return on(router, "sh", "-s", input=script, check=False)


def peers(on: Execute, router: str) -> dict[str, dict[str, Any]]:
    shown = json.loads(on(router, "vtysh", "-c", "show bgp neighbors json").stdout)
    return {peer: what for peer, what in shown.items() if isinstance(what, dict) and "bgpState" in what}


def uptimes(on: Execute, router: str) -> dict[str, int]:
    """When each session was established, in seconds since the epoch; 0 for one that is not."""
    return {
        peer: what.get("bgpTimerUpEstablishedEpoch", 0) if what["bgpState"] == "Established" else 0
        for peer, what in peers(on, router).items()
    }


def dropped(before: dict[str, int], after: dict[str, int], peers: Collection[str]) -> set[str]:
    """The peers whose sessions are not the same as before; FRR reckons the moment anew each time, to a second."""
    return {peer for peer in peers if not before[peer] or abs(after.get(peer, 0) - before[peer]) > 1}


def described(on: Execute, router: str, peer: str) -> str:
    return str(peers(on, router)[peer].get("nbrDesc", ""))


def down_names(on: Execute, router: str) -> set[str]:
    return {
        what["nbrDesc"].split()[0] for what in peers(on, router).values() if what["bgpState"] != "Established"
    }


def wait_until_up(lab: Lab, *routers: str) -> None:
    deadline = time.monotonic() + 20
    for router in routers:
        while down := sessions_down(lab, router):
            assert time.monotonic() < deadline, f"{router}: {down} stay down"
            time.sleep(0.3)
