"""What does a check of backups come to, and how does that become a record?"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from checks.record import Record, Status, timestamp


class Finding(msgspec.Struct, frozen=True):
    """What a check came to; the value is a time in seconds."""

    status: Status
    value: float | None
    evidence: str
    reason: str = ""


def record_of(subject: str, check: str, now: datetime, finding: Finding) -> Record:
    """A finding as the record of a check; backups have no address family."""
    return Record(
        subject=subject,
        check=check,
        family="none",
        status=finding.status,
        value=None if finding.value is None else round(finding.value, 3),
        at=timestamp(now),
        evidence=finding.evidence,
        reason=finding.reason,
    )


def spell(seconds: float) -> str:
    """Seconds in the two largest units, as people say them: `3d 4h`, `15m`, `8s`."""
    rest = int(timedelta(seconds=max(0.0, seconds)).total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
