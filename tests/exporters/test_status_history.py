"""A year of history on the status page: asked of what really keeps it, drawn, and said to be missing where it is."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from deploy.operations.services import EXPORTER, unit_files
from deploy.operations.storage import LISTEN, arguments, daemon_files
from exporters import history
from exporters.history import DAYS, History, HistoryLoop, midnights_of
from exporters.readings import Reading, Trouble
from exporters.status.page import render
from exporters.status.strips import HEIGHTS, strips_of
from exporters.status.words import zone_of
from inventories.load import load_city
from inventories.records import City, Monitoring
from tests.exporters.daemons import free_port, running
from tests.exporters.status_data import NOW, ROOT, probes, snapshot, text_of

ZONE = zone_of("Asia/Shanghai")
DAY = 86400.0


@pytest.fixture(scope="module")
def lab() -> City:
    return load_city(ROOT / "inventories" / "lab")


#: What the city's Prometheus recorded: (county, family), days ago, share.
RECORDED = [
    ("360902", "ipv4", 300, 1.0),
    ("360902", "ipv6", 300, 0.5),
    ("360902", "ipv4", 40, 0.99),
    ("360902", "ipv4", 1, 0.9),
    ("360902", "ipv4", 0, 1.0),
    ("", "ipv4", 1, 0.97),
    ("360902", "ipv4", 380, 0.1),  # longer ago than a year
]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus whose storage holds :data:`RECORDED`, three samples a day."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "samples").write_text(openmetrics())
    (folder / "prometheus.yml").write_text("{}\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "samples", folder / "data"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    port = free_port()
    serve = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        "--storage.tsdb.retention.time=500d",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with running(serve, f"http://127.0.0.1:{port}", "/-/ready") as url:
        yield url


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A VictoriaMetrics as it is deployed, which holds :data:`RECORDED` as a Prometheus of the city wrote it.

    Beside it lies what a county's agent wrote, which is another watch and must not count, and a host that took over.
    """
    folder = tmp_path_factory.mktemp("storage")
    port = free_port()
    serve = ["victoria-metrics", *arguments(str(folder), Monitoring().history, f"127.0.0.1:{port}")]
    with running(serve, f"http://127.0.0.1:{port}", "/health") as url:
        lines = [
            line.replace("}", ',province="36",city="3609",replica="ops-1"}', 1)
            for line in openmetrics(1000).splitlines()
            if not line.startswith("#")
        ]
        lines += [
            line.replace('"ops-1"', '"ops-2"').replace(" 0.5 ", " 0.6 ") for line in lines if " 0.5 " in line
        ]
        lines = [line.replace(" 0.5 ", " 0.4 ") for line in lines]
        lines += [
            re.sub(r'"ops-1"} \S+', '"agent-1",shard="360902"} 0.0', line)
            for line in lines
            if 'county="360902"' in line
        ]
        text = "\n".join([*lines, ""]).encode()
        urllib.request.urlopen(f"{url}/api/v1/import/prometheus", data=text, timeout=20).close()
        urllib.request.urlopen(f"{url}/internal/force_flush", timeout=20).close()
        yield url


def openmetrics(unit: int = 1) -> str:
    """:data:`RECORDED` as text, its moments in seconds, or in parts of them."""
    ends = midnights_of(time.time(), ZONE, 400)
    samples: dict[str, list[tuple[float, float]]] = {}
    for county, family, ago, share in RECORDED:
        start = ends[-1 - ago] - DAY
        labels = f'county="{county}",family="{family}"' if county else f'family="{family}"'
        name = ("county" if county else "city") + f":jizuo_probe_success:ratio{{{labels}}}"
        moments = (
            [start + 1, start + 60, start + 120] if ago == 0 else [start + hour * 3600 for hour in (1, 7, 13)]
        )
        samples.setdefault(name, []).extend((at, share) for at in moments if at < time.time())
    lines = [f"# TYPE {kind}:jizuo_probe_success:ratio gauge" for kind in ("county", "city")]
    text = []
    for kind, heading in zip(("county", "city"), lines, strict=True):
        text.append(heading)
        for name, found in samples.items():
            if name.startswith(kind):
                text += [f"{name} {share} {at * unit:.0f}" for at, share in sorted(found)]
    return "\n".join([*text, "# EOF", ""])


