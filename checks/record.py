"""What a check found: one small record for every subject, check and address family."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

#: The address family that a record speaks of; `none` where a check has none.
RecordFamily = Literal["ipv4", "ipv6", "none"]


class Status(StrEnum):
    """How a check ended.

    `error` means that nothing could be said: the host was unreachable or a fact unreadable. `manual` means
    that a person has to judge; it is never a pass. `waived` is a finding that somebody answers for.
    """

    PASS = "pass"  # noqa: S105 - a status, not a password
    FAIL = "fail"
    MANUAL = "manual"
    NOT_APPLICABLE = "not_applicable"
    WAIVED = "waived"
    ERROR = "error"


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """The result of one check of one subject; (subject, check, family) names it and does not vary by run.

    Attributes:
        subject: The id of a node, a system or a backup job, as the inventory has it.
        check: What was checked: `icmp` of a node, the endpoint's URL of a system, a control's id.
        family: The address family it was checked over.
        status: How it ended.
        value: Seconds for a probe or an age, a word for a control's state, nothing where there is none.
        at: When, ISO 8601 with the offset from UTC.
        evidence: What was seen, in words a person can follow.
        reason: Why it is not a pass: one word that programs can group by; empty for a pass.
    """

    subject: str
    check: str
    family: RecordFamily
    status: Status
    value: float | str | None
    at: str
    evidence: str
    reason: str = ""


def timestamp(moment: datetime | None = None) -> str:
    """The moment (now unless given) as a record's `at`: ISO 8601 with offset, in whole milliseconds."""
    moment = moment or datetime.now().astimezone()
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no offset from UTC")
    return moment.isoformat(timespec="milliseconds")


def exit_code(records: Iterable[Record]) -> int:
    """The exit code that records call for: 1 where something could not be checked, 2 for findings, else 0.

    A manual record is no finding and no pass either: whoever prints records says how many there are.
    """
    statuses = {record.status for record in records}
    if not statuses or Status.ERROR in statuses:
        return 1
    return 2 if Status.FAIL in statuses else 0


def encode(records: Iterable[Record]) -> bytes:
    """Records as a JSON list, one record a line."""
    encoder = msgspec.json.Encoder()
    return b"[" + b",\n ".join(encoder.encode(record) for record in records) + b"]\n"


def decode(text: bytes | str) -> list[Record]:
    """The records of a JSON list.

    Raises:
        msgspec.ValidationError: The text is JSON but no list of records; the message names the field.
        msgspec.DecodeError: The text is not JSON.
    """
    return msgspec.json.decode(text, type=list[Record])


def read_records(path: Path) -> list[Record]:
    """The records of a file that `write_records` wrote.

    Raises:
        OSError: The file cannot be read.
        msgspec.DecodeError: The file holds no records.
    """
    return decode(path.read_bytes())


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records so that a reader sees the old file or the new one, never a part (rename, POSIX).

    Raises:
        OSError: The folder cannot be written, or the disk is full; the old file stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encode(records))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing (rename, POSIX), also when the power goes.

    Others may read it: exporters do, under an account of their own.

    Raises:
        OSError: it cannot be written; the old file stays as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
