"""The repository's side of a cluster: makes the stanza, pulls the backup that is due, removes what is kept long enough.

Runs as the repository's keeper, whom no client reaches. The database's node has no part in it but to be read.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, time
from typing import Any, NamedTuple

#: Backups of a kind are due a little before their time: the timer looks every few minutes.
EARLY = 600
#: A stanza that is not there yet, as `info` numbers it.
_MISSING = (1, 3)


class Keeping(NamedTuple):
    """What is kept of one stanza; ages in seconds, `window` as `22:00-06:00` in local time."""

    stanza: str
    settings: str
    full_every_seconds: int
    diff_every_seconds: int
    window: str
    pgbackrest: str


class KeepError(Exception):
    """A command of pgBackRest failed; the message is what it said."""


def read_keeping(path: str) -> Keeping:
    """Read what the deploy wrote.

    Raises:
        KeepError: it is missing or not of this form.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return Keeping(**json.load(file))
    except (OSError, ValueError, TypeError) as error:
        raise KeepError(f"{path}: {error}; run the database deploy") from error


def keep(keeping: Keeping, now: datetime) -> str:
    """Do what is due, and say what was done.

    Raises:
        KeepError: a step failed; the next run tries again.
    """
    done = []
    if status(keeping) in _MISSING:
        pgbackrest(keeping, "stanza-create")
        done.append("stanza made")
    kind = due(backups(keeping), keeping, now.timestamp())
    if kind:
        pgbackrest(keeping, "backup", f"--type={kind}")
        done.append(f"{kind} backup taken")
    if in_window(keeping.window, now.time()):
        # It keeps what the settings say, and all of the log that these backups need.
        pgbackrest(keeping, "expire")
        done.append("what is kept long enough removed")
    return ", ".join(done) or "nothing was due"


def due(taken: list[dict[str, Any]], keeping: Keeping, now: float) -> str:
    """`full`, `diff`, or an empty string; the next one's kind follows from the newest ones' ages."""
    fulls = [one["timestamp"]["stop"] for one in taken if one["type"] == "full" and not one.get("error")]
    everything = [one["timestamp"]["stop"] for one in taken if not one.get("error")]
    # A backup that is dated ahead of this clock proves nothing of its age.
    if not 0 <= now - max(fulls, default=float("-inf")) < keeping.full_every_seconds - EARLY:
        return "full"
    if not 0 <= now - max(everything) < keeping.diff_every_seconds - EARLY:
        return "diff"
    return ""


def in_window(window: str, moment: time) -> bool:
    """Whether a time of day is within a window, whose end may be on the next day."""
    begin, _, end = window.partition("-")
    first, last = time.fromisoformat(begin), time.fromisoformat(end)
    if first <= last:
        return first <= moment < last
    return moment >= first or moment < last


def status(keeping: Keeping) -> int:
    """pgBackRest's number for the state of the stanza here."""
    found = _info(keeping)
    return int(found["status"]["code"]) if found else _MISSING[0]


def backups(keeping: Keeping) -> list[dict[str, Any]]:
    """The backups that are here, oldest first."""
    return list(_info(keeping).get("backup", ()))


def pgbackrest(keeping: Keeping, *arguments: str) -> str:
    """What a command of pgBackRest printed.

    Raises:
        KeepError: it failed.
    """
    done = subprocess.run(
        [keeping.pgbackrest, f"--config={keeping.settings}", f"--stanza={keeping.stanza}", *arguments],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
    )
    if done.stderr:
        print(done.stderr.strip(), file=sys.stderr, flush=True)
    if done.returncode:
        raise KeepError(f"pgbackrest {arguments[0]} of {keeping.stanza}: exit code {done.returncode}")
    return done.stdout


def _info(keeping: Keeping) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(pgbackrest(keeping, "info", "--output=json"))
    return next((one for one in found if one["name"] == keeping.stanza), {})
