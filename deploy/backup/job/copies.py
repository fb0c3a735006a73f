"""Brings every repository of a policy to hold the same snapshots, by `restic copy`, which goes on where it was cut."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from .configuration import RepositoryPlace
from .lasting import now, text
from .restic import JobError, Snapshot, moment_of
from .running import Running
from .snapshot import mark_partial


def copy_everywhere(run: Running) -> bool:
    """Fill the primary repository from copies that are ahead of it, then the copies; whether all went well."""
    primary = run.configuration.primary
    made_on = run.state.data["backup"]["repository"]
    source = next(place for place in run.configuration.repositories if place.node == made_on)
    well = source == primary
    if source == primary:
        if run.configuration.repositories[1:] and _fell_back(run, primary):
            _compare_all(run)
        for place in run.configuration.repositories[1:]:
            if run.known(place)["ahead"] or run.known(primary)["damage"]:
                well = bring_back(run, place) and well
    for place in run.configuration.repositories[1:]:
        if place != source:
            well = copy(run, source, place) and well
    _tell_lags(run)
    return well


def _fell_back(run: Running, place: RepositoryPlace) -> bool:
    """Whether a repository no longer holds the newest whole snapshot that it held before this run.

    Its server removes no such snapshot: this is an older disk, put back after another had taken its place, or one that
    was set back. Where that cannot be asked, it is taken for one, for the next run would no longer see it.
    """
    try:
        there = run.restic[place.node].snapshots(run.configuration.host, run.configuration.policy)
    except JobError:
        return True
    return _lacks(there, run.before[place.node])


def _lacks(there: list[Snapshot], snapshot: str) -> bool:
    return bool(snapshot) and not any(one.id.startswith(snapshot) for one in there)


def _compare_all(run: Running) -> None:
    """Have each copy filled from the primary repository and the other way round, in this run or, if it fails, later."""
    run.say(f"{run.configuration.primary.node} no longer holds what it held: all is compared with the copies")
    for place in run.configuration.repositories[1:]:
        run.known(place)["ahead"] = True
        run.whole[place.node] = False
    run.state.write()


def bring_back(run: Running, source: RepositoryPlace) -> bool:
    """Fill the primary repository with what only a copy holds; whether it went well."""
    primary = run.configuration.primary

    def act(step: dict[str, Any]) -> None:
        step["family"] = run.reach(source)
        step["source"] = source.node
        fill(run, source, primary)
        run.known(source)["ahead"] = False

    return run.step(primary, "copy", {}, act)


def copy(run: Running, source: RepositoryPlace, place: RepositoryPlace) -> bool:
    """Copy into a repository what it lacks; proven by what that repository then says it holds."""
    known = run.known(place)
    cut = known["copy"] is not None and not known["snapshot"]
    act = partial(_copy, run, source, place, cut)
    return run.step(place, "copy", {"source": source.node}, act)


def _copy(
    run: Running, source: RepositoryPlace, place: RepositoryPlace, cut: bool, step: dict[str, Any]
) -> None:
    known, restic, configuration = run.known(place), run.restic[place.node], run.configuration
    wanted = run.snapshots[source.node]
    step["family"] = run.reach(place)
    if not known["snapshot"]:
        run.begin_repository(place, source)
    if cut:
        # restic writes down every ten minutes, and after each snapshot, what it has sent. Of a first copy that was
        # cut, which can be large, all that arrived is found again; that old indexes cannot be removed does no harm.
        restic.run("rebuild-index")
    # What the last copy left out, or all: else only this run's snapshot. Those that the two servers' own
    # retention has already removed from one of them are then not sent again each time.
    everything = not run.whole[place.node] or known["damage"]
    which = () if everything else (wanted,)
    saved = _restic_copy(run, source, place, *which)
    if known["damage"] and saved > 1:
        run.refilled.add(place.node)
    # Looked for by its id: where a clock was set back, the newest by its time is another one.
    there = restic.snapshots(configuration.host, configuration.policy)
    if not everything and _lacks(there, run.before[place.node]):
        _restic_copy(run, source, place)  # an older disk was put back here
    held = next(
        (one.id for one in there if one.original.startswith(wanted) or one.id.startswith(wanted)), None
    )
    if held is None:
        raise JobError("restic", f"after the copy {place.node} does not hold snapshot {wanted}")
    known["whole"] = True
    run.snapshots[place.node] = held
    backup = run.state.data["backup"]
    if backup["result"] == "partial":
        mark_partial(run, place, wanted)
    if backup["result"] == "success":
        known.update(snapshot=held[:8], snapshot_at=backup["snapshot_at"])


def _restic_copy(run: Running, source: RepositoryPlace, target: RepositoryPlace, *snapshots: str) -> int:
    """Copy these snapshots, or all and the marks of the partial ones; how many the target did not have."""
    done = run.restic[target.node].must(
        "copy", "--host", run.configuration.host, *snapshots, source=run.restic[source.node]
    )
    return len(re.findall(r"^snapshot [0-9a-f]+ saved$", done.output, re.MULTILINE))


def fill(run: Running, source: RepositoryPlace, target: RepositoryPlace) -> int:
    """Copy every snapshot that the source holds and the target lacks; how many the target holds then.

    Raises:
        JobError: a repository failed, or the target still lacks one.
    """
    host, policy = run.configuration.host, run.configuration.policy
    if _restic_copy(run, source, target) and run.known(target)["damage"]:
        run.refilled.add(target.node)
    there = run.restic[target.node].snapshots(host, policy)
    held = {one.id for one in there} | {one.original for one in there}
    lacking = [
        one
        for one in run.restic[source.node].snapshots(host, policy)
        if one.id not in held and one.original not in held
    ]
    if lacking:
        raise JobError(
            "restic", f"after the copy {target.node} lacks {len(lacking)} snapshots of {source.node}"
        )
    return len(there)


def rebuild(run: Running, node: str, source_node: str) -> dict[str, Any]:
    """Fill a repository that is gone or was emptied from another of the policy; what was done.

    Raises:
        JobError: there is no such repository, nothing to fill it from, or it could not be filled.
    """
    target = _place(run, node)
    others = [place for place in run.configuration.repositories if place != target]
    if source_node:
        others = [_place(run, source_node)]
    errors = []
    for source in others:
        if source == target:
            raise JobError("no_repository", f"{node} cannot be filled from itself")
        step: dict[str, Any] = {}
        began = now()
        act = partial(_rebuild, run, source, target)
        if run.step(target, "copy", {"source": source.node}, act):
            step = run.known(target)["copy"]
            return {
                "policy": run.configuration.policy,
                "node": node,
                "source": source.node,
                "snapshots": step["snapshots"],
                "snapshot_at": run.known(target)["snapshot_at"],
                "started_at": text(began),
                "ended_at": step["ended_at"],
                "seconds": step["seconds"],
            }
        errors.append(f"{source.node}: {run.known(target)['copy']['error']}")
    raise JobError(
        "rebuild", f"{node} was not filled; {'; '.join(errors) or 'the policy has no other repository'}"
    )


def _rebuild(run: Running, source: RepositoryPlace, target: RepositoryPlace, step: dict[str, Any]) -> None:
    host, policy = run.configuration.host, run.configuration.policy
    run.reach(source)
    step["family"] = run.reach(target)
    newest = run.restic[source.node].newest(host, policy)
    run.begin_repository(target, source)
    step["snapshots"] = fill(run, source, target)
    mine = run.restic[target.node].newest(host, policy)
    known = run.known(target)
    known.update(snapshot=mine.id[:8], whole=target != run.configuration.primary)
    # The last whole snapshot that is known to be in the source, unless what is newer there is newer still.
    known["snapshot_at"] = run.known(source)["snapshot_at"] or text(moment_of(newest.time).astimezone())
    run.known(source)["ahead"] = False


def _place(run: Running, node: str) -> RepositoryPlace:
    place = run.configuration.place(node)
    if place is None:
        names = ", ".join(one.node for one in run.configuration.repositories)
        raise JobError(
            "no_repository", f"{run.configuration.policy} has no repository on {node}, but on {names}"
        )
    return place


def _tell_lags(run: Running) -> None:
    """By how much each repository's newest whole snapshot is behind the newest there is, seconds."""
    newest = run.state.data["last_success_at"]
    for place in run.configuration.repositories:
        known = run.known(place)
        known["lag_seconds"] = None
        if newest and known["snapshot_at"]:
            lag = moment_of(newest) - moment_of(known["snapshot_at"])
            known["lag_seconds"] = round(lag.total_seconds())
    run.state.write()
