"""Do schedules run when systemd says that they do, and does a window let the right ones through?"""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from inventories.backups.calendar import longest_pause, next_run, parse, window_seconds, within

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 1, 12, 0, 7, tzinfo=SHANGHAI)  # a Sunday
#: Each with its next run after NOW, as `systemd-analyze calendar` of systemd 252 says it; "" for no expression.
NEXT = {
    "daily": "2026-03-02 00:00:00",
    "hourly": "2026-03-01 13:00:00",
    "minutely": "2026-03-01 12:01:00",
    "weekly": "2026-03-02 00:00:00",
    "monthly": "2026-04-01 00:00:00",
    "quarterly": "2026-04-01 00:00:00",
    "semiannually": "2026-07-01 00:00:00",
    "yearly": "2027-01-01 00:00:00",
    "daily UTC": "2026-03-02 08:00:00",
    "*-*-* *:00/15:00": "2026-03-01 12:15:00",
    "*-*-* 00/2:14:00": "2026-03-01 12:14:00",
    "*-*-* 03,15:21:00": "2026-03-01 15:21:00",
    "Mon..Fri *-*-* *:00/15": "2026-03-02 00:00:00",
    "Sat,Sun 04:30": "2026-03-07 04:30:00",
    "Thursday 10:00": "2026-03-05 10:00:00",
    "*-*~1 02:00": "2026-03-31 02:00:00",
    "*-02~03 02:00": "2027-02-26 02:00:00",
    "*-*-1..7 18:00:00": "2026-03-01 18:00:00",
    "*-*-31 01:00": "2026-03-31 01:00:00",
    "*-02-29 01:00": "2028-02-29 01:00:00",
    "*-*-* 8..18/2:05": "2026-03-01 12:05:00",
    "12:00 UTC": "2026-03-01 20:00:00",
    "10-15 Asia/Tokyo": "2026-10-14 23:00:00",
    "2027-01-01": "2027-01-01 00:00:00",
    "*:30": "2026-03-01 12:30:00",
    "22:61": "",
    "*-13-01": "",
    "*-*-* 24:00": "",
    "05..03:00": "",
    "Fri..Mon 05:00": "",
    "Monkey 05:00": "",
    "UTC": "",
    "often": "",
    "": "",
}


@pytest.mark.parametrize(("expression", "expected"), NEXT.items())
def test_the_next_run_is_that_of_the_table(expression: str, expected: str) -> None:
    found = next_run(expression, None, NOW, SHANGHAI)
    assert (f"{found:%Y-%m-%d %H:%M:%S}" if found else "") == expected
    assert (parse(expression) is not None) == bool(expected)


def test_the_table_is_what_systemd_says() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here: the table was taken from it")
    for expression, expected in NEXT.items():
        command = ["systemd-analyze", "calendar", "--base-time=2026-03-01 12:00:07", expression]
        environment = {"TZ": "Asia/Shanghai", "LC_ALL": "C", "PATH": "/usr/bin:/bin"}
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        match = re.search(r"Next elapse: \w+ (.*) CST", ran.stdout)
        assert (match[1] if match else "") == expected, expression


@pytest.mark.parametrize(
    ("expression", "window", "seconds"),
    [
        ("daily", None, 86400),
        ("*-*-* *:00/15:00", None, 900),
        ("*-*-* 03,15:21:00", None, 12 * 3600),
        ("*-*-* 8..18/2:05", None, 14 * 3600),
        ("Mon..Fri 02:30", None, 3 * 86400),
        ("Mon..Fri *-*-* *:00/15", None, 2 * 86400 + 900),
        ("weekly", None, 7 * 86400),
        ("*-*-31 01:00", None, 61 * 86400),
        ("hourly", "22:00-06:00", 17 * 3600),
        ("*-*-* 12:00", "22:00-06:00", None),
        ("2027-01-01 02:00", None, None),
    ],
)
def test_the_longest_pause(expression: str, window: str | None, seconds: int | None) -> None:
    schedule = parse(expression)
    assert schedule is not None
    assert longest_pause(schedule, window) == seconds


def test_a_run_waits_for_the_window() -> None:
    assert next_run("hourly", "22:00-06:00", NOW, SHANGHAI) == datetime(2026, 3, 1, 22, tzinfo=SHANGHAI)
    night = datetime(2026, 3, 1, 23, 30, tzinfo=SHANGHAI)
    assert next_run("*-*-* 03:00", "22:00-06:00", night, SHANGHAI) == datetime(2026, 3, 2, 3, tzinfo=SHANGHAI)
    assert next_run("*-*-* 12:00", "22:00-06:00", NOW, SHANGHAI) is None


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("22:00-06:00", (22 * 3600, 0, 6 * 3600 - 1), (6 * 3600, 22 * 3600 - 1)),
        ("01:00-05:00", (3600, 5 * 3600 - 1), (3599, 5 * 3600, 0)),
        ("00:00-00:00", (0, 86399), ()),
    ],
)
def test_a_window_ends_before_its_end(window: str, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    assert all(within(window, second) for second in inside)
    assert not any(within(window, second) for second in outside)


def test_windows_over_midnight_have_a_length() -> None:
    assert [window_seconds(text) for text in ("23:30-00:30", "01:00-05:00", "22:00-22:00")] == [
        3600,
        4 * 3600,
        86400,
    ]
