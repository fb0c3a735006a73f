"""The status page's first page: its words and figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from checks.availability.outcome import Reason
from checks.availability.targets import targets_of
from checks.drills.record import DrillRecord, Issue, Measured
from checks.record import Record, Status, timestamp
from checks.security.controls import load_controls
from exporters.places import places
from exporters.readings import Reading, Trouble
from exporters.status import words
from exporters.status.page import render
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import City
from tests.exporters.status_data import NOW, ROOT, job, page, probes, reading, snapshot, text_of


@pytest.fixture(scope="module")
def lab() -> City:
    return load_city(ROOT / "inventories" / "lab")


# Words.


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0秒"),
        (0.84, "0.8秒"),
        (42, "42秒"),
        (59.7, "1分"),
        (90, "1分30秒"),
        (900, "15分"),
        (3600, "1小时"),
        (3661, "1小时1分"),
        (86399, "23小时59分"),
        (93600, "1天2小时"),
    ],
)
def test_durations_are_said(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (1, 2, "50%"),
        (2, 3, "66.7%"),
        (9999, 10000, "99.9%"),
        (1, 100000, "0.1%"),
        (0, 5, "0%"),
        (5, 5, "100%"),
        (0, 0, "—"),
    ],
)
def test_a_share_is_100_only_when_it_is_all(part: int, whole: int, said: str) -> None:
    assert words.percent(part, whole) == said


def test_ages_are_said() -> None:
    assert words.age(None, 100) == "未知"
    assert words.age(0, 100) == "从未"
    assert words.age(99, 100) == "刚刚"
    assert words.age(40, 100) == "1分前"
    assert words.age(160, 100) == "1分后"


def test_moments_are_in_the_citys_time() -> None:
    zone = words.zone_of("Asia/Shanghai")
    assert words.moment(0.5, zone) == "1970-01-01 08:00:00"
    assert words.offset(0.5, zone) == "UTC+08:00"


def test_every_reason_and_state_of_the_checks_has_a_word() -> None:
    from exporters.backups import RESULTS
    from exporters.collectors.security import STATES

    for table, values in (
        ("reason", [reason.value for reason in Reason]),
        ("backup", RESULTS),
        ("control", STATES),
        ("trouble", [trouble.value for trouble in Trouble]),
        ("collector", ["inventory", "availability", "backup", "security", "drill", "deploy", "drift"]),
    ):
        for value in values:
            assert words.word(table, value) != value, f"{table}.{value}"


# The verdict and the figures.


def test_all_well(lab: City, drill: Callable[..., DrillRecord]) -> None:
    jobs = [*job("gov-service@cloud-1", 600), *job("collab-office@xinchuang-1", 600)]
    html = page(lab, set(), backup=reading(jobs), drill=reading([drill()]))
    assert "运行正常" in text_of(html, "verdict")
    targets = len({(target.subject, target.check) for target in targets_of(lab, build_plan(lab))})
    assert f"全部{targets}个目标在两个地址族均可达" in text_of(html, "failures")
    assert "在RPO内 2/2" in text_of(html, "backups")
    assert "42秒 / 15分" in text_of(html, "drills")


def test_an_ipv6_failure_is_a_warning_and_a_dead_city_node_a_fault(lab: City) -> None:
    html = page(lab, {("gov-data-portal", "ipv6")})
    assert "需要关注" in text_of(html, "verdict")
    assert "1个目标IPv4正常而IPv6不通" in text_of(html, "verdict")
    html = page(lab, {("core-a", "ipv4"), ("core-a", "ipv6"), ("yufang", "ipv4")})
    verdict = text_of(html, "verdict")
    assert "存在故障" in verdict
    assert "城域核心路由器A平面 IPv4与IPv6均不可用（超时无应答）" in verdict
    failures = text_of(html, "failures")
    assert failures.index("城域核心路由器A平面") < failures.index("余坊村接入路由器")


def test_a_county_that_is_gone_is_one_line(lab: City) -> None:
    gone = {"yuanzhou", "agent-1", "cihua", "cihua-juwei", "yufang", "client-1", "client-2"}
    html = page(lab, {(node, "ipv6") for node in gone})
    assert "袁州区 IPv6 全部7个目标不可达" in text_of(html, "verdict")
    failures = text_of(html, "failures")
    assert "袁州区 IPv6整体中断 7个目标" in failures
    assert "余坊村接入路由器" not in failures
    assert "0/7 可达" in failures


def test_a_township_that_is_gone_is_one_line(lab: City) -> None:
    gone = {"cihua", "cihua-juwei", "yufang", "client-1", "client-2"}
    html = page(lab, {(node, family) for node in gone for family in ("ipv4", "ipv6")})
    assert "慈化镇 整体中断 5个目标 袁州区" in text_of(html, "failures")


def test_the_levels_show(lab: City) -> None:
    coverage = text_of(page(lab, {("yufang", "ipv6"), ("client-1", "ipv6")}), "coverage")
    assert "村级 2 2 2/2 100% 1/2 50%" in coverage
    assert "省级 1 1 1/1 100% 1/1 100%" in coverage


def test_a_backup_beyond_its_rpo_is_first_and_says_why(lab: City) -> None:
    jobs = [
        *job("collab-office@xinchuang-1", 600),
        *job("gov-service@cloud-1", 3700, failed=("backup", "backup-copy:offsite-1")),
    ]
    html = page(lab, set(), backup=reading(jobs))
    backups = text_of(html, "backups")
    assert backups.index("gov-service") < backups.index("collab-office")
    assert "已超过" in backups
    assert "最近快照：已超过期限；offsite-1 副本：已超过期限" in backups
    assert "cloud-1 的备份 gov-service 超过RPO" in text_of(html, "verdict")


def test_an_age_goes_on_after_the_check(lab: City) -> None:
    """A record that was within the RPO when it was made is not within it for ever."""
    later = NOW.timestamp() + 3100
    html = render(snapshot(lab, probes(lab, set()), backup=reading(job("gov-service@cloud-1", 600))), later)
    assert "在RPO内 0/1" in text_of(html, "backups")
    assert "超过RPO" in text_of(html, "verdict")


def test_a_job_that_cannot_be_asked_is_unknown(lab: City) -> None:
    jobs = [
        msgspec.structs.replace(record, status=Status.ERROR, value=None, reason="timeout")
        for record in job("gov-service@cloud-1", 600)
    ]
    html = page(lab, set(), backup=reading(jobs))
    assert "cloud-1 的备份 gov-service 状态未知" in text_of(html, "verdict")
    assert "最近快照：SSH超时" in text_of(html, "backups")


def test_controls_are_counted_and_the_worst_come_first(lab: City) -> None:
    def control(
        check: str, status: Status, value: str | None, subject: str = "cloud-1", reason: str = ""
    ) -> Record:
        return Record(
            subject=subject,
            check=check,
            family="none",
            status=status,
            value=value,
            at=timestamp(NOW),
            evidence="",
            reason=reason,
        )

    records = [
        control("L3-CES1-05", Status.FAIL, "noncompliant"),
        control("L3-CES1-02", Status.FAIL, "partly"),
        control("L3-CES1-01", Status.PASS, "compliant"),
        control("L3-CES1-04", Status.MANUAL, "manual"),
        *[control(one.id, Status.ERROR, None, "client-1", "timeout") for one in load_controls()],
    ]
    html = page(lab, set(), security=reading(records))
    security = text_of(html, "security")
    count = len(load_controls())
    assert f"符合 1 部分符合 1 不符合 1 不适用 0 需人工核查 1 已豁免 0 未能核查 {count}" in security
    assert security.index("登录失败处理") < security.index("为登录用户分配账户和权限")
    assert security.count("SSH超时") == 1  # a host that cannot be asked is one finding
    assert "1项高风险安全控制不符合或部分符合" in text_of(html, "verdict")
    assert "1台主机未能完成安全核查" in text_of(html, "verdict")


def test_a_drill_that_missed_its_objective_shows(lab: City, drill: Callable[..., DrillRecord]) -> None:
    slow = Measured(rto_seconds=901, rto_objective_seconds=900, rpo_seconds=0, rpo_objective_seconds=60)
    issues = (Issue(what="x", owner="y", due="2026-12-01"),)
    html = page(lab, set(), drill=reading([drill(measured=slow, issues=issues)]))
    drills = text_of(html, "drills")
    assert "未达到RTO目标" in drills
    assert "15分1秒 / 15分" in drills
    assert "1个问题待整改" in drills
    assert "未达到RTO目标" in text_of(html, "verdict")
    assert "没有任何演练记录" in text_of(page(lab, set(), drill=reading([])), "verdict")


def test_missing_data_are_not_well(lab: City) -> None:
    missing = Reading[Any](None, None, None, 0, Trouble.MISSING, "/x/backup.json is not there")
    html = render(snapshot(lab, None, backup=missing, security=missing), NOW.timestamp())
    assert "状态不明" in text_of(html, "verdict")
    assert "备份核查：记录缺失" in text_of(html, "verdict")
    assert "没有备份核查记录" in text_of(html, "backups")
    assert "等待首轮探测" in html
    assert "记录缺失" in text_of(html, "sources")


def test_what_comes_from_files_is_escaped(lab: City) -> None:
    name = '<script>alert("1")</script>'
    systems = {
        key: msgspec.structs.replace(system, name=name) if key == "collab-office" else system
        for key, system in lab.systems.items()
    }
    html = page(msgspec.structs.replace(lab, systems=systems), {("collab-office", "ipv6")})
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_the_page_of_a_whole_city_is_quick_and_short() -> None:
    city = load_city(ROOT / "inventories" / "yichun")
    dead = {(node, "ipv6") for node, place in places(city).items() if place.county == "360926"}
    dead |= {(node, "ipv4") for node in list(city.nodes)[::50]}
    state = snapshot(city, probes(city, dead))
    render(state, NOW.timestamp())  # templates are compiled once
    begun = time.process_time()  # of this process alone: the machine may be busy
    html = render(state, NOW.timestamp())
    assert time.process_time() - begun < 2
    assert html is not None
    assert len(html) < 500_000
    assert "铜鼓县 IPv6 全部" in text_of(html, "verdict")
    rows = html[html.index('id="counties"') :]
    assert rows[: rows.index("</section>")].count("<tr") == 1 + 13