@pytest.mark.parametrize("kept_by", ["prometheus", "storage"])
def test_what_is_kept_tells_a_year_by_day(kept_by: str, lab: City, request: pytest.FixtureRequest) -> None:
    loop = HistoryLoop(request.getfixturevalue(kept_by), lambda: ZONE)
    asyncio.run(loop.ask())
    reading = loop.reading
    assert reading.well, reading.message
    assert reading.value is not None
    starts = [end - DAY for end in midnights_of(time.time(), ZONE, DAYS)]
    found = {
        (county, family, len(starts) - 1 - starts.index(day)): round(share, 6)
        for (county, family), days in reading.value.shares.items()
        for day, share in days.items()
    }
    wanted = {(county, family, ago): share for county, family, ago, share in RECORDED if ago < DAYS}
    assert found == wanted
    asyncio.run(loop.ask())  # only what may have changed is asked for again, and nothing is lost
    assert loop.reading.value is not None
    assert loop.reading.value.shares == reading.value.shares
    html = render(snapshot(lab, None), time.time(), path="county/360902", history=loop.reading)
    history = text_of(html or "", "history")
    assert "袁州区 IPv4 近一年可用率97.25%，有记录4天，达标2天，未达标1天，低于95%1天" in history
    assert "袁州区 IPv6 近一年可用率50.00%" in history


def test_the_deployed_page_asks_what_keeps_the_whole_year() -> None:
    unit = next(file for file in unit_files(30) if file.path.endswith(EXPORTER)).data.decode()
    assert f" --prometheus http://{LISTEN} " in unit
    least = next(months for months in range(1, 120) if _is_allowed(months))
    (said,) = re.findall(r"-retentionPeriod=(\d+)", daemon_files(least)[0].data.decode())
    # A month is 31 days to VictoriaMetrics.
    assert int(said) * 31 > DAYS + 1


def _is_allowed(months: int) -> bool:
    try:
        msgspec.convert({"history": months}, type=Monitoring)
    except msgspec.ValidationError:
        return False
    return True


def test_days_that_are_over_are_asked_for_once(prometheus: str) -> None:
    asked: list[tuple[float, float]] = []

    class Counting(HistoryLoop):
        async def _question(self, session, first, last):  # type: ignore[no-untyped-def]
            asked.append((first, last))
            return await super()._question(session, first, last)

    loop = Counting(prometheus, lambda: ZONE)
    asyncio.run(loop.ask())
    assert len(asked) == 12
    assert asked[-1][1] - asked[0][0] == (DAYS - 1) * DAY
    asked.clear()
    asyncio.run(loop.ask())
    assert asked == [(asked[0][1], asked[0][1])]  # today alone


class Watched(HistoryLoop):
    """Notes the first and the last day of each question; while `nothing` is set, Prometheus has recorded nothing."""

    def __init__(self, url: str) -> None:
        super().__init__(url, lambda: ZONE)
        self.asked: list[tuple[float, float]] = []
        self.nothing = False

    async def _question(
        self, session: aiohttp.ClientSession, first: float, last: float
    ) -> list[tuple[tuple[str, str], float, float]]:
        self.asked.append((first, last))
        return [] if self.nothing else await super()._question(session, first, last)

    def shares(self) -> dict[tuple[str, str], dict[float, float]]:
        """Asks, and gives what is known then."""
        self.asked.clear()
        asyncio.run(self.ask())
        assert self.reading.value is not None
        return {key: dict(days) for key, days in self.reading.value.shares.items()}


