"""Do the checks see on real hosts what is broken there, in the family in which it is broken, and nothing else?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import lab as labs
from deploy.lab.lab import Lab

from .conftest import ROOT, Execute, jizuo

INVENTORY = str(ROOT / "inventories/lab")
COLLECTOR = "/usr/local/libexec/jizuo-collect"


def check(kind: str) -> tuple[int, dict[tuple[str, str, str], dict[str, Any]]]:
    """Exit code and records of a check, by subject, check and family."""
    done = jizuo("check", INVENTORY, kind, "--format", "json")
    assert done.stdout, done.stderr
    records = json.loads(done.stdout)
    return done.returncode, {(r["subject"], r["check"], r["family"]): r for r in records}


def findings(records: dict[tuple[str, str, str], dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {key for key, record in records.items() if record["status"] in ("fail", "error")}


@pytest.fixture(scope="module")
def before(lab: Lab) -> dict[str, set[tuple[str, str, str]]]:
    """What is found before anything is broken."""
    return {kind: findings(check(kind)[1]) for kind in ("availability", "security", "backup")}


@contextmanager
def broken(on: Execute, host: str, breaks: str, heals: str) -> Iterator[None]:
    on(host, "sh", "-ec", breaks)
    try:
        yield
    finally:
        on(host, "sh", "-ec", heals)


Before = dict[str, set[tuple[str, str, str]]]


def test_a_village_that_is_cut_off_shows_in_the_coverage(lab: Lab, on: Execute, tmp_path: Path) -> None:
    """What a real check found, by level and family; a village whose router answers over IPv4 alone is named so."""

    def coverage() -> tuple[int, dict[str, Any]]:
        jizuo("check", INVENTORY, "availability", "--out", str(tmp_path))
        done = jizuo("coverage", INVENTORY, "--records", str(tmp_path), "--format", "json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    deadline = time.monotonic() + 60
    while (found := coverage())[0] and time.monotonic() < deadline:
        time.sleep(1)
    assert found[0] == 0
    whole = found[1]["all"]
    assert whole == {"planned": 7, "built": 7, "reachable_ipv4": 7, "reachable_ipv6": 7}
    drop = "table inet apart { chain c { type filter hook prerouting priority -300; icmpv6 type echo-request drop; }; }"
    with broken(on, "yufang", f"nft '{drop}'", "nft delete table inet apart"):
        code, said = coverage()
    assert code == 2
    village = said["levels"]["village"]
    assert village == {"planned": 2, "built": 2, "reachable_ipv4": 2, "reachable_ipv6": 1}


def test_a_firewall_that_forgets_ipv6(lab: Lab, on: Execute, before: Before) -> None:
    objects = json.loads(on("client-2", "nft", "-j", "list", "chains").stdout)["nftables"]
    chain = next(o["chain"] for o in objects if "chain" in o and o["chain"].get("hook") == "input")
    place = f"{chain['family']} {chain['table']} {chain['name']}"
    handle = f"nft -a list chain {place} | sed -n 's/.*forgotten.*handle //p'"
    breaks = f"nft insert rule {place} meta nfproto ipv6 accept comment forgotten"
    with broken(on, "client-2", breaks, f"nft delete rule {place} handle $({handle})"):
        code, records = check("security")
    assert code == 2
    assert findings(records) - before["security"] == {
        ("client-2", "L3-CES1-18", "ipv6"),
        ("client-2", "L3-CES1-19", "ipv6"),
    }


def test_an_altered_collector_is_not_believed(lab: Lab, on: Execute, before: Before) -> None:
    breaks = f"cp -p {COLLECTOR} {COLLECTOR}.away; echo '# nothing to see' >>{COLLECTOR}"
    with broken(on, "client-2", breaks, f"mv {COLLECTOR}.away {COLLECTOR}"):
        code, records = check("security")
    assert code == 1
    found = findings(records) - before["security"]
    assert {subject for subject, _, _ in found} == {"client-2"}
    assert {records[key]["reason"] for key in found} == {"collector_altered"}


def test_a_weak_account_and_an_open_door_for_root(lab: Lab, on: Execute, before: Before) -> None:
    breaks = (
        "useradd -o -u 0 -M toor; cp -p /etc/ssh/sshd_config /etc/ssh/sshd_config.away;"
        "sed -i 's/^PermitRootLogin no/PermitRootLogin yes/' /etc/ssh/sshd_config"
    )
    heals = "mv /etc/ssh/sshd_config.away /etc/ssh/sshd_config; userdel -f toor"
    with broken(on, "client-2", breaks, heals):
        _, records = check("security")
    assert findings(records) - before["security"] == {
        ("client-2", "L3-CES1-01", "none"),
        ("client-2", "L3-CES1-06", "none"),
        ("client-2", "L3-CES1-08", "none"),
    }


def test_a_host_without_ipv6_is_down_in_ipv6_only(lab: Lab, on: Execute, before: Before) -> None:
    drop = "icmpv6 type echo-request drop comment forgotten"
    objects = json.loads(on("client-1", "nft", "-j", "list", "chains").stdout)["nftables"]
    chain = next(o["chain"] for o in objects if "chain" in o and o["chain"].get("hook") == "input")
    place = f"{chain['family']} {chain['table']} {chain['name']}"
    handle = f"nft -a list chain {place} | sed -n 's/.*forgotten.*handle //p'"
    with broken(
        on, "client-1", f"nft insert rule {place} {drop}", f"nft delete rule {place} handle $({handle})"
    ):
        code, records = check("availability")
    assert code == 2
    assert findings(records) - before["availability"] == {("client-1", "icmp", "ipv6")}
    assert records["client-1", "icmp", "ipv6"]["reason"] == "timeout"
    assert records["client-1", "icmp", "ipv4"]["status"] == "pass"


def test_a_dead_host_is_told_and_the_others_are_checked(lab: Lab, before: Before) -> None:
    labs.kill(lab, "client-2")
    try:
        code, records = check("security")
        _, reached = check("availability")
    finally:
        labs.start(lab, "client-2")
    assert code == 1
    lost = findings(records) - before["security"]
    assert {subject for subject, _, _ in lost} == {"client-2"}
    assert len({records[key]["reason"] for key in lost}) == 1
    assert findings(reached) - before["availability"] == {
        ("client-2", "icmp", "ipv4"),
        ("client-2", "icmp", "ipv6"),
    }


def test_the_state_of_a_backup_that_is_gone(lab: Lab, on: Execute, before: Before) -> None:
    node = "xinchuang-1"
    path = "/var/lib/jizuo/backup/collab-office.json"
    on(node, "systemctl", "stop", "jizuo-backup@collab-office.timer")
    try:
        with broken(on, node, f"mv {path} {path}.away", f"mv {path}.away {path}"):
            code, records = check("backup")
    finally:
        on(node, "systemctl", "start", "jizuo-backup@collab-office.timer")
    assert code == 2
    lost = findings(records) - before["backup"]
    assert {subject for subject, _, _ in lost} <= {f"collab-office@{node}"}
    assert records[f"collab-office@{node}", "backup", "none"]["reason"] == "missing_state"


@pytest.mark.parametrize("kind", ["availability", "security", "backup"])
def test_the_operations_node_comes_to_the_same(kind: str, lab: Lab, on: Execute, before: Before) -> None:
    """What ops-1 writes for the exporters is what the controller finds."""
    command = f"JIZUO_STATE=/etc/jizuo /opt/jizuo/bin/jizuo check /etc/jizuo/inventory {kind} --format json"
    # A host that an earlier test killed needs a moment until its clock is the city's again.
    deadline = time.monotonic() + 90
    while True:
        done = on(
            "ops-1", "sh", "-c", f"{command} {'--from local' if kind == 'availability' else ''}", check=False
        )
        records = {(r["subject"], r["check"], r["family"]): r for r in json.loads(done.stdout)}
        if findings(records) == before[kind] or time.monotonic() > deadline:
            break
        time.sleep(3)
    assert findings(records) == before[kind]
