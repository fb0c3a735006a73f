"""What a repository server does to a repository that it holds: check it, remove old snapshots, free their space."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from .holding import Contents, Holding, bytes_of, contents, files_of
from .lasting import now, seconds_since, text
from .restic import DAMAGE, JobError, Restic, damaged_packs, failure
from .retention import kept_of, objection
from .running import NAMED
from .state import JsonFile

#: A lock that was not renewed for so long, by this server's clock, is of nobody: restic does it every five minutes.
DEAD_LOCK_SECONDS = 2 * 3600
#: A timer's run leaves a repository alone that was dealt with so lately.
AGAIN_SECONDS = 12 * 3600


class Refused(Exception):
    """Nothing may be removed: `reason` is one word for programs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Maintenance:
    """The maintenance of one repository; `state_folder` has its state file, `<name>.json`."""

    def __init__(
        self, holding: Holding, state_folder: str, cache_folder: str, say: Callable[[str], None] = print
    ) -> None:
        self.holding = holding
        self.say = say
        self.restic: Restic = holding.restic(cache_folder)
        self.file = JsonFile(os.path.join(state_folder, holding.name + ".json"))
        self.state: dict[str, Any] = {"check": None, "damage": None, "prune": None, "healing": None}
        self.state.update({"prune_success_at": "", "check_success_at": ""}, **self.file.read())
        self.state.update(
            version=1, host=holding.node, client=holding.client, policy=holding.policy, keep=holding.keep
        )

    def is_due(self) -> bool:
        """Whether the timer's run has something to do: it has not been done, or a client was at work."""
        last = self.state["prune"] or {}
        age = seconds_since(last.get("ended_at", ""))
        return not 0 <= age < AGAIN_SECONDS or last.get("reason") == "locked"

    def maintain(self) -> bool:
        """Check the repository and remove what the policy no longer keeps; whether both went well."""
        self.remove_dead_locks()
        well = self.step("check", lambda step: self.check())
        well = self.step("prune", self._prune) and well
        self.state["bytes"] = bytes_of(self.holding)
        self.write()
        return well

    def check(self) -> None:
        """Check the structure, beside whatever a client is doing.

        Raises:
            JobError: it failed; the state names what is damaged.
        """
        done = self.restic.run("check", "--no-lock")
        if done.code:
            packs = damaged_packs(done.errors)
            if packs or DAMAGE.search(done.errors):
                self.state["damage"] = {"found_at": text(now()), "packs": packs[:NAMED]}
                raise JobError(
                    "damaged", f"{failure(self.holding.node, 'check', done)}; {_heal(self.holding)}"
                )
            raise failure(self.holding.node, "check", done)
        self.state.update(damage=None, check_success_at=text(now()))

    def _prune(self, step: dict[str, Any]) -> None:
        if self.state["check"]["result"] != "success":
            raise Refused("damaged", f"the repository's check failed: {self.state['check']['error']}")
        found = contents(self.holding, self.restic)
        self._tell(found)
        wrong = objection(list(found.snapshots), now())
        if wrong is not None:
            raise Refused(wrong.reason, f"nothing is removed: {wrong.text}")
        kept = kept_of(list(found.snapshots), self.holding.keep)
        removed = [one.id for one in found.snapshots if one.id not in kept]
        step.update(kept=len(kept), removed=[one[:8] for one in removed][:NAMED], removed_count=0)
        if removed:
            before = bytes_of(self.holding)
            # By their ids: what else the repository holds is none of this policy's, and stays.
            marks = found.marks_of(removed)
            done = self.restic.run("forget", "--prune", *removed, *marks, wait_for_locks=False)
            if done.code:
                raise failure(self.holding.node, "forget", done)
            left = contents(self.holding, self.restic)
            self._tell(left)
            step.update(removed_count=len(removed), freed_bytes=before - bytes_of(self.holding))
            gone = kept - {one.id for one in left.snapshots}
            if gone:
                raise JobError("restic", f"restic removed more than it was told: {', '.join(sorted(gone))}")
            # A repository that its own maintenance harmed is known at once, not at the client's next check.
            self.check()
        self.state["prune_success_at"] = text(now())

    def _tell(self, found: Contents) -> None:
        snapshots, day_ago = found.snapshots, now() - timedelta(days=1)
        moments = [one.time for one in snapshots]
        self.state.update(
            snapshots=len(snapshots),
            foreign=found.foreign,
            partial=sum(not one.whole for one in snapshots),
            arrived_last_day=sum(one.arrived > day_ago for one in snapshots),
            newest_at=text(max(moments)) if moments else "",
            oldest_at=text(min(moments)) if moments else "",
        )

    # Locks

    def remove_dead_locks(self) -> None:
        """Remove the locks of maintenance that was killed here, and those that nobody has renewed for hours.

        What counts is when the file was written by this server, never a time that a client wrote into it: a
        client whose clock is slow would lose a lock that is alive, and a backup beside a removal loses data.
        """
        oldest, removed = None, 0
        for path in list(files_of(self.holding, "locks")):
            try:
                written = os.stat(path).st_mtime
            except OSError:
                continue
            if time.time() - written > DEAD_LOCK_SECONDS or self._owner_is_dead(path):
                os.unlink(path)
                removed += 1
            else:
                oldest = min(written, oldest or written)
        self.state["oldest_lock_at"] = text(now() - timedelta(seconds=time.time() - oldest)) if oldest else ""
        self.state["locks_removed"] = removed

    def _owner_is_dead(self, path: str) -> bool:
        """Whether a lock is of this very host, of a process that is no more."""
        done = self.restic.run("cat", "--no-lock", "lock", os.path.basename(path))
        try:
            lock = json.loads(done.output)
            return lock["hostname"] == socket.gethostname() and not _runs(int(lock["pid"]))
        except (ValueError, KeyError, OSError):
            return False

    # State

    def step(self, name: str, act: Callable[[dict[str, Any]], None]) -> bool:
        """Carry out a step and write how it ended; whether it went well."""
        began = now()
        step: dict[str, Any] = {"result": "running", "started_at": text(began)}
        self.state[name] = step
        self.write()
        try:
            act(step)
            step["result"] = "success"
        except Refused as error:
            step.update(result="refused", reason=error.reason, error=str(error))
        except JobError as error:
            step.update(result="failure", reason=error.reason, error=str(error))
        except OSError as error:
            step.update(result="failure", reason="os", error=str(error))
        ended = now()
        step.update(ended_at=text(ended), seconds=round((ended - began).total_seconds(), 3))
        self.write()
        detail = f": {step['error']}" if step.get("error") else ""
        self.say(f"{name} {self.holding.name}: {step['result']} in {step['seconds']:.1f} s{detail}")
        return bool(step["result"] == "success")

    def write(self) -> None:
        """Make the state last."""
        self.file.write({**self.state, "written_at": text(now())})


def _runs(pid: int) -> bool:
    """Whether a process does anything: one that was killed and that nobody has asked after does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            # The name, which may hold anything, ends with the last parenthesis (proc(5)).
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _heal(holding: Holding) -> str:
    return f"heal it here: python3 -m jizuo_backup.repository heal {holding.name}"
