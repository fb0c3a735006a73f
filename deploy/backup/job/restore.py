"""Bring data back from a repository: beside their place first, compared, then put in place whole."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from . import manifest
from .account import is_anothers
from .configuration import Configuration
from .digests import SHA256_DIGITS, begun, digits
from .lasting import now, text
from .progress import progress
from .reach import CLOCK_SECONDS, family_that_answers
from .restic import JobError, Restic, Snapshot, listed_as, moment_of, pattern_of
from .running import NAMED, names_of, remove_tree


@contextmanager
def own_cache(folder: str) -> Iterator[str]:
    """The job's cache, or beside it one for this restore alone where it is not this account's.

    A person restores as root. What root puts into the job's cache the job cannot write to: its restic would try for a
    quarter of an hour, and fail.
    """
    if not is_anothers(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="jizuo-restore-", dir=os.path.dirname(folder) or None) as own:
        yield own


class Wish(NamedTuple):
    """What is to be restored, and how.

    `node` is whose repository it comes from; `path` what the snapshot holds; `target` where it goes, its own
    place where empty. `snapshot` is an id or the beginning of one, `at` an ISO 8601 moment of which the newest
    snapshot is taken that is not later; where both are empty, the newest that is not of the future. `dry` tells and
    does nothing; `overwrite` moves what is at the target aside. Of data that are larger than `sample_bytes` only
    `sample_files` files of together so many bytes are restored, others for each snapshot; all where it is 0.
    `accept_differing` puts files in place too whose content is not that of the manifest.
    """

    node: str
    path: str
    target: str = ""
    snapshot: str = ""
    at: str = ""
    dry: bool = False
    overwrite: bool = False
    sample_bytes: int = 0
    sample_files: int = 0
    accept_differing: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of a restore."""
    parser.add_argument("policy")
    parser.add_argument("path")
    parser.add_argument(
        "--from", dest="node", required=True, help="the node whose repository to restore from"
    )
    parser.add_argument("--to", default="", help="where to; to its own place unless given")
    parser.add_argument("--snapshot", default="", help="an id; the newest unless given")
    parser.add_argument("--at", default="", help="the newest that is not later than this moment, ISO 8601")
    parser.add_argument("--dry", action="store_true", help="say what it would do and do nothing")
    parser.add_argument("--overwrite", action="store_true", help="move aside what is there")
    parser.add_argument(
        "--sample-bytes", type=int, default=0, help="of more than this, only a sample; all unless given"
    )
    parser.add_argument(
        "--accept-differing", action="store_true", help="put files in place whose content differs too"
    )
    parser.add_argument("--sample-files", type=int, default=20, help="files of a sample at most")


def wish_of(options: argparse.Namespace) -> Wish:
    """What a command line asks for."""
    return Wish(
        node=options.node,
        path=options.path,
        target=options.to,
        snapshot=options.snapshot,
        at=options.at,
        dry=options.dry,
        overwrite=options.overwrite,
        sample_bytes=options.sample_bytes,
        sample_files=options.sample_files,
        accept_differing=options.accept_differing,
    )


