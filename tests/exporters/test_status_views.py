"""Down in the county, or only unreachable from the city: what a real storage holds of a county's agent, on the page."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from pathlib import Path

import pytest

from deploy.operations.storage import arguments
from exporters.inside import Inside, InsideLoop
from exporters.readings import Reading, Trouble
from exporters.status.page import render
from inventories.load import load_city
from inventories.records import City
from tests.exporters.daemons import free_port, running
from tests.exporters.status_data import NOW, ROOT, probes, snapshot, text_of

#: What the city cannot reach, and what lies in the storage of it: shard, value, seconds ago.
WRITTEN = {
    ("yufang", "ipv4"): ("360902", 1, 20),
    ("yufang", "ipv6"): ("360902", 0, 20),
    ("cihua", "ipv4"): ("360902", 1, 600),  # of before the county was cut off
    ("cihua", "ipv6"): ("", 1, 20),  # the city's own
}


@pytest.fixture(scope="module")
def lab() -> City:
    return load_city(ROOT / "inventories" / "lab")


def shown(city: City, reading: Reading[Inside] | None, path: str = "county/360902") -> str:
    return (
        render(snapshot(city, probes(city, set(WRITTEN))), NOW.timestamp(), path=path, inside=reading) or ""
    )


def rows(html: str) -> set[tuple[str, str, str]]:
    """Verdict, node and family of each row."""
    section = html[html.index('id="views"') :]
    cells = [
        [" ".join(text_of(cell).split()) for cell in re.findall(r"<td.*?</td>", row, re.S)]
        for row in re.findall(r"<tr.*?</tr>", section[: section.index("</section>")], re.S)
    ]
    return {(one[0], one[1].split()[-1], one[2]) for one in cells if one}


def test_the_page_says_where_it_is_down(lab: City, tmp_path: Path) -> None:
    port = free_port()
    now = time.time()
    lines = [
        "jizuo_probe_success{"
        f'subject="{subject}",check="icmp",family="{family}",county="360902",shard="{shard}"'
        f"}} {value} {(now - ago) * 1000:.0f}"
        for (subject, family), (shard, value, ago) in WRITTEN.items()
    ]
    serve = ["victoria-metrics", *arguments(str(tmp_path), 25, f"127.0.0.1:{port}")]
    with running(serve, f"http://127.0.0.1:{port}", "/health") as url:
        text = "\n".join([*lines, ""]).encode()
        urllib.request.urlopen(f"{url}/api/v1/import/prometheus", data=text, timeout=20).close()
        urllib.request.urlopen(f"{url}/internal/force_flush", timeout=20).close()
        loop = InsideLoop(url)
        asyncio.run(loop.ask())
    assert loop.reading.well, loop.reading.message
    assert rows(shown(lab, loop.reading)) == {
        ("县内可达，仅市级不可达", "yufang", "IPv4"),
        ("县内也不可达", "yufang", "IPv6"),
        ("县内数据未到", "cihua", "IPv4"),
        ("县内数据未到", "cihua", "IPv6"),
    }
    # A storage that no longer answers knows nothing, and what it said before is not said again.
    asyncio.run(loop.ask())
    assert loop.reading.trouble is Trouble.FAILED
    assert {verdict for verdict, _, _ in rows(shown(lab, loop.reading))} == {"县内数据未到"}


def test_nothing_is_compared_where_there_is_nothing_to_compare(lab: City) -> None:
    nothing = Reading(Inside({}), 0, 0, 0, None)
    assert 'id="views"' not in shown(lab, None), "no storage is asked"
    assert 'id="views"' not in shown(lab, nothing, "county/360981"), "that county has no agent"
    assert 'id="views"' not in shown(lab, nothing, "city/3609"), (
        "a city's page has no list of all its villages twice"
    )
    well = (
        render(snapshot(lab, probes(lab, set())), NOW.timestamp(), path="county/360902", inside=nothing) or ""
    )
    assert 'id="views"' not in well
