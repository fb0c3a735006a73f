"""The network's picture: what it shows, and that a person can read it."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import msgspec
import pytest

from inventories.load import load_city
from inventories.picture.as_svg import render_svg
from inventories.picture.pictures import city_picture, county_picture
from inventories.plan import build_plan
from inventories.records import (
    City,
    Family,
    Level,
    Link,
    LinkKind,
    Node,
    NodeRole,
    Plane,
    PrivateNetwork,
    Site,
    SiteRole,
)

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def with_everything(city: City) -> City:
    """The city, which has a province and a border, with a private network and a host of the internet too."""
    nodes = {
        "internet-1": Node(id="internet-1", site="border", role=NodeRole.CLIENT),
        "office-1": Node(id="office-1", site="360981", role=NodeRole.CLIENT, name="丰城市卫健委终端"),
    }
    links = [
        Link(id="border-i1", a="border-1", b="internet-1", kind=LinkKind.ACCESS),
        Link(id="fc-h1", a="r360981", b="office-1", kind=LinkKind.ACCESS, network="health"),
    ]
    network = PrivateNetwork(
        id="health",
        unit=next(iter(city.units)),
        vni=1001,
        ipv4="198.51.100.0/24",
        ipv6="3fff:100::/48",
        name="卫生健康专网",
    )
    return msgspec.structs.replace(
        city,
        nodes=city.nodes | nodes,
        links=city.links | {link.id: link for link in links},
        networks={"health": network},
    )


@pytest.fixture(scope="module")
def lab() -> City:
    return load_city(ROOT / "inventories" / "lab")


@pytest.fixture(scope="module")
def yichun() -> City:
    return load_city(ROOT / "inventories" / "yichun")


def picture(city: City, county: str = "") -> str:
    plan = build_plan(city)
    return render_svg(county_picture(city, plan, city.sites[county]) if county else city_picture(city, plan))


@pytest.fixture(scope="module")
def pictures(lab: City, yichun: City) -> dict[str, str]:
    return {
        "lab": picture(lab),
        "lab-county": picture(lab, "360902"),
        "yichun": picture(yichun),
        "yichun-everything": picture(with_everything(yichun)),
        "fengcheng": picture(yichun, "360981"),
        "fengcheng-everything": picture(with_everything(yichun), "360981"),
        "jingan": picture(yichun, "360925"),
        "zone": picture(yichun, "360902400"),
    }


NAMES = (
    "lab",
    "lab-county",
    "yichun",
    "yichun-everything",
    "fengcheng",
    "fengcheng-everything",
    "jingan",
    "zone",
)


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float
    text: str = ""
    fill: str = ""
    size: float = 0

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def words(element: ElementTree.Element) -> str:
    """The visible text: that of the element without its title."""
    return (element.text or "") + "".join(child.tail or "" for child in element)


def text_box(element: ElementTree.Element) -> Box:
    """1 em for a Chinese character, 0.6 em for any other; from the top of an ideograph to its foot."""
    text, size = words(element), float(element.get("font-size", "0"))
    width = size * sum(1 if unicodedata.east_asian_width(one) in "WF" else 0.6 for one in text)
    x, y = float(element.get("x", "")), float(element.get("y", ""))
    left = x - width * {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor", "start")]
    return Box(left, y - 0.88 * size, left + width, y + 0.12 * size, text, element.get("fill", ""), size)


def rect_box(element: ElementTree.Element) -> Box:
    x, y = float(element.get("x", "0")), float(element.get("y", "0"))
    width, height = float(element.get("width", "")), float(element.get("height", ""))
    return Box(x, y, x + width, y + height, fill=element.get("fill", ""))


def texts(svg: str) -> list[Box]:
    return [text_box(element) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def overlaps(boxes: list[Box]) -> Iterator[tuple[str, str]]:
    boxes = sorted(boxes, key=lambda box: box.top)
    for number, box in enumerate(boxes):
        for other in boxes[number + 1 :]:
            if other.top >= box.bottom:
                break
            if box.meets(other):
                yield box.text, other.text


@pytest.mark.parametrize("name", NAMES)
def test_no_words_overlap_and_all_stand_in_their_card(pictures: dict[str, str], name: str) -> None:
    root = ElementTree.fromstring(pictures[name])
    boxes = texts(pictures[name])
    assert len(boxes) > 20
    assert list(overlaps(boxes)) == []
    whole = Box(0, 0, float(root.get("width", "")), float(root.get("height", "")))
    assert whole.right <= 1366
    assert [box.text for box in boxes if not whole.holds(box)] == []
    for group in root.iter(f"{SVG}g"):
        first = group.find(f"{SVG}rect")
        if first is not None and group.get("id") not in ("ground", "legend", "links"):
            card = rect_box(first)
            outside = [text for text in map(text_box, group.iter(f"{SVG}text")) if not card.holds(text)]
            assert outside == [], group.get("id")


@pytest.mark.parametrize("name", NAMES)
def test_cards_do_not_overlap_and_no_line_runs_through_words(pictures: dict[str, str], name: str) -> None:
    root = ElementTree.fromstring(pictures[name])
    cards = [
        rect_box(rect)._replace(text=group.get("id", ""))
        for group in root.iter(f"{SVG}g")
        if group.get("id") not in ("ground", "legend", "links")
        and (rect := group.find(f"{SVG}rect")) is not None
    ]
    assert list(overlaps(cards)) == []
    segments = [
        Box(min(x1, x2), min(y1, y2), max(x1, x2) + 0.1, max(y1, y2) + 0.1)
        for line in root.iter(f"{SVG}polyline")
        for (x1, y1), (x2, y2) in itertools.pairwise(
            tuple(map(float, point.split(","))) for point in line.get("points", "").split()
        )
    ]
    assert len(segments) > 5
    for text in texts(pictures[name]):
        assert not any(text.meets(segment) for segment in segments), text


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", NAMES)
def test_words_stand_out_from_what_is_behind_them(pictures: dict[str, str], name: str) -> None:
    """WCAG 2.1, success criterion 1.4.3: at least 4.5 to 1."""
    behind: list[Box] = []
    seen = 0
    for element in ElementTree.fromstring(pictures[name]).iter():
        if element.tag == f"{SVG}rect":
            behind.append(rect_box(element))
        elif element.tag == f"{SVG}text":
            box = text_box(element)
            middle = Box((box.left + box.right) / 2, (box.top + box.bottom) / 2, 0, 0)
            point = middle._replace(right=middle.left, bottom=middle.top)
            ground = next(rect for rect in reversed(behind) if rect.holds(point))
            light, dark = sorted((luminance(box.fill), luminance(ground.fill)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (box.text, box.fill, ground.fill)
            assert box.size >= 11
            seen += 1
    assert seen > 20


def labels(svg: str) -> list[str]:
    return [box.text for box in texts(svg)]


def test_the_lab_is_drawn_whole(lab: City, pictures: dict[str, str]) -> None:
    shown = "\n".join(labels(pictures["lab"]))
    plan = build_plan(lab)
    for node in lab.nodes.values():
        site = lab.sites[node.site]
        # the router of an access site is drawn as its division, with its id and addresses below
        named = node.role is not NodeRole.ROUTER or site.role is not SiteRole.ACCESS
        assert (node.name if named else lab.divisions[site.division].name) in shown
        for family in Family:
            assert str(plan.host(node.id, family)) in shown
    assert "卫生健康专网" in shown
    assert "县级2个 · 乡级1个 · 村级2个" in shown


def test_a_whole_city_shows_every_township_with_its_villages(yichun: City, pictures: dict[str, str]) -> None:
    root = ElementTree.fromstring(pictures["yichun"])
    for county in (site for site in yichun.sites.values() if site.level is Level.COUNTY):
        card = next(group for group in root.iter(f"{SVG}g") if group.get("id") == f"county-{county.id}")
        found = [words(text) for text in card.iter(f"{SVG}text")]
        assert yichun.divisions[county.division].name in "".join(found)
        joined = "".join(found)
        for township in (site for site in yichun.sites.values() if site.parent == county.id):
            name = yichun.divisions[township.division].name
            for piece in re.findall(r".{1,4}", name):  # a long name is broken over lines
                assert piece in joined
        below = [site for site in yichun.sites.values() if site.parent == county.id]
        villages = sorted(
            sum(site.parent == township.id for site in yichun.sites.values())
            for township in below
            if township.level is Level.TOWNSHIP
        )
        numbers = sorted(int(text) for text in found if text.isdigit())
        assert numbers == [number for number in villages if number]


def test_a_county_shows_every_township_and_village_by_name(yichun: City, pictures: dict[str, str]) -> None:
    names = labels(pictures["fengcheng"])
    joined = "\n".join(names)
    below = {key for key, site in yichun.sites.items() if site.parent == "360981"}
    villages = [site for site in yichun.sites.values() if site.parent in below]
    assert len(villages) == 609
    for site in [*villages, *(yichun.sites[key] for key in below)]:
        name = yichun.divisions[site.division].name
        assert name in names or name in joined.replace("\n", "")
    assert "乡级34个 · 村级609个 · 节点644个" in names
    plan = build_plan(yichun)
    assert str(plan.link_prefix("u360981-a", Family.IPV6)) in joined
    assert str(plan.loopback("r360925100201", Family.IPV6)) in "\n".join(labels(pictures["jingan"]))


def lines_to(svg: str, router: str) -> list[tuple[str, str]]:
    """Colour and dashes of the lines that lead up from a router."""
    return [
        (line.get("stroke", ""), line.get("stroke-dasharray", ""))
        for line in ElementTree.fromstring(svg).iter(f"{SVG}polyline")
        if f" - {router} " in (line.findtext(f"{SVG}title") or "")
    ]


def test_the_planes_are_told_apart_by_colour_and_without(yichun: City, pictures: dict[str, str]) -> None:
    for router in ("r360981", "cloud-1", "r360902403"):
        a, b = lines_to(pictures["yichun"], router)
        assert a[0] != b[0]
        assert not a[1]
        assert b[1]
    assert {"城域核心 · A平面", "城域核心 · B平面"} <= set(labels(pictures["yichun"]))


def test_a_plane_or_a_site_that_is_missing_shows(yichun: City) -> None:
    links = {
        key: link
        for key, link in yichun.links.items()
        if key not in ("u360981-b", "cloud-2-a", "cloud-3-a", "cloud-3-b")
    }
    routers = {key: node for key, node in yichun.nodes.items() if key != "r360902403"}
    links = {key: link for key, link in links.items() if link.a in routers and link.b in routers}
    city = msgspec.structs.replace(yichun, nodes=routers, links=links)
    svg = picture(city)
    assert len(lines_to(svg, "r360981")) == 1
    root = ElementTree.fromstring(svg)

    def of(group: str) -> list[str]:
        card = next(one for one in root.iter(f"{SVG}g") if one.get("id") == group)
        return [words(text) for text in card.iter(f"{SVG}text")]

    assert "缺B平面" in of("county-360981")
    assert "缺B平面" not in of("county-360925")
    assert of("site-cloud").count("缺A平面") == 1
    assert of("site-cloud").count("未连接") == 1
    assert "未建" in of("county-360902403")
    assert "未连接" in of("county-360902403")  # its village's router leads nowhere
    assert list(overlaps(texts(svg))) == []


def test_what_a_city_has_not_is_not_drawn(pictures: dict[str, str]) -> None:
    everything = "\n".join(labels(pictures["yichun-everything"]))
    for name in ("省级骨干 · 江西省", "互联网接入区", "卫生健康专网", "province-1-b"):
        assert name in everything
    assert "未连接" not in labels(pictures["yichun-everything"])  # but for the legend's words
    whole = load_city(ROOT / "tests" / "inventories" / "small_city")
    bare = without_neighbours(whole)
    names = ("省级骨干 · 江西省", "互联网接入区", "卫生健康专网")
    drawn, shown = ("\n".join(labels(picture(city))) for city in (whole, bare))
    assert all(name in drawn for name in names)
    assert not any(name in shown for name in names)
    assert "None" not in shown


def without_neighbours(city: City) -> City:
    """The city without province, border and private networks."""
    gone = {site.id for site in city.sites.values() if site.role in (SiteRole.PROVINCE, SiteRole.BORDER)}
    private = {link.b for link in city.links.values() if link.network}
    nodes = {name: node for name, node in city.nodes.items() if node.site not in gone and name not in private}
    return msgspec.structs.replace(
        city,
        sites={name: site for name, site in city.sites.items() if name not in gone},
        nodes=nodes,
        links={name: link for name, link in city.links.items() if {link.a, link.b} <= set(nodes)},
        networks={},
        policy=None,
    )


def test_names_from_files_are_escaped(lab: City) -> None:
    name = '<script>alert("1")</script>&\''
    nodes = {**lab.nodes, "cloud-1": msgspec.structs.replace(lab.nodes["cloud-1"], name=name)}
    layout = msgspec.structs.replace(lab.layout, name=name)
    svg = picture(msgspec.structs.replace(lab, nodes=nodes, layout=layout))
    assert "<script" not in svg
    assert f"{name}电子政务外网拓扑" in labels(svg)


def test_it_speaks_to_who_cannot_see_it_and_needs_nothing_else(pictures: dict[str, str]) -> None:
    for svg in pictures.values():
        root = ElementTree.fromstring(svg)
        assert root.findtext(f"{SVG}title")
        assert "个" in (root.findtext(f"{SVG}desc") or "")
        groups = list(root.iter(f"{SVG}g"))
        assert all(group.get("aria-label") for group in groups)
        ids = [element.get("id") for element in root.iter() if element.get("id")]
        assert len(ids) == len(set(ids))
        assert not re.search(r"href|url\(|<image|<style|@import|<script", svg)
        assert len(svg) < 1_000_000


def test_the_same_inventory_gives_the_same_bytes(pictures: dict[str, str]) -> None:
    for seed in ("1", "2"):
        made = subprocess.run(
            [
                sys.executable,
                "-c",
                "from inventories.topology_cli import topology; topology(['inventories/lab'])",
            ],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        )
        assert made.stdout.decode() == pictures["lab"]


#: Words that overlap, or are wider than the card that they stand in, with the fonts of the machine.
MEASURE = """
const boxes = [...document.querySelectorAll("text")].map(e => {
  const b = e.getBBox(), size = parseFloat(e.getAttribute("font-size")), y = parseFloat(e.getAttribute("y"));
  return {text: e.lastChild.textContent, left: b.x, right: b.x + b.width, top: y - 0.88 * size,
          bottom: y + 0.12 * size, card: e.parentElement.querySelector(":scope > rect")?.getBBox(),
          id: e.parentElement.id};
}).sort((a, b) => a.top - b.top);
const overlaps = [];
boxes.forEach((a, n) => { for (let m = n + 1; m < boxes.length && boxes[m].top < a.bottom; m++) {
  const b = boxes[m];
  if (a.left < b.right && b.left < a.right) overlaps.push([a.text, b.text]); } });
