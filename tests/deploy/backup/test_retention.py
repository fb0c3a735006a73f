"""What is removed, and what no client can have removed: floods, times of the past and the future, wrong clocks."""

from __future__ import annotations

import json
import random
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from deploy.backup.job.retention import Held, counted, kept_of, objection

BEIJING = timezone(timedelta(hours=8))
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=BEIJING)
KEEP = {"hourly": 24, "daily": 7, "weekly": 4, "monthly": 12, "yearly": 2}
MINUTE = timedelta(minutes=1)


def taken(time: datetime, number: object = "", late: timedelta = MINUTE, *, whole: bool = True) -> Held:
    return Held(f"{time:%Y%m%d%H%M%S}{number}", time, time + late, whole)


def history(days: int = 400, every: timedelta = timedelta(hours=1)) -> list[Held]:
    """A good client's snapshots until now, as retention has left them day after day."""
    held = [taken(NOW - every * number) for number in range(int(timedelta(days=days) / every))]
    kept = counted(held, KEEP)
    return [one for one in held if one.id in kept]


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def survivors(good: list[Held], added: list[Held]) -> set[str]:
    """Which good snapshots are kept when others were added."""
    assert objection([*good, *added], NOW) is None
    return kept_of([*good, *added], KEEP) & {one.id for one in good}


def test_without_an_attack_a_policy_keeps_what_it_counts() -> None:
    good = history()
    assert kept_of(good, KEEP) == {one.id for one in good}
    assert 24 + 6 + 3 + 8 <= len(good) <= 24 + 7 + 4 + 12 + 2


@pytest.mark.parametrize("keep", [{"last": 3}, {"hourly": 5}, {"daily": 3, "monthly": 2}, KEEP])
def test_it_counts_as_restic_does(real: tuple[Path, dict[str, datetime]], keep: dict[str, int]) -> None:
    """The same choice as `restic forget --keep-...`, of snapshots that restic took."""
    folder, times = real
    arguments = [part for name, count in keep.items() for part in (f"--keep-{name}", str(count))]
    done = restic_in(folder, "forget", "--dry-run", "--json", *arguments)
    restics = {one["id"] for group in json.loads(done) for one in group["keep"]}
    assert counted([Held(key, time, time) for key, time in times.items()], keep) == restics


def restic_in(folder: Path, *arguments: str) -> str:
    command = ["restic", "--no-cache", "--repo", str(folder / "repository"), *arguments]
    environment = {
        "PATH": "/usr/bin:/bin",
        "RESTIC_PASSWORD": "test",
        "TZ": "Asia/Shanghai",
        "HOME": str(folder),
    }
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, datetime]]:
    """A folder with a repository, and the times of its snapshots."""
    folder = tmp_path_factory.mktemp("restic")
    (folder / "file").write_text("content")
    restic_in(folder, "init")
    for hours in (0, 0.5, 5, 23, 25, 60, 300, 1700):
        time = NOW - timedelta(hours=hours)
        restic_in(folder, "backup", "--time", f"{time:%Y-%m-%d %H:%M:%S}", str(folder / "file"))
    found = json.loads(restic_in(folder, "snapshots", "--json"))
    return folder, {one["id"]: datetime.fromisoformat(one["time"]) for one in found}


def test_a_flood_at_present_costs_the_present_hour_alone() -> None:
    good = history()
    flood = [taken(NOW + timedelta(seconds=number), f"x{number}") for number in range(500)]
    lost = {one.id for one in good} - survivors(good, flood)
    # The hour's last snapshot is another one now; all that was there before it stays.
    assert lost <= {one.id for one in good if one.time > NOW - timedelta(hours=1)}


