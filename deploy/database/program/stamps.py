"""Stamps: a row every half minute whose time and place in the log are known, so that a restore has a known answer.

The table `jizuo.stamp` of the database holds them, and a file beside the state repeats them with the WAL
segment that they ended in. What a repository holds up to which segment says which stamp, and so which
moment, would come back from it; and what a restored cluster answers is compared with the file.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import NamedTuple

from .commands import query
from .configuration import Configuration
from .lasting import now, write_whole

#: How long stamps are kept: longer than the time between two base backups.
KEPT = timedelta(days=15)
#: How many of the newest stamps a restored cluster must have.
ASKED = 20
#: The form of a stamp's time in answers: UTC, in microseconds.
TIME = "%Y-%m-%dT%H:%M:%S.%f+00:00"
_SQL_TIME = "to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"


class Stamp(NamedTuple):
    """A stamp; `segment` is the last WAL segment that it needs."""

    id: int
    at: str
    segment: str

    @property
    def moment(self) -> datetime:
        return datetime.strptime(self.at[:-6] + "+0000", "%Y-%m-%dT%H:%M:%S.%f%z")


def stamp(configuration: Configuration) -> list[Stamp]:
    """Put a new stamp, forget the old ones, and return those that count, the newest last.

    Raises:
        CommandError: the database does not take it.
        OSError: the file cannot be written.
    """
    cutoff = (now() - KEPT).isoformat()
    # Two transactions: the place in the log is asked for after the row is committed.
    answer = query(
        configuration,
        f"insert into jizuo.stamp default values returning id, {_SQL_TIME};\n"
        "select pg_walfile_name(pg_current_wal_insert_lsn());\n"
        f"delete from jizuo.stamp where at < '{cutoff}';\n",
    ).splitlines()
    identifier, at = answer[0].split("|")
    new = Stamp(int(identifier), at, answer[1])
    known = read_stamps(configuration)
    if known and known[-1].segment[:8] != new.segment[:8]:
        # Another timeline: the cluster was recovered, and what it lost is no answer any more.
        there = set(query(configuration, f"select id || '|' || {_SQL_TIME} from jizuo.stamp").splitlines())
        known = [one for one in known if f"{one.id}|{one.at}" in there]
    oldest = (now() - KEPT).timestamp()
    kept = [one for one in known if one.moment.timestamp() > oldest and one.id < new.id] + [new]
    write_whole(_path(configuration), "".join(f"{one.id} {one.at} {one.segment}\n" for one in kept))
    return kept


def read_stamps(configuration: Configuration) -> list[Stamp]:
    """The stamps that the file has; a line that is none is passed over."""
    found = []
    try:
        with open(_path(configuration), encoding="utf-8") as file:
            for line in file:
                parts = line.split()
                if len(parts) == 3 and parts[0].isdigit():
                    found.append(Stamp(int(parts[0]), parts[1], parts[2]))
    except OSError:
        return []
    return found


def restorable(stamps: list[Stamp], newest_segment: str) -> Stamp | None:
    """The newest stamp that a repository with that segment gives back; None when there is none."""
    held = [one for one in stamps if one.segment <= newest_segment]
    return held[-1] if held else None


def target_between(
    stamps: list[Stamp], newest_segment: str, after: datetime
) -> tuple[datetime, Stamp] | None:
    """A moment to restore to, and the stamp that must be the newest there.

    Recovery ends at the first commit after its target, so one more stamp than the one that is asked must be
    archived; the moment is half way between the two. None when no such pair is newer than `after`.
    """
    held = [one for one in stamps if one.segment <= newest_segment and one.moment > after]
    if len(held) < 2:
        return None
    last, following = held[-2], held[-1]
    return last.moment + (following.moment - last.moment) / 2, last


def expected(stamps: list[Stamp], last: Stamp) -> list[str]:
    """The known answer: the newest stamps up to `last`, as :data:`QUESTION` returns them."""
    return [f"{one.id}|{one.at}" for one in stamps if one.id <= last.id][-ASKED:]


def question(count: int) -> str:
    """The query whose answer is known."""
    return (
        f"select id || '|' || at from (select id, {_SQL_TIME} as at from jizuo.stamp order by id desc "
        f"limit {count}) newest order by id"
    )


def _path(configuration: Configuration) -> str:
    return os.path.join(configuration.state, configuration.stanza + ".stamps")