const outside = boxes.filter(b => b.card && !["ground", "legend"].includes(b.id)
  && (b.left < b.card.x || b.right > b.card.x + b.card.width)).map(b => b.text);
document.documentElement.textContent = JSON.stringify({seen: boxes.length, overlaps, outside});
"""


@pytest.mark.chromium
def test_a_browser_with_real_fonts_agrees(pictures: dict[str, str], tmp_path: Path) -> None:
    for name, svg in pictures.items():
        page = tmp_path / f"{name}.svg"
        page.write_text(
            svg.replace("</svg>", f"<script><![CDATA[{MEASURE}]]></script></svg>"), encoding="utf-8"
        )
        dumped = subprocess.run(
            [
                *["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"],
                f"--user-data-dir={tmp_path / 'profile'}",
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        ).stdout
        found = json.loads(re.sub(r"<[^>]+>", "", dumped).replace("&amp;", "&"))
        assert found == {"seen": len(texts(svg)), "overlaps": [], "outside": []}, name


def with_another_core(lab: City, planes: tuple[Plane, ...]) -> City:
    """The lab with core sites of other planes, each of two routers, and all else on the first of each."""
    sites = {key: site for key, site in lab.sites.items() if site.role is not SiteRole.CORE}
    nodes = {key: node for key, node in lab.nodes.items() if node.site in sites}
    links = {key: link for key, link in lab.links.items() if link.a in nodes and link.b in nodes}
    for plane in planes:
        site = Site(id=f"k-{plane}", division="3609", level=Level.CITY, role=SiteRole.CORE, plane=plane)
        sites[site.id] = site
        for number in (1, 2):
            nodes[f"k{number}-{plane}"] = Node(id=f"k{number}-{plane}", site=site.id, role=NodeRole.ROUTER)
        pair = Link(id=f"k-{plane}", a=f"k1-{plane}", b=f"k2-{plane}", kind=LinkKind.CORE)
        links[pair.id] = pair
        for below, kind in (("yuanzhou", LinkKind.UPLINK), ("cloud-1", LinkKind.SERVER)):
            link = Link(id=f"{below[:5]}-{plane}", a=f"k1-{plane}", b=below, kind=kind)
            links[link.id] = link
        up = Link(id=f"prov-{plane}", a="province-1", b=f"k1-{plane}", kind=LinkKind.UPLINK)
        links[up.id] = up
    return msgspec.structs.replace(lab, sites=sites, nodes=nodes, links=links, allocations={})


@pytest.mark.parametrize("planes", [(Plane.A,), (Plane.BOTH,), (Plane.A, Plane.B, Plane.BOTH)])
def test_a_core_of_other_planes_is_drawn_too(lab: City, planes: tuple[Plane, ...]) -> None:
    city = with_another_core(lab, planes)
    for county in ("", "360902"):
        svg = picture(city, county)
        assert list(overlaps(texts(svg))) == []
        shown = "\n".join(labels(svg))
        for plane in planes:
            assert f"k2-{plane}" in shown
            assert str(build_plan(city).link_prefix(f"k-{plane}", Family.IPV6)) in shown
        assert len(lines_to(svg, "yuanzhou")) == len(planes)
    root = ElementTree.fromstring(picture(city))
    fengcheng = next(group for group in root.iter(f"{SVG}g") if group.get("id") == "county-360981")
    assert "未连接" in [words(text) for text in fengcheng.iter(f"{SVG}text")]


def test_a_network_of_many_lans_is_counted_by_county(yichun: City) -> None:
    city = with_everything(yichun)
    villages = [site for site in city.sites.values() if site.level is Level.VILLAGE][:400]
    hosts = {f"h{site.id}": Node(id=f"h{site.id}", site=site.id, role=NodeRole.CLIENT) for site in villages}
    network = next(iter(city.networks))
    links = {
        f"l{site.id}": Link(
            id=f"l{site.id}", a=f"r{site.id}", b=f"h{site.id}", kind=LinkKind.ACCESS, network=network
        )
        for site in villages
    }
    wide = msgspec.structs.replace(city.networks[network], ipv4="10.0.0.0/16")
    city = msgspec.structs.replace(
        city, nodes=city.nodes | hosts, links=city.links | links, networks={network: wide}
    )
    root = ElementTree.fromstring(picture(city))
    card = next(group for group in root.iter(f"{SVG}g") if group.get("id") == f"network-{network}")
    found = [words(text) for text in card.iter(f"{SVG}text")]
    numbers = [int(text.removesuffix("处")) for text in found if re.fullmatch(r"\d+处", text)]
    assert numbers[0] == sum(numbers[1:]) == len({link.b for link in city.links.values() if link.network})
    assert "袁州区" in found
