"""Do waivers waive what they name, until the day they name, and no longer?"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from checks.record import Record, Status, exit_code
from checks.security.run import evaluate
from checks.security.waivers import FILE, WaiverError, apply, load_waivers

from .city import tiny_city
from .hosts import plain

WAIVER = """
# Why: the lab's machine.
[[waiver]]
control = "L3-CES1-12"
subject = "cloud-*"
who = "市数据局 张伟"
why = "内核审计由宿主机承担"
until = 2026-12-31
"""


def finding(subject: str, check: str = "L3-CES1-12", status: Status = Status.FAIL) -> Record:
    return Record(
        subject=subject,
        check=check,
        family="none",
        status=status,
        value="partly",
        at="2026-01-01T00:00:00.000+08:00",
        evidence="auditd does not run",
        reason="kernel-audit",
    )


def waived(tmp_path: Path, records: list[Record], today: date) -> list[Record]:
    (tmp_path / FILE).write_text(WAIVER, encoding="utf-8")
    return apply(records, load_waivers(tmp_path), today)


def test_a_waiver_covers_its_control_and_subjects_only(tmp_path: Path) -> None:
    records = [
        finding("cloud-1"),
        finding("core-1"),
        finding("cloud-1", check="L3-CES1-13"),
        finding("cloud-2", status=Status.PASS),
        finding("cloud-3", status=Status.ERROR),
        finding("cloud-4", status=Status.MANUAL),
    ]
    found = waived(tmp_path, records, date(2026, 12, 31))
    assert [record.status.value for record in found] == ["waived", "fail", "fail", "pass", "error", "manual"]
    assert found[0].evidence.startswith("waived by 市数据局 张伟 until 2026-12-31: 内核审计由宿主机承担")
    assert (found[0].value, found[0].reason) == ("partly", "kernel-audit")
    assert exit_code([found[0]]) == 0


def test_an_expired_waiver_waives_nothing_and_is_reported(tmp_path: Path) -> None:
    found = waived(tmp_path, [finding("cloud-1"), finding("cloud-2")], date(2027, 1, 1))
    assert [record.status.value for record in found] == ["fail", "fail", "fail"]
    expired = found[-1]
    assert (expired.subject, expired.check, expired.reason) == (
        "cloud-*",
        "waiver-L3-CES1-12",
        "waiver_expired",
    )
    assert "市数据局 张伟 ended on 2026-12-31" in expired.evidence
    assert "cloud-1 cloud-2" in expired.evidence


def test_an_expired_waiver_of_a_fault_that_is_mended_is_silent(tmp_path: Path) -> None:
    assert waived(tmp_path, [finding("cloud-1", status=Status.PASS)], date(2027, 1, 1)) == [
        finding("cloud-1", status=Status.PASS)
    ]


def test_a_waiver_that_was_renewed_counts(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(WAIVER + WAIVER.replace("2026-12-31", "2027-12-31"), encoding="utf-8")
    found = apply([finding("cloud-1")], load_waivers(tmp_path), date(2027, 1, 1))
    assert [record.status for record in found] == [Status.WAIVED]


def test_waivers_reach_the_evaluation_of_a_host(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(WAIVER, encoding="utf-8")
    records = evaluate(
        tiny_city(), {"cloud-1": plain()}, waivers=load_waivers(tmp_path), today=date(2026, 6, 1)
    )
    assert {record.check for record in records if record.status is Status.WAIVED} == {"L3-CES1-12"}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "L3-CES1-12",
            "L3-CES1-16",
            r"waivers\.toml:3: no control 'L3-CES1-16'; the controls are L3-CES1-01, ",
        ),
        ('who = "市数据局 张伟"\n', "", r"waivers\.toml:3: .*`who`; write control = "),
        ('who = "市数据局 张伟"', 'who = " "', r"waivers\.toml:3: who or why is empty"),
        ("2026-12-31", '"soon"', r"waivers\.toml:3: .*until"),
        ("until = 2026-12-31", "until = 2026-12-31\nreason = 1", r"waivers\.toml:3: .*reason"),
        ("[[waiver]]", "[[waiver", r"waivers\.toml: .*line 3"),
    ],
)
def test_a_waiver_that_cannot_be_used_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    (tmp_path / FILE).write_text(WAIVER.replace(old, new), encoding="utf-8")
    with pytest.raises(WaiverError, match=complaint):
        load_waivers(tmp_path)


def test_no_file_is_no_waiver(tmp_path: Path) -> None:
    assert load_waivers(tmp_path) == ()
