"""How far back would a loss throw the cluster now? Stamps it, asks the repositories, and writes the state."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from .commands import CommandError, query, repository_info
from .configuration import Configuration, Place
from .lasting import now, text
from .stamps import Stamp, restorable, stamp
from .state import changing

_ARCHIVER = (
    "select coalesce(last_archived_wal, ''), coalesce(extract(epoch from last_archived_time)::text, ''), "
    "coalesce(extract(epoch from last_failed_time)::text, ''), failed_count from pg_stat_archiver"
)


def watch(configuration: Configuration) -> bool:
    """Write the state, which says what is not well; True when the cluster itself was stamped."""
    stamps: list[Stamp] = []
    error = ""
    wal: dict[str, Any] = {}
    try:
        stamps = stamp(configuration)
        wal = _archiver(configuration)
    except CommandError as failed:
        error = str(failed)
    try:
        info: dict[str, Any] = repository_info(configuration)
        trouble = ""
    except CommandError as failed:
        info, trouble = {}, str(failed)
    with changing(configuration) as state:
        state["error"] = error
        if wal:
            state["wal"] = wal
        if stamps:
            state["stamp_at"] = _local(stamps[-1].moment)
        for place in configuration.places:
            known = state["repositories"][place.node]
            _note(known, place, info, stamps, trouble)
    return not error


def _archiver(configuration: Configuration) -> dict[str, Any]:
    segment, archived, failed, count = query(configuration, _ARCHIVER).split("|")
    waiting, total = 0, 0
    folder = os.path.join(configuration.data, "pg_wal")
    for name in os.listdir(os.path.join(folder, "archive_status")):
        if name.endswith(".ready"):
            waiting += 1
            try:
                total += os.path.getsize(os.path.join(folder, name[: -len(".ready")]))
            except OSError:
                continue
    return {
        "archived": segment,
        "archived_at": _moment(archived),
        "failed_at": _moment(failed),
        "failures": int(count),
        "waiting": waiting,
        "waiting_bytes": total,
    }


def _note(
    known: dict[str, Any], place: Place, info: dict[str, Any], stamps: list[Stamp], trouble: str
) -> None:
    """What one repository holds. A repository that does not answer keeps what was known of it, and says so."""
    known["key"] = place.key
    status = next((one["status"] for one in info.get("repo", ()) if one["key"] == place.key), None)
    if status is None:
        status = {"code": 99, "message": trouble or "pgBackRest says nothing of it"}
    # 2 is a stanza without a backup yet: the log is there, and nothing to begin a restore with.
    known["error"] = "" if status["code"] == 0 else status["message"]
    known["asked_at"] = text(now())
    if status["code"] not in (0, 2):
        return
    segments = [
        one["max"]
        for one in info.get("archive", ())
        if one["database"]["repo-key"] == place.key and one["max"]
    ]
    backups = [one for one in info.get("backup", ()) if one["database"]["repo-key"] == place.key]
    known["segment"] = max(segments, default="")
    known["backups"] = len(backups)
    known["full_at"] = _newest(backups, ("full",))
    known["backup_at"] = _newest(backups, ("full", "diff", "incr"))
    known["oldest_at"] = min((_stop(one) for one in backups), default="")
    known["total_bytes"] = backups[-1]["info"]["size"] if backups else 0
    newest = restorable(stamps, known["segment"]) if stamps else None
    # What is older than the oldest base backup has nothing to begin from.
    if newest and backups and _local(newest.moment) >= known["oldest_at"]:
        known["restorable_at"] = _local(newest.moment)


def _newest(backups: list[dict[str, Any]], kinds: tuple[str, ...]) -> str:
    return max((_stop(one) for one in backups if one["type"] in kinds), default="")


def _stop(backup: dict[str, Any]) -> str:
    return text(datetime.fromtimestamp(backup["timestamp"]["stop"]).astimezone())


def _moment(epoch: str) -> str:
    return text(datetime.fromtimestamp(float(epoch)).astimezone()) if epoch else ""


def _local(moment: datetime) -> str:
    return text(moment.astimezone())
