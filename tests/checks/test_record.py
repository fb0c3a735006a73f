"""Are records written whole or not at all, and do exit codes say what they hold?"""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from checks.record import Record, Status, decode, encode, exit_code, read_records, timestamp, write_records


def record(status: Status) -> Record:
    return Record(
        subject="cloud-1",
        check="icmp",
        family="ipv6",
        status=status,
        value=0.001,
        at="2026-01-02T03:04:05.000+08:00",
        evidence="宜春",
    )


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([Status.PASS, Status.MANUAL, Status.WAIVED, Status.NOT_APPLICABLE], 0),
        ([Status.PASS, Status.FAIL], 2),
        ([Status.FAIL, Status.ERROR], 1),
        ([], 1),
    ],
)
def test_exit_code(statuses: list[Status], code: int) -> None:
    assert exit_code([record(status) for status in statuses]) == code


def test_json_has_the_fields_that_programs_read_and_comes_back() -> None:
    text = encode([record(Status.PASS), record(Status.FAIL)])
    assert list(json.loads(text)[0]) == [
        "subject",
        "check",
        "family",
        "status",
        "value",
        "at",
        "evidence",
        "reason",
    ]
    assert decode(text) == [record(Status.PASS), record(Status.FAIL)]
    assert json.loads(encode([])) == []


def test_an_unknown_key_or_status_is_refused() -> None:
    good = json.loads(encode([record(Status.PASS)]))
    for key, value in (("colour", "red"), ("status", "perhaps"), ("family", "ipx")):
        with pytest.raises(msgspec.ValidationError):
            decode(json.dumps([{**good[0], key: value}]))


def test_timestamp_has_an_offset() -> None:
    assert datetime.fromisoformat(timestamp()).tzinfo is not None
    assert timestamp(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000+00:00"
    with pytest.raises(ValueError, match="no offset"):
        timestamp(datetime(2026, 1, 2))


def test_write_is_atomic(tmp_path: Path) -> None:
    path = tmp_path / "records" / "availability.json"
    write_records(path, [record(Status.PASS)])
    assert read_records(path) == [record(Status.PASS)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def half() -> object:
        yield record(Status.FAIL)
        raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match="No space"):
        write_records(path, half())  # type: ignore[arg-type]
    assert read_records(path) == [record(Status.PASS)]
    assert [entry.name for entry in path.parent.iterdir()] == ["availability.json"]
