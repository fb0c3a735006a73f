"""A drill's record for tests, and what playbooks would have printed in it."""

from __future__ import annotations

from checks.drills.record import (
    VERSION,
    DataCheck,
    Detection,
    DrillRecord,
    Issue,
    Kind,
    Measured,
    Outcome,
    Participant,
    PlanReference,
    Stage,
    Timeline,
)

NAMES = ("prepare", "inject", "detect", "decide", "recover", "verify")


def stage(name: str, second: int, outcome: Outcome = Outcome.DONE, detail: str = "") -> Stage:
    at = f"2026-08-01T09:30:{second:02}.000+08:00"
    return Stage(name=name, started_at=at, seconds=4.5, outcome=outcome, detail=detail)


def example(*, issues: tuple[Issue, ...] = (), reached: int = 6, aborted: bool = False) -> DrillRecord:
    """A record of a drill that came as far as `reached` of the six stages."""
    whole = reached == len(NAMES)
    return DrillRecord(
        version=VERSION,
        id="restore-system-offsite-20260801T093000",
        drill="restore-system-offsite",
        title="政务系统异地副本恢复演练",
        plan=PlanReference(id="YC-DR-001", version="1.0"),
        scope="宜春政务服务网：<政务云节点1>数据丢失",
        kind=Kind.LIVE,
        planned=True,
        city="宜春市",
        system="yichun-gov-service-net",
        system_name="宜春政务服务网",
        policy="gov-service",
        nodes={"lost": ("cloud-1",), "recovery": ("xinchuang-1",), "client": ("client-1", "client-2")},
        participants=(
            Participant(role="演练指挥", unit="市数据局", duty="决定"),
            Participant(role="系统责任单位", unit="市行政审批局", duty="确认"),
        ),
        stop_conditions=("其他系统发生真实故障", "演练指挥要求停止"),
        started_at="2026-08-01T09:30:00.000+08:00",
        ended_at="2026-08-01T09:30:40.000+08:00",
        success=whole and not issues,
        aborted=aborted,
        timeline=Timeline(
            fault="2026-08-01T09:30:10.000+08:00",
            noticed="2026-08-01T09:30:10.400+08:00",
            detected="2026-08-01T09:30:10.600+08:00",
            decided="2026-08-01T09:30:14.000+08:00",
            started="2026-08-01T09:30:14.000+08:00",
            serving="2026-08-01T09:30:22.500+08:00" if whole else None,
        ),
        serving_by_family={"ipv4": "2026-08-01T09:30:22.500+08:00", "ipv6": "2026-08-01T09:30:22.400+08:00"}
        if whole
        else {},
        stages=tuple(
            stage(name, 5 * number) if number < reached else _not_reached(name)
            for number, name in enumerate(NAMES)
        ),
        measured=Measured(
            rto_seconds=12.5 if whole else None,
            rto_objective_seconds=900,
            rpo_seconds=7.5,
            rpo_objective_seconds=3600,
            noticed_seconds=0.4,
            detected_seconds=0.6,
        ),
        data_check=DataCheck(
            outcome=Outcome.DONE,
            files=39,
            same=39,
            lost=61,
            newest_recovered_at="2026-08-01T09:30:02.500+08:00",
        )
        if whole
        else DataCheck(outcome=Outcome.NOT_REACHED),
        fallback=stage("fallback", 35),
        restore=stage("restore", 39),
        detection=Detection(
            alert="SystemEndpointDown", labels={"subject": "yichun-gov-service-net"}, decided_on="firing"
        ),
        next_due_at="2027-01-28T09:30:40+08:00",
        artifacts="artifacts/restore-system-offsite-20260801T093000",
        issues=issues,
    )


def _not_reached(name: str) -> Stage:
    return Stage(name=name, started_at="", seconds=0.0, outcome=Outcome.NOT_REACHED)
