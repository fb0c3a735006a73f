"""What the steps of a job share: its repositories, its state, and how a step is told in the state."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import rotation
from .apart import apart
from .configuration import Configuration, RepositoryPlace
from .lasting import now, text
from .restic import JobError, Restic, failure
from .state import State

if TYPE_CHECKING:
    from . import manifest

#: How many paths a state names at most.
NAMED = 20
#: Bits of a megabit, bytes of restic's KiB.
_MEGABIT, _KIB = 1_000_000, 1024


class Interrupted(BaseException):
    """The job was told to stop (SIGTERM, SIGINT)."""


class Running:
    """One run of one policy. The folders must be there; `say` gets a line for the log after each step."""

    def __init__(
        self,
        configuration: Configuration,
        state_folder: str,
        cache_folder: str,
        say: Callable[[str], None] = print,
        program: str = "restic",
    ) -> None:
        self.configuration = configuration
        self.cache_folder = cache_folder
        self.say = say
        policy = configuration.policy
        base = os.path.join(state_folder, policy)
        self.sums_path = base + ".manifest"
        self.index_path = os.path.join(cache_folder, policy + ".index")
        self.state = State(base + ".json", policy, configuration.host, configuration.rpo_seconds)
        self.state.keep_only([place.node for place in configuration.repositories])
        self.restic = {
            place.node: Restic(place, configuration.ca_file, cache_folder, program)
            for place in configuration.repositories
        }
        # A run that was killed, or whose restic was, may have left locks, which keep the repository's node from
        # removing old snapshots.
        self.unlock = {place.node for place in configuration.repositories if _left_locks(self.state.data)}
        for place in configuration.repositories:
            self.known(place)
            if place.megabits:
                self.restic[place.node].limit = max(1, place.megabits * _MEGABIT // 8 // _KIB)
        self.stable: dict[bytes, manifest.Entry] = {}
        # Where nothing is new since the last scan: when that was (seconds), and the files of the fullest folder.
        self.unchanged_since, self.fullest = 0, 0
        self.whole: dict[str, bool] = {}  # node -> the copy before this run left nothing out
        self.before: dict[str, str] = {}  # node -> id of the last whole snapshot there before this run
        self.refilled: set[str] = set()  # nodes whose damaged repository this run brought snapshots back to
        self.snapshots: dict[str, str] = {}  # node -> id of this run's snapshot in its repository

    def known(self, place: RepositoryPlace) -> dict[str, Any]:
        """What the state says of a repository; changed in place."""
        role = "primary" if place == self.configuration.primary else "copy"
        return self.state.repository(place.node, role)

    @property
    def parts(self) -> int:
        """In how many parts the data of a repository are read."""
        verify = self.configuration.verify
        every = max(verify.check_seconds, self.configuration.rpo_seconds)
        return rotation.parts_for(verify.read_all_seconds, every)

    def reach(self, place: RepositoryPlace) -> str:
        """The address family that the repository's host answers over; tells when the clocks differ.

        Raises:
            JobError: the host does not answer.
        """
        # TLS and its certificates are a third of the memory that the job would then hold beside restic.
        family, offset, most = apart(lambda: _reach(place, self.configuration.ca_file))
        self.known(place)["clock_offset_seconds"] = offset
        self.restic[place.node].may_unlock = offset is not None and abs(offset) <= most
        if offset is not None and abs(offset) > most:
            ahead = "ahead of" if offset > 0 else "behind"
            self.say(f"clock: {abs(offset):.0f} s {ahead} that of {place.node}; one of the two is wrong")
        if place.node in self.unlock and self.restic[place.node].may_unlock:
            self.unlock.remove(place.node)
            self.restic[place.node].run("unlock")
        return str(family)

    def begin_repository(self, place: RepositoryPlace, source: RepositoryPlace | None) -> None:
        """Make an empty repository, cut like the source's: else nothing copied between them is deduplicated.

        Raises:
            JobError: it cannot be made.
        """
        restic = self.restic[place.node]
        if source is None:
            made = restic.run("init")
        else:
            made = restic.run("init", "--copy-chunker-params", source=self.restic[source.node])
        if made.code and "already initialized" not in made.errors and "already exists" not in made.errors:
            raise failure(place.node, "init", made)
        if not made.code:
            self.known(place)["reading"] = rotation.reading(None, self.parts, text(now()))

    def step(
        self,
        place: RepositoryPlace,
        name: str,
        more: dict[str, Any],
        act: Callable[[dict[str, Any]], None],
    ) -> bool:
        """Carry out a step on a repository and tell in the state how it ended; whether it went well."""
        began = now()
        step: dict[str, Any] = {"result": "running", "started_at": text(began)}
        step.update(more)
        self.known(place)[name] = step
        self.state.write()
        return self.told(step, began, f"{name} {place.node}", act) is None

    def told(
        self, step: dict[str, Any], began: datetime, label: str, act: Callable[[dict[str, Any]], None]
    ) -> JobError | None:
        """Do what a step does, and write how it ended; why, if it failed."""
        failed = None
        try:
            act(step)
            if step["result"] == "running":
                step["result"] = "success"
        except JobError as error:
            failed = error
        except OSError as error:
            reason = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "os"
            failed = JobError(reason, str(error))
        except Interrupted:
            step.update(result="failure", reason="interrupted", error="the job was told to stop")
            self.end(step, began, label)
            raise
        if failed is not None:
            step.update(result="failure", reason=failed.reason, error=str(failed))
        self.end(step, began, label)
        return failed

    def end(self, step: dict[str, Any], began: datetime, label: str) -> None:
        """Write a step's end."""
        ended = now()
        step.update(ended_at=text(ended), seconds=round((ended - began).total_seconds(), 3))
        self.state.write()
        detail = f": {step['error']}" if step.get("error") else ""
        self.say(f"{label}: {step['result']} in {step['seconds']:.1f} s{detail}")


def _left_locks(state: dict[str, Any]) -> bool:
    """Whether the last run may have: a step of it did not come to its end, or failed."""
    steps = [state.get("backup")]
    for known in (state.get("repositories") or {}).values():
        steps += [known.get(name) for name in ("backup", "copy", "check", "restore_test")]
    return any(step and step.get("result") in ("running", "failure") for step in steps)


def _reach(place: RepositoryPlace, ca_file: str) -> tuple[str, float | None, float]:
    """The family that answers, by how much the clocks differ, and by how much they may."""
    from .reach import CLOCK_SECONDS, clock_offset, family_that_answers

    return family_that_answers(place), clock_offset(place, ca_file), CLOCK_SECONDS


def remove_tree(path: str) -> None:
    """Remove a folder that was restored, whatever modes its folders were restored with."""

    import shutil

    def allow(function: Callable[..., Any], name: str, _: object) -> None:
        os.chmod(os.path.dirname(name), stat.S_IRWXU)
        os.chmod(name, stat.S_IRWXU)
        function(name)

    if os.path.isdir(path):
        shutil.rmtree(path, onerror=allow)


def names_of(paths: tuple[bytes, ...]) -> list[str]:
    """The first of some paths, as text."""
    return [path.decode("utf-8", "backslashreplace") for path in paths[:NAMED]]
