"""The steps of a backup job: snapshot, copies, repository checks, restore tests, each told in the state."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from . import manifest
from .configuration import Configuration, RepositoryPlace
from .restic import Done, JobError, Restic, failure, family_that_answers, listed_as, messages, pattern_of
from .state import State, now, seconds_since, text

#: How many paths a state names at most.
NAMED = 20


class Job:
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
        self.read_all = False
        self.stable: dict[bytes, manifest.Entry] = {}
        self.snapshots: dict[str, str] = {}  # node -> id of this run's snapshot in its repository

    def run(self, verify: bool, read_all: bool = False) -> int:
        """Carry the policy out: 0 when all went well, 3 for a snapshot that lacks files, 1 otherwise.

        `verify` asks for checks and restore tests also where they are not due, `read_all` for checks that read
        all data.
        """
        self.read_all = read_all
        result = self.back_up()
        well = result == "success"
        if result != "failure":
            for place in self.configuration.repositories[1:]:
                well = self.copy(place) and well
        if result == "success":
            for place in self.configuration.repositories:
                if place.node in self.snapshots:
                    well = self.verify(place, verify) and well
        return 0 if well else 3 if result == "partial" else 1

    # Snapshot

    def back_up(self) -> str:
        """Take the snapshot; the result as the state has it."""
        began = now()
        step = {"result": "running", "started_at": text(began)}
        self.state.data["backup"] = step
        self.state.write()
        try:
            self._snapshot(step, began)
        except JobError as error:
            step.update(result="failure", reason=error.reason, error=str(error))
        except OSError as error:
            step.update(result="failure", reason=_reason_of(error), error=str(error))
        except Interrupted:
            step.update(result="failure", reason="interrupted", error="the job was told to stop")
            self._end(step, began, "backup")
            raise
        self._end(step, began, "backup")
        return str(step["result"])

    def _snapshot(self, step: dict[str, Any], began: datetime) -> None:
        configuration, place = self.configuration, self.configuration.primary
        scanned_ns = int(began.timestamp() * 1e9)
        found = manifest.scan(configuration.paths, manifest.read_index(self.index_path))
        if not found:
            # An empty source is a disk that was not mounted or data that are lost, not a backup of nothing.
            raise JobError("empty_source", f"there is no file in {', '.join(configuration.paths)}")
        manifest.write_sums(self.sums_path, found, scanned_ns)
        manifest.write_index(self.index_path, found, scanned_ns)
        step["family"] = family_that_answers(place)
        known = self.state.repository(place.node, "primary")
        done = self._restic_backup(began)
        if done.code not in (0, 3) and failure(place.node, "backup", done).reason == "repository_missing":
            if known["snapshot"]:
                # It was there: making a new, empty one would hide that all history is lost.
                raise JobError(
                    "repository_missing",
                    f"the repository on {place.node} is gone; restore it from a copy, or remove "
                    f"{self.state.path} to begin anew",
                )
            self.restic[place.node].must("init")
            done = self._restic_backup(began)
        if done.code not in (0, 3):
            raise failure(place.node, "backup", done)
        self.stable = manifest.stable(found)
        self._read_summary(step, done, began, known)

    def _restic_backup(self, began: datetime) -> Done:
        configuration = self.configuration
        exclude = [argument for pattern in configuration.exclude for argument in ("--exclude", pattern)]
        return self.restic[configuration.primary.node].run(
            "backup",
            "--json",
            "--host",
            configuration.host,
            "--tag",
            configuration.policy,
            # The snapshot holds all that was there at this moment; what came later may be in it or not.
            "--time",
            began.strftime("%Y-%m-%d %H:%M:%S"),
            *exclude,
            "--",
            *configuration.paths,
            self.sums_path,
        )

    def _read_summary(self, step: dict[str, Any], done: Done, began: datetime, known: dict[str, Any]) -> None:
        said = messages(done)
        summary: dict[str, Any] = next((one for one in said if one.get("message_type") == "summary"), {})
        # restic passes over a path that is not there with a warning and exit code 0.
        unread = [path for path in self.configuration.paths if not os.path.lexists(path)]
        unread += [str(one.get("item", "")) for one in said if one.get("message_type") == "error"]
        node = self.configuration.primary.node
        if not summary.get("snapshot_id"):
            raise JobError("restic", f"restic backup on {node} ended without a snapshot")
        taken = text(began.replace(microsecond=0))
        step.update(
            snapshot=summary["snapshot_id"],
            snapshot_at=taken,
            files=summary.get("total_files_processed", 0),
            total_bytes=summary.get("total_bytes_processed", 0),
            added_bytes=summary.get("data_added", 0),
            unread=unread[:NAMED],
        )
        self.snapshots[node] = summary["snapshot_id"]
        if done.code == 3 or unread:
            complaint = f"{len(unread)} files or folders could not be read: {', '.join(unread[:3])}"
            step.update(result="partial", reason="unread_files", error=complaint)
            return
        step["result"] = "success"
        self.state.data["last_success_at"] = taken
        known.update(snapshot=summary["snapshot_id"], snapshot_at=taken)

    # Copies

    def copy(self, place: RepositoryPlace) -> bool:
        """Copy what the other repository lacks; proven by what that repository then says it holds."""
        known = self.state.repository(place.node, "copy")
        return self._step(place, "copy", {}, lambda step: self._copy(place, known, step))

    def _copy(self, place: RepositoryPlace, known: dict[str, Any], step: dict[str, Any]) -> None:
        configuration = self.configuration
        primary, other = self.restic[configuration.primary.node], self.restic[place.node]
        step["family"] = family_that_answers(place)
        arguments = ("copy", "--host", configuration.host, "--tag", configuration.policy)
        if not known["snapshot"]:
            # The same chunker parameters as the source's: without them nothing copied is deduplicated.
            made = other.run("init", "--copy-chunker-params", source=primary)
            if made.code and "already initialized" not in made.errors and "already exists" not in made.errors:
                raise failure(place.node, "init", made)
        other.must(*arguments, source=primary)
        newest = other.newest(configuration.host, configuration.policy)
        wanted = self.snapshots[configuration.primary.node]
        if not newest.original.startswith(wanted):
            raise JobError("restic", f"after the copy {place.node} does not hold snapshot {wanted}")
        self.snapshots[place.node] = newest.id
        backup = self.state.data["backup"]
        if backup["result"] == "success":
            known.update(snapshot=newest.id[:8], snapshot_at=backup["snapshot_at"])

    # Verification

    def verify(self, place: RepositoryPlace, always: bool) -> bool:
        """Check the repository and restore a sample from it, each when it is due."""
        known = self.state.data["repositories"][place.node]
        limit = self.configuration.verify_every_seconds
        well = True
        if always or not 0 <= seconds_since(known["check_success_at"]) < limit:
            parts = self.configuration.read_data_parts
            part = now().toordinal() % parts + 1
            if self.read_all:
                part = parts = 1
            numbers = {"part": part, "parts": parts}
            well = self._step(place, "check", numbers, lambda step: self._check(place, part, parts)) and well
            if well:
                known["check_success_at"] = known["check"]["ended_at"]
        # What a damaged repository gives back proves nothing, and restic asks for lost data a minute long.
        if well and (always or not 0 <= seconds_since(known["restore_success_at"]) < limit):
            tested = self._step(place, "restore_test", {}, lambda step: self._restore_test(place, step))
            if tested:
                known["restore_success_at"] = known["restore_test"]["ended_at"]
                known["restored_snapshot_at"] = known["restore_test"]["snapshot_at"]
            well = tested and well
        self.state.write()
        return well

    def _check(self, place: RepositoryPlace, part: int, parts: int) -> None:
        # Locks keep pruning away, and nothing here can prune: the repository is append-only.
        self.restic[place.node].must("check", "--no-lock", f"--read-data-subset={part}/{parts}")

    def _restore_test(self, place: RepositoryPlace, step: dict[str, Any]) -> None:
        configuration = self.configuration
        snapshot = self.snapshots[place.node]
        step.update(snapshot=snapshot[:8], snapshot_at=self.state.data["backup"]["snapshot_at"])
        candidates = self.stable
        if configuration.exclude:
            held = self.restic[place.node].files_of(snapshot)
            candidates = {name: entry for name, entry in candidates.items() if listed_as(name) in held}
        chosen = manifest.sample(candidates, snapshot, configuration.sample_files, configuration.sample_bytes)
        if not chosen:
            raise JobError("no_sample", "every file changed while it was backed up; nothing can be compared")
        target = os.path.join(self.cache_folder, f"restore-{configuration.policy}")
        remove_tree(target)
        try:
            includes = [argument for name in chosen for argument in ("--include", pattern_of(name))]
            self.restic[place.node].must("restore", "--no-lock", "--target", target, *includes, snapshot)
            sums = {name: entry.digest for name, entry in chosen.items()}
            found = manifest.compare(os.fsencode(target), sums, sys.maxsize)
        finally:
            remove_tree(target)
        step.update(files=found.matched, total_bytes=found.total_bytes)
        if found.mismatched or found.missing:
            step.update(mismatched=_names(found.mismatched), missing=_names(found.missing))
            raise JobError(
                "content_differs",
                f"{len(found.mismatched)} restored files differ from what was backed up, "
                f"{len(found.missing)} are missing: "
                f"{', '.join(_names(found.mismatched + found.missing)[:3])}",
            )

    # What all steps share

    def _step(
        self,
        place: RepositoryPlace,
        name: str,
        more: dict[str, Any],
        act: Callable[[dict[str, Any]], None],
    ) -> bool:
        began = now()
        step: dict[str, Any] = {"result": "running", "started_at": text(began)}
        step.update(more)
        self.state.data["repositories"][place.node][name] = step
        self.state.write()
        label = f"{name} {place.node}"
        try:
            act(step)
            step["result"] = "success"
        except JobError as error:
            step.update(result="failure", reason=error.reason, error=str(error))
        except OSError as error:
            step.update(result="failure", reason=_reason_of(error), error=str(error))
        except Interrupted:
            step.update(result="failure", reason="interrupted", error="the job was told to stop")
            self._end(step, began, label)
            raise
        self._end(step, began, label)
        return bool(step["result"] == "success")

    def _end(self, step: dict[str, Any], began: datetime, name: str) -> None:
        ended = now()
        step.update(ended_at=text(ended), seconds=round((ended - began).total_seconds(), 3))
        self.state.write()
        detail = f": {step['error']}" if step.get("error") else ""
        self.say(f"{name}: {step['result']} in {step['seconds']:.1f} s{detail}")


class Interrupted(BaseException):
    """The job was told to stop (SIGTERM, SIGINT)."""


def remove_tree(path: str) -> None:
    """Remove a folder that was restored, whatever modes its folders were restored with."""

    def allow(function: Callable[..., Any], name: str, _: object) -> None:
        os.chmod(os.path.dirname(name), stat.S_IRWXU)
        os.chmod(name, stat.S_IRWXU)
        function(name)

    if os.path.isdir(path):
        shutil.rmtree(path, onerror=allow)


def _names(paths: tuple[bytes, ...]) -> list[str]:
    return [path.decode("utf-8", "backslashreplace") for path in paths[:NAMED]]


def _reason_of(error: OSError) -> str:
    return "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "os"
