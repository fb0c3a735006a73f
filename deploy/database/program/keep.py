"""The repository's side of a cluster: makes the stanza, pulls the backup that is due, removes what is kept long enough.

Runs as the repository's keeper, whom no client reaches. The database's node has no part in it but to be read.
"""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, time
from typing import Any, NamedTuple

from .seal import UNFINISHED

#: Backups of a kind are due a little before their time: the timer looks every few minutes.
EARLY = 600
#: When no backup came for so long, or three times the usual gap, nothing is removed (as for snapshots); seconds.
QUIET, QUIET_GAPS = 2 * 86400, 3
#: A stanza that is not there yet, as `info` numbers it.
_MISSING = (1, 3)


class Keeping(NamedTuple):
    """What is kept of one stanza; ages in seconds, `window` as `22:00-06:00` in local time, `fulls` full backups."""

    stanza: str
    settings: str
    full_every_seconds: int
    diff_every_seconds: int
    window: str
    pgbackrest: str
    fulls: int


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
    done = [f"{name} removed, which another account had left" for name in clear_the_way(keeping)]
    if status(keeping) in _MISSING:
        pgbackrest(keeping, "stanza-create")
        done.append("stanza made")
    kind = due(backups(keeping), keeping, now.timestamp())
    if kind:
        pgbackrest(keeping, "backup", f"--type={kind}")
        done.append(f"{kind} backup taken")
    if in_window(keeping.window, now.time()):
        wrong = objection(backups(keeping), keeping, now.timestamp())
        if wrong:
            done.append(f"nothing removed: {wrong}")
        else:
            # It keeps what the settings say, and all of the log that these backups need.
            pgbackrest(keeping, "expire")
            done.append("what is kept long enough removed")
    return ", ".join(done) or "nothing was due"


def clear_the_way(keeping: Keeping) -> list[str]:
    """Remove what another account left half under a name that the keeper's pgBackRest writes; the names removed.

    In the archive's folder the server that clients reach may write too. What it left there for `archive.info`, which
    it cannot finish because that file is the keeper's, would stop every base backup from then on.
    """
    settings = configparser.ConfigParser(interpolation=None, strict=False)
    settings.read(keeping.settings, encoding="utf-8")
    folder = os.path.join(settings.get("global", "repo1-path", fallback=""), "archive", keeping.stanza)
    removed = []
    try:
        with os.scandir(folder) as entries:
            left = [one for one in entries if one.name.endswith(UNFINISHED)]
        for one in left:
            if one.is_dir(follow_symlinks=False):
                shutil.rmtree(one.path)  # pgBackRest makes none of that name
            elif one.stat(follow_symlinks=False).st_uid != os.geteuid():
                os.unlink(one.path)
            else:
                continue
            removed.append(one.name)
    except FileNotFoundError:
        pass  # no stanza yet, or the file was finished meanwhile
    except OSError as error:
        raise KeepError(f"{folder}: {error.strerror}") from error
    return removed


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


def objection(taken: list[dict[str, Any]], keeping: Keeping, now: float) -> str:
    """Why nothing may be removed of these now; empty when nothing speaks against it.

    pgBackRest counts full backups and asks for no age: many that were taken in a short time, by hand or because a
    clock ran wild, would push out those that the policy promises.
    """
    stops = [one["timestamp"]["stop"] for one in taken]
    ahead = [stop for stop in stops if stop > now + EARLY]
    if ahead:
        return f"{len(ahead)} backups are dated ahead of this clock: one of the two is wrong"
    quiet = max(QUIET, QUIET_GAPS * keeping.diff_every_seconds)
    if stops and now - max(stops) > quiet:
        return f"no backup came for {_days(quiet)}, or this clock is ahead"
    fulls = sorted((one for one in taken if one["type"] == "full"), key=lambda one: one["timestamp"]["stop"])
    if len(fulls) <= keeping.fulls:
        return ""  # what goes now is no full backup, and no log since the oldest
    whole = [one["timestamp"]["stop"] for one in fulls[-keeping.fulls :] if not one.get("error")]
    back = now - min(whole, default=now)
    promised = (keeping.fulls - 1) * keeping.full_every_seconds - keeping.fulls * EARLY
    if not whole or back < promised:
        return (
            f"the newest {keeping.fulls} full backups reach back {_days(back)}, and the policy keeps "
            f"{_days(promised)}"
        )
    return ""


def _days(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days"


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


def version(keeping: Keeping) -> str:
    """Of which version of PostgreSQL the stanza is."""
    return str(_info(keeping)["db"][-1]["version"])


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
