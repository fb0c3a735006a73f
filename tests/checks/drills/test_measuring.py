"""From moments and checksums to RTO, RPO and the data check: by hand, and over random drills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.drills.measuring import Seen, data_check, measured, not_survived, serving_by_family, timeline
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
        f"drill-record recovered 1 {(FAULT - timedelta(seconds=9)).isoformat()}",
        f"drill-record recovered 2 {(FAULT - timedelta(seconds=7.5)).timestamp()}",
    )
    assert measured(found, 900, 3600).rpo_seconds == 7.5


def record(where: str, name: str, before: float) -> str:
    return f"drill-record {where} {name} {(FAULT - timedelta(seconds=before)).isoformat()}"


def test_nothing_is_lost_when_all_that_was_kept_came_back() -> None:
    found = seen(
        f"drill-moment fault {FAULT.isoformat()}", record("lost", "a", 0.3), record("recovered", "a", 0.3)
    )
    assert measured(found, 60, 0).rpo_seconds == 0


def test_a_hole_in_what_came_back_counts_from_before_the_hole() -> None:
    found = seen(
        f"drill-moment fault {FAULT.isoformat()}",
        *(record("lost", name, before) for name, before in (("a", 9), ("b", 6), ("c", 3))),
        *(record("recovered", name, before) for name, before in (("a", 9), ("c", 3))),
    )
    assert measured(found, 60, 60).rpo_seconds == 9


def test_records_that_were_kept_and_did_not_come_back_at_all() -> None:
    found = seen(f"drill-moment fault {FAULT.isoformat()}", record("lost", "a", 9))
    assert measured(found, 60, 60).rpo_seconds is None


def test_of_several_systems_the_last_family_of_the_last_one_counts() -> None:
    lines = [f"drill-moment fault {FAULT.isoformat()}"]
    for second, name in enumerate(("serving:portal-ipv4", "serving:portal-ipv6", "serving:office-ipv4"), 1):
        lines.append(f"drill-moment {name} {(FAULT + timedelta(seconds=second)).isoformat()}")
    assert measured(seen(*lines), 60, None).rto_seconds is None
    lines.append(f"drill-moment serving:office-ipv6 {(FAULT + timedelta(seconds=9)).isoformat()}")
    assert measured(seen(*lines), 60, None).rto_seconds == 9
    assert serving_by_family(seen(*lines), ZONE)["office-ipv6"] == "2026-08-01T09:30:19.000+08:00"


def test_how_quick_monitoring_was() -> None:
    found = measured(
        seen(
            f"drill-moment fault {FAULT.isoformat()}",
            f"drill-moment noticed {(FAULT + timedelta(seconds=20)).isoformat()}",
            f"drill-moment detected {(FAULT + timedelta(seconds=200)).isoformat()}",
        ),
        60,
        None,
    )
    assert (found.noticed_seconds, found.detected_seconds, found.rpo_objective_seconds) == (20, 200, None)


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
    "line",
    [
        "drill-moment fault 2026-08-01T09:30:10",
        "drill-record lost 1 soon",
        "drill-record lost 1754011810123",
        "drill-record lost a 1754011810123",
        "drill-sum lost",
    ],
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
        *(f"drill-record lost {stamp} {stamp / 1000}" for stamp in stamps),
        *(f"drill-record recovered {stamp} {stamp / 1000}" for stamp in kept),
    )
    result = measured(found, 900, 3600)
    assert result.rto_seconds == pytest.approx(outage / 1000, abs=0.001)
    lost = 0 if kept == stamps else (milliseconds(FAULT) - kept[-1]) / 1000
    assert result.rpo_seconds == pytest.approx(lost, abs=0.001)


def test_a_record_that_was_told_as_kept_and_did_not_survive_the_fault_is_counted() -> None:
    """Read from the disk before the fault and after: what came between is lost with the rest, and the RPO sees it."""
    told = ("drill-record lost a 2026-08-01T09:30:08+08:00", "drill-record lost b 2026-08-01T09:30:09+08:00")
    after = "drill-record survived a 2026-08-01T09:30:08+08:00"
    late = "drill-record survived c 2026-08-01T09:30:09.900+08:00"
    recovered = [line.replace("lost", "recovered") for line in told]
    fault = "drill-moment fault 2026-08-01T09:30:10+08:00"
    assert not_survived(seen(*told, after)) == 1
    assert not_survived(seen(*told, after, told[1].replace("lost", "survived"))) == 0
    assert not_survived(seen(*told)) == 0, "the disk was not read again"
    assert measured(seen(fault, *told, *recovered), 900, 3600).rpo_seconds == 0
    assert measured(seen(fault, *told, late, *recovered), 900, 3600).rpo_seconds == 1
