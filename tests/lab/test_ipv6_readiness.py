"""`jizuo check PATH ipv6` on real hosts: the city's own name servers are asked, and both families compared."""

from __future__ import annotations

import json
from typing import Any

from deploy.lab.lab import Lab
from inventories.records import Family

from .conftest import ROOT, Execute, jizuo

INVENTORY = str(ROOT / "inventories/lab")
SYSTEM, NODE, PARTS = "gov-data-portal", "cloud-1", {"aaaa", "authority", "reachable", "content", "links"}


def assessed() -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and, of one system, its records by part."""
    done = jizuo("check", INVENTORY, "ipv6", "--format", "json")
    assert done.stdout, done.stderr
    records = json.loads(done.stdout)
    return done.returncode, {r["check"].removeprefix("ipv6-"): r for r in records if r["subject"] == SYSTEM}


def test_a_system_is_assessed_from_the_operations_node_and_loses_ipv6(lab: Lab, on: Execute) -> None:
    code, found = assessed()
    assert code in (0, 2), found  # delays over the two families may differ on a busy machine
    assert {part: found[part]["status"] for part in PARTS} == dict.fromkeys(PARTS, "pass"), found
    assert found["aaaa"]["evidence"] == str(lab.plan.host(NODE, Family.IPV6))
    assert found["authority"]["evidence"].startswith("yichun.example.: 1 of 1 name servers answer over IPv6")
    drop = "table inet apart { chain c { type filter hook prerouting priority -300; "
    drop += "meta nfproto ipv6 tcp dport 80 drop; }; }"
    on(NODE, "nft", drop)
    try:
        code, found = assessed()
    finally:
        on(NODE, "nft", "delete", "table", "inet", "apart")
    assert code == 2, found
    assert (found["reachable"]["status"], found["reachable"]["reason"]) == ("fail", "timeout")
    assert found["aaaa"]["status"] == "pass", "its name is not what fails"
    assert found["score"]["status"] == "fail"
