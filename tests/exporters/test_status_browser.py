"""What a person sees of the status page: in headless Chromium, from a real exporter."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from checks.backup_databases import evaluate
from checks.drills.chain import write_record
from checks.drills.record import DrillRecord
from checks.record import Record, Status, timestamp, write_records
from checks.security.controls import load_controls
from exporters.history import DAYS, History, midnights_of
from exporters.places import county_names, places
from exporters.status import words
from exporters.status.page import render
from exporters.status.words import zone_of
from inventories.load import load_city
from tests.exporters.chromium import CONTRAST, DRAWN_CONTRAST, FOCUSED, OVERFLOW, Browser
from tests.exporters.status_data import NOW, ROOT, job, probes, reading, snapshot


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
    deadline = time.monotonic() + 180
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


@pytest.fixture
def yichun_pages(tmp_path: Path, drill: Callable[..., DrillRecord]) -> Callable[[str], str]:
    """Writes a page of the whole city, of which a county has lost IPv6, and a year of history; gives its address."""
    city = load_city(ROOT / "inventories" / "yichun")
    dead = {(node, "ipv6") for node, place in places(city).items() if place.county == "360926"}
    dead |= {(node, "ipv4") for node in list(city.nodes)[::400]}
    jobs = [one for policy in city.backups for one in job(f"{policy}@cloud-1", 600)]
    lab = load_city(ROOT / "inventories" / "lab")
    state = snapshot(
        city,
        probes(city, dead),
        backup=reading([*jobs, *evaluate(lab, {}, NOW)]),
        drill=reading([drill()]),
    )
    starts = [end - 86400 for end in midnights_of(NOW.timestamp(), zone_of("Asia/Shanghai"), DAYS)]
    shares = {start: 0.9 if number % 30 == 0 else 1.0 for number, start in enumerate(starts)}
    history = History(
        {(site, family): shares for site in ("", *county_names(city)) for family in ("ipv4", "ipv6")}
    )

    def write(path: str) -> str:
        html = render(state, NOW.timestamp(), refresh=False, path=path, history=reading(history))
        assert html is not None
        file = tmp_path / f"{path.replace('/', '-') or 'index'}.html"
        file.write_text(html, encoding="utf-8")
        return file.as_uri()

    return write


@pytest.mark.chromium
def test_every_page_fits_a_laptop_and_a_wall(
    browser: Browser, yichun_pages: Callable[[str], str], tmp_path: Path
) -> None:
    for path in (
        "",
        "city/3609",
        "county/360926",
        "township/360902103",
        "village/360926100001",
        "units",
        "unit/data-bureau",
        "backups",
        "security",
        "drills",
    ):
        address = yichun_pages(path)
        for width, height in ((1366, 768), (3840, 2160)):
            browser.open(address, width, height)
            shown = browser.picture(tmp_path / f"{path.replace('/', '-') or 'index'}-{width}.png")
            assert (shown["width"], shown["height"]) == (width, height)
            assert shown["seen"] >= 2 and shown["blank"] == [], (path, shown)
            assert browser.ask(OVERFLOW) == [], path
            contrast = browser.ask(CONTRAST)
            assert contrast["seen"] > 15, path
            assert contrast["low"] == [], path
            drawn = browser.ask(DRAWN_CONTRAST)
            assert (drawn["low"], drawn["unclear"]) == ([], []), path
            assert path or drawn["seen"] >= 3 * 60  # the map's words
    browser.open(yichun_pages(""), 3840, 2160)
    for section in ("verdict", "failures", "map"):  # a wall is not scrolled
        bottom = browser.ask(f"document.querySelector('#{section}').getBoundingClientRect().bottom")
        assert bottom <= 2160, section
    browser.open(yichun_pages(""), 1366, 768)
    assert browser.ask("document.querySelector('#failures tbody tr').getBoundingClientRect().bottom") < 768


@pytest.mark.chromium
def test_it_is_read_with_the_keyboard_alone(browser: Browser, yichun_pages: Callable[[str], str]) -> None:
    yichun_pages("county/360926")
    browser.open(yichun_pages(""), 1366, 768)
    browser.tab()
    skip = browser.ask(FOCUSED)
    assert skip["text"] == "跳到正文"
    assert skip["left"] >= 0  # it stands outside until it has the focus
    browser.enter()
    assert browser.ask("location.hash") == "#main"
    seen = []
    for _ in range(60):
        browser.tab()
        focused = browser.ask(FOCUSED)
        assert (focused["outline"], focused["width"]) == ("solid", 3), focused
        assert focused["right"] > 0
        seen.append(focused["text"])
    assert "总览" not in seen  # the navigation was skipped
    counties = [text for text in seen if "铜鼓县" in text and "故障" in text]
    assert counties, seen  # the map's cards are links that one reaches and hears
    # no state is told by colour alone: without any the words are all still there
    words = browser.ask(
        "[...document.querySelectorAll('td.state')].map(e => e.innerText.trim()).filter(Boolean)"
    )
    assert len(words) == browser.ask(
        "[...document.querySelectorAll('td.state')].filter(e => e.checkVisibility()).length"
    )
    pictures = "[...document.querySelectorAll('.year svg, [role=img]')]"
    assert browser.ask(f"{pictures}.length") > 2 * 13
    assert browser.ask(f"{pictures}.filter(e => !e.getAttribute('aria-label')).length") == 0
    headings = browser.ask("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert headings[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(headings) if later > earlier)
    assert browser.ask("document.querySelectorAll('th:not([scope])').length") == 0
