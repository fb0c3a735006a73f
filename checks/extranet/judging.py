"""How does a part of the audit become a record? Deviations from the plan, each with a reason, in one record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from checks.record import Record, Status, timestamp
from inventories.records import Family

#: How many deviations a record spells out before it counts the rest.
_TOLD = 4


class Deviation(NamedTuple):
    """Something that is not as the inventory has it."""

    reason: str
    text: str


def judge(subject: str, check: str, family: Family, deviations: Sequence[Deviation], well: str) -> Record:
    """One record: a pass that says what was seen, or a finding that says what is not as it should be."""
    told = "; ".join(deviation.text for deviation in deviations[:_TOLD])
    if len(deviations) > _TOLD:
        told += f"; and {len(deviations) - _TOLD} more"
    return Record(
        subject=subject,
        check=check,
        family=family.value,
        status=Status.FAIL if deviations else Status.PASS,
        value=float(len(deviations)),
        at=timestamp(),
        evidence=f"{subject}: {told or well}",
        reason=deviations[0].reason if deviations else "",
    )


def without_verdict(
    subject: str, check: str, family: Family, status: Status, reason: str, why: str
) -> Record:
    """A record of something that could not be checked, or that does not apply."""
    return Record(
        subject=subject,
        check=check,
        family=family.value,
        status=status,
        value=None,
        at=timestamp(),
        evidence=f"{subject}: {why}",
        reason=reason,
    )
