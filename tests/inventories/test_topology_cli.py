"""The command `jizuo topology`: formats, counties, errors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from inventories.load import load_city
from inventories.picture.as_dot import render_dot
from inventories.picture.graph import graph_of
from inventories.plan import build_plan
from inventories.records import City, Level
from inventories.topology_cli import topology

ROOT = Path(__file__).parents[2]
LAB, YICHUN = ROOT / "inventories" / "lab", ROOT / "inventories" / "yichun"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(topology, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def lab() -> City:
    return load_city(LAB)


def data(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_json_has_every_node_and_link_with_both_families(lab: City) -> None:
    found = data(LAB)
    assert [node["id"] for node in found["nodes"]] == sorted(lab.nodes)
    assert [link["id"] for link in found["links"]] == sorted(lab.links)
    nodes = {node["id"]: node for node in found["nodes"]}
    assert nodes["yufang"] == {
        "id": "yufang",
        "name": "余坊村接入路由器",
        "role": "router",
        "site": "360902105201",
        "site_role": "access",
        "place": "余坊村委会",
        "level": "village",
        "plane": "both",
        "zone": "public",
        "county": "360902",
        "township": "360902105",
        "asn": nodes["yufang"]["asn"],
        "ipv4": "198.18.0.4",
        "ipv6": "2001:db8:100::4",
    }
    assert nodes["core-b"]["plane"] == "b"
    assert {nodes[node]["zone"] for node in ("health-1", "health-2")} == {"health"}
    assert nodes["internet-1"]["zone"] == "internet"
    assert nodes["border-1"]["zone"] == "public"
    links = {link["id"]: link for link in found["links"]}
    assert (links["yz-b"]["a"], links["yz-b"]["b"], links["yz-b"]["plane"]) == ("core-b", "yuanzhou", "b")
    assert links["yz-b"]["ipv4"].endswith("/31")
    assert links["yz-b"]["ipv6"].endswith("/127")
    assert links["yufang-h1"]["zone"] == "health"
    assert links["yufang-h1"]["ipv6"].startswith("3fff:100:")
    assert links["border-i1"]["ipv4"] == "203.0.113.0/24"


def test_every_link_of_a_county_has_both_its_ends() -> None:
    found = data(YICHUN, "--county", "360981")
    names = {node["id"] for node in found["nodes"]}
    assert sum(node["level"] == "village" for node in found["nodes"]) == 609
    assert {"core-a", "core-b"} <= names
    assert not any(node["county"] not in ("", "360981") for node in found["nodes"])
    assert all(link["a"] in names and link["b"] in names for link in found["links"])
    assert {"u360981-a", "u360981-b"} <= {link["id"] for link in found["links"]}


def test_a_county_may_be_named(tmp_path: Path) -> None:
    by_code, by_name = (run(YICHUN, "--county", county) for county in ("360925", "靖安县"))
    assert by_code.stdout == by_name.stdout
    assert "靖安县电子政务外网拓扑" in by_code.stdout
    zone = run(YICHUN, "--county", "360902400")  # a functional zone: a township of the statistics
    assert "北区园居委会" in zone.stdout


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [("36098", "'360983'"), ("丰城", "'丰城市'"), ("360981001", "'360981'"), ("", "jizuo inventory show")],
)
def test_an_unknown_county_suggests_the_nearest(wanted: str, hint: str) -> None:
    result = run(YICHUN, "--county", wanted)
    assert result.exit_code == 1
    assert f"no county {wanted!r}" in result.stderr
    assert "sites.csv" in result.stderr
    assert hint in result.stderr
    assert not result.stdout


def test_it_writes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "lab.svg"
    assert run(LAB, "--out", file).stderr == f"{file}: written\n"
    assert file.read_text(encoding="utf-8") == run(LAB).stdout
    assert run(LAB, "--out", file).stderr == f"{file}: unchanged\n"
    result = run(LAB, "--out", file / "below")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_a_broken_inventory_is_named(tmp_path: Path) -> None:
    city = tmp_path / "city"
    shutil.copytree(LAB, city)
    links = city / "links.csv"
    links.write_text(links.read_text().replace("yz-a,core-a", "yz-a,core-x"))
    result = run(city)
    assert result.exit_code == 1
    assert re.search(r"links\.csv:\d+:\d+: .*core-x", result.stderr)


def test_help_fits_80_columns() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


#: The DOT language as far as the kit writes it (graphviz.org/doc/info/lang.html).
_STRING = r'"(?:[^"\\]|\\.)*"'
_ATTRIBUTES = rf"\[\w+=(?:{_STRING}|\w+)(?:, \w+=(?:{_STRING}|\w+))*\]"
_STATEMENTS = {
    "open": rf"(?:graph|subgraph) {_STRING} {{",
    "close": r"}",
    "node": rf"({_STRING}) {_ATTRIBUTES};",
    "edge": rf"({_STRING}) -- ({_STRING}) {_ATTRIBUTES};",
    "default": rf"(?:node|edge) {_ATTRIBUTES};",
    "attribute": rf"\w+=(?:{_STRING}|\w+);",
}


def parsed(text: str) -> dict[str, list[tuple[str, ...]]]:
    """The statements by kind; fails for a line that is none, and for brackets that do not close."""
    found: dict[str, list[tuple[str, ...]]] = {kind: [] for kind in _STATEMENTS}
    depth = 0
    for line in text.splitlines():
        kind, match = next(
            (kind, match)
            for kind, pattern in _STATEMENTS.items()
            if (match := re.fullmatch(pattern, line.strip()))
        )
        found[kind].append(match.groups())
        depth += {"open": 1, "close": -1}.get(kind, 0)
        assert depth >= 0
    assert depth == 0
    return found


@pytest.mark.parametrize("folder", [LAB, YICHUN])
def test_dot_is_what_graphviz_reads(folder: Path) -> None:
    city = load_city(folder)
    text = run(folder, "--format", "dot").stdout
    found = parsed(text)
    assert len(found["node"]) == len(city.nodes)
    assert set(found["edge"]) == {(f'"{link.a}"', f'"{link.b}"') for link in city.links.values()}
    counties = sum(site.level in (Level.COUNTY, Level.TOWNSHIP) for site in city.sites.values())
    assert len(found["open"]) == 1 + counties
    if shutil.which("nop"):  # graphviz is no dependency: where it is installed, it judges too
        subprocess.run(["nop", "-p"], input=text, text=True, check=True, capture_output=True)


def test_dot_keeps_strange_names(lab: City) -> None:
    name = 'a "quoted" \\N name\\'
    nodes = {**lab.nodes, "cloud-1": msgspec.structs.replace(lab.nodes["cloud-1"], name=name)}
    city = msgspec.structs.replace(lab, nodes=nodes)
    text = render_dot(city, graph_of(city, build_plan(city)))
    parsed(text)
    assert r'label="a \"quoted\" \\N name\\\n198.18.' in text
    if shutil.which("dot"):
        drawn = subprocess.run(
            ["dot", "-Tplain"], input=text, text=True, check=True, capture_output=True
        ).stdout
        assert r"quoted" in drawn
