"""From moments and checksums to RTO, RPO and the data check: by hand, and over random drills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.drills.measuring import Seen, data_check, measured, serving_by_family, timeline
from checks.drills.record import Outcome

ZONE = ZoneInfo("Asia/Shanghai")
FAULT = datetime(2026, 8, 1, 1, 30, 10, tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def seen(*lines: str) -> Seen:
    found = Seen()
    found.read(lines)
    return found


def test_rto_ends_when_the_slower_family_is_served() -> None:
    found = seen(
        "drill-moment fault 2026-08-01T09:30:10.000+08:00",
        "drill-moment serving-ipv4 2026-08-01T01:30:22.500+00:00",
        "drill-moment serving-ipv6 2026-08-01T01:30:24.250+00:00\r",
    )
    assert measured(found, 900, 3600).rto_seconds == 14.25
    assert timeline(found, ZONE).serving == "2026-08-01T09:30:24.250+08:00"
    assert serving_by_family(found, ZONE)["ipv4"] == "2026-08-01T09:30:22.500+08:00"


def test_one_family_alone_is_not_serving() -> None:
    found = seen(
        "drill-moment fault 2026-08-01T09:30:10.000+08:00",
        "drill-moment serving-ipv4 2026-08-01T09:30:22.500+08:00",
    )
    assert measured(found, 900, 3600).rto_seconds is None
    assert timeline(found, ZONE).serving is None


def test_rpo_is_counted_from_the_newest_record_that_came_back() -> None:
    found = seen(
        "drill-moment fault 2026-08-01T09:30:10.000+08:00",
        "drill-moment snapshot 2026-08-01T09:29:00+08:00",
        f"drill-record recovered {milliseconds(FAULT - timedelta(seconds=9))}",
        f"drill-record recovered {milliseconds(FAULT - timedelta(seconds=7.5))}",
    )
    assert measured(found, 900, 3600).rpo_seconds == 7.5


def test_without_a_record_rpo_is_counted_from_the_snapshot() -> None:
    found = seen(
        "drill-moment fault 2026-08-01T09:30:10.000+08:00", "drill-moment snapshot 2026-08-01T09:29:00+08:00"
    )
    assert measured(found, 900, 3600).rpo_seconds == 70


def test_what_was_not_seen_is_not_measured() -> None:
    found = measured(seen("ok", "", "drill-nothing x"), 900, 3600)
    assert (found.rto_seconds, found.rpo_seconds) == (None, None)
    assert (found.rto_objective_seconds, found.rpo_objective_seconds) == (900, 3600)
    assert data_check(seen(), ZONE).outcome is Outcome.NOT_REACHED


@pytest.mark.parametrize(
    "line", ["drill-moment fault 2026-08-01T09:30:10", "drill-record lost soon", "drill-sum lost"]
)
def test_a_line_that_cannot_be_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        seen(line)


def drill(lost: dict[str, tuple[str, float]], recovered: dict[str, str]) -> Seen:
    """A drill with these files: content and age in seconds at the fault; the copy is 10 s old."""
    lines = [
        "drill-moment fault 2026-08-01T09:30:10.000+08:00",
        "drill-moment snapshot 2026-08-01T09:30:00+08:00",
    ]
    for path, (content, age) in lost.items():
        lines.append(f"drill-sum lost {content} {path}")
        lines.append(f"drill-time lost {FAULT.timestamp() - age:.10f} {path}")
    lines += [f"drill-sum recovered {content} {path}" for path, content in recovered.items()]
    return seen(*lines)


def test_files_newer_than_the_copy_are_lost_and_no_fault() -> None:
    found = data_check(
        drill({"a b": ("x", 100), "changed": ("new", 3), "new": ("y", 2)}, {"a b": "x", "changed": "old"}),
        ZONE,
    )
    assert found.outcome is Outcome.DONE
    assert (found.files, found.same, found.lost) == (2, 1, 1)


def test_an_old_file_with_other_content_is_a_fault() -> None:
    found = data_check(drill({"a": ("x", 100), "b": ("y", 100)}, {"a": "x", "b": "z"}), ZONE)
    assert found.outcome is Outcome.FAILED
    assert found.differing == ("b",)


def test_an_old_file_that_did_not_come_back_is_a_fault() -> None:
    found = data_check(drill({"a": ("x", 100), "b": ("y", 100)}, {"a": "x"}), ZONE)
    assert found.outcome is Outcome.FAILED
    assert found.missing == ("b",)


def test_a_file_from_nowhere_is_a_fault() -> None:
    assert data_check(drill({"a": ("x", 100)}, {"a": "x", "b": "y"}), ZONE).differing == ("b",)


def test_nothing_came_back() -> None:
    found = drill({"a": ("x", 1)}, {})
    found.sums["recovered"] = {}
    assert data_check(found, ZONE).outcome is Outcome.FAILED


@given(
    ages=st.lists(st.integers(0, 3_600_000), min_size=1, max_size=50, unique=True),
    recovered=st.integers(0, 49),
    outage=st.integers(0, 7_200_000),
    ahead=st.integers(0, 5_000),
)
def test_rto_and_rpo_of_any_drill(ages: list[int], recovered: int, outage: int, ahead: int) -> None:
    """Records of any age, of which those older than some moment come back; families served one after another."""
    stamps = sorted(milliseconds(FAULT) - age for age in ages)
    kept = stamps[: max(1, recovered % (len(stamps) + 1))]
    served = FAULT + timedelta(milliseconds=outage)
    found = seen(
        f"drill-moment fault {FAULT.isoformat()}",
        f"drill-moment serving-ipv6 {(served - timedelta(milliseconds=min(ahead, outage))).isoformat()}",
        f"drill-moment serving-ipv4 {served.isoformat()}",
        *(f"drill-record lost {stamp}" for stamp in stamps),
        *(f"drill-record recovered {stamp}" for stamp in kept),
    )
    result = measured(found, 900, 3600)
    assert result.rto_seconds == pytest.approx(outage / 1000, abs=0.001)
    assert result.rpo_seconds == pytest.approx((milliseconds(FAULT) - kept[-1]) / 1000, abs=0.001)
