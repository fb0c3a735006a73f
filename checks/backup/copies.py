"""Does a policy keep the rule 3-2-1-1-0, element by element? Pure.

3 copies of the data, the living ones among them; on 2 media; 1 off-site, in another prefecture city; 1 offline or
immutable; 0 errors when verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from checks.backup.judging import REPOSITORY_CHECK, RESTORE_TEST
from checks.backup.limits import Limits
from checks.backup.places import job_nodes, offsite_of, repositories_of
from checks.record import Record, Status
from inventories.backups.records import BackupPolicy, Backups
from inventories.records import City, System


class State(StrEnum):
    """Whether an element is there; unknown is not."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    MET = "met"


class Element(NamedTuple):
    """An element of the rule for a system: what was found, in words."""

    name: str
    state: State
    what: str


#: The elements in the rule's order, as its digits are read.
ELEMENTS = ("copies", "media", "offsite", "immutable", "errors")
DIGITS = "32110"


def rule(
    city: City, system: System, policy: BackupPolicy, limits: Limits, records: Sequence[Record] | None = None
) -> list[Element]:
    """The five elements for a system's policy.

    Args:
        city: the city.
        system: a system that the policy covers.
        policy: the policy.
        limits: the kit's numbers.
        records: what `jizuo check PATH backup` found; None where nobody asked, so that errors are unknown.
    """
    places = city.backup_places or Backups()
    held = [(name, places.repository(name)) for name in repositories_of(policy)]
    offsite = offsite_of(city, system, policy)
    media = {limits.live_medium, *(repository.medium for _, repository in held)}
    safe = [name for name, repository in held if repository.protection in limits.immutable]
    count = 1 + len(held)
    return [
        Element("copies", _met(count >= limits.copies), f"{count} copies, {limits.copies} are due"),
        Element(
            "media",
            _met(len(media) >= limits.media),
            f"all on {', '.join(sorted(media))}: no second medium"
            if len(media) < limits.media
            else f"on {', '.join(sorted(media))}",
        ),
        Element(
            "offsite",
            _met(bool(offsite)),
            f"off-site on {', '.join(offsite)}" if offsite else "no copy in another prefecture city",
        ),
        Element(
            "immutable",
            _met(bool(safe)),
            f"history is safe on {', '.join(safe)}" if safe else "no repository is offline or immutable",
        ),
        _errors(city, policy, records),
    ]


def _met(found: bool) -> State:
    return State.MET if found else State.MISSING


def _errors(city: City, policy: BackupPolicy, records: Sequence[Record] | None) -> Element:
    """The last element: every repository of every job checked and restored from, in time and without error."""
    if records is None:
        return Element("errors", State.UNKNOWN, "verification not asked")
    known = {(record.subject, record.check): record for record in records}
    due = [
        (f"{policy.id}@{node}", f"{check}:{place}")
        for node in job_nodes(city, policy)
        for place in repositories_of(policy)
        for check in (REPOSITORY_CHECK, RESTORE_TEST)
    ]
    bad = [known[key] for key in due if key in known and known[key].status is Status.FAIL]
    if bad:
        first = bad[0]
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        return Element("errors", State.MISSING, f"{first.check} of {first.subject}: {first.reason}{more}")
    silent = [key for key in due if key not in known or known[key].status is not Status.PASS]
    if silent or not due:
        return Element("errors", State.UNKNOWN, f"{len(silent)} of {len(due)} verifications have no result")
    return Element("errors", State.MET, f"{len(due)} verifications without error")
