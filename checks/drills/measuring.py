"""How long did recovery take, and what was lost? Moments and checksums that playbooks print, to figures; pure.

A task of a playbook says what it saw in lines on its standard output:

    drill-moment NAME TIME         fault, snapshot, noticed, detected, serving; or serving-ipv4 and serving-ipv6, and of
                                   several systems serving:SYSTEM-ipv4 ...: the latest of them all counts
    drill-sum WHERE SHA256 PATH    a file that was `lost`, or one that was `recovered`
    drill-time WHERE TIME PATH     when that file was last changed
    drill-record WHERE ID TIME     a record that a writer was told to be kept, and when: those that were `lost` with the
                                   system (all up to the fault), those that were `recovered`, and, read from the disk
                                   itself when the fault is undone, those that `survived` on it
    drill-note TEXT                what the record is to say beside the figures, in Chinese
    drill-tolerated NAME           a critical alert that fired before the drill, and is no obstacle

TIME is ISO 8601 with an offset from UTC, or Unix time in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo

import msgspec

from checks.drills.record import DataCheck, Measured, Outcome, Timeline

#: How many paths a record names.
NAMED = 20
FAMILIES = ("ipv4", "ipv6")


class Seen(msgspec.Struct):
    """All that the playbooks of one drill have said so far; the rest is by `lost` or `recovered`, then path or id."""

    moments: dict[str, datetime] = {}
    sums: dict[str, dict[str, str]] = {}
    times: dict[str, dict[str, float]] = {}
    records: dict[str, dict[str, float]] = {}
    tolerated: list[str] = []
    notes: list[str] = []

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
                self.times.setdefault(where, {})[path] = _moment(changed).timestamp()
            elif word == "drill-record":
                where, identity, at = rest.split(" ", 2)
                self.records.setdefault(where, {})[identity] = _moment(at).timestamp()
            elif word == "drill-note":
                self.notes.append(rest)
            elif word == "drill-tolerated":
                self.tolerated.append(rest)

    def moment(self, name: str) -> datetime | None:
        """A moment by its name; where each family, or each of several systems, has its own, the latest.

        None while one is missing: a system that is served in one family is not served.
        """
        if name in self.moments:
            return self.moments[name]
        found = self.by_family(name)
        stems = {key.rpartition("-")[0] for key in found}
        if len(found) < len(stems) * len(FAMILIES):
            return None
        return max(found.values(), default=None)

    def by_family(self, name: str) -> dict[str, datetime]:
        """The moments of that name of each family and system: `ipv4`, or `SYSTEM-ipv4`."""
        found = {}
        for given, moment in self.moments.items():
            stem, _, family = given.rpartition("-")
            what, _, system = stem.partition(":")
            if what == name and family in FAMILIES:
                found[f"{system}-{family}" if system else family] = moment
        return found


def timeline(seen: Seen, zone: tzinfo) -> Timeline:
    """The five moments as the record has them, in the city's time zone."""
    return Timeline(**{name: _text(seen.moment(name), zone) for name in Timeline.__struct_fields__})


def serving_by_family(seen: Seen, zone: tzinfo) -> dict[str, str]:
    """When each family was served again."""
    return {
        key: moment.astimezone(zone).isoformat(timespec="milliseconds")
        for key, moment in seen.by_family("serving").items()
    }


def measured(seen: Seen, rto_objective: float | None, rpo_objective: float | None) -> Measured:
    """RTO and RPO in seconds against the objectives, and how quick monitoring was; what was not seen is None."""
    fault = seen.moment("fault")
    return Measured(
        rto_seconds=_seconds(fault, seen.moment("serving")),
        rto_objective_seconds=rto_objective,
        rpo_seconds=0.0 if fault and _nothing_lost(seen) else _seconds(newest_recovered(seen), fault),
        rpo_objective_seconds=rpo_objective,
        noticed_seconds=_seconds(fault, seen.moment("noticed")),
        detected_seconds=_seconds(fault, seen.moment("detected")),
    )


def _nothing_lost(seen: Seen) -> bool:
    """Whether all that a writer was told to be kept came back."""
    kept, recovered = _kept(seen), seen.records.get("recovered", {})
    return bool(kept) and not _missing(kept, recovered)


def _kept(seen: Seen) -> dict[str, float]:
    """All records that were on the disk: as it was read before the fault, and after."""
    return {**seen.records.get("survived", {}), **seen.records.get("lost", {})}


def not_survived(seen: Seen) -> int:
    """How many records were told as kept before the fault and are not on the disk after it; 0 where it was not read."""
    survived = seen.records.get("survived")
    return len(_missing(seen.records.get("lost", {}), survived)) if survived else 0


def _missing(kept: Mapping[str, float], recovered: Mapping[str, float]) -> list[float]:
    return [at for identity, at in kept.items() if identity not in recovered]


def newest_recovered(seen: Seen) -> datetime | None:
    """Up to which moment all data came back: that of the newest record before the first that did not.

    Where no record came back, that of the snapshot. None before recovery: nothing is known then of what is lost.
    """
    recovered = seen.records.get("recovered", {})
    first_lost = min(_missing(_kept(seen), recovered), default=float("inf"))
    before = [at for at in recovered.values() if at < first_lost]
    return datetime.fromtimestamp(max(before), UTC) if before else seen.moment("snapshot")


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
    text = text.strip()
    if re.fullmatch(r"[0-9]{6,12}(\.[0-9]*)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    moment = datetime.fromisoformat(text)
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
