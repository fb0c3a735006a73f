"""Does the check see repositories that nobody keeps in order, and is none of them green by silence?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from checks.backup import repositories
from checks.backup.places import backup_nodes
from checks.backup_state import states_of
from checks.record import Record
from checks.security.run import Captures, NotCollected
from checks.security.stream import Section

from .portal import CITY, NOW

PLACES = ("backup-1", "offsite-1")
ALL = {
    f"{check}:{node}" for node in PLACES for check in (*repositories.HELD_CHECKS, *repositories.CLIENT_CHECKS)
}


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).isoformat(timespec="milliseconds")


def kept(node: str, **fields: Any) -> dict[str, Any]:
    """A state as the maintenance writes it."""
    step = {"result": "success", "started_at": ago(hours=9), "ended_at": ago(hours=8.9), "seconds": 60.0}
    return {
        "version": 1,
        "host": node,
        "client": "cloud-1",
        "policy": "gov",
        "keep": {"daily": 7},
        "written_at": ago(hours=8.9),
        "check": step,
        "check_success_at": ago(hours=8.9),
        "damage": None,
        "prune": {**step, "kept": 7, "removed_count": 2, "removed": ["a", "b"], "freed_bytes": 5},
        "prune_success_at": ago(hours=8.9),
        "snapshots": 7,
        "bytes": 123456,
        "oldest_lock_at": "",
        **fields,
    }


def job(**fields: Any) -> dict[str, Any]:
    known = {
        "role": "primary",
        "reading": {"parts": 2, "read_at": [ago(days=6), ago(days=1)]},
        "clock_offset_seconds": -0.3,
        **fields,
    }
    return {
        "version": 1,
        "policy": "gov",
        "host": "cloud-1",
        "repositories": {"backup-1": known, "offsite-1": {**known, "role": "copy"}},
    }


def captures(line: str | None, state: dict[str, Any] | None = None) -> Captures:
    """What the collectors print, where the primary repository's node says `line` and the copy's is well."""
    section = Section((line,) if line else (), 0)
    return {
        "cloud-1": {"backup-states": Section((f"gov.json\t{json.dumps(state or job())}",), 0)},
        "backup-1": {"repository-states": section},
        "offsite-1": {"repository-states": Section((as_line(kept("offsite-1")),), 0)},
    }


def as_line(state: Mapping[str, Any]) -> str:
    return f"cloud-1-gov.json\t{json.dumps(state)}"


def judge(found: Captures) -> dict[str, Record]:
    records = repositories.evaluate(CITY, states_of(found), repositories.held_of(found), NOW)
    assert {record.subject for record in records} == {"gov@cloud-1"}
    assert {record.check for record in records} == ALL
    assert len(records) == len(ALL)
    return {record.check: record for record in records}


def not_well(found: Mapping[str, Record]) -> dict[str, tuple[str, str]]:
    return {
        check: (record.status.value, record.reason)
        for check, record in found.items()
        if record.status.value != "pass"
    }


def test_what_is_well_passes_with_its_figures() -> None:
    found = judge(captures(as_line(kept("backup-1"))))
    assert not_well(found) == {}
    figures = {check: record.value for check, record in found.items() if check.endswith(":backup-1")}
    assert figures == {
        "repository-maintenance:backup-1": 8.9 * 3600,
        "repository-damage:backup-1": 0,
        "repository-lock:backup-1": 0,
        "repository-foreign:backup-1": 0,
        "repository-size:backup-1": 123456,
        "repository-read:backup-1": 6 * 86400,
        "repository-clock:backup-1": -0.3,
    }
    assert backup_nodes(CITY) == ["cloud-1", "backup-1", "offsite-1", "ops-1"]


def step(result: str, reason: str, **fields: Any) -> dict[str, Any]:
    return {"result": result, "started_at": ago(hours=9), "reason": reason, "error": "words", **fields}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"prune": step("refused", "future_snapshots")}, {"maintenance": "future_snapshots"}),
        ({"prune": step("failure", "disk_full")}, {"maintenance": "disk_full"}),
        ({"check": step("failure", "os")}, {"maintenance": "os"}),
        # a client was at work the last time: that counts when nothing was removed for two days
        ({"prune": step("failure", "locked")}, {}),
        (
            {"prune": step("failure", "locked"), "prune_success_at": ago(hours=49)},
            {"maintenance": "locked"},
        ),
        ({"prune_success_at": ago(hours=48)}, {}),
        ({"prune_success_at": ago(hours=48.01)}, {"maintenance": "stale"}),
        ({"prune_success_at": ago(hours=-1)}, {"maintenance": "future"}),
        ({"prune_success_at": "2026-03-01T03:00:00"}, {"maintenance": "unreadable_state"}),
        ({"prune": None, "prune_success_at": ""}, {"maintenance": "never"}),
        ({"prune": step("running", ""), "prune_success_at": ago(hours=49)}, {"maintenance": "stale"}),
        ({"damage": {"found_at": ago(days=1), "packs": ["ab" * 32, "cd" * 32]}}, {"damage": "damaged"}),
        ({"damage": {"found_at": ago(days=1), "packs": []}}, {"damage": "damaged"}),
        ({"check_success_at": ""}, {"damage": "never"}),
        ({"oldest_lock_at": ago(hours=11.9)}, {}),
        ({"oldest_lock_at": ago(hours=12)}, {"lock": "stale_lock"}),
        ({"foreign": 3}, {"foreign": "foreign_snapshots"}),
        (
            {"client": "cloud-2"},
            dict.fromkeys(("maintenance", "damage", "lock", "foreign", "size"), "foreign_state"),
        ),
    ],
)
def test_what_its_node_says_of_a_repository(fields: dict[str, Any], wrong: dict[str, str]) -> None:
    found = judge(captures(as_line(kept("backup-1", **fields))))
    expected = {f"repository-{name}:backup-1": ("fail", reason) for name, reason in wrong.items()}
    assert not_well(found) == expected


def test_damage_and_foreign_snapshots_are_counted() -> None:
    state = kept("backup-1", damage={"found_at": ago(days=1), "packs": ["ab" * 32, "cd" * 32]}, foreign=3)
    found = judge(captures(as_line(state)))
    assert found["repository-damage:backup-1"].value == 2
    assert "abababababababab" in found["repository-damage:backup-1"].evidence
    assert found["repository-foreign:backup-1"].value == 3
    unnamed = judge(captures(as_line(kept("backup-1", damage={"found_at": ago(days=1), "packs": []}))))
    assert unnamed["repository-damage:backup-1"].value == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (None, "not_held"),
        ("cloud-1-gov.json\t{", "unreadable_state"),
        ("cloud-1-gov.json\t" + json.dumps({**kept("backup-1"), "version": 2}), "unreadable_state"),
        ("cloud-1-gov.held\tsoon", "unreadable_state"),
    ],
)
def test_a_node_that_says_nothing_is_not_well(line: str | None, reason: str) -> None:
    bad = not_well(judge(captures(line)))
    assert bad == {f"{check}:backup-1": ("fail", reason) for check in repositories.HELD_CHECKS}


def test_a_repository_that_is_new_waits_two_days_for_its_first_maintenance() -> None:
    others = {
        f"{check}:backup-1": ("not_applicable", "not_maintained") for check in repositories.HELD_CHECKS[1:]
    }
    new = int((NOW - timedelta(hours=47)).timestamp())
    assert not_well(judge(captures(f"cloud-1-gov.held\t{new}"))) == others
    old = int((NOW - timedelta(hours=49)).timestamp())
    late = not_well(judge(captures(f"cloud-1-gov.held\t{old}")))
    assert late == {**others, "repository-maintenance:backup-1": ("fail", "never")}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"reading": {"parts": 2, "read_at": [ago(days=7), ago(days=1)]}}, {}),
        ({"reading": {"parts": 2, "read_at": [ago(days=1), ago(days=7.01)]}}, {"read": ("fail", "stale")}),
        ({"reading": {"parts": 2, "read_at": [ago(days=1), ""]}}, {"read": ("fail", "never")}),
        ({"reading": {"parts": 0, "read_at": []}}, {"read": ("fail", "never")}),
        ({"reading": None}, {"read": ("fail", "never")}),
        ({"reading": {"parts": 1, "read_at": ["yesterday"]}}, {"read": ("fail", "unreadable_state")}),
        ({"clock_offset_seconds": 120.0}, {}),
        ({"clock_offset_seconds": -120.1}, {"clock": ("fail", "clock")}),
        ({"clock_offset_seconds": 3600.0}, {"clock": ("fail", "clock")}),
        ({"clock_offset_seconds": None}, {"clock": ("not_applicable", "not_measured")}),
    ],
)
def test_what_the_client_says_of_its_repositories(
    fields: dict[str, Any], wrong: dict[str, tuple[str, str]]
) -> None:
    found = not_well(judge(captures(as_line(kept("backup-1")), job(**fields))))
    assert found == {f"repository-{name}:{node}": what for name, what in wrong.items() for node in PLACES}


def change(edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    state = job()
    edit(state)
    return state


@pytest.mark.parametrize(
    ("state", "reason", "nodes"),
    [
        (change(lambda state: state.update(host="cloud-2")), "missing_state", PLACES),
        (change(lambda state: state.update(version=2)), "missing_state", PLACES),
        (change(lambda state: state["repositories"].pop("offsite-1")), "never", ("offsite-1",)),
    ],
)
def test_a_client_that_says_nothing_is_not_well(
    state: dict[str, Any], reason: str, nodes: tuple[str, ...]
) -> None:
    found = not_well(judge(captures(as_line(kept("backup-1")), state)))
    assert found == {
        f"{check}:{node}": ("fail", reason) for node in nodes for check in repositories.CLIENT_CHECKS
    }


def test_hosts_that_cannot_be_asked_are_errors() -> None:
    silent = NotCollected("timeout", "no answer")
    found = judge({"cloud-1": silent, "backup-1": silent, "offsite-1": silent})
    assert not_well(found) == dict.fromkeys(ALL, ("error", "timeout"))
