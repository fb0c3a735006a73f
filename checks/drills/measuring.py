"""How long did recovery take, and what was lost? Moments and checksums that playbooks print, to figures; pure.

A task of a playbook says what it saw in lines on its standard output:

    drill-moment NAME ISO-TIME         fault, detected, decided, started; serving-ipv4, serving-ipv6 ...
    drill-sum WHERE SHA256 TIME PATH   a file before the fault (`lost`) or after recovery (`recovered`), with
                                       the time of its last change in seconds (Unix time)
    drill-record WHERE MILLISECONDS    a record of the writer's, by the moment it was written (Unix time)
    drill-value NAME TEXT              anything else that the record is to hold
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo

import msgspec

from checks.drills.record import DataCheck, Measured, Outcome, Timeline

#: How many paths a record names.
NAMED = 20


class Sum(msgspec.Struct, frozen=True):
    """A file's SHA-256, and when it was last changed (Unix time, seconds)."""

    digest: str
    changed: float


class Seen(msgspec.Struct):
    """All that the playbooks of one drill have said so far."""

    moments: dict[str, datetime] = {}
    sums: dict[str, dict[str, Sum]] = {}
    records: dict[str, set[int]] = {}
    values: dict[str, str] = {}

    def read(self, lines: Iterable[str]) -> None:
        """Take in what a task printed; lines of other forms are passed over.

        Raises:
            ValueError: a line of these forms says what cannot be.
        """
        for line in lines:
            word, _, rest = line.rstrip("\r\n").partition(" ")
            if word == "drill-moment":
                name, _, moment = rest.partition(" ")
                self.moments[name] = _moment(moment)
            elif word == "drill-sum":
                where, digest, changed, path = rest.split(" ", 3)
                self.sums.setdefault(where, {})[path] = Sum(digest, float(changed))
            elif word == "drill-record":
                where, _, milliseconds = rest.partition(" ")
                self.records.setdefault(where, set()).add(int(milliseconds))
            elif word == "drill-value":
                name, _, text = rest.partition(" ")
                self.values[name] = text

    @property
    def serving(self) -> datetime | None:
        """When the client was served again in every family; None as long as one is missing."""
        found = [self.moments.get(f"serving-{family}") for family in ("ipv4", "ipv6")]
        known = [moment for moment in found if moment is not None]
        return max(known) if len(known) == len(found) else None


def timeline(seen: Seen, zone: tzinfo) -> Timeline:
    """The five moments as the record has them, in the city's time zone."""
    moments = {name: seen.moments.get(name) for name in ("fault", "detected", "decided", "started")}
    moments["serving"] = seen.serving
    return Timeline(**{name: _text(moment, zone) for name, moment in moments.items()})


def serving_by_family(seen: Seen, zone: tzinfo) -> dict[str, str]:
    """When each family was served again."""
    found = {family: _text(seen.moments.get(f"serving-{family}"), zone) for family in ("ipv4", "ipv6")}
    return {family: moment for family, moment in found.items() if moment is not None}


def measured(seen: Seen, rto_objective: float, rpo_objective: float) -> Measured:
    """RTO and RPO in seconds against the objectives; what was not seen is None."""
    fault, serving = seen.moments.get("fault"), seen.serving
    newest = newest_recovered(seen)
    return Measured(
        rto_seconds=_seconds(fault, serving),
        rto_objective_seconds=rto_objective,
        rpo_seconds=_seconds(newest, fault),
        rpo_objective_seconds=rpo_objective,
    )


def newest_recovered(seen: Seen) -> datetime | None:
    """The moment of the newest record that came back; of the snapshot where none of the records did.

    None before recovery: nothing is known then of what is lost.
    """
    records = seen.records.get("recovered")
    if records:
        return datetime.fromtimestamp(max(records) / 1000, UTC)
    return seen.moments.get("snapshot")


def data_check(seen: Seen, zone: tzinfo) -> DataCheck:
    """The files that came back against those that were lost.

    What was changed after the newest record that came back is lost, as the RPO allows; anything older has
    to be there, with the same content.
    """
    lost, recovered, newest = seen.sums.get("lost"), seen.sums.get("recovered"), newest_recovered(seen)
    if not lost or recovered is None or newest is None:
        return DataCheck(outcome=Outcome.NOT_REACHED)
    since = newest.timestamp()
    too_new = {path for path, was in lost.items() if was.changed > since}
    differing = [
        path
        for path, now in sorted(recovered.items())
        if path not in too_new and (path not in lost or lost[path].digest != now.digest)
    ]
    missing = sorted(set(lost) - set(recovered) - too_new)
    return DataCheck(
        outcome=Outcome.FAILED if differing or missing or not recovered else Outcome.DONE,
        files=len(recovered),
        same=sum(1 for path, now in recovered.items() if path in lost and lost[path].digest == now.digest),
        differing=tuple(differing[:NAMED]),
        missing=tuple(missing[:NAMED]),
        lost=len(too_new - set(recovered)),
        newest_recovered_at=_text(newest, zone),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset from UTC")
    return moment


def _text(moment: datetime | None, zone: tzinfo) -> str | None:
    return None if moment is None else moment.astimezone(zone).isoformat(timespec="milliseconds")


def _seconds(earlier: datetime | None, later: datetime | None) -> float | None:
    """Seconds between two moments, not below 0: clocks of two hosts may differ by a few milliseconds."""
    if earlier is None or later is None:
        return None
    return round(max(0.0, (later - earlier).total_seconds()), 3)
