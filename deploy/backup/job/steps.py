"""A backup job from beginning to end: snapshot, copies, repository checks, restore tests."""

from __future__ import annotations

import contextlib

from .copies import copy_everywhere
from .lasting import now, text
from .restic import JobError
from .running import Running
from .snapshot import back_up
from .verification import restore_test_due, stable_since, verify
from .window import inside


def carry_out(run: Running, verify_now: bool, scheduled: bool, read_all: bool = False) -> int:
    """Carry the policy out: 0 when all went well, 3 for a snapshot that lacks files, 1 otherwise.

    Args:
        run: The run.
        verify_now: Checks and restore tests also where they are not due.
        scheduled: The timer began it: outside the policy's window nothing is done but to say so, and 0.
        read_all: Checks read all data, not the parts whose turn it is.
    """
    window, moment = run.configuration.window, now()
    if scheduled and not inside(window, moment):
        said = f"{moment:%H:%M} is outside the window {window}; nothing is begun before {window[:5]}"
        run.state.data["not_begun"] = {"at": text(moment), "reason": "outside_window", "error": said}
        run.state.write()
        run.say(f"backup: {said}")
        return 0
    result = back_up(run)
    well = result == "success"
    if well and any(restore_test_due(run, place, verify_now) for place in run.configuration.repositories):
        # Now, as close to the snapshot as can be: copies and checks may take hours, in which files change.
        with contextlib.suppress(JobError, OSError):  # copies go on; the restore test asks again, and tells
            run.stable = stable_since(run)
    if result != "failure":
        well = copy_everywhere(run) and well
    if result == "success":
        for place in run.configuration.repositories:
            if place.node in run.snapshots:
                well = verify(run, place, verify_now, read_all) and well
    return 0 if well else 3 if result == "partial" else 1
