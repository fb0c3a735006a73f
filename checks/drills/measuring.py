"""How long did recovery take, and what was lost? Moments and checksums that playbooks print, to figures; pure.

A task of a playbook says what it saw in lines on its standard output:

    drill-moment NAME ISO-TIME     fault, snapshot; detected-ipv4, detected-ipv6, serving-ipv4, serving-ipv6
    drill-sum WHERE SHA256 PATH    a file that was `lost`, or one that was `recovered`
    drill-time WHERE SECONDS PATH  when that file was last changed (Unix time)
    drill-record WHERE NUMBER      a record of the writer's: the moment it was written, Unix time in milliseconds
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo

import msgspec

from checks.drills.record import DataCheck, Measured, Outcome, Timeline

#: How many paths a record names.
NAMED = 20
FAMILIES = ("ipv4", "ipv6")


class Seen(msgspec.Struct):
    """All that the playbooks of one drill have said so far; sums and times are by `lost` or `recovered`, then path."""

    moments: dict[str, datetime] = {}
    sums: dict[str, dict[str, str]] = {}
    times: dict[str, dict[str, float]] = {}
    records: dict[str, set[int]] = {}

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
                where, digest, path = rest.split(" ", 2)
                self.sums.setdefault(where, {})[path] = digest
            elif word == "drill-time":
                where, changed, path = rest.split(" ", 2)
                self.times.setdefault(where, {})[path] = float(changed)
            elif word == "drill-record":
                where, _, number = rest.partition(" ")
                self.records.setdefault(where, set()).add(int(number))

    def moment(self, name: str) -> datetime | None:
        """A moment by its name; of one that each family has its own of, the later: None while one is missing."""
        if name in self.moments:
            return self.moments[name]
        found = [self.moments.get(f"{name}-{family}") for family in FAMILIES]
        known = [moment for moment in found if moment is not None]
        return max(known) if len(known) == len(found) else None


def timeline(seen: Seen, zone: tzinfo) -> Timeline:
    """The five moments as the record has them, in the city's time zone."""
    return Timeline(**{name: _text(seen.moment(name), zone) for name in Timeline.__struct_fields__})


def serving_by_family(seen: Seen, zone: tzinfo) -> dict[str, str]:
    """When each family was served again."""
    found = {family: _text(seen.moment(f"serving-{family}"), zone) for family in FAMILIES}
    return {family: moment for family, moment in found.items() if moment is not None}


def measured(seen: Seen, rto_objective: float, rpo_objective: float) -> Measured:
    """RTO and RPO in seconds against the objectives; what was not seen is None."""
    fault, serving, newest = seen.moment("fault"), seen.moment("serving"), newest_recovered(seen)
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
    return seen.moment("snapshot")


def data_check(seen: Seen, zone: tzinfo) -> DataCheck:
    """The files that came back against those that were lost.

    What was changed after the newest record that came back is lost, as the RPO allows; anything older has
    to be there, with the same content.
    """
    lost, recovered, newest = seen.sums.get("lost"), seen.sums.get("recovered"), newest_recovered(seen)
    if not lost or recovered is None or newest is None:
        return DataCheck(outcome=Outcome.NOT_REACHED)
    since = newest.timestamp()
    times = seen.times.get("lost", {})
    too_new = {path for path in lost if times.get(path, 0.0) > since}
    differing = [
        path
        for path, now in sorted(recovered.items())
        if path not in too_new and (path not in lost or lost[path] != now)
    ]
    missing = sorted(set(lost) - set(recovered) - too_new)
    return DataCheck(
        outcome=Outcome.FAILED if differing or missing or not recovered else Outcome.DONE,
        files=len(recovered),
        same=sum(1 for path, now in recovered.items() if path in lost and lost[path] == now),
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
