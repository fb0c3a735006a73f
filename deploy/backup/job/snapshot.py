"""Takes the snapshot: into the primary repository, or into the first copy that answers while that one cannot."""

from __future__ import annotations

import os
from datetime import datetime
from functools import partial
from typing import Any

from . import memory
from .apart import apart
from .configuration import RepositoryPlace
from .lasting import now, text
from .restic import Done, JobError, Restic, failure, messages, moment_of
from .running import NAMED, Running

#: What is wrong here and would be the same with any repository: no other one is tried.
OWN_REASONS = ("empty_source", "disk_full", "os", "no_program", "dump")
#: What a snapshot's tag begins with that says which other snapshot is partial: `partial=` and its first id.
PARTIAL = "partial="


def back_up(run: Running) -> str:
    """Take the snapshot; the result as the state has it.

    A run whose snapshot is in a copy because the primary repository failed is a success that names where the
    snapshot is; the failure stands at the primary repository.
    """
    began = now()
    step = {"result": "running", "started_at": text(began), "repository": ""}
    run.state.data.update(backup=step, not_begun=None)
    for place in run.configuration.repositories:
        known = run.known(place)
        # A run that ends between snapshot and copy, however it ends, leaves a copy that lacks one.
        run.before[place.node] = known["snapshot"]
        run.whole[place.node], known["whole"], known["backup"] = known["whole"], False, None
    run.state.write()
    run.told(step, began, "backup", lambda one: _anywhere(run, one, began))
    return str(step["result"])


def _anywhere(run: Running, step: dict[str, Any], began: datetime) -> None:
    if run.configuration.dumps:
        from . import dumps

        dumps.take(run.configuration.dumps)
    scanned = apart(partial(_scan, run, int(began.timestamp() * 1e9)))
    run.state.data["emptied"], run.unchanged_since, run.fullest = scanned
    failed: list[JobError] = []
    for place in run.configuration.repositories:
        tried: dict[str, Any] = {"result": "running", "started_at": text(now())}
        run.known(place)["backup"] = tried
        error = run.told(tried, now(), f"backup {place.node}", partial(_into, run, place, step, began))
        if error is None:
            return
        if error.reason in OWN_REASONS:
            raise error
        failed.append(error)
    others = "".join(f"; {error}" for error in failed[1:])
    raise JobError(failed[0].reason, f"{failed[0]}{others}")


