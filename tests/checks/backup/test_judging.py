"""Does the backup check see what makes a backup worthless, and name it?"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from checks.backup import coverage
from checks.backup.finding import spell
from checks.backup.judging import evaluate
from checks.backup.limits import load_limits
from checks.backup.places import nodes_to_ask
from checks.backup_state import Unreadable, read_state, states_of
from checks.record import Record, Status
from checks.security.run import NotCollected
from checks.security.stream import Section
from inventories.backups.records import BackupPolicy, Backups, NoBackup, Verification
from inventories.records import HostedBy, System

from ..city import tiny_city
from .portal import CITY, NOW, POLICY, SYSTEM


def system(**fields: Any) -> System:
    return System(**{name: getattr(SYSTEM, name) for name in SYSTEM.__struct_fields__} | fields)


def policy(**fields: Any) -> BackupPolicy:
    return BackupPolicy(**{name: getattr(POLICY, name) for name in POLICY.__struct_fields__} | fields)


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).isoformat(timespec="milliseconds")


def good_state() -> dict[str, Any]:
    """A state as the backup job writes it, with fields that this auditor does not read."""

    def repository(role: str) -> dict[str, Any]:
        return {
            "role": role,
            "snapshot": "d34db33f",
            "snapshot_at": ago(minutes=10),
            "check_success_at": ago(hours=3),
            "restore_success_at": ago(hours=3),
            "restored_snapshot_at": ago(hours=4),
            "copy": None if role == "primary" else step(),
            "check": {**step(), "part": 1, "parts": 30},
            "restore_test": {**step(), "files": 20, "total_bytes": 12345},
        }

    def step() -> dict[str, Any]:
        return {
            "result": "success",
            "started_at": ago(minutes=9),
            "ended_at": ago(minutes=8),
            "seconds": 60.0,
        }

    return {
        "version": 1,
        "policy": "gov",
        "host": "cloud-1",
        "rpo_seconds": 3600,
        "written_at": ago(minutes=8),
        "last_success_at": ago(minutes=10),
        "backup": {
            **step(),
            "snapshot": "d34db33fcafe",
            "snapshot_at": ago(minutes=10),
            "files": 40,
            "unread": [],
        },
        "repositories": {"backup-1": repository("primary"), "offsite-1": repository("copy")},
    }


def judge(state: dict[str, Any]) -> dict[str, Record]:
    states = {"cloud-1": {"gov": read_state(json.dumps(state))}}
    records = evaluate(CITY, states, NOW)
    return {record.check: record for record in records if record.subject == "gov@cloud-1"}


CHECKS = [
    "backup",
    "backup-last-run",
    "repository-check:backup-1",
    "restore-test:backup-1",
    "backup-copy:offsite-1",
    "repository-check:offsite-1",
    "restore-test:offsite-1",
]


def test_a_good_job_passes_everything() -> None:
    found = judge(good_state())
    assert list(found) == CHECKS
    assert {record.status for record in found.values()} == {Status.PASS}
    assert {record.family for record in found.values()} == {"none"}
    assert found["backup"].value == 600
    assert found["backup"].at == "2026-03-01T12:00:00.000+08:00"
    assert "20 files came back with the right content hash" in found["restore-test:offsite-1"].evidence
    assert nodes_to_ask(CITY) == ["cloud-1"]


def put(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        place = state
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


PRIMARY, COPY = ("repositories", "backup-1"), ("repositories", "offsite-1")
PARTIAL = {
    "result": "partial",
    "started_at": ago(minutes=5),
    "reason": "unread_files",
    "error": "2 files unread",
}
FAILURE = {
    "result": "failure",
    "started_at": ago(minutes=5),
    "reason": "disk_full",
    "error": "no space on offsite-1",
}
FAULTS: list[tuple[str, str, Callable[[dict[str, Any]], None]]] = [
    ("backup", "stale", put("last_success_at", value=ago(minutes=61))),
    ("backup", "never", put("last_success_at", value="")),
    ("backup", "future", put("last_success_at", value=ago(minutes=-10))),
    ("backup-last-run", "partial", put("backup", value=PARTIAL)),
    ("backup-last-run", "failure", put("backup", value=FAILURE)),
    ("backup-last-run", "never", put("backup", value=None)),
    ("backup-last-run", "stuck", put("backup", value={"result": "running", "started_at": ago(hours=2)})),
    ("backup-last-run", "future", put("backup", "started_at", value=ago(hours=-1))),
    ("backup-last-run", "primary_failed", put("backup", "repository", value="offsite-1")),
    ("backup-copy:offsite-1", "stale", put(*COPY, "snapshot_at", value=ago(hours=2))),
    ("backup-copy:offsite-1", "never", put(*COPY, "snapshot_at", value="")),
    ("backup-copy:offsite-1", "disk_full", put(*COPY, "copy", value=FAILURE)),
    (
        "backup-copy:offsite-1",
        "never",
        put("repositories", value={"backup-1": good_state()["repositories"]["backup-1"]}),
    ),
    ("repository-check:backup-1", "stale", put(*PRIMARY, "check_success_at", value=ago(days=8))),
    ("repository-check:backup-1", "disk_full", put(*PRIMARY, "check", value=FAILURE)),
    ("repository-check:offsite-1", "never", put(*COPY, "check_success_at", value="")),
    ("restore-test:backup-1", "stale", put(*PRIMARY, "restore_success_at", value=ago(days=8))),
    ("restore-test:offsite-1", "never", put(*COPY, "restore_success_at", value="")),
    ("restore-test:backup-1", "nothing_compared", put(*PRIMARY, "restore_test", "files", value=0)),
    (
        "restore-test:backup-1",
        "content_differs",
        put(
            *PRIMARY, "restore_test", value={**FAILURE, "reason": "content_differs", "mismatched": ["/srv/a"]}
        ),
    ),
    # A job that calls itself a success although files differ is not believed.
    ("restore-test:backup-1", "content_differs", put(*PRIMARY, "restore_test", "missing", value=["/srv/b"])),
]


@pytest.mark.parametrize(
    ("check", "reason", "fault"),
    FAULTS,
    ids=[f"{check}-{reason}-{n}" for n, (check, reason, _) in enumerate(FAULTS)],
)
def test_one_fault_is_seen(check: str, reason: str, fault: Callable[[dict[str, Any]], None]) -> None:
    state = good_state()
    fault(state)
    found = judge(state)
    assert list(found) == CHECKS, "a series went missing"
    assert (found[check].status, found[check].reason) == (Status.FAIL, reason), found[check]


def test_an_offset_is_kept() -> None:
    """08:00+08:00 is midnight UTC: read without its offset it would look eight hours newer than it is."""
    state = good_state()
    state["last_success_at"] = "2026-03-01T03:30:00+00:00"
    assert judge(state)["backup"].value == 1800
    state["last_success_at"] = "2026-03-01T03:30:00"
    assert judge(state)["backup"].reason == "unreadable_state"


def test_boundaries() -> None:
    state = good_state()
    state["last_success_at"] = ago(seconds=3600)
    assert judge(state)["backup"].status is Status.PASS
    state["last_success_at"] = ago(seconds=3601)
    assert judge(state)["backup"].status is Status.FAIL
    state["last_success_at"] = ago(seconds=-load_limits().clock_tolerance_seconds)
    assert judge(state)["backup"].status is Status.PASS


def test_a_run_under_way_is_no_fault() -> None:
    state = good_state()
    state["backup"] = {"result": "running", "started_at": ago(minutes=1)}
    state["repositories"]["offsite-1"]["restore_test"] = {"result": "running", "started_at": ago(minutes=1)}
    assert {record.status for record in judge(state).values()} == {Status.PASS}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "policy": 3, "host": "x"}', "null"]
)
def test_a_state_that_cannot_be_read_fails_every_check(text: str) -> None:
    state = read_state(text)
    assert isinstance(state, Unreadable)
    records = [r for r in evaluate(CITY, {"cloud-1": {"gov": state}}, NOW) if r.subject == "gov@cloud-1"]
    assert [record.check for record in records if record.reason == "unreadable_state"] == sorted(
        CHECKS, key=[record.check for record in records].index
    )
    assert len(records) == len(CHECKS)


def test_states_come_from_captures_and_what_is_missing_is_said() -> None:
    line = f"gov.json\t{json.dumps(good_state())}"
    captures = {
        "cloud-1": {"backup-states": Section((line, "odd line"), 0)},
        "cloud-2": NotCollected("timeout", "cloud-2: no answer"),
    }
    city = tiny_city(
        systems=[SYSTEM, system(id="other", nodes=("cloud-2",)), system(id="third")],
        backups=[POLICY, policy(id="far", systems=("other",)), policy(id="new", systems=("third",))],
    )
    by_subject: dict[str, set[tuple[str, str]]] = {}
    for record in evaluate(city, states_of(captures), NOW):
        if "@" in record.subject:
            by_subject.setdefault(record.subject, set()).add((record.status.value, record.reason))
    assert by_subject == {
        "gov@cloud-1": {("pass", "")},
        "far@cloud-2": {("error", "timeout")},
        "new@cloud-1": {("fail", "missing_state")},
    }


def test_a_state_of_another_host_proves_nothing() -> None:
    state = {**good_state(), "host": "cloud-9"}
    assert {record.reason for record in judge(state).values()} == {"foreign_state"}


@pytest.mark.parametrize(
    ("covered", "by", "status", "reason"),
    [
        (SYSTEM, [POLICY], "pass", ""),
        (SYSTEM, [], "fail", "no_policy"),
        (system(rpo=1800), [POLICY], "fail", "rpo_too_long"),
        (SYSTEM, [policy(copies=("cloud-2",))], "fail", "no_offsite_copy"),
        (SYSTEM, [policy(copies=())], "fail", "no_offsite_copy"),
        (system(mlps=2), [policy(copies=())], "pass", ""),
        (system(rpo=0), [], "fail", "no_policy"),
        (system(rpo=0), [POLICY], "pass", ""),
        (system(mlps=2), [policy(copies=(), keep={"daily": 182})], "fail", "kept_too_short"),
        (system(mlps=2), [policy(copies=(), keep={"hourly": 24, "monthly": 6})], "pass", ""),
        (system(mlps=2), [policy(keep={"last": 999})], "fail", "kept_too_short"),
        (system(mlps=1), [policy(copies=(), keep={"daily": 7})], "pass", ""),
        (system(hosted_by=HostedBy.PROVINCE), [], None, ""),
    ],
)
def test_a_system_needs_a_policy(
    covered: System, by: list[BackupPolicy], status: str | None, reason: str
) -> None:
    records = evaluate(tiny_city(systems=[covered], backups=by), {}, NOW)
    found = [record for record in records if record.check == coverage.POLICY]
    if status is None:
        assert found == []
    else:
        assert [(record.subject, record.status.value, record.reason) for record in found] == [
            ("portal", status, reason)
        ]


def test_a_stated_reason_is_no_policy_and_no_fault() -> None:
    places = Backups(without={"portal": NoBackup(id="portal", reason="不存业务数据", owner="bureau")})

    def covered(rpo: int) -> Record:
        city = tiny_city(systems=[system(rpo=rpo)], places=places)
        [record] = evaluate(city, {}, NOW)
        return record

    assert (covered(0).status, covered(0).evidence) == (
        Status.NOT_APPLICABLE,
        "no backup: 不存业务数据 (bureau)",
    )
    assert (covered(3600).status, covered(3600).reason) == (Status.FAIL, "no_policy")


def test_a_policy_says_how_old_checks_and_restores_may_be() -> None:
    state = good_state()
    state["repositories"]["backup-1"]["check_success_at"] = ago(hours=30)
    state["repositories"]["backup-1"]["restore_success_at"] = ago(hours=50)

    def failed(verify: Verification) -> list[str]:
        city = tiny_city(systems=[SYSTEM], backups=[policy(verify=verify)])
        records = evaluate(city, {"cloud-1": {"gov": read_state(json.dumps(state))}}, NOW)
        return [record.check for record in records if record.status is Status.FAIL]

    assert failed(Verification()) == ["repository-check:backup-1", "restore-test:backup-1"]
    assert failed(Verification(check=31 * 3600)) == ["restore-test:backup-1"]
    assert failed(Verification(check=31 * 3600, restore=50 * 3600)) == []


def test_a_restore_says_up_to_when_data_are_proven() -> None:
    evidence = judge(good_state())["restore-test:backup-1"].evidence
    assert "data up to 2026-03-01T08:00:00.000+08:00 are proven to come back" in evidence


def test_a_policy_of_systems_without_a_node_backs_nothing_up() -> None:
    city = tiny_city(systems=[system(nodes=())], backups=[POLICY])
    (record,) = (record for record in evaluate(city, {}, NOW) if record.subject == "gov")
    assert (record.status, record.reason) == (Status.FAIL, "no_node")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0s"), (59.9, "59s"), (3600, "1h"), (90061, "1d 1h"), (-5, "0s")]
)
def test_spell(seconds: float, said: str) -> None:
    assert spell(seconds) == said
