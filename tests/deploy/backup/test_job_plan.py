"""What a job decides before it begins: window, limits, and which data are read when; clocks that jump included."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.backup.job import rotation
from deploy.backup.job.window import inside
from tests.deploy.backup.conftest import POLICY, Client, edit_configuration, edit_verification, wrap_restic

DAY = 86400
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "moment", "is_inside"),
    [
        ("", "12:00", True),
        ("01:00-05:00", "00:59", False),
        ("01:00-05:00", "01:00", True),
        ("01:00-05:00", "04:59", True),
        ("01:00-05:00", "05:00", False),
        ("22:00-06:00", "23:30", True),
        ("22:00-06:00", "00:00", True),
        ("22:00-06:00", "05:59", True),
        ("22:00-06:00", "06:00", False),
        ("22:00-06:00", "21:59", False),
        ("08:00-08:00", "07:59", True),
    ],
)
def test_a_window_of_the_day(window: str, moment: str, is_inside: bool) -> None:
    assert inside(window, datetime.fromisoformat(f"2026-03-01T{moment}:00+08:00")) is is_inside


class Checks:
    """A repository that is checked now and then, as the job decides; when each part was really read."""

    def __init__(self, read_all: int, check: int, rpo: int, seed: int) -> None:
        self.read_all, self.check, self.rpo = read_all, check, rpo
        self.horizon = max(check, rpo)
        self.parts = rotation.parts_for(read_all, self.horizon)
        self.known: dict[str, Any] = rotation.reading(None, self.parts, START.isoformat())
        self.real_reads = dict.fromkeys(range(1, self.parts + 1), START)
        self.random = random.Random(seed)
        self.reads = 0

    def read(self, real: datetime, clock: datetime) -> None:
        self.known = rotation.reading(self.known, self.parts, "")
        for part in rotation.due(self.known, clock, self.read_all, self.horizon):
            self.known["read_at"][part - 1] = clock.isoformat()
            self.real_reads[part] = real
            self.reads += 1

    def longest_unread(self, real: datetime) -> float:
        return max((real - at).total_seconds() for at in self.real_reads.values())


@pytest.mark.parametrize("read_all", [DAY // 2, DAY, 7 * DAY, 20 * DAY])
@pytest.mark.parametrize(("check", "rpo"), [(DAY, 3600), (3600, 900), (DAY, 7 * DAY), (7 * DAY, 3600)])
def test_all_data_are_read_within_their_time_whatever_the_number_of_checks(
    read_all: int, check: int, rpo: int
) -> None:
    checks = Checks(read_all, check, rpo, 1)
    now, count = START, 0
    while now < START + timedelta(seconds=max(3 * read_all, 40 * checks.horizon)):
        # Never later than one horizon after the last, often much sooner: runs by hand, several a day.
        now += timedelta(seconds=checks.random.choice([1.0, checks.random.random(), 0.01]) * checks.horizon)
        assert checks.longest_unread(now) <= max(read_all, checks.horizon)
        checks.read(now, now)
        count += 1
    assert len(checks.known["read_at"]) == checks.parts <= rotation.MOST_PARTS
    # And no more is read than that asks for: one part each time, when none is late.
    if read_all >= 2 * checks.horizon:
        assert checks.reads <= count * 1.1 + checks.parts


def test_after_missed_runs_what_is_late_is_read_at_once() -> None:
    checks = Checks(7 * DAY, DAY, 3600, 2)
    now = START
    for _ in range(20):
        now += timedelta(days=1)
        checks.read(now, now)
    now += timedelta(days=4)
    checks.read(now, now)
    assert checks.longest_unread(now) <= 6 * DAY
    now += timedelta(days=60)
    checks.read(now, now)
    assert checks.longest_unread(now) == 0


@pytest.mark.parametrize(
    "jump", [timedelta(days=400), timedelta(hours=30), -timedelta(days=400), -timedelta(hours=5)]
)
def test_a_clock_that_jumps_and_comes_back_makes_no_part_lose_its_turn(jump: timedelta) -> None:
    checks = Checks(7 * DAY, DAY, 3600, 3)
    real = START
    for day in range(60):
        real += timedelta(hours=23)
        checks.read(real, real + (jump if 20 <= day < 24 else timedelta()))
        assert checks.longest_unread(real) <= 7 * DAY, day


def test_another_number_of_parts_forgets_nothing_that_is_late() -> None:
    old = (START - timedelta(days=6)).isoformat()
    known = {"parts": 2, "read_at": [old, START.isoformat()]}
    again = rotation.reading(known, 3, "")
    assert again["read_at"] == [old] * 3
    assert rotation.reading({"parts": 2, "read_at": ["", old]}, 3, "")["read_at"] == ["", "", ""]
    assert rotation.due({"parts": 3, "read_at": ["", "", ""]}, START, 7 * DAY, DAY) == [1, 2, 3]


def test_the_timers_run_outside_the_window_is_not_begun_and_a_persons_is(client: Client) -> None:
    before = client.state()
    hour = time.strftime("%H", time.gmtime(time.time() + 8 * 3600))  # the job's zone is Asia/Shanghai
    window = f"{(int(hour) + 2) % 24:02}:00-{(int(hour) + 3) % 24:02}:00"
    edit_configuration(client, window=window)
    code, said = client.run("--scheduled")
    assert code == 0, said
    state = client.state()
    assert state.not_begun is not None
    assert state.not_begun.reason == "outside_window"
    assert f"outside the window {window}" in said
    assert (state.backup, state.last_success_at) == (before.backup, before.last_success_at)
    code, said = client.run()
    assert code == 0, said
    assert client.state().last_success_at > before.last_success_at
    assert client.state().not_begun is None


def test_the_narrow_way_is_not_filled(client: Client) -> None:
    """restic is told the policy's limits, and of two repositories the source's for what is read from it."""
    wrap_restic(client, f'echo "$@" >>"{client.root}/seen"; exec "$RESTIC" "$@"')
    path = client.root / "etc" / f"{POLICY}.json"

    repositories = json.loads(path.read_text())["repositories"]
    for one, megabits in zip(repositories, (800, 200), strict=True):
        one["megabits"] = megabits
    edit_configuration(client, repositories=repositories)
    code, said = client.run()
    assert code == 0, said
    lines = (client.root / "seen").read_text().splitlines()
    [backup] = [line for line in lines if " backup " in line]
    [copied] = [line for line in lines if " copy " in line]
    assert "--limit-upload 97656 --limit-download 97656" in backup
    assert "--limit-upload 24414 --limit-download 24414" in copied


def test_a_repository_is_read_part_by_part_and_the_state_knows_which(client: Client) -> None:
    edit_verification(client, read_all_seconds=3 * DAY)
    assert client.run("--verify")[0] == 0
    reading = client.state().repositories["backup-1"].reading
    assert reading is not None
    assert reading.parts == 3
    read = [client.state().repositories["backup-1"].check]
    for _ in range(2):
        assert client.run("--verify")[0] == 0
        read.append(client.state().repositories["backup-1"].check)
    assert sorted(check.part for check in read if check) == [1, 2, 3]
    last = client.state().repositories["backup-1"].reading
    assert last is not None
    assert min(last.read_at) >= min(reading.read_at)
