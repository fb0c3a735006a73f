"""What does a drill's record say? From what was seen to figures, issues with owner and date, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from checks.drills import measuring
from checks.drills.definition import FALLBACK, RESTORE, STAGES
from checks.drills.held import Held
from checks.drills.record import (
    VERSION,
    DataCheck,
    Detection,
    DrillRecord,
    Issue,
    Kind,
    Measured,
    Outcome,
    Stage,
)
from checks.drills.under_way import Progress

#: What people call the stages.
STAGE_NAMES: Mapping[str, str] = {
    "prepare": "准备",
    "inject": "注入故障",
    "detect": "发现",
    "decide": "决策",
    "recover": "恢复",
    "verify": "验证",
    FALLBACK: "回退",
    RESTORE: "恢复正常运行",
}


def record_of(
    held: Held,
    progress: Progress,
    back: Sequence[Stage],
    *,
    aborted: bool,
    kind: Kind | None = None,
    noted: Sequence[Issue] = (),
) -> DrillRecord:
    """The record of a drill that has ended; `back` are fall back and, where there is one, restore.

    `kind` is how it was held where that is not the definition's, `noted` are issues that people named.
    """
    definition, ended = held.definition, held.now()
    kind = kind or definition.kind
    rpo = None if kind is Kind.TABLETOP else held.rpo
    found = measuring.measured(progress.seen, None if kind is Kind.TABLETOP else held.rto, rpo)
    data = measuring.data_check(progress.seen, held.zone)
    reached = {stage.name for stage in progress.done}
    missing = [
        Stage(name=name, started_at="", seconds=0.0, outcome=Outcome.NOT_REACHED)
        for name in STAGES
        if name not in reached
    ]
    issues = (*noted, *_issues(held, found, data, progress.done, back, ended))
    if gone := measuring.not_survived(progress.seen):
        what = f"故障前已落盘的{gone}条记录在恢复供电后的磁盘上缺失"
        issues = (*issues, issue_of(held, what, ended))
    rule = None if kind is Kind.TABLETOP else definition.detection
    return DrillRecord(
        version=VERSION,
        id=progress.id,
        drill=held.name,
        title=definition.title,
        plan=definition.plan,
        scope=definition.scope,
        kind=kind,
        planned=definition.notice == "planned",
        city=held.city.layout.name,
        system=held.system.id if held.system else "",
        system_name=held.system.name if held.system else "",
        policy=held.policy.id if held.policy else "",
        nodes=held.nodes,
        participants=definition.participants,
        stop_conditions=definition.stop_conditions,
        started_at=progress.began,
        ended_at=ended.isoformat(timespec="milliseconds"),
        success=not issues and not aborted,
        aborted=aborted,
        resumed=progress.resumed,
        timeline=measuring.timeline(progress.seen, held.zone),
        serving_by_family=measuring.serving_by_family(progress.seen, held.zone),
        stages=(*progress.done, *missing),
        measured=found,
        data_check=data,
        fallback=back[0],
        restore=back[1] if len(back) > 1 else None,
        issues=issues,
        detection=Detection(alert=rule.alert, labels=rule.labels, decided_on=progress.decide_on)
        if rule
        else None,
        notes=tuple(progress.seen.notes),
        tolerated_alerts=tuple(progress.seen.tolerated),
        artifacts="" if kind is Kind.TABLETOP else f"artifacts/{progress.id}",
        next_due_at=(ended + timedelta(seconds=definition.every_seconds)).isoformat(timespec="seconds"),
    )


def issue_of(held: Held, what: str, ended: datetime, *, now: bool = False) -> Issue:
    """Something to put right, for who owns what is drilled, in the time that the drill gives; `now`: the same day."""
    due = ended if now else ended + timedelta(days=held.definition.due_days)
    return Issue(what=what, owner=held.owner, due=due.date().isoformat())


def _issues(
    held: Held,
    found: Measured,
    data: DataCheck,
    done: Sequence[Stage],
    back: Sequence[Stage],
    ended: datetime,
) -> Iterator[Issue]:
    """What the drill showed to be wrong, in words of the record."""
    failed = [stage for stage in done if stage.outcome is Outcome.FAILED]
    for stage in failed:
        yield issue_of(held, f"阶段“{STAGE_NAMES[stage.name]}”未完成：{stage.detail}", ended)
    for name, value, objective in (
        ("RTO", found.rto_seconds, found.rto_objective_seconds),
        ("RPO", found.rpo_seconds, found.rpo_objective_seconds),
    ):
        if objective is None or (value is None and failed):
            continue
        if value is None:
            yield issue_of(held, f"{name}未能测得", ended)
        elif value > objective:
            yield issue_of(held, f"{name}实测{value:.1f}秒，超过目标{objective:.0f}秒", ended)
    if data.outcome is Outcome.FAILED:
        wrong = "、".join((*data.differing, *data.missing)[:3])
        yield issue_of(held, f"恢复的数据与原数据不一致：{wrong}", ended)
    for stage in back:
        if stage.outcome is not Outcome.DONE:
            what = f"{STAGE_NAMES[stage.name]}未完成，须立即人工处理：{stage.detail}"
            yield issue_of(held, what, ended, now=True)
