"""The status page: its words and figures, and, in headless Chromium, what a person sees of it."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from checks.availability.outcome import Outcome, Reason
from checks.availability.run import record_of
from checks.availability.targets import targets_of
from checks.drills.chain import write_record
from checks.drills.record import DrillRecord, Issue, Measured
from checks.record import Record, Status, timestamp, write_records
from checks.security.controls import load_controls
from exporters.collectors.availability import Cycle
from exporters.places import places
from exporters.readings import Reading, Trouble
from exporters.snapshot import Inventory, Snapshot
from exporters.status import words
from exporters.status.page import render
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import City

ROOT = Path(__file__).parents[2]
NOW = datetime.now().astimezone()


@pytest.fixture(scope="module")
def lab() -> City:
    return load_city(ROOT / "inventories" / "lab")


def reading(value: Any, at: float | None = None) -> Reading[Any]:
    return Reading(value, at or NOW.timestamp(), NOW.timestamp(), 0.1, None)


def probes(city: City, dead: set[tuple[str, str]]) -> list[Record]:
    """The records of a round in which (subject, family) pairs do not answer."""
    records = []
    for number, target in enumerate(targets_of(city, build_plan(city))):
        failed = (target.subject, target.family.value) in dead
        outcome = (
            Outcome(None, "no answer in time", Reason.TIMEOUT)
            if failed
            else Outcome(0.001 + number / 1e6, "ok")
        )
        records.append(record_of(target, outcome))
    return records


def snapshot(city: City, records: list[Record] | None, **more: Any) -> Snapshot:
    inventory = Inventory(city, (), places(city))
    cycle = None if records is None else Cycle(records, {}, NOW.timestamp(), 1, 30)
    return Snapshot(reading(inventory), reading(cycle), **more)


def page(city: City, dead: set[tuple[str, str]], **more: Any) -> str:
    return render(snapshot(city, probes(city, dead), **more), NOW.timestamp())


def text_of(html: str, section: str = "") -> str:
    if section:
        html = html[html.index(f'id="{section}"') :]
        html = html[: html.index("</section>")]
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def job(name: str, age: float, **more: Any) -> list[Record]:
    def record(check: str, value: float | None, status: Status = Status.PASS, reason: str = "") -> Record:
        return Record(
            subject=name,
            check=check,
            family="none",
            status=status,
            value=value,
            at=timestamp(NOW),
            evidence="",
            reason=reason,
        )

    failed = more.get("failed", ())
    values = {
        "backup": age,
        "backup-last-run": age,
        "backup-copy:offsite-1": age,
        "repository-check:backup-1": 3600.0,
        "restore-test:backup-1": 7200.0,
    }
    return [
        record(check, value, Status.FAIL, "stale") if check in failed else record(check, value)
        for check, value in values.items()
    ]


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
        ("collector", ["inventory", "availability", "backup", "security", "drill", "deploy"]),
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
    gone = {"yuanzhou", "cihua", "cihua-juwei", "yufang", "client-1", "client-2"}
    html = page(lab, {(node, "ipv6") for node in gone})
    assert "袁州区 IPv6 全部6个目标不可达" in text_of(html, "verdict")
    failures = text_of(html, "failures")
    assert "袁州区 IPv6整体中断 6个目标" in failures
    assert "余坊村接入路由器" not in failures
    assert "0/6 可达" in failures


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
    begun = time.perf_counter()
    html = render(state, NOW.timestamp())
    assert time.perf_counter() - begun < 2
    assert len(html) < 500_000
    assert "铜鼓县 IPv6 全部" in text_of(html, "verdict")
    rows = html[html.index('id="counties"') :]
    assert rows[: rows.index("</section>")].count("<tr") == 1 + 13


# What a person sees: headless Chromium, told what to do over its debugging pipe.


class Browser:
    """Chromium, spoken to in the DevTools protocol over a pipe, so that it may run in another network."""

    def __init__(self, profile: Path, enter: list[str]) -> None:
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars"
        options += " --disable-background-networking --disable-component-update --disable-sync"
        command = [
            *enter,
            "chromium",
            *options.split(),
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
        ]

        def take_pipes() -> None:  # the protocol speaks on descriptors 3 (to it) and 4 (from it)
            os.dup2(their_in, 103)
            os.dup2(their_out, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        self._process = subprocess.Popen(
            command,
            preexec_fn=take_pipes,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self._buffer = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = None
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(30)
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _receive(self, seconds: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], seconds)
            assert ready, "Chromium does not answer"
            got = os.read(self._in, 1 << 20)
            assert got, "Chromium ended"
            self._buffer += got
        message, _, self._buffer = self._buffer.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def open(self, url: str, width: int) -> None:
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=1080, deviceScaleFactor=1, mobile=False
        )
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive(30))

    def ask(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def requests(self) -> list[str]:
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    def failures(self) -> list[dict[str, Any]]:
        """What did not load, and what the page complained of."""
        return [
            event
            for event in self.events
            if event.get("method") in ("Network.loadingFailed", "Log.entryAdded", "Runtime.exceptionThrown")
            or (
                event.get("method") == "Network.responseReceived"
                and event["params"]["response"]["status"] >= 400
            )
        ]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)


@pytest.fixture
def browser(namespace: Any, tmp_path: Path) -> Iterator[Browser]:
    started = Browser(tmp_path / "profile", namespace.enter)
    yield started
    started.close()


#: Texts whose contrast with what is behind them is below WCAG 2.1's 4.5:1 (3:1 for large ones).
CONTRAST = """
(() => {
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = s => s.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const low = []; let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !e.checkVisibility()) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const [a, b] = [light(parse(style.color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    seen++;
    if (ratio < (large ? 3 : 4.5)) low.push([walker.currentNode.textContent.trim(), ratio]);
  }
  return {seen, low};
})()
"""
#: What is wider than its place: the page, or a card's content.
OVERFLOW = """
[...document.querySelectorAll("html, .card, .tile, .verdict")]
  .filter(e => e.scrollWidth > e.clientWidth + 1)
  .map(e => [e.id || e.className || e.tagName, e.scrollWidth, e.clientWidth])
"""


@pytest.mark.chromium
def test_a_person_sees_what_was_measured(
    namespace: Any,
    start: Callable[..., subprocess.Popen[str]],
    browser: Browser,
    tmp_path: Path,
    drill: Callable[..., DrillRecord],
) -> None:
    jobs = [*job("gov-service@cloud-1", 600), *job("collab-office@xinchuang-1", 20000, failed=("backup",))]
    write_records(tmp_path / "records" / "backup.json", jobs)
    controls = [
        Record(
            subject=node,
            check=control.id,
            family="none",
            status=Status.FAIL if (node, control.id) == ("cloud-1", "L3-CES1-02") else Status.PASS,
            value="noncompliant" if (node, control.id) == ("cloud-1", "L3-CES1-02") else "compliant",
            at=timestamp(NOW - timedelta(minutes=5)),
            evidence="",
        )
        for node in ("cloud-1", "ops-1")
        for control in load_controls()
    ]
    write_records(tmp_path / "records" / "security.json", controls)
    write_record(tmp_path / "drills", drill())
    start("all", "--interval", "5s", "--timeout", "1s")
    metrics = ""
    deadline = time.monotonic() + 30
    while "jizuo_probe_success{" not in metrics:
        assert time.monotonic() < deadline
        time.sleep(0.3)
        metrics = namespace.get("http://[::1]:9910/metrics")

    for width in (1366, 1920):
        browser.open("http://[::1]:9910/?refresh=off", width)
        assert browser.requests() == ["http://[::1]:9910/?refresh=off", "data:,"][: len(browser.requests())]
        assert not browser.failures()
        assert browser.ask(OVERFLOW) == []
        contrast = browser.ask(CONTRAST)
        assert contrast["seen"] > 100
        assert contrast["low"] == []

    seen = browser.ask("document.body.innerText")
    for family, title in (("ipv4", "IPv4目标可达"), ("ipv6", "IPv6目标可达")):
        states = re.findall(rf'jizuo_probe_success{{[^}}]*family="{family}"[^}}]*}} ([\d.]+)', metrics)
        well = sum(float(state) for state in states)
        assert 0 < well < len(states)
        tile = browser.ask(
            f"[...document.querySelectorAll('.tile')].find(t => t.innerText.includes('{title}')).innerText"
        )
        assert f"{well:.0f}/{len(states)}" in tile
        assert words.percent(well, len(states)) in tile
    assert "存在故障" in browser.ask("document.querySelector('#verdict').innerText")
    rows = browser.ask("[...document.querySelectorAll('#failures tbody tr')].map(r => r.innerText)")
    assert "故障" in rows[0]  # what is worst is what one sees first
    assert any("集中监控" in row and "tcp://ops-1:9090" in row for row in rows)
    order = [("故障" in row, "注意" in row) for row in rows]
    assert order == sorted(order, reverse=True)
    top = browser.ask("document.querySelector('#failures tbody tr').getBoundingClientRect().top")
    assert top < 1080  # without scrolling
    assert "collab-office" in browser.ask("document.querySelector('#backups tbody tr').innerText")
    assert re.search(
        r"2小时(\d+分)?前", seen
    )  # the restore that was proven 7200 s before the records were made
    total = 2 * len(load_controls())
    assert f"2台主机，{total}项次" in seen
    assert f"符合 {total - 1}" in browser.ask("document.querySelector('#security').innerText")
    assert "42秒" in browser.ask("document.querySelector('#drills').innerText")
    assert re.search(r"村级\s+2\s+2", browser.ask("document.querySelector('#coverage').innerText"))
    assert browser.ask("document.documentElement.lang") == "zh-CN"
    # states have a word or a labelled shape, not a colour alone; those of folded rows too
    unnamed = "[...document.querySelectorAll('td.state')].filter(e => !e.textContent.trim()).length"
    assert browser.ask(unnamed) == 0

    browser.open("http://[::1]:9910/", 1366)
    assert browser.ask("document.querySelector('meta[http-equiv=refresh]').content") == "30"


@pytest.mark.chromium
@pytest.mark.parametrize("width", [1366, 1920, 3840])
def test_a_whole_city_fits_the_screen(
    browser: Browser, tmp_path: Path, width: int, drill: Callable[..., DrillRecord]
) -> None:
    city = load_city(ROOT / "inventories" / "yichun")
    dead = {(node, "ipv6") for node, place in places(city).items() if place.county == "360926"}
    dead |= {(node, "ipv4") for node in list(city.nodes)[::40]}
    jobs = [
        record
        for number, policy in enumerate(city.backups)
        for record in job(
            f"{policy}@cloud-1", 600 + 40000 * (number % 3), failed=("backup",) if number % 3 else ()
        )
    ]
    state = snapshot(city, probes(city, dead), backup=reading(jobs), drill=reading([drill()]))
    file = tmp_path / "page.html"
    file.write_text(render(state, NOW.timestamp(), refresh=False), encoding="utf-8")
    browser.open(file.as_uri(), width)
    assert browser.ask(OVERFLOW) == []
    visible = "[...document.querySelectorAll('tr')].filter(e => e.checkVisibility()).length"
    assert browser.ask(visible) < 110
    assert (
        float(browser.ask("parseFloat(getComputedStyle(document.documentElement).fontSize)")) >= width / 150
    )
    assert browser.ask(CONTRAST)["low"] == []
