"""The status page's other pages: down to the villages, by unit, backups with databases, security, drills, the map."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from checks.availability.targets import unprobed_of
from checks.backup_databases import evaluate
from checks.drills.record import DrillRecord, Measured
from checks.record import Record, Status, timestamp
from checks.security.controls import load_controls
from exporters.places import county_names, places, site_path
from exporters.status import city_map
from exporters.status.databases import databases_view
from exporters.status.divisions import Divisions
from exporters.status.network import network_view
from exporters.status.page import render
from exporters.status.states import State
from inventories.load import load_city
from inventories.picture.style import INK, SOFT
from inventories.records import City, Level
from tests.exporters.status_data import NOW, ROOT, job, page, probes, reading, snapshot, text_of

STYLE = ROOT / "exporters" / "status" / "style.css"


@pytest.fixture(scope="module")
def lab() -> City:
    return load_city(ROOT / "inventories" / "lab")


@pytest.fixture(scope="module")
def yichun() -> City:
    return load_city(ROOT / "inventories" / "yichun")


def division_of(city: City, node: str) -> str:
    return city.sites[city.nodes[node].site].division


def without_node(city: City, node: str) -> City:
    """The city before a node was built."""
    links = {key: link for key, link in city.links.items() if node not in (link.a, link.b)}
    nodes = {key: one for key, one in city.nodes.items() if key != node}
    return msgspec.structs.replace(city, nodes=nodes, links=links)


def links_of(html: str) -> list[str]:
    return re.findall(r'<a [^>]*?href="([^"?#]*)"', html)


# Down to the villages.


def test_every_level_says_both_families_and_the_way_back(lab: City) -> None:
    dead = {("yufang", "ipv6")}
    county = page(lab, dead, f"county/{division_of(lab, 'yuanzhou')}")
    below = text_of(county, "below")
    assert re.search(r"部分不可达 慈化镇 2/2 5/5 100% 4/5 80%", below)
    township = page(lab, dead, f"township/{division_of(lab, 'cihua')}")
    assert re.search(
        r"IPv6不通 余坊村委会 — 1/1 100% 0/1 0%|部分不可达 余坊村委会", text_of(township, "below")
    )
    village = page(lab, dead, f"village/{division_of(lab, 'yufang')}")
    assert "余坊村接入路由器" in text_of(village, "own")
    assert text_of(village).count("超时无应答") == 1  # once: nothing lies below it
    way = village[village.index('class="crumbs"') :]
    way = way[: way.index("</nav>")]
    assert links_of(way) == [
        "../",
        f"../city/{lab.layout.division}",
        f"../county/{division_of(lab, 'yuanzhou')}",
        f"../township/{division_of(lab, 'cihua')}",
    ]


def test_what_is_planned_and_not_built_is_no_fault(lab: City) -> None:
    code = division_of(lab, "yufang")
    smaller = without_node(lab, "yufang")
    for client in [key for key in lab.nodes if lab.nodes[key].site == lab.nodes["yufang"].site]:
        smaller = without_node(smaller, client) if client in smaller.nodes else smaller
    township = page(smaller, set(), f"township/{division_of(lab, 'cihua')}")
    assert "规划未建 余坊村委会" in text_of(township, "below")
    assert "建成1个，规划未建1个" in text_of(township, "verdict")
    assert "正常" in text_of(township, "verdict")
    village = page(smaller, set(), f"village/{code}")
    assert "规划未建" in text_of(village, "verdict")
    assert "没有探测目标" in text_of(village, "own")


def test_a_county_without_a_family_is_critical_and_its_townships_are_warnings(yichun: City) -> None:
    dead = {(node, "ipv6") for node, place in places(yichun).items() if place.county == "360926"}
    network = network_view(yichun, places(yichun), probes(yichun, dead))
    divisions = Divisions(yichun, network)
    found = divisions.page("county", "360926")
    assert found is not None
    assert (found.itself.state, found.itself.trouble) == (State.CRITICAL, "IPv6不通")
    assert {one.state for one in found.below} == {State.WARNING}
    assert found.itself.ipv6.well == 0 < found.itself.ipv4.well == found.itself.ipv4.total


def test_what_is_worst_comes_first_and_what_is_planned_last(lab: City, yichun: City) -> None:
    last = [code for code, one in yichun.divisions.items() if one.parent == "360902103"][-1]
    dead = {(key, "ipv4") for key, node in yichun.nodes.items() if yichun.sites[node.site].division == last}
    divisions = Divisions(yichun, network_view(yichun, places(yichun), probes(yichun, dead)))
    assert divisions.children("360902103")[0].code == last
    router = next(key for key in lab.nodes if lab.nodes[key].site == lab.nodes["cihua-juwei"].site)
    smaller = without_node(lab, router)
    dead = {("yufang", "ipv6")}
    found = Divisions(smaller, network_view(smaller, places(smaller), probes(smaller, dead)))
    below = found.children(division_of(lab, "cihua"))
    assert [one.is_built for one in below] == [True, False]
    assert below[0].state is State.WARNING


def test_functional_zones_are_counties_and_every_division_has_a_page(yichun: City) -> None:
    divisions = Divisions(yichun, network_view(yichun, places(yichun), probes(yichun, set())))
    assert len(divisions.children(yichun.layout.division)) == 13
    assert divisions.page("county", "360902400") is not None
    assert divisions.page("township", "360902400") is None
    seen: dict[str, int] = {}
    waiting = [yichun.layout.division]
    while waiting:
        for one in divisions.children(waiting.pop()):
            seen[one.level] = seen.get(one.level, 0) + 1
            waiting.append(one.code)
    assert seen == {"county": 13, "township": 216, "village": 2794}


def test_no_link_leads_nowhere(lab: City, drill: Callable[..., DrillRecord]) -> None:
    """Every page that a page leads to is there, from the first one on; what the exporter serves besides is known."""
    state = snapshot(
        lab, probes(lab, set()), backup=reading(job("gov-service@cloud-1", 600)), drill=reading([drill()])
    )
    seen, waiting = {""}, [""]
    while waiting:
        path = waiting.pop()
        html = render(state, NOW.timestamp(), path=path)
        assert html is not None, path
        for link in links_of(html):
            where = link.removeprefix("./").replace("../", "")
            assert link.count("../") == path.count("/"), (path, link)
            if where not in seen and where not in ("metrics", "status.json", f"drill/{drill().id}"):
                seen.add(where)
                waiting.append(where)
    divisions = [
        code for code, one in lab.divisions.items() if one.level in ("county", "township", "village")
    ]
    inside = [code for code in divisions if code.startswith(lab.layout.division)]
    assert {path.partition("/")[2] for path in seen} >= set(inside)
    assert {"units", "backups", "security", "drills"} < seen


def test_there_is_no_page_of_what_is_not_there(lab: City) -> None:
    state = snapshot(lab, None)
    for path in ("county/999999", "county/", "village/360902", "unit/nobody", "nothing", "county/360902/x"):
        assert render(state, NOW.timestamp(), path=path) is None, path


def test_pages_stand_before_the_first_round(lab: City) -> None:
    for path in ("", "county/360902", "units", "backups", "security", "drills"):
        html = render(snapshot(lab, None), NOW.timestamp(), path=path)
        assert html is not None
    assert "等待首轮探测" in (render(snapshot(lab, None), NOW.timestamp(), path="county/360902") or "")


def test_a_target_leads_to_where_it_stands(lab: City) -> None:
    assert site_path(lab, lab.nodes["yufang"].site) == f"village/{division_of(lab, 'yufang')}"
    assert site_path(lab, lab.nodes["cloud-1"].site) == f"city/{lab.layout.division}"
    failures = page(lab, {("yufang", "ipv4")})
    failures = failures[failures.index('id="failures"') : failures.index('id="map"')]
    assert f"village/{division_of(lab, 'yufang')}" in links_of(failures)


# By unit, backups, security, drills.


def test_a_units_page_has_its_systems_with_both_families_and_backups(lab: City) -> None:
    system = lab.systems["collab-office"]
    html = page(
        lab,
        {("collab-office", "ipv6")},
        f"unit/{system.owners[0]}",
        backup=reading(job("collab-office@xinchuang-1", 600)),
    )
    text = text_of(html, "systems")
    row = text[text.index(system.name) :]
    assert "超时无应答" in row
    assert "collab-office" in row
    assert "注意" in text
    assert "市数据局" in text_of(page(lab, set(), "units"), "units")


def test_a_system_that_is_not_probed_says_why(yichun: City) -> None:
    state = snapshot(yichun, [])
    inventory = state.inventory.value
    assert inventory is not None
    state = replace(state, inventory=reading(inventory._replace(unprobed=unprobed_of(yichun))))
    police = next(
        one for one in yichun.systems.values() if one.network == "police" and one.hosted_by != "nobody"
    )
    html = render(state, NOW.timestamp(), path=f"unit/{police.owners[0]}")
    assert html is not None
    assert "在公安网，不探测" in text_of(html, "systems")


def test_databases_show_each_repository(lab: City) -> None:
    records = evaluate(lab, {}, NOW)
    clusters = {record.subject for record in records}
    assert clusters  # the lab keeps one continuously
    missing = page(lab, set(), "backups", backup=reading(records))
    assert "没有执行记录" in text_of(missing, "databases")
    well = [msgspec.structs.replace(record, status=Status.PASS, value=600.0, reason="") for record in records]
    text = text_of(page(lab, set(), "backups", backup=reading(well)), "databases")
    repositories = [record.check for record in records if record.check.startswith("database-restorable:")]
    assert text.count("10分前") == 3 * len(repositories) + len(clusters)
    verdict = text_of(page(lab, set(), backup=reading(records)), "verdict")
    assert f"数据库 {min(clusters)}" in verdict or "另有" in verdict
    assert databases_view(well)[0].state is State.OK
    asked_in_vain = evaluate(lab, dict.fromkeys(lab.nodes, "no route"), NOW)
    assert {one.state for one in databases_view(asked_in_vain)} == {State.UNKNOWN}


def test_security_has_every_severity_and_all_findings(lab: City) -> None:
    records = [
        Record(
            subject=f"host-{number}",
            check=control.id,
            family="none",
            status=Status.FAIL,
            value="noncompliant",
            at=timestamp(NOW),
            evidence="",
        )
        for control in load_controls()
        for number in range(3)
    ]
    html = page(lab, set(), "security", security=reading(records))
    findings = html[html.index('id="findings"') :]
    assert findings.count("<tr>") == 1 + len(load_controls())
    assert f"{3 * len(load_controls())}项次" in text_of(html, "security")


def test_every_drill_record_is_listed_and_an_old_one_is_not_overdue(
    lab: City, drill: Callable[..., DrillRecord]
) -> None:
    old = drill(id="old", started_at="2024-01-01T09:00:00.000+08:00", next_due_at="2024-06-01T09:00:00+08:00")
    slow = Measured(rto_seconds=901, rto_objective_seconds=900, rpo_seconds=0, rpo_objective_seconds=60)
    new = drill(id="new", measured=slow)
    html = page(lab, set(), "drills", drill=reading([old, new]))
    records = text_of(html, "records")
    assert records.index("new") < records.index("old")
    assert "未达到RTO目标" in records
    assert "逾期" not in records
    assert "15分1秒 / 15分" in records
    assert {"drill/old", "drill/new"} <= set(links_of(html))
    overdue = text_of(page(lab, set(), "drills", drill=reading([old])), "drills")
    assert "已逾期未演练" in overdue


# The map.


def drawn(city: City, dead: set[tuple[str, str]]) -> ElementTree.Element:
    network = network_view(city, places(city), probes(city, dead))
    return ElementTree.fromstring(city_map.city_map(city, network, Divisions(city, network)))


def said(svg: ElementTree.Element, group: str) -> str:
    found = next(one for one in svg.iter() if one.get("id") == group)
    return " ".join(text for one in found.iter() for text in (one.text or "").split())


def test_the_map_says_states_in_words_and_leads_to_counties(yichun: City) -> None:
    dead = {(node, "ipv6") for node, place in places(yichun).items() if place.county == "360926"}
    svg = drawn(yichun, dead)
    counties = {key: site for key, site in yichun.sites.items() if site.level is Level.COUNTY}
    assert len(counties) == len(county_names(yichun)) == 13
    for key, site in counties.items():
        words = said(svg, f"county-{key}")
        assert ("故障" if site.division == "360926" else "正常") in words
        link = next(
            one
            for one in svg.iter()
            if one.tag.endswith("}a") and f"county/{site.division}" == one.get("href")
        )
        assert link is not None
    assert "IPv6 0/128" in said(svg, "county-360926")
    assert "IPv6不通" in said(svg, "county-360926")  # the townships that it names
    assert "另有10处异常" in said(svg, "county-360926")


def test_a_dead_core_shows_on_its_plane(lab: City) -> None:
    svg = drawn(lab, {("core-b", "ipv4"), ("core-b", "ipv6")})
    assert "正常" in said(svg, "core-a")
    assert "故障" in said(svg, "core-b")
    assert "IPv4 0/1 · IPv6 0/1" in said(svg, "core-b")


def test_signs_differ_in_shape() -> None:
    """Without any colour the four states are four drawings."""
    forms = {state: [type(shape).__name__ for shape in city_map.sign(state, 0, 0, "x")] for state in State}
    assert len({tuple(form) for form in forms.values()}) == len(State)


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb` (WCAG 2.1)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_the_map_and_the_sheet_is_aa() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for style in (*city_map.COLOURS.values(), city_map.PLANNED):
        assert contrast(style.ink, style.ground) >= 4.5, style
    for ink in (INK, SOFT):
        assert contrast(ink, "#ffffff") >= 4.5
    sheet = STYLE.read_text()
    named = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", sheet))
    for state in State:
        assert contrast(named[state], named["paper"]) >= 4.5
        assert contrast(named[state], named[f"{state}-soft"]) >= 4.5
        assert city_map.COLOURS[state].ground == named[state]  # one colour a state on map and page
    for line in ("s-ok", "s-warning", "s-critical"):  # graphics: 3:1 (WCAG 2.1, 1.4.11)
        value = re.search(rf"\.{line} {{ fill: ([^;]+);", sheet)
        assert value
        colour = named[value[1][6:-1]] if value[1].startswith("var") else value[1]
        assert contrast(colour, named["paper"]) >= 3, line
    outline = re.search(r"outline: 3px solid (#[0-9a-f]{6}).*box-shadow: 0 0 0 6px (#[0-9a-f]{6})", sheet)
    assert outline
    for ground in (named["paper"], named["ground"], named["brand"]):
        assert max(contrast(outline[1], ground), contrast(outline[2], ground)) >= 3


def test_no_template_takes_an_asset_from_outside() -> None:
    for file in Path(STYLE.parent).glob("*.j2"):
        assert not re.search(r"https?://|<script|@import|url\(", file.read_text()), file
