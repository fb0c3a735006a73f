"""Which findings does somebody answer for, and until when? Reads an inventory's `waivers.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from checks.record import Record, Status, timestamp

from .controls import control_ids

#: The file in an inventory's folder; it need not be there.
FILE = "waivers.toml"


class WaiverError(ValueError):
    """A waiver cannot be used; the message names file, line and the way out."""


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table `[[waiver]]`: a control that need not be met.

    Attributes:
        control: The control's id.
        subject: The node's id, or a shell pattern over ids.
        who: Who answers for it.
        why: Why it is accepted, and what is done instead.
        until: The last day on which it counts.
    """

    control: str
    subject: str
    who: str
    why: str
    until: date


def load_waivers(inventory: Path) -> tuple[Waiver, ...]:
    """The waivers of a city's folder.

    Raises:
        WaiverError: The file is no TOML, a key is unknown or missing, or there is no such control.
    """
    path = inventory / FILE
    if not path.exists():
        return ()
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text).get("waiver", [])
    except (ValueError, OSError) as error:
        raise WaiverError(f"{path}: {error}") from None
    starts = [match.start() for match in re.finditer(r"^\s*\[\[waiver\]\]", text, re.MULTILINE)]
    waivers = []
    for start, table in zip(starts, tables, strict=False):
        line = text.count("\n", 0, start + 1) + 1
        try:
            waiver = msgspec.convert(table, Waiver)
        except msgspec.ValidationError as error:
            raise WaiverError(f"{path}:{line}: {error}; {_EXAMPLE}") from None
        if waiver.control not in control_ids():
            known = ", ".join(sorted(control_ids()))
            raise WaiverError(f"{path}:{line}: no control {waiver.control!r}; the controls are {known}")
        if not (waiver.who.strip() and waiver.why.strip()):
            raise WaiverError(f"{path}:{line}: who or why is empty; somebody has to answer for it")
        waivers.append(waiver)
    return tuple(waivers)


_EXAMPLE = (
    'write control = "L3-CES1-12", subject = "cloud-*", who = "...", why = "...", until = 2026-12-31 (a date)'
)


def apply(records: Iterable[Record], waivers: Sequence[Waiver], today: date) -> list[Record]:
    """Records with findings waived, then one for each waiver that has expired while its finding stands.

    An expired waiver waives nothing: its finding counts, and the waiver itself is a finding too.
    """
    expired: dict[Waiver, list[str]] = {}
    waived = []
    for record in records:
        ours = [waiver for waiver in waivers if _covers(waiver, record)]
        valid = [waiver for waiver in ours if waiver.until >= today]
        if valid:
            record = _waive(record, max(valid, key=lambda waiver: waiver.until))
        else:
            for waiver in ours:
                expired.setdefault(waiver, []).append(record.subject)
        waived.append(record)
    return waived + [_expired(waiver, subjects) for waiver, subjects in expired.items()]


def _covers(waiver: Waiver, record: Record) -> bool:
    return (
        record.status is Status.FAIL
        and record.check == waiver.control
        and fnmatchcase(record.subject, waiver.subject)
    )


def _waive(record: Record, waiver: Waiver) -> Record:
    text = f"waived by {waiver.who} until {waiver.until}: {waiver.why}; {record.evidence}"
    return msgspec.structs.replace(record, status=Status.WAIVED, evidence=text)


def _expired(waiver: Waiver, subjects: Sequence[str]) -> Record:
    hosts = " ".join(dict.fromkeys(subjects))
    return Record(
        subject=waiver.subject,
        check=f"waiver-{waiver.control}",
        family="none",
        status=Status.FAIL,
        value=waiver.until.isoformat(),
        at=timestamp(),
        evidence=f"the waiver by {waiver.who} ended on {waiver.until}: {waiver.why}; it was for {hosts}",
        reason="waiver_expired",
    )
