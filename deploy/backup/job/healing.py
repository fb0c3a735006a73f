"""Makes a damaged repository whole again, without what was damaged, so that a copy can fill it up.

restic 0.14 cannot mend a pack, and skips a snapshot that is there, whole or not, when it copies. So the server,
which alone may change what is there, moves aside what is damaged and every snapshot that needed it, and writes
the index anew. The client's next run then copies these snapshots back from the copy, whole, as it knows that
this repository was damaged. What is moved aside is kept: nothing is deleted.
"""

from __future__ import annotations

import os
from typing import Any

from .holding import altered_files, aside_of, contents
from .lasting import now, text
from .maintenance import Maintenance
from .restic import JobError
from .running import NAMED


def heal(maintenance: Maintenance) -> bool:
    """Move aside what is damaged; whether the repository is whole afterwards. The state has `healing`."""
    maintenance.remove_dead_locks()
    return maintenance.step("healing", lambda step: _heal(maintenance, step))


def _heal(maintenance: Maintenance, step: dict[str, Any]) -> None:
    holding, restic = maintenance.holding, maintenance.restic
    root = os.path.dirname(os.path.dirname(holding.folder))
    aside = aside_of(root, holding.name, f"{now():%Y%m%dT%H%M%S}")
    altered = altered_files(holding)
    for path in altered:
        _move(holding.folder, path, aside)
    restic.must("rebuild-index")
    lost = []
    for one in contents(holding, restic).snapshots:
        # Looks every part of the snapshot up in the index; restic has no other command that does it by snapshot.
        if restic.run("stats", "--no-lock", "--mode", "raw-data", one.id).code:
            _move(holding.folder, os.path.join(holding.folder, "snapshots", one.id), aside)
            lost.append(one)
    step.update(
        aside=aside if altered or lost else "",
        files=[os.path.relpath(path, holding.folder) for path in altered][:NAMED],
        snapshots=[one.id[:8] for one in lost][:NAMED],
        snapshots_count=len(lost),
        newest_lost_at=text(max(one.time for one in lost)) if lost else "",
    )
    maintenance.check()
    if lost:
        maintenance.say(
            f"{len(lost)} snapshots needed what was damaged; the next run on {holding.client} brings them back from "
            f"a copy, or at once there: python3 -m jizuo_backup rebuild {holding.policy} --node {holding.node}"
        )


def _move(folder: str, path: str, aside: str) -> None:
    target = os.path.join(aside, os.path.relpath(path, folder))
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    try:
        os.replace(path, target)
    except FileNotFoundError as error:
        raise JobError("os", f"{path} went away while it was moved aside; run this again") from error
