"""Verifies a repository: its structure, one part of its data after another, and files that come back from it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from . import rotation
from .configuration import Dump, RepositoryPlace
from .lasting import now, seconds_since, text
from .restic import DAMAGE, JobError, Restic, damaged_packs, failure, listed_as, pattern_of
from .running import NAMED, Running, names_of, remove_tree

if TYPE_CHECKING:
    from . import manifest


def verify(run: Running, place: RepositoryPlace, always: bool, read_all: bool = False) -> bool:
    """Check the repository and restore a sample from it, each when it is due; whether all went well."""
    known, plan = run.known(place), run.configuration.verify
    horizon = max(plan.check_seconds, run.configuration.rpo_seconds)
    known["reading"] = rotation.reading(known["reading"], run.parts, "")
    parts = (
        list(range(1, run.parts + 1))
        if read_all
        else rotation.due(known["reading"], now(), plan.read_all_seconds, horizon)
    )
    well = True
    if always or place.node in run.refilled or _due(run, _last_check(known), plan.check_seconds):
        numbers = {"part": parts[0], "parts": run.parts, "read": parts}
        well = run.step(place, "check", numbers, lambda _: _check(run, place, parts))
        if well:
            known["check_success_at"] = known["check"]["ended_at"]
    # What a damaged repository gives back proves nothing, and restic asks for lost data a minute long.
    if well and restore_test_due(run, place, always):
        tested = run.step(place, "restore_test", {}, lambda step: _restore_test(run, place, step))
        if tested:
            known["restore_success_at"] = known["restore_test"]["ended_at"]
            known["restored_snapshot_at"] = known["restore_test"]["snapshot_at"]
        well = tested and well
    run.state.write()
    return well


def restore_test_due(run: Running, place: RepositoryPlace, always: bool) -> bool:
    """Whether a sample is to be restored from the repository; `always` where it is asked for."""
    plan = run.configuration.verify
    return always or _due(run, run.known(place)["restore_success_at"], plan.restore_seconds)


def _last_check(known: dict[str, Any]) -> str:
    """When the last check was that is not to be repeated at once: what is damaged stays so until it is healed."""
    last: str = (
        known["check"]["ended_at"] if known["damage"] and known["check"] else known["check_success_at"]
    )
    return last


def _due(run: Running, last: str, limit: int) -> bool:
    """Whether something would be older than its limit before the next run, which is an RPO away at most."""
    age = seconds_since(last)
    return age < 0 or age + run.configuration.rpo_seconds > limit


def _check(run: Running, place: RepositoryPlace, parts: list[int]) -> None:
    """Check the structure, and read these parts of the data; what is damaged is named in the state."""
    known, total = run.known(place), run.parts
    # When all is due it is read in one go: the structure is checked once.
    whole = len(parts) == total
    for part in [0] if whole else parts:
        began = text(now())
        subset = ["--read-data"] if whole else [f"--read-data-subset={part}/{total}"]
        # Locks keep pruning away, and nothing here can prune: the repository is append-only.
        done = run.restic[place.node].run("check", "--no-lock", *subset)
        if done.code:
            _tell_damage(run, place, done.errors)
            error = failure(place.node, "check", done)
            packs = known["damage"]["packs"] if known["damage"] else []
            if known["damage"]:
                named = f"damaged packs: {', '.join(pack[:16] for pack in packs[:3])}" if packs else error
                known["reading"]["read_at"] = [
                    "" if whole or number == part else at
                    for number, at in enumerate(known["reading"]["read_at"], 1)
                ]
                raise JobError(
                    "damaged",
                    f"{place.node}: {named}; heal it there: python3 -m jizuo_backup.repository heal "
                    f"{run.configuration.host}-{run.configuration.policy}",
                )
            raise error
        known["reading"]["read_at"] = [
            began if whole or number == part else at
            for number, at in enumerate(known["reading"]["read_at"], 1)
        ]
    known["damage"] = None


def _tell_damage(run: Running, place: RepositoryPlace, errors: str) -> None:
    """Name the damage, unless restic failed for another reason (a server that is down has no damage)."""
    packs, known = damaged_packs(errors), run.known(place)
    if not packs and not DAMAGE.search(errors):
        return
    before = known["damage"] or {}
    known["damage"] = {
        "found_at": before.get("found_at") or text(now()),
        "packs": list(dict.fromkeys([*packs, *before.get("packs", [])]))[:NAMED],
    }


def stable_since(run: Running) -> dict[bytes, manifest.Entry]:
    """The files that have not changed since this run's scan.

    Raises:
        JobError, OSError: they cannot be listed.
    """
    from . import manifest
    from .listing import listing

    listed = listing(run.configuration.paths, run.configuration.exclude)
    return manifest.stable(listed, manifest.read_index(run.index_path))


def _restore_test(run: Running, place: RepositoryPlace, step: dict[str, Any]) -> None:
    from . import manifest

    configuration, restic = run.configuration, run.restic[place.node]
    snapshot = run.snapshots[place.node]
    step.update(snapshot=snapshot[:8], snapshot_at=run.state.data["backup"]["snapshot_at"])
    # Where it became due while copies and checks ran, what has not changed until now has to do.
    candidates = run.stable or stable_since(run)
    if configuration.exclude:
        held = restic.files_of(snapshot)
        candidates = {name: entry for name, entry in candidates.items() if listed_as(name) in held}
    plan = configuration.verify
    chosen = manifest.sample(candidates, snapshot, plan.sample_files, plan.sample_bytes)
    if not chosen:
        raise JobError("no_sample", "every file changed while it was backed up; nothing can be compared")
    target = os.path.join(run.cache_folder, f"restore-{configuration.policy}")
    remove_tree(target)
    try:
        includes = [argument for name in chosen for argument in ("--include", pattern_of(name))]
        restic.must("restore", "--no-lock", "--target", target, *includes, snapshot)
        sums = {name: entry.digest for name, entry in chosen.items()}
        found = manifest.compare(os.fsencode(target), sums, sys.maxsize)
    finally:
        remove_tree(target)
    step.update(files=found.matched, total_bytes=found.total_bytes)
    if found.mismatched or found.missing:
        step.update(mismatched=names_of(found.mismatched), missing=names_of(found.missing))
        raise JobError(
            "content_differs",
            f"{len(found.mismatched)} restored files differ from what was backed up, "
            f"{len(found.missing)} are missing: "
            f"{', '.join(names_of(found.mismatched + found.missing)[:3])}",
        )
    for dump in configuration.dumps:
        _dump_test(restic, snapshot, target, dump)
    step["dumps"] = [dump.name for dump in configuration.dumps if dump.engine == "postgresql"]


def _dump_test(restic: Restic, snapshot: str, target: str, dump: Dump) -> None:
    """Bring a dump back from the repository and restore it into a cluster of its own."""
    if dump.engine != "postgresql":
        return  # there is no product here to restore it into; its file is compared like any other
    from . import dumps

    includes = [
        argument
        for name in (dump.file, dump.file + dumps.ANSWERS)
        for argument in ("--include", pattern_of(os.fsencode(name)))
    ]
    try:
        restic.must("restore", "--no-lock", "--target", target, *includes, snapshot)
        dumps.prove(dump, target + dump.file, f"{target}-cluster")
    finally:
        remove_tree(target)
