"""Does the table say what is the matter in few rows, and leave nothing out?"""

from __future__ import annotations

from typing import Any

from checks.record import Record, Status
from checks.table import rows


def record(subject: str, check: str, **fields: Any) -> Record:
    known = {
        "family": "none",
        "status": Status.FAIL,
        "value": None,
        "at": "2026-01-01T00:00:00.000+08:00",
        "evidence": "bad",
        "reason": "bad",
    }
    return Record(subject=subject, check=check, **{**known, **fields})


def test_what_is_well_has_no_row() -> None:
    well = [record("a", "icmp", status=status) for status in (Status.PASS, Status.NOT_APPLICABLE)]
    assert rows(well) == []


def test_both_families_of_one_endpoint_are_one_row_and_one_family_says_which() -> None:
    both = [record("portal", "http://a/", family=family, reason="bad_status") for family in ("ipv4", "ipv6")]
    (row,) = rows(both)
    assert (row.check, row.where) == ("http://a/ (IPv4, IPv6)", "portal")
    (row,) = rows([both[1], record("portal", "http://a/", family="ipv4", status=Status.PASS)])
    assert row.check == "http://a/ (IPv6)"


def test_families_that_fail_in_different_ways_are_two_rows() -> None:
    apart = [
        record("portal", "http://a/", family="ipv4", reason="timeout"),
        record("portal", "http://a/", family="ipv6", reason="refused"),
    ]
    assert len(rows(apart)) == 2


def test_hosts_that_are_down_are_one_row() -> None:
    dead = [
        record(
            host,
            f"L3-CES1-{n:02}",
            status=Status.ERROR,
            reason="refused",
            evidence=f"{host}: refused; start it",
        )
        for host in ("a-1", "b-2")
        for n in range(1, 22)
    ]
    (row,) = rows(dead)
    assert (row.check, row.where, row.why) == ("21 checks", "a-1 b-2", "refused: refused; start it")


def test_a_fault_of_many_hosts_is_one_row_with_what_is_not_met() -> None:
    evidence = "NOT MET clock: no server; records: fine"
    (row,) = rows([record(f"host-{n}", "L3-CES1-13", evidence=evidence, reason="clock") for n in range(9)])
    assert row.check.startswith("L3-CES1-13 审计记录")
    assert row.where == "9: host-0 host-1 host-2 host-3 host-4 host-5 ..."
    assert row.why == "clock: no server"


def test_failures_come_first_and_manual_controls_share_a_row() -> None:
    found = rows(
        [
            record("a", "L3-CES1-09", status=Status.MANUAL),
            record("a", "L3-CES1-10", status=Status.MANUAL),
            record("a", "L3-CES1-12", status=Status.WAIVED, evidence="waived by x"),
            record("a", "icmp", status=Status.ERROR),
            record("a", "tcp://a:1"),
        ]
    )
    assert [row.status.value for row in found] == ["fail", "error", "waived", "manual"]
    assert found[-1].check == "L3-CES1-09 L3-CES1-10"