@pytest.mark.parametrize("off", [400 * DAY, 2 * DAY, 3600.0, -3600.0, -400 * DAY])
def test_a_clock_that_was_wrong_for_a_while_costs_nothing_of_the_year(
    prometheus: str, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    clock = time.time
    loop = Watched(prometheus)
    before = loop.shares()
    assert before
    monkeypatch.setattr(time, "time", lambda: clock() + off)
    loop.shares()
    monkeypatch.setattr(time, "time", clock)
    assert loop.shares().items() >= before.items()
    today = midnights_of(clock(), ZONE, 1)[0]
    assert loop.asked[-1][1] == today
    # Begun with the wrong clock, the year is there as soon as that is right.
    monkeypatch.setattr(time, "time", lambda: clock() + off)
    late = Watched(prometheus)
    late.shares()
    monkeypatch.setattr(time, "time", clock)
    found = late.shares()
    assert {key: {day: share for day, share in days.items() if day in before[key]} for key, days in found.items()
            if key in before} == before  # fmt: skip


def test_a_day_that_a_wrong_clock_took_for_over_is_asked_for_when_it_is(
    prometheus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.time
    today = midnights_of(clock(), ZONE, 1)[0]
    loop = Watched(prometheus)
    for off in (2 * DAY, 0.0, DAY):  # ahead, right, and right a day later
        monkeypatch.setattr(time, "time", lambda off=off: clock() + off)
        loop.shares()
        assert any(first <= today <= last for first, last in loop.asked)
    loop.shares()
    assert loop.asked == [(today + DAY, today + DAY)]


def test_a_first_answer_that_was_empty_is_no_last_word(
    prometheus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Watched(prometheus)
    loop.nothing = True
    assert loop.shares() == {}
    assert "尚无可用率历史" in loop.reading.message
    loop.nothing = False
    known = loop.shares()
    assert sum(len(days) for days in known.values()) == len([one for one in RECORDED if one[2] < DAYS])
    # What is still empty is not asked for each time, but now and then.
    loop.shares()
    assert len(loop.asked) == 1
    monkeypatch.setattr(history, "EMPTY_AGAIN", 0.0)
    assert loop.shares() == known
    assert len(loop.asked) > 12
    assert max(last - first for first, last in loop.asked) <= 30 * DAY


def test_without_a_prometheus_the_page_says_so(lab: City) -> None:
    loop = HistoryLoop(f"http://127.0.0.1:{free_port()}", lambda: ZONE)
    asyncio.run(loop.ask())
    assert loop.reading.trouble is Trouble.FAILED
    state = snapshot(lab, probes(lab, set()))
    html = render(state, NOW.timestamp(), path="county/360902", history=loop.reading) or ""
    assert "历史不可用：无法查询Prometheus" in text_of(html, "history")
    assert "历史不可用：无法查询Prometheus" in text_of(
        render(state, NOW.timestamp(), history=loop.reading) or "", "counties"
    )
    none = render(state, NOW.timestamp(), path="county/360902") or ""
    assert "未配置Prometheus地址" in text_of(none, "history")
    assert "正常" in text_of(none, "verdict")  # what is known now does not depend on the past


def test_what_is_no_prometheus_is_said_too(tmp_path: Path) -> None:
    port = free_port()
    command = ["python3", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            end = time.monotonic() + 180
            while time.monotonic() < end:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            loop = HistoryLoop(f"http://127.0.0.1:{port}", lambda: ZONE)
            asyncio.run(loop.ask())
        finally:
            server.terminate()
    assert loop.reading.trouble is Trouble.FAILED
    assert loop.reading.value is None


def test_a_strip_shows_bad_days_lower_and_says_them(lab: City) -> None:
    now = NOW.timestamp()
    starts = [end - DAY for end in midnights_of(now, ZONE, DAYS)]
    shares = dict.fromkeys(starts[-10:], 1.0) | {starts[-5]: 0.99, starts[-4]: 0.2}
    (strip,) = strips_of(History({("360902", "ipv6"): shares}), lab, now, ZONE)["360902"]
    paths = dict(strip.paths)
    assert paths["ok"].startswith(f"M{DAYS - 10} 0h5v20h-5z")
    assert paths["warning"] == f"M{DAYS - 5} {20 - HEIGHTS['warning']}h1v{HEIGHTS['warning']}h-1z"
    assert paths["critical"] == f"M{DAYS - 4} {20 - HEIGHTS['critical']}h1v{HEIGHTS['critical']}h-1z"
    assert len({*HEIGHTS.values()}) == len(HEIGHTS)  # told apart without colour
    assert re.search(r"达标8天，未达标1天，低于95%1天；最低为\d\d-\d\d的20\.00%$", strip.label)
    assert strip.figure == "IPv6 91.90%"


def test_a_year_is_short_on_the_page(lab: City) -> None:
    now = NOW.timestamp()
    starts = [end - DAY for end in midnights_of(now, ZONE, DAYS)]
    sites = [key for key, site in lab.sites.items() if site.level == "county"]
    alternating = {start: 1.0 if number % 2 else 0.9 for number, start in enumerate(starts)}
    shares = {(site, family): alternating for site in sites for family in ("ipv4", "ipv6")}
    state = snapshot(lab, probes(lab, set()))
    with_history = render(state, now, history=Reading(History(shares), now, now, 0, None)) or ""
    without = render(state, now) or ""
    assert len(with_history) - len(without) < 9000 * len(shares)  # the worst that can be
