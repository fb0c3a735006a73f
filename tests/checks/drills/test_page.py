"""The page of a drill, looked at as a person would: in headless Chromium, on the screen and on A4."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from checks.drills.page import WIDTH, page, seconds, timeline_marks
from checks.drills.record import Issue, Kind, Measured, Timeline, decode_record
from tests.checks.drills.examples import example

DIGEST = "5f" * 32
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_every_field_of_a_record_is_on_the_page() -> None:
    text = page(example(), DIGEST)
    for field in (
        "YC-DR-001", "1.0", "实战演练，有计划", "宜春政务服务网", "市数据局", "市行政审批局", "演练指挥",
        "cloud-1", "client-1、client-2",
        "故障发生", "监测察觉", "告警发现", "决定恢复", "开始恢复", "恢复服务",
        "12.5秒", "目标 15分钟",
        "7.5秒", "目标 1小时", "达成目标", "一致", "39 个", "61 个文件", "未发现问题", "签字",
        "SystemEndpointDown（subject=yichun-gov-service-net）：故障后0.4秒察觉（pending），0.6秒告警（firing）",
        "恢复正常运行", "2027年01月28日", "artifacts/restore-system-offsite-20260801T093000", DIGEST,
        "其他系统发生真实故障", "2026年08月01日 09:30:00（UTC+0800）",
    ):  # fmt: skip
        assert field in text, field
    assert "&lt;政务云节点1&gt;" in text
    assert not re.search(r'(src|href)="|url\(|@import', text), "the page needs something from outside"


def test_a_drill_that_failed_does_not_look_well() -> None:
    issue = Issue(what="RTO未能测得", owner="市行政审批局", due="2026-08-31")
    text = page(example(issues=(issue,), reached=4))
    assert "未达成目标" in text
    assert "未测得" in text
    assert "未进行" in text
    assert "2026-08-31" in text
    assert "达成目标</b>" not in text.replace("未达成目标", "")


def test_an_aborted_drill_says_so() -> None:
    assert "中止" in page(example(reached=4, aborted=True))


def test_labels_of_moments_that_are_close_do_not_overlap() -> None:
    marks = timeline_marks(example())
    assert [mark.label for mark in marks] == [
        "故障发生",
        "监测察觉",
        "告警发现",
        "决定恢复",
        "开始恢复",
        "恢复服务",
    ]
    assert [mark.x for mark in marks] == sorted(mark.x for mark in marks)
    assert marks[-1].x < WIDTH
    for one in marks:
        for other in marks:
            if one is not other and one.level == other.level:
                assert abs(one.x - other.x) > 100


def test_a_record_without_a_moment_has_no_picture() -> None:
    record = example(reached=0)
    assert "<svg" not in page(msgspec.structs.replace(record, timeline=Timeline()))


def test_a_drill_on_paper_has_no_figures_and_says_so() -> None:
    measured = Measured(
        rto_seconds=None, rto_objective_seconds=None, rpo_seconds=None, rpo_objective_seconds=None
    )
    record = msgspec.structs.replace(
        example(),
        kind=Kind.TABLETOP,
        timeline=Timeline(),
        measured=measured,
        detection=None,
        serving_by_family={},
    )
    text = page(record)
    assert "桌面推演" in text
    assert "未设" in text
    assert "监测告警" not in text


def test_a_rehearsal_that_did_not_wait_for_the_alarm_says_so() -> None:
    record = example()
    assert record.detection is not None
    pending = msgspec.structs.replace(
        record,
        detection=msgspec.structs.replace(record.detection, decided_on="pending"),
        measured=msgspec.structs.replace(record.measured, detected_seconds=None),
    )
    assert "未等告警" in page(pending)


def test_a_record_of_the_first_version_still_has_its_page(tmp_path: Path) -> None:
    """As the kit wrote it before records were chained."""
    old = msgspec.to_builtins(example())
    for later in (
        "sequence",
        "previous",
        "resumed",
        "restore",
        "detection",
        "tolerated_alerts",
        "next_due_at",
        "artifacts",
    ):
        del old[later]
    old |= {"version": 1, "nodes": {"lost": "cloud-1", "recovery": "xinchuang-1"}}
    del old["timeline"]["noticed"], old["measured"]["noticed_seconds"], old["measured"]["detected_seconds"]
    text = page(decode_record(msgspec.json.encode(old)))
    assert "故障节点 cloud-1；接管节点 xinchuang-1" in text
    assert "达成目标" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "未测得"), (12.5, "12.5秒"), (60, "60秒"), (900, "15分钟"), (3600, "1小时"), (200, "3.3分钟"),
     (timedelta(days=1).total_seconds(), "24小时")],
)  # fmt: skip
def test_durations(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.fixture
def chromium() -> str:
    if CHROMIUM is None:
        pytest.fail("this test looks at the page in Chromium; run: apt-get install chromium", pytrace=False)
    return CHROMIUM


def browse(chromium: str, file: Path, *arguments: str) -> str:
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        *arguments,
        file.as_uri(),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


#: Runs in the page: what a person would be bothered by, as text in the title.
LOOK = """<script>addEventListener("load", () => {
  const wrong = [];
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the window");
  const labels = [...document.querySelectorAll("svg text")].map(label => label.getBoundingClientRect());
  labels.forEach((a, i) => labels.slice(i + 1).forEach(b => {
    if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2)
      wrong.push("labels overlap");
  }));
  document.querySelectorAll("td, th, b, h1, svg text").forEach(cell => {
    if (cell.scrollWidth > cell.clientWidth + 1 && cell.clientWidth) wrong.push("cut off: " + cell.textContent);
  });
  const seen = document.querySelector(".verdict").getBoundingClientRect();
  if (seen.bottom > 400) wrong.push("the verdict is below the first look");
  document.title = wrong.length ? "WRONG " + wrong.join("; ") : "WELL";
});</script>"""


@pytest.mark.chromium
@pytest.mark.parametrize("width", [900, 420])
def test_a_person_can_read_it_on_a_screen(chromium: str, tmp_path: Path, width: int) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(example()).replace("</body>", LOOK + "</body>"), encoding="utf-8")
    dom = browse(chromium, file, f"--window-size={width},1200", "--virtual-time-budget=2000", "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", dom)
    assert title is not None
    assert title[1] == "WELL"


@pytest.mark.chromium
def test_it_is_drawn(chromium: str, tmp_path: Path) -> None:
    file, picture = tmp_path / "page.html", tmp_path / "page.png"
    file.write_text(page(example()), encoding="utf-8")
    browse(chromium, file, "--window-size=900,1500", f"--screenshot={picture}")
    content = picture.read_bytes()
    assert struct.unpack(">II", content[16:24]) == (900, 1500)
    assert len(content) > 60_000, "the picture is all but empty"


@pytest.mark.chromium
def test_it_prints_on_two_sheets_of_a4(chromium: str, tmp_path: Path) -> None:
    file, printed = tmp_path / "page.html", tmp_path / "page.pdf"
    record = example()
    full = msgspec.structs.replace(
        record,
        participants=record.participants[:1] * 5,
        stop_conditions=record.stop_conditions * 2,
        issues=(Issue(what="RTO实测1000.0秒，超过目标900秒", owner="市行政审批局", due="2026-08-31"),) * 3,
        tolerated_alerts=("RestoreTestFailed",),
    )
    file.write_text(page(full, DIGEST), encoding="utf-8")
    browse(chromium, file, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    content = printed.read_bytes()
    sheets = re.findall(rb"/MediaBox ?\[ ?0 0 ([0-9.]+) ([0-9.]+) ?\]", content)
    assert 1 <= len(sheets) <= 2
    for wide, high in sheets:
        assert (round(float(wide)), round(float(high))) in {(595, 842), (596, 842)}  # 210 by 297 mm in points


def test_a_simulated_drill_says_what_was_not_real() -> None:
    text = page(msgspec.structs.replace(example(), kind=Kind.SIMULATED))
    assert "模拟演练" in text
    assert "未注入真实故障" in text
    assert "未注入真实故障" not in page(example())


def test_what_steps_said_beside_the_figures_is_on_the_page() -> None:
    text = page(msgspec.structs.replace(example(), notes=("ops-1：<没有>数据", "offsite-1：有41个")))
    assert "ops-1：&lt;没有&gt;数据；offsite-1：有41个" in text