def _scan(run: Running, scanned_ns: int) -> tuple[list[str], int, int]:
    """Bring manifest and index up to date; what is as the last run left it is left, and restic need not read it.

    Answers the folders that hold no file although they should. The state says so before the manifest forgets which
    files they held: a run that is stopped in between leaves them a fault. Where nothing is new it answers too when the
    last scan began (seconds since 1970), and how many files the fullest folder holds; else 0 and 0.
    """
    from . import emptiness, manifest
    from .listing import listing

    listed = listing(run.configuration.paths, run.configuration.exclude)
    last = manifest.last_scan(run.index_path)
    same = last.still_holds(listed, run.sums_path)
    known = {} if same else manifest.read_index(run.index_path)
    emptied = emptiness.emptied(
        run.configuration,
        () if same else known or manifest.names_in(run.sums_path),
        run.state.data.get("emptied") or (),
    )
    if emptied:
        run.state.data["emptied"] = emptied
        run.state.write()
    if not same:
        found, relied_on = manifest.scan(listed, known, last.began_ns, scanned_ns)
        size = manifest.write_sums(run.sums_path, found, scanned_ns)
        scanned = manifest.Scan(scanned_ns, size, relied_on, manifest.fullest(found))
        manifest.write_index(run.index_path, scanned, found)
    return (emptied, last.began_ns // 1_000_000_000, last.fullest) if same else (emptied, 0, 0)


def _into(run: Running, place: RepositoryPlace, step: dict[str, Any], began: datetime, _: Any) -> None:
    known, restic = run.known(place), run.restic[place.node]
    step["family"] = run.reach(place)
    done = _restic_backup(run, restic, began)
    if done.code not in (0, 3) and failure(place.node, "backup", done).reason == "repository_missing":
        if known["snapshot"]:
            # It was there: making a new, empty one would hide that all history is lost.
            raise JobError(
                "repository_missing",
                f"the repository on {place.node} is gone; fill it from a copy: "
                f"python3 -m jizuo_backup rebuild {run.configuration.policy} --node {place.node}",
            )
        run.begin_repository(place, _one_to_cut_like(run, place))
        done = _restic_backup(run, restic, began)
    if done.code not in (0, 3):
        raise failure(place.node, "backup", done)
    _read_summary(run, place, step, done, began)


def _one_to_cut_like(run: Running, place: RepositoryPlace) -> RepositoryPlace | None:
    """Another repository of the policy that has snapshots and answers; None when there is none."""
    for other in run.configuration.repositories:
        if other != place and run.known(other)["snapshot"]:
            try:
                run.reach(other)
            except JobError:
                continue
            return other
    return None


def _restic_backup(run: Running, restic: Restic, began: datetime) -> Done:
    configuration = run.configuration
    exclude = [argument for pattern in configuration.exclude for argument in ("--exclude", pattern)]
    return restic.run(
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
        run.sums_path,
        memory=_memory(run, restic),
    )


def _memory(run: Running, restic: Restic) -> int:
    """What is enough for restic, in bytes; 0 unless this repository holds a whole snapshot of all that is here."""
    known, held = run.known(restic.place), run.state.data["last_snapshot"]
    if not (run.fullest and held and known["snapshot_at"]):
        return 0
    # Nothing is new since the last scan; what that one found, a run that failed may never have stored here.
    if moment_of(known["snapshot_at"]).timestamp() < run.unchanged_since:
        return 0
    return memory.enough(run.cache_folder, run.fullest, held["total_bytes"])


def _read_summary(
    run: Running, place: RepositoryPlace, step: dict[str, Any], done: Done, began: datetime
) -> None:
    said, known = messages(done), run.known(place)
    summary: dict[str, Any] = next((one for one in said if one.get("message_type") == "summary"), {})
    # restic passes over a path that is not there with a warning and exit code 0.
    unread = [path for path in run.configuration.paths if not os.path.lexists(path)]
    unread += [str(one.get("item", "")) for one in said if one.get("message_type") == "error"]
    if not summary.get("snapshot_id"):
        raise JobError("restic", f"restic backup on {place.node} ended without a snapshot")
    taken = text(began.replace(microsecond=0))
    step.update(
        repository=place.node,
        snapshot=summary["snapshot_id"],
        snapshot_at=taken,
        files=summary.get("total_files_processed", 0),
        total_bytes=summary.get("total_bytes_processed", 0),
        added_bytes=summary.get("data_added", 0),
        unread=unread[:NAMED],
    )
    run.snapshots[place.node] = summary["snapshot_id"]
    known["ahead"] = known["ahead"] or place != run.configuration.primary
    emptied = run.state.data.get("emptied") or []
    if done.code == 3 or unread or emptied:
        from .emptiness import REASON, complaint

        complaints = [complaint(emptied)] if emptied else []
        if done.code == 3 or unread:
            complaints.append(f"{len(unread)} files or folders could not be read: {', '.join(unread[:3])}")
        step.update(
            result="partial", reason=REASON if emptied else "unread_files", error="; ".join(complaints)
        )
        mark_partial(run, place, summary["snapshot_id"])
        return
    step["result"] = "success"
    held = {"snapshot_at": taken, "files": step["files"], "total_bytes": step["total_bytes"]}
    run.state.data.update(last_success_at=taken, last_snapshot=held)
    known.update(snapshot=summary["snapshot_id"], snapshot_at=taken, lag_seconds=0)


def mark_partial(run: Running, place: RepositoryPlace, snapshot: str) -> None:
    """Tell the repository's server that a snapshot lacks files, so that it never removes a whole one for it.

    restic knows no such mark, and tags of what is there cannot be changed in an append-only repository: hence
    a small snapshot beside it, of the manifest alone, without the policy's tag. Its tag names the id that the snapshot
    was first taken as, which a copy of it keeps (`original`): so that the mark is good wherever both are copied to.
    """
    tag = PARTIAL + snapshot[:8]
    done = run.restic[place.node].run(
        "backup", "--host", run.configuration.host, "--tag", tag, "--", run.sums_path
    )
    if done.code:
        raise failure(place.node, "backup", done)
