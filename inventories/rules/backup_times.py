"""Can each backup policy's times hold: its schedule its RPO, its window its schedule, its verification itself?"""

from __future__ import annotations

from inventories.backups.calendar import DAY, Schedule, longest_pause, parse, window_seconds, within
from inventories.backups.records import BackupPolicy
from inventories.cells import duration
from inventories.problems import shown
from inventories.sources import Draft, R, Source

#: The periods of `restic forget --keep-...`.
PERIODS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
#: What is verified more often than this is never at rest.
SHORTEST_INTERVAL = 3600
#: A run or a removal of old snapshots needs a moment to begin in, and the timers spread theirs.
SHORTEST_WINDOW = 1800


def check(draft: Draft) -> None:
    """Notes schedules, windows, intervals of verification and kept periods that cannot hold."""
    for key, policy in draft.backups.records.items():
        schedule = parse(policy.schedule)
        if schedule is None:
            what = f"schedule {shown(policy.schedule)} is no systemd calendar expression"
            fix = 'write one as systemd.time(7) has it: "daily", "*-*-* 02:30:00", "Mon..Fri *-*-* *:00/15"'
            draft.report(draft.backups, key, "schedule", what, fix)
        elif _window_holds(draft, key, policy, schedule):
            _check_rpo(draft, key, policy, schedule)
        _check_verification(draft, key, policy)
        _check_keep(draft, key, policy)


def check_window(draft: Draft, source: Source[R], key: str, window: str) -> bool:
    """Whether a window is long enough; notes one that is not."""
    if window_seconds(window) >= SHORTEST_WINDOW:
        return True
    what = f"window {window} is {duration(window_seconds(window))} long"
    draft.report(source, key, "window", what, f"write at least {duration(SHORTEST_WINDOW)}, e.g. 01:00-05:00")
    return False


def _window_holds(draft: Draft, key: str, policy: BackupPolicy, schedule: Schedule) -> bool:
    window = policy.window
    if window is None:
        return True
    if not check_window(draft, draft.backups, key, window):
        return False
    if policy.rpo < DAY:
        what = f"window {window} leaves the rest of the day without a run, but rpo is {duration(policy.rpo)}"
        draft.report(draft.backups, key, "window", what, "remove it: a window goes with an rpo of 1d or more")
        return False
    if schedule.zone:
        what = f"schedule {shown(policy.schedule)} is in {schedule.zone}, window {window} in local time"
        draft.report(draft.backups, key, "schedule", what, f"write it in local time, without {schedule.zone}")
        return False
    outside = [second for second in schedule.seconds if not within(window, second)]
    if outside and (schedule.is_plain or len(outside) == len(schedule.seconds)):
        first = f"{outside[0] // 3600:02}:{outside[0] // 60 % 60:02}"
        what = f"schedule {shown(policy.schedule)} runs at {first}, outside window {window}"
        draft.report(draft.backups, key, "schedule", what, "write times within it, or another window")
        return False
    return True


def _check_rpo(draft: Draft, key: str, policy: BackupPolicy, schedule: Schedule) -> None:
    """A snapshot is as old as the pause between two runs before the next one begins."""
    pause = longest_pause(schedule, policy.window)
    if pause is None:
        what = f"schedule {shown(policy.schedule)} does not run again and again"
        draft.report(draft.backups, key, "schedule", what, "write one without a year")
    elif pause > policy.rpo:
        what = (
            f"schedule {shown(policy.schedule)} pauses for up to {duration(pause)}, "
            f"longer than rpo {duration(policy.rpo)}"
        )
        fix = f"let it run at least every {duration(policy.rpo)}, better twice in that time, or write a longer rpo"
        draft.report(draft.backups, key, "schedule", what, fix)


def _check_verification(draft: Draft, key: str, policy: BackupPolicy) -> None:
    verify = policy.verify
    for field in ("check", "read_all", "restore"):
        interval = getattr(verify, field)
        if interval < SHORTEST_INTERVAL:
            what = f"verify.{field} is {duration(interval)}"
            draft.report(
                draft.backups, key, f"verify.{field}", what, f"write {duration(SHORTEST_INTERVAL)} or more"
            )
    if SHORTEST_INTERVAL <= verify.read_all < verify.check:
        what = f"verify.read_all {duration(verify.read_all)} is shorter than verify.check {duration(verify.check)}"
        fix = f"write {duration(verify.check)} or more: each check reads a part of the data"
        draft.report(draft.backups, key, "verify.read_all", what, fix)


def _check_keep(draft: Draft, key: str, policy: BackupPolicy) -> None:
    for period, count in policy.keep.items():
        if period not in PERIODS:
            place = (draft.backups, key, f"keep.{period}")
            draft.report_unknown(place, "period", period, PERIODS, f"write one of {', '.join(PERIODS)}")
        elif count < 1:
            what = f"keep.{period} is {count}"
            draft.report(draft.backups, key, f"keep.{period}", what, "write 1 or more, or remove it")
