"""Bring data back from a repository: beside their place first, compared, then put in place whole."""

from __future__ import annotations

import os
from typing import Any

from . import manifest
from .configuration import Configuration
from .reach import family_that_answers
from .restic import JobError, Restic, listed_as, pattern_of
from .running import NAMED, remove_tree
from .state import now, text


def restore(
    configuration: Configuration,
    node: str,
    path: str,
    state_folder: str,
    cache_folder: str,
    program: str = "restic",
) -> dict[str, Any]:
    """Restore `path` as the newest snapshot in the repository on `node` has it, to that same path.

    The data wait beside their place until every file of the snapshot has been compared with the manifest that
    was taken at backup time, and are renamed into it at once. Data that are there are never written over.
    Files of the manifest that the snapshot does not list (excluded, gone before restic came to them, or
    unreadable) are told and no reason to refuse.

    Returns:
        What happened: `policy`, `host`, `repository`, `path`, `snapshot`, `snapshot_at` (restic's time),
        `started_at`, `ended_at`, `seconds`, `family`, `files` (compared and the same), `total_bytes`,
        `changed` (written to while they were backed up), `mismatched`, `missing`, `not_in_snapshot`
        (how many files of the manifest the snapshot never held) and the `first_not_in_snapshot` of them.

    Raises:
        JobError: nothing was put in place; the message says why.
    """
    place = configuration.place(node)
    if place is None:
        names = ", ".join(one.node for one in configuration.repositories)
        raise JobError("no_repository", f"{configuration.policy} has no repository on {node}, but on {names}")
    if os.path.lexists(path):
        raise JobError("exists", f"{path} is there; move it away first, a restore writes over nothing")
    began = now()
    parent, name = os.path.split(path.rstrip("/"))
    stage = os.path.join(parent, f".restore-{name}")
    family = family_that_answers(place)
    restic = Restic(place, configuration.ca_file, cache_folder, program)
    snapshot = restic.newest(configuration.host, configuration.policy)
    os.makedirs(parent, exist_ok=True)
    remove_tree(stage)
    os.mkdir(stage, 0o700)
    try:
        sums_path = os.path.join(state_folder, configuration.policy + ".manifest")
        comparison, absent = _fetch(restic, snapshot.id, stage, path, sums_path)
        if comparison.mismatched or comparison.missing:
            bad = [os.fsdecode(one) for one in (comparison.mismatched + comparison.missing)[:3]]
            raise JobError(
                "content_differs",
                f"{len(comparison.mismatched)} files differ from the manifest, {len(comparison.missing)} are "
                f"missing: {', '.join(bad)}; nothing was put in place",
            )
        os.rename(stage + path, path)
    finally:
        remove_tree(stage)
    ended = now()
    return {
        "policy": configuration.policy,
        "host": configuration.host,
        "repository": node,
        "path": path,
        "snapshot": snapshot.id[:8],
        "snapshot_at": snapshot.time,
        "family": family,
        "started_at": text(began),
        "ended_at": text(ended),
        "seconds": round((ended - began).total_seconds(), 3),
        "files": comparison.matched,
        "total_bytes": comparison.total_bytes,
        "changed": len(comparison.changed),
        "mismatched": len(comparison.mismatched),
        "missing": len(comparison.missing),
        "not_in_snapshot": len(absent),
        "first_not_in_snapshot": [one.decode("utf-8", "backslashreplace") for one in absent[:NAMED]],
    }


def _fetch(
    restic: Restic, snapshot: str, stage: str, path: str, sums_path: str
) -> tuple[manifest.Comparison, list[bytes]]:
    """Restore into `stage` and compare; also which files of the manifest the snapshot does not list."""
    includes = [
        argument for one in (path, sums_path) for argument in ("--include", pattern_of(os.fsencode(one)))
    ]
    restic.must("restore", "--no-lock", "--target", stage, *includes, snapshot)
    root = os.fsencode(stage)
    restored_sums = root + os.fsencode(sums_path)
    try:
        sums = manifest.read_sums(restored_sums)
        scanned_ns = os.stat(restored_sums).st_mtime_ns
    except (OSError, ValueError) as error:
        raise JobError("no_manifest", f"snapshot {snapshot[:8]} holds no manifest: {error}") from error
    below = os.fsencode(path) + b"/"
    wanted = {name: digest for name, digest in sums.items() if name.startswith(below)}
    listed = restic.files_of(snapshot)
    held = {name: digest for name, digest in wanted.items() if listed_as(name) in listed}
    if not held or not os.path.isdir(stage + path):
        raise JobError("nothing_restored", f"snapshot {snapshot[:8]} holds nothing at {path}")
    absent = [name for name in wanted if name not in held]
    return manifest.compare(root, held, scanned_ns), absent
