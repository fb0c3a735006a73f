"""Does the cluster come back? Restores it beside itself to a moment whose answer is known, asks, and removes it."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any, NamedTuple

from . import recovery, stamps
from .commands import CommandError
from .configuration import Configuration, Place
from .lasting import now, seconds_since, text
from .state import changing, read

#: A test that failed, or was killed, is repeated after so many seconds.
AGAIN = 3600


def prove_what_is_due(configuration: Configuration, always: bool = False) -> bool:
    """Prove each repository whose last proof is too old; True when nothing failed.

    One that has nothing to prove yet, a new city's, is passed over: the check says that it was never proven.
    """
    known = read(configuration).get("repositories", {})
    turns = [
        place for place in configuration.places if always or _is_due(configuration, known.get(place.node, {}))
    ]
    # Every one is tried, whatever became of the one before.
    outcomes = [prove(configuration, place) for place in turns]
    return all(outcomes)


def _is_due(configuration: Configuration, known: dict[str, Any]) -> bool:
    if 0 <= seconds_since(known.get("restore_success_at", "")) < configuration.verify_every_seconds:
        return False
    if 0 <= seconds_since((known.get("restore_test") or {}).get("started_at", "")) < AGAIN:
        return False
    return _target(configuration, known) is not None


def prove(configuration: Configuration, place: Place) -> bool:
    """Restore from one repository, compare, and say in the state how it went."""
    began = now()
    step: dict[str, Any] = {"result": "running", "started_at": text(began)}
    _keep(configuration, place, step)
    try:
        _prove(configuration, place, step)
        step["result"] = "success"
    except CommandError as error:
        step.update(result="failure", reason=error.reason, error=str(error))
    except OSError as error:
        step.update(result="failure", reason="os", error=str(error))
    ended = now()
    step.update(ended_at=text(ended), seconds=round((ended - began).total_seconds(), 3))
    _keep(configuration, place, step)
    detail = step.get("error") or f"{step['rows']} rows as they were at {step['moment_at']}"
    print(f"restore test {configuration.stanza} {place.node}: {step['result']}: {detail}", flush=True)
    return bool(step["result"] == "success")


class Expected(NamedTuple):
    """What a restore to `target` must answer: `rows`, the newest of which was put at `moment`."""

    target: datetime
    moment: datetime
    rows: list[str]


def expected(configuration: Configuration, place: Place) -> Expected:
    """What the newest moment that a repository should give back must answer.

    Raises:
        CommandError: the repository has nothing to prove yet.
    """
    known = read(configuration).get("repositories", {}).get(place.node, {})
    if not known.get("oldest_at"):
        raise CommandError("no_backup", f"{place.node} has no base backup to begin from")
    found = _target(configuration, known)
    if found is None:
        raise CommandError("no_moment", "no two stamps were archived since the oldest base backup")
    target, last = found
    return Expected(target, last.moment, stamps.expected(stamps.read_stamps(configuration), last))


def _prove(configuration: Configuration, place: Place, step: dict[str, Any]) -> None:
    target, moment, wanted = expected(configuration, place)
    folder = recovery.new_folder(configuration, target) + "-test"
    with contextlib.suppress(CommandError):
        recovery.remove(configuration, folder)  # what a test that was killed left
    try:
        came = recovery.recover(configuration, place, target, folder)
        answer = recovery.ask(configuration, folder, stamps.question(len(wanted)))
        for database in configuration.databases:
            recovery.ask(configuration, folder, "select count(*) from pg_class", database)
    finally:
        recovery.remove(configuration, folder)
    step.update(moment_at=text(moment.astimezone()), backup=came.backup, total_bytes=came.total_bytes)
    step.update(rows=len(wanted), restore_seconds=came.restore_seconds)
    if answer.splitlines() != wanted:
        raise CommandError(
            "content_differs", f"it should end with {wanted[-1]} and ends with {answer.splitlines()[-1:]}"
        )


def _target(configuration: Configuration, known: dict[str, Any]) -> tuple[datetime, stamps.Stamp] | None:
    """A moment that the repository should give back, with its newest stamp; None when there is none yet."""
    if not known.get("oldest_at"):
        return None
    oldest = datetime.fromisoformat(known["oldest_at"])
    return stamps.target_between(stamps.read_stamps(configuration), known["segment"], oldest)


def _keep(configuration: Configuration, place: Place, step: dict[str, Any]) -> None:
    with changing(configuration) as state:
        known = state["repositories"][place.node]
        known["restore_test"] = dict(step)
        if step["result"] == "success":
            known["restore_success_at"] = step["ended_at"]
            known["restored_moment_at"] = step["moment_at"]
