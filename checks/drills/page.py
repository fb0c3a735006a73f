"""The record of a drill as a page for people and for the file: Chinese, one HTML file, prints on A4."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from checks.drills.record import DrillRecord, Kind, Outcome, Signature
from checks.drills.summing_up import STAGE_NAMES

KINDS = {Kind.TABLETOP: "桌面推演", Kind.SIMULATED: "模拟演练", Kind.LIVE: "实战演练"}
OUTCOMES = {
    Outcome.DONE: "完成",
    Outcome.FAILED: "未完成",
    Outcome.NOT_REACHED: "未进行",
    Outcome.SKIPPED: "略过",
}
#: What groups of nodes are mostly called; others keep their own name.
PARTS = {"lost": "故障节点", "recovery": "接管节点", "source": "恢复来源", "client": "核对终端"}
MOMENTS = {
    "fault": "故障发生",
    "noticed": "监测察觉",
    "detected": "告警发现",
    "decided": "决定恢复",
    "started": "开始恢复",
    "serving": "恢复服务",
}
FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}
#: The picture's width and the margins in which its line runs, in its own units.
WIDTH, MARGIN = 720.0, 60.0
#: Labels nearer than this are put on another level.
APART = 105.0


class Mark(NamedTuple):
    """A moment in the picture: its place on the line, and the level of its label (0 is next to the line)."""

    label: str
    clock: str
    seconds: float
    x: float
    level: int


def page(record: DrillRecord, sha256: str = "", signatures: Sequence[Signature] = ()) -> str:
    """Render the page; it needs nothing but itself. `sha256` is the record's digest, which those who sign it attest."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    back = (record.fallback, *([record.restore] if record.restore else []))
    environment.filters.update(clock=clock, date=date, seconds=seconds, family=family)
    return environment.get_template("page.html.j2").render(
        record=record,
        marks=timeline_marks(record),
        sha256=sha256,
        signed={one.role: one for one in signatures},
        back=back,
        stages=(*record.stages, *back),
        width=WIDTH,
        margin=MARGIN,
        kinds=KINDS,
        outcomes=OUTCOMES,
        parts=PARTS,
        stage_names=STAGE_NAMES,
        verdict=verdict(record),
    )


def verdict(record: DrillRecord) -> str:
    """The result in one phrase."""
    if record.aborted:
        return "中止"
    return "达成目标" if record.success else "未达成目标"


def timeline_marks(record: DrillRecord) -> list[Mark]:
    """The moments that were reached, on a line whose length is the time from the fault to the last of them."""
    known = [
        (label, datetime.fromisoformat(moment))
        for name, label in MOMENTS.items()
        if (moment := getattr(record.timeline, name)) is not None
    ]
    if not known:
        return []
    known.sort(key=lambda one: one[1])
    first, last = known[0][1], known[-1][1]
    span = (last - first).total_seconds() or 1.0
    marks: list[Mark] = []
    for label, moment in known:
        after = (moment - first).total_seconds()
        x = MARGIN + (WIDTH - 2 * MARGIN) * after / span
        taken = {mark.level for mark in marks if x - mark.x < APART}
        level = next(level for level in range(len(known)) if level not in taken)
        marks.append(Mark(label, clock(moment.isoformat()), after, x, level))
    return marks


def family(key: str) -> str:
    """An address family, after the system's name where there are several."""
    system, _, name = key.rpartition("-")
    return f"{system} {FAMILIES[name]}".strip()


def clock(moment: str) -> str:
    """The time of day to a tenth of a second."""
    parsed = datetime.fromisoformat(moment)
    return f"{parsed:%H:%M:%S}.{parsed.microsecond // 100_000}"


def date(moment: str) -> str:
    """The day and time, with the offset."""
    parsed = datetime.fromisoformat(moment)
    return f"{parsed:%Y年%m月%d日 %H:%M:%S}（UTC{parsed:%z}）"


def seconds(value: float | None) -> str:
    """A duration: seconds, minutes or hours, whichever a person would say."""
    if value is None:
        return "未测得"
    if value < 120:
        return f"{value:.1f}秒" if value % 1 else f"{value:.0f}秒"
    if value < 7200 and value % 3600:
        return f"{value / 60:g}分钟" if not value % 60 else f"{value / 60:.1f}分钟"
    return f"{value / 3600:g}小时" if not value % 3600 else f"{value / 3600:.1f}小时"