def restore(
    configuration: Configuration,
    wish: Wish,
    state_folder: str,
    cache_folder: str,
    program: str = "restic",
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Restore a path as a snapshot has it, to that same path or to another.

    The data wait beside their place until every file of the snapshot has been compared with the manifest that
    was taken at backup time, and are renamed into it at once. Data that are there are never written over: they
    stop the restore, or are moved aside with `overwrite`. Files of the manifest that the snapshot does not list
    (excluded, gone before restic came to them, or unreadable) are told and no reason to refuse.

    Returns:
        What happened: `policy`, `host`, `repository`, `path`, `target`, `snapshot`, `snapshot_at` (restic's
        time), `started_at`, `ended_at`, `seconds`, `family`, `files` (compared and the same), `total_bytes`,
        `changed` (written to while they were backed up), `mismatched`, `missing`, `not_in_snapshot`
        (how many files of the manifest the snapshot never held) and the `first_not_in_snapshot` of them,
        `moved_aside` (where the data are that were there), `sampled` (whether it was a
        sample). With `dry`, what would be restored: as before up to
        `snapshot_at`, then `files`, `total_bytes`, `free_bytes`, `exists` (whether something is at the target).

    Raises:
        JobError: nothing was put in place; the message says why.
    """
    place = configuration.place(wish.node)
    if place is None:
        names = ", ".join(one.node for one in configuration.repositories)
        raise JobError(
            "no_repository", f"{configuration.policy} has no repository on {wish.node}, but on {names}"
        )
    path, target = wish.path.rstrip("/"), (wish.target or wish.path).rstrip("/")
    if not path or not target:
        raise JobError("whole_disk", "name a folder below /; the whole of it is not restored at once")
    there = os.path.lexists(target) and not _is_empty_folder(target)
    if there and not (wish.overwrite or wish.dry):
        raise JobError("exists", f"{target} is there; move it away first, a restore writes over nothing")
    began = now()
    family = family_that_answers(place)
    restic = Restic(place, configuration.ca_file, cache_folder, program)
    snapshot = _snapshot(restic, configuration, wish, say)
    told: dict[str, Any] = {
        "policy": configuration.policy,
        "host": configuration.host,
        "repository": wish.node,
        "path": path,
        "target": target,
        "snapshot": snapshot.id[:8],
        "snapshot_at": snapshot.time,
        "family": family,
    }
    say(f"snapshot {snapshot.id[:8]} of {snapshot.time} on {wish.node}")
    sizes = restic.sizes_of(snapshot.id)
    wanted = [
        size for name, size in sizes.items() if (name + "/").startswith(listed_as(os.fsencode(path)) + "/")
    ]
    sampled = 0 < wish.sample_bytes < sum(wanted)
    free = _free_bytes(target)
    if wish.dry:
        return {**told, "files": len(wanted), "total_bytes": sum(wanted), "free_bytes": free, "exists": there}
    if sum(wanted) > free and not sampled:
        # restic 0.14 writes the holes of sparse files as zeros: what counts is what the files' sizes say.
        raise JobError(
            "disk_full",
            f"{target} has room for {free} bytes and the data take {sum(wanted)}, holes of sparse files included",
        )
    parent, name = os.path.split(target)
    stage = os.path.join(parent, ".restore-" + name)
    os.makedirs(parent, exist_ok=True)
    remove_tree(stage)
    os.mkdir(stage, 0o700)
    try:
        sums_path = os.path.join(state_folder, configuration.policy + ".manifest")
        _must_be_comparable(restic, snapshot.id, stage, path, sums_path)
        with progress(stage, len(wanted), sum(wanted), say):
            if sampled:
                chosen = _sample(restic, snapshot.id, sizes, stage, path, sums_path, wish)
                comparison, absent = _fetch(restic, snapshot.id, sizes, stage, path, sums_path, chosen)
            else:
                comparison, absent = _fetch(restic, snapshot.id, sizes, stage, path, sums_path)
        if comparison.missing or (comparison.mismatched and not wish.accept_differing):
            bad = [os.fsdecode(one) for one in (comparison.mismatched + comparison.missing)[:3]]
            raise JobError(
                "content_differs",
                f"{len(comparison.mismatched)} files differ from the manifest, {len(comparison.missing)} are "
                f"missing: {', '.join(bad)}; nothing was put in place. A file that was written to while restic read it "
                "differs too: --accept-differing takes it as it is, or restore an older snapshot",
            )
        aside = _put_in_place(stage + path, target, wish.overwrite)
    finally:
        remove_tree(stage)
    ended = now()
    return {
        **told,
        "started_at": text(began),
        "ended_at": text(ended),
        "seconds": round((ended - began).total_seconds(), 3),
        "files": comparison.matched,
        "total_bytes": comparison.total_bytes,
        "changed": len(comparison.changed),
        "mismatched": len(comparison.mismatched),
        "missing": len(comparison.missing),
        "first_mismatched": names_of(comparison.mismatched),
        "not_in_snapshot": len(absent),
        "first_not_in_snapshot": [one.decode("utf-8", "backslashreplace") for one in absent[:NAMED]],
        "moved_aside": aside,
        "sampled": sampled,
    }


def _snapshot(
    restic: Restic, configuration: Configuration, wish: Wish, say: Callable[[str], None]
) -> Snapshot:
    """The snapshot that is wished for."""
    host, policy = configuration.host, configuration.policy
    found = restic.snapshots(host, policy)
    if not wish.snapshot and not wish.at:
        return _newest(found, f"{wish.node} holds no snapshot of {policy} of {host}", say)
    if wish.snapshot:
        fitting = [one for one in found if one.id.startswith(wish.snapshot)]
    else:
        fitting = [one for one in found if _begun_by(one.time, wish.at)][-1:]
    if len(fitting) == 1:
        return fitting[0]
    asked = wish.snapshot or f"taken at {wish.at} or before"
    newest = ", ".join(f"{one.id[:8]} of {one.time}" for one in found[-5:])
    raise JobError(
        "no_snapshot",
        f"{wish.node} holds {len(fitting) or 'no'} snapshots {asked} of {policy} of {host}; the newest are {newest}",
    )


def _begun_by(taken: str, at: str) -> bool:
    """Whether a snapshot was surely begun by a moment: its own time is cut to the second.

    One of 15:22:32 may have been begun at 15:22:32.9, after what happened at 15:22:32.5 to its files. Whoever gives a
    whole second gives a snapshot's time as it is listed, and means that one.
    """
    begun, moment = _moment(taken), _moment(at)
    return begun + timedelta(seconds=1) <= moment or begun == moment


def _newest(found: list[Snapshot], none: str, say: Callable[[str], None]) -> Snapshot:
    """The newest of what was taken until now: what a clock that was ahead had dated later is not newer for it."""
    latest = now() + timedelta(seconds=CLOCK_SECONDS)
    past = [one for one in found if moment_of(one.time) <= latest]
    ahead = [f"{one.id[:8]} of {one.time}" for one in found[len(past) :]]
    if not past:
        why = f"all that there is was taken later than now by this host's clock: {', '.join(ahead[-5:])}"
        raise JobError(
            "no_snapshot", f"{none}; {why}; set the clock or name one with --snapshot" if ahead else none
        )
    if ahead:
        say(f"passed over, for their times are still to come: {', '.join(ahead[-5:])}; --snapshot takes one")
    return past[-1]


def _microseconds(text: str) -> str:
    """The text with six digits of a second's part, which every Python 3 reads; restic writes nine, people three."""
    return re.sub(r"\.([0-9]+)", lambda found: f".{found[1]:0<6.6}", text)


def _moment(said: str) -> datetime:
    """ISO 8601 as restic and people write it; without an offset it is this host's time."""
    try:
        found = datetime.fromisoformat(_microseconds(said.strip()).replace("Z", "+00:00"))
    except ValueError as error:
        raise JobError("wrong_time", f"{said}: no moment like 2026-08-01T09:30:00+08:00") from error
    return found if found.tzinfo else found.astimezone()


def _is_empty_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path)