def test_snapshots_with_times_of_the_past_take_no_place() -> None:
    """The last second of every hour, day and month of a year: each would be the newest of its period."""
    good = history()
    ends = [NOW.replace(minute=59, second=59) - timedelta(hours=number + 1) for number in range(24 * 365)]
    sent_today = [Held(f"x{time.isoformat()}", time, NOW) for time in ends]
    lost = {one.id for one in good} - survivors(good, sent_today)
    # A job may take six hours: in those alone a snapshot cannot be told from one that was taken then.
    assert lost <= {one.id for one in good if one.time >= ago(6)}
    assert len(lost) <= 6
    # The same that arrived in their time would have: the proof that the attack is one.
    assert len(survivors(good, [taken(time, "x") for time in ends])) < 10


def test_while_a_snapshot_is_of_the_future_nothing_is_removed() -> None:
    for ahead in (timedelta(hours=1), timedelta(days=1), timedelta(days=3650)):
        found = objection([*history(40), Held("x", NOW + ahead, NOW)], NOW)
        assert found is not None
        assert found.reason == "future_snapshots"
        assert "x" in found.text


def test_a_snapshot_that_was_of_the_future_when_it_came_takes_no_place() -> None:
    good = history()
    before = [Held(f"x{n}", NOW - timedelta(hours=n), NOW - timedelta(hours=n + 20)) for n in range(24)]
    assert survivors(good, before) == {one.id for one in good}


@pytest.mark.parametrize(
    ("off", "reason"),
    [
        (timedelta(hours=1), ""),
        (timedelta(days=1), ""),
        (timedelta(days=3), "nothing_new"),
        (timedelta(days=3650), "nothing_new"),
        (timedelta(hours=-1), "future_snapshots"),
        (timedelta(days=-1), "future_snapshots"),
    ],
)
def test_a_server_whose_clock_is_wrong(off: timedelta, reason: str) -> None:
    """An hour or a day ahead removes nothing that the right time would keep; more, or behind, is refused."""
    good = history()
    found = objection(good, NOW + off)
    assert (found.reason if found else "") == reason
    assert kept_of(good, KEEP) == {one.id for one in good}


def test_a_weekly_client_is_not_taken_for_a_silent_one() -> None:
    weekly = history(365, timedelta(days=7))
    assert objection(weekly, NOW + timedelta(days=8)) is None
    assert objection(weekly, NOW + timedelta(days=30)) is not None


def test_a_clock_that_is_behind_the_files_is_named() -> None:
    found = objection([Held("a", NOW - timedelta(days=2), NOW + timedelta(hours=2))], NOW)
    assert found is not None
    assert found.reason == "clock"


def test_the_newest_whole_snapshot_stays_whatever_came_after_it() -> None:
    whole = taken(NOW - timedelta(days=30))
    partial = [taken(NOW - timedelta(hours=number), "p", whole=False) for number in range(400)]
    assert whole.id in kept_of([whole, *partial], {"hourly": 24})
    # Also against a whole one that says it is newer and came late.
    late = Held("x", NOW, NOW + timedelta(days=1))
    assert whole.id in kept_of([whole, *partial, late], {"hourly": 24})


def test_last_counts_one_an_hour() -> None:
    good = [taken(NOW - timedelta(hours=number)) for number in range(10)]
    flood = [taken(NOW + timedelta(seconds=number), f"x{number}") for number in range(100)]
    kept = kept_of([*good, *flood], {"last": 5})
    assert {one.id for one in good[1:4]} <= kept


def test_a_policy_that_keeps_all_keeps_all() -> None:
    good = history()
    assert kept_of(good, {}) == kept_of(good, {"hourly": 0}) == {one.id for one in good}


def test_never_less_than_restic_would_keep() -> None:
    chance = random.Random(5)
    for _ in range(200):
        some = [
            Held(str(number), ago(chance.random() * 3000), ago(chance.random() * 3000), chance.random() < 0.8)
            for number in range(60)
        ]
        keep = {name: chance.randrange(6) for name in ("last", *KEEP)}
        assert counted(some, keep) <= kept_of(some, keep)
