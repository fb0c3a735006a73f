"""The check of continuously kept databases: RPO by the age of what was sent, and nothing that is green by silence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from checks import backup_databases as check
from checks.record import Status
from inventories.backup_state import Result
from inventories.database_state import DatabaseRepository, DatabaseState, Log, Proof
from inventories.load import load_city

CITY = load_city(Path(__file__).resolve().parents[2] / "inventories/lab")
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SUBJECT = "cloud-1-main"


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def repository(key: int, **more: object) -> DatabaseRepository:
    good = DatabaseRepository(
        key=key,
        asked_at=ago(10),
        segment="000000010000000000000009",
        restorable_at=ago(70),
        full_at=ago(80_000),
        backup_at=ago(80_000),
        oldest_at=ago(80_000),
        backups=1,
        restore_test=Proof(result=Result.SUCCESS, started_at=ago(500), ended_at=ago(480), rows=20),
        restore_success_at=ago(480),
        restored_moment_at=ago(600),
    )
    return msgspec.structs.replace(good, **more)


def state(**more: object) -> DatabaseState:
    good = DatabaseState(
        version=1,
        stanza=SUBJECT,
        host="cloud-1",
        policy="gov-service",
        database="portal",
        rpo_seconds=3600,
        written_at=ago(10),
        stamp_at=ago(10),
        wal=Log(archived="000000010000000000000009", archived_at=ago(40)),
        repositories={"backup-1": repository(1), "offsite-1": repository(2)},
    )
    return msgspec.structs.replace(good, **more)


def judged(found: DatabaseState | str) -> dict[str, tuple[Status, str]]:
    content = found if isinstance(found, str) else msgspec.json.encode(found).decode()
    records = check.evaluate(CITY, {"cloud-1": {SUBJECT: content}}, NOW)
    assert {record.subject for record in records} == {SUBJECT}
    return {record.check: (record.status, record.reason) for record in records}


ALL = {
    "database-log",
    *(
        f"{name}:{node}"
        for node in ("backup-1", "offsite-1")
        for name in (
            "database-restorable",
            "database-base-backup",
            "database-restore-test",
            "database-retention",
        )
    ),
}


def test_a_database_that_is_well_passes_every_check() -> None:
    assert judged(state()) == dict.fromkeys(ALL, (Status.PASS, ""))


@pytest.mark.parametrize(
    ("broken", "name", "reason"),
    [
        (state(error="connection refused", stamp_at=ago(100)), "database-log", "database"),
        (state(stamp_at=ago(3601)), "database-log", "stale"),
        (state(stamp_at=""), "database-log", "never"),
        (state(stamp_at=ago(-61)), "database-log", "future"),
        (
            state(wal=Log(archived="x", archived_at=ago(3601), failed_at=ago(30), waiting=3)),
            "database-log",
            "not_archived",
        ),
        (state(wal=Log(failed_at=ago(30))), "database-log", "not_archived"),
    ],
)
def test_a_log_that_does_not_go_out_is_found(broken: DatabaseState, name: str, reason: str) -> None:
    found = judged(broken)
    assert found.pop(name) == (Status.FAIL, reason)
    assert set(found.values()) == {(Status.PASS, "")}


def test_an_attempt_that_failed_is_no_loss_before_the_rpo_is_over() -> None:
    tried = state(wal=Log(archived="x", archived_at=ago(3599), failed_at=ago(30), waiting=3))
    assert judged(tried)["database-log"] == (Status.PASS, "")


def test_a_failure_before_the_last_success_is_over() -> None:
    assert judged(state(wal=Log(archived="x", archived_at=ago(30), failed_at=ago(40), failures=3)))[
        "database-log"
    ] == (
        Status.PASS,
        "",
    )


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({"restorable_at": ago(3601), "error": "unreachable"}, "database-restorable", "stale"),
        ({"restorable_at": ""}, "database-restorable", "never"),
        ({"backup_at": ago(2 * 86400 + 1)}, "database-base-backup", "stale"),
        ({"backup_at": ""}, "database-base-backup", "never"),
        ({"backups": 15}, "database-retention", "not_expired"),
        ({"restore_test": None, "restore_success_at": ""}, "database-restore-test", "never"),
        ({"restore_success_at": ago(3 * 86400 + 1)}, "database-restore-test", "stale"),
        (
            {
                "restore_test": Proof(
                    result=Result.FAILURE, started_at=ago(9), reason="content_differs", error="x"
                )
            },
            "database-restore-test",
            "content_differs",
        ),
    ],
)
def test_one_bad_repository_is_named_and_does_not_hide_behind_the_other(
    changes: dict[str, object], name: str, reason: str
) -> None:
    found = judged(state(repositories={"backup-1": repository(1), "offsite-1": repository(2, **changes)}))
    assert found.pop(f"{name}:offsite-1") == (Status.FAIL, reason)
    assert set(found.values()) == {(Status.PASS, "")}


def test_the_limit_itself_still_passes() -> None:
    last = repository(1, restorable_at=ago(3600))
    assert judged(state(repositories={"backup-1": last, "offsite-1": repository(2)})) == dict.fromkeys(
        ALL, (Status.PASS, "")
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "unreadable_state"),
        ('{"version": 2}', "unreadable_state"),
        (msgspec.json.encode(state(version=2)).decode(), "unreadable_state"),
        (msgspec.json.encode(state(policy="other")).decode(), "foreign_state"),
    ],
)
def test_a_state_that_cannot_be_used_fails_everything(content: str, reason: str) -> None:
    assert judged(content) == dict.fromkeys(ALL, (Status.FAIL, reason))


def test_a_repository_that_the_state_does_not_know_fails() -> None:
    found = judged(state(repositories={"backup-1": repository(1)}))
    assert {found[name] for name in ALL if name.endswith("offsite-1")} == {(Status.FAIL, "never")}


def test_silence_is_no_pass() -> None:
    missing = check.evaluate(CITY, {}, NOW)
    assert {(one.check, one.status, one.reason) for one in missing} == {
        (name, Status.FAIL, "missing_state") for name in ALL
    }
    unknown = check.evaluate(CITY, {"cloud-1": "no answer"}, NOW)
    assert {(one.status, one.evidence) for one in unknown} == {(Status.ERROR, "no answer")}
