"""What would a repository server remove now, and what speaks against it? Reads; changes nothing."""

from __future__ import annotations

from typing import Any

from .holding import Holding, contents
from .lasting import now, text
from .restic import Restic
from .retention import kept_of, objection


def plan(holding: Holding, restic: Restic) -> dict[str, Any]:
    """What the next removal in a repository would do.

    Returns:
        `name`, `node`, `client`, `policy`, `keep` (the policy's retention), `kept` (how many snapshots stay),
        `removed` (`id` and `time` of those that would go, the oldest first) and `objection` (`reason` and `text`
        of what would make it refuse, or None).

    Raises:
        JobError: the repository cannot be read.
    """
    found = sorted(contents(holding, restic).snapshots, key=lambda one: one.time)
    kept, wrong = kept_of(found, holding.keep), objection(found, now())
    return {
        "name": holding.name,
        "node": holding.node,
        "client": holding.client,
        "policy": holding.policy,
        "keep": holding.keep,
        "kept": len(kept),
        "removed": [{"id": one.id[:8], "time": text(one.time)} for one in found if one.id not in kept],
        "objection": None if wrong is None else {"reason": wrong.reason, "text": wrong.text},
    }