def _free_bytes(target: str) -> int:
    """The room that there is where the target will be."""
    folder = target
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _put_in_place(restored: str, target: str, overwrite: bool) -> str:
    """Rename what was restored to its target; where the data are now that were there, if any."""
    aside = ""
    if overwrite and os.path.lexists(target) and not _is_empty_folder(target):
        aside = target + now().strftime(".before-restore-%Y%m%dT%H%M%S")
        os.rename(target, aside)
    elif os.path.lexists(target) and not _is_empty_folder(target):
        raise JobError("exists", f"{target} came while the restore was under way; nothing was put in place")
    try:
        os.rename(restored, target)
    except OSError:
        if aside:
            os.rename(aside, target)
        raise
    return aside


def _bring(restic: Restic, snapshot: str, stage: str, names: Iterable[bytes]) -> None:
    includes = [argument for one in names for argument in ("--include", pattern_of(one))]
    restic.must("restore", "--no-lock", "--target", stage, *includes, snapshot)


def _sums(snapshot: str, stage: str, path: str, sums_path: str) -> tuple[dict[bytes, str], int]:
    """What the restored manifest says of the files at or below a path, and when it was begun (ns)."""
    restored_sums = os.fsencode(stage + sums_path)
    try:
        sums = manifest.read_sums(restored_sums)
        scanned_ns = os.stat(restored_sums).st_mtime_ns
    except (OSError, ValueError) as error:
        raise JobError("no_manifest", f"snapshot {snapshot[:8]} holds no manifest: {error}") from error
    below = os.fsencode(path) + b"/"
    return {name: digest for name, digest in sums.items() if (name + b"/").startswith(below)}, scanned_ns


def _must_be_comparable(restic: Restic, snapshot: str, stage: str, path: str, sums_path: str) -> None:
    """Refuse before hours of a restore what could not be compared after it, and would be removed.

    Raises:
        JobError: `no_program`, this host cannot take digests such as the manifest has.
    """
    if digits() == SHA256_DIGITS:
        _bring(restic, snapshot, stage, [os.fsencode(sums_path)])
        for wanted in {len(digest) for digest in _sums(snapshot, stage, path, sums_path)[0].values()}:
            begun(wanted)


def _sample(
    restic: Restic,
    snapshot: str,
    sizes: dict[str, int],
    stage: str,
    path: str,
    sums_path: str,
    wish: Wish,
) -> list[bytes]:
    """Some of the files at or below a path, of those that the manifest and the snapshot have."""
    _bring(restic, snapshot, stage, [os.fsencode(sums_path)])
    wanted, _ = _sums(snapshot, stage, path, sums_path)
    candidates = {
        name: manifest.Entry(digest, sizes[listed_as(name)])
        for name, digest in wanted.items()
        if listed_as(name) in sizes
    }
    return list(manifest.sample(candidates, snapshot, wish.sample_files, wish.sample_bytes))


def _fetch(
    restic: Restic,
    snapshot: str,
    sizes: dict[str, int],
    stage: str,
    path: str,
    sums_path: str,
    chosen: list[bytes] | None = None,
) -> tuple[manifest.Comparison, list[bytes]]:
    """Restore into `stage`, all or what is chosen, and compare; also what of the manifest the snapshot lacks."""
    _bring(restic, snapshot, stage, [*(chosen or [os.fsencode(path)]), os.fsencode(sums_path)])
    root = os.fsencode(stage)
    wanted, scanned_ns = _sums(snapshot, stage, path, sums_path)
    if chosen is not None:
        wanted = {name: wanted[name] for name in chosen}
    held = {name: digest for name, digest in wanted.items() if listed_as(name) in sizes}
    if not held or not os.path.lexists(stage + path):
        raise JobError("nothing_restored", f"snapshot {snapshot[:8]} holds nothing at {path}")
    absent = [name for name in wanted if name not in held]
    return manifest.compare(root, held, scanned_ns), absent
