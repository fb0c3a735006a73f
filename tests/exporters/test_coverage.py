"""How far the extranet reaches: what counts as planned, built, reachable, and what the command says of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from checks.record import Record, Status, timestamp, write_records
from exporters import coverage_cli
from exporters.coverage import LevelCoverage, Reach, coverage, coverage_by_county, places_of
from inventories.load import load_city
from inventories.records import City, Division, Level, NodeRole, SiteRole

ROOT = Path(__file__).parents[2]
LAB, YICHUN = ROOT / "inventories" / "lab", ROOT / "inventories" / "yichun"


@pytest.fixture(scope="module")
def lab() -> City:
    return load_city(LAB)


@pytest.fixture(scope="module")
def yichun() -> City:
    return load_city(YICHUN)


def echo(node: str, family: str, status: Status, age: float = 0) -> Record:
    at = timestamp(datetime.now().astimezone() - timedelta(seconds=age))
    return Record(subject=node, check="icmp", family=family, status=status, value=0.001, at=at, evidence="")  # type: ignore[arg-type]


def echoes(nodes: Iterable[str], dead: Iterable[str] = (), age: float = 0) -> list[Record]:
    """A round in both families; `dead` names what does not answer, `node/family`."""
    return [
        echo(node, family, Status.FAIL if f"{node}/{family}" in dead else Status.PASS, age)
        for node in nodes
        for family in ("ipv4", "ipv6")
    ]


# What counts.


def test_a_division_without_a_site_is_planned_and_not_built(lab: City) -> None:
    division = Division(code="360902105202", name="新村委会", level=Level.VILLAGE, parent="360902105")
    city = msgspec.structs.replace(lab, divisions={**lab.divisions, division.code: division})
    assert coverage(city, None)[Level.VILLAGE] == LevelCoverage(3, 2, None, None)
    assert coverage_by_county(city, None)["360902"][Level.VILLAGE].planned == 3
    assert coverage(city, echoes(city.nodes))[Level.VILLAGE] == LevelCoverage(3, 2, 2, 2)


def test_another_citys_divisions_are_not_planned_here(lab: City) -> None:
    assert "3603" in lab.divisions
    other = Division(code="360302", name="安源区", level=Level.COUNTY, parent="3603")
    city = msgspec.structs.replace(lab, divisions={**lab.divisions, other.code: other})
    assert coverage(city, None)[Level.CITY].planned == 1
    assert coverage(city, None)[Level.COUNTY].planned == 2
    assert "360302" not in coverage_by_county(city, None)


def test_a_site_without_a_router_is_not_built(lab: City) -> None:
    nodes = {key: node for key, node in lab.nodes.items() if key != "yufang"}  # its clients stay
    city = msgspec.structs.replace(lab, nodes=nodes)
    assert any(node.site == "360902105201" for node in nodes.values())
    assert coverage(city, echoes(city.nodes))[Level.VILLAGE] == LevelCoverage(2, 1, 1, 1)


def test_a_whole_citys_levels_are_those_of_the_extranet(yichun: City) -> None:
    """Three townships of the statistics are of county rank in the extranet."""
    found = coverage(yichun, None)
    planned = {level.value: counts.planned for level, counts in found.items()}
    assert planned == {"province": 1, "city": 1, "county": 13, "township": 216, "village": 2794}
    counties = coverage_by_county(yichun, None)
    assert counties["360902400"][Level.VILLAGE].planned == 2
    assert counties["360902"][Level.TOWNSHIP].planned == 34
    assert sum(levels[Level.VILLAGE].planned for levels in counties.values()) == 2794


def test_the_province_is_built_where_its_router_stands(lab: City) -> None:
    assert coverage(lab, None)[Level.PROVINCE][:2] == (1, 1)
    without = {key: site for key, site in lab.sites.items() if site.role is not SiteRole.PROVINCE}
    nodes = {key: node for key, node in lab.nodes.items() if node.site in without}
    city = msgspec.structs.replace(lab, sites=without, nodes=nodes)
    assert coverage(city, None)[Level.PROVINCE][:2] == (1, 0)
    divisions = {
        key: msgspec.structs.replace(row, parent="") for key, row in lab.divisions.items() if key == "3609"
    }
    bare = msgspec.structs.replace(city, divisions=divisions, sites={}, nodes={})
    assert coverage(bare, None)[Level.PROVINCE].planned == 0


def test_each_family_is_counted_for_itself(lab: City) -> None:
    dead = {"yufang/ipv6", "client-1/ipv6", "health-1/ipv6", "civil-1/ipv6"}
    assert coverage(lab, echoes(lab.nodes, dead))[Level.VILLAGE] == LevelCoverage(2, 2, 2, 1)


def test_what_was_not_probed_is_never_0(lab: City) -> None:
    only_ipv4 = [record for record in echoes(lab.nodes) if record.family == "ipv4"]
    assert coverage(lab, only_ipv4)[Level.VILLAGE] == LevelCoverage(2, 2, 2, None)
    assert coverage(lab, [])[Level.VILLAGE] == LevelCoverage(2, 2, None, None)
    in_vain = [msgspec.structs.replace(record, status=Status.ERROR) for record in only_ipv4]
    assert coverage(lab, in_vain)[Level.VILLAGE] == LevelCoverage(2, 2, None, None)
    states = {place.division: place.reach for place in places_of(lab, echoes(["yufang"]))}
    assert set(states["360902105201"].values()) == {Reach.REACHABLE}
    assert set(states["360902105001"].values()) == {Reach.UNPROBED}


# The command.


def run(*arguments: object) -> Result:
    return CliRunner().invoke(coverage_cli.coverage, [str(argument) for argument in arguments])


def recorded(folder: Path, records: list[Record]) -> Path:
    write_records(folder / "availability.json", records)
    return folder


@pytest.fixture(autouse=True)
def _no_records_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(coverage_cli, "RECORDS", tmp_path / "usual")


def test_all_well(lab: City, tmp_path: Path) -> None:
    result = run(LAB, "--records", recorded(tmp_path, echoes(lab.nodes, age=30)))
    assert result.exit_code == 0, result.output
    assert "probed 30 s ago" in result.output
    assert "old" not in result.output
    assert all(width(line) <= 80 for line in result.output.splitlines())
    totals = [line.split() for line in result.output.replace("│", " ").splitlines()]
    assert ["village", "2", "2", "2", "2"] in totals
    assert ["all", "7", "7", "7", "7"] in totals
    assert ["宜春市", "in", "all", "province", "1", "1", "1", "1"] in totals


def width(line: str) -> int:
    return sum(1 if ord(character) < 0x2E80 else 2 for character in line)


def test_something_built_that_does_not_answer_is_a_finding(lab: City, tmp_path: Path) -> None:
    dead = {"cihua-juwei/ipv6", "client-2/ipv6"}
    result = run(LAB, "--records", recorded(tmp_path, echoes(lab.nodes, dead)))
    assert result.exit_code == 2
    assert "built, no answer over IPv6 (1): 慈化居委会 360902105001" in result.output
    assert "over IPv4" not in result.output
    assert "1 of 2" in result.output
    found = json.loads(run(LAB, "--records", tmp_path, "--format", "json").output)
    assert found["not_reachable"] == [
        {
            "division": "360902105001",
            "name": "慈化居委会",
            "level": "village",
            "county": "360902",
            "family": "ipv6",
            "state": "no answer",
        }
    ]
    assert found["levels"]["village"]["reachable_ipv6"] == 1


def test_something_built_that_the_probes_left_out_is_a_finding(lab: City, tmp_path: Path) -> None:
    result = run(
        LAB, "--records", recorded(tmp_path, echoes(set(lab.nodes) - {"fengcheng", "health-2", "civil-2"}))
    )
    assert result.exit_code == 2
    assert "built, not probed over IPv4 (1): 丰城市 360981" in result.output


def test_without_records_it_says_that_nothing_was_probed(tmp_path: Path) -> None:
    result = run(LAB)
    assert result.exit_code == 0
    assert "nothing was probed yet" in result.output
    assert result.output.count("not probed") == 2 * 10
    found = json.loads(run(LAB, "--format", "json").output)
    assert (found["probed_at"], found["age_seconds"], found["is_old"]) == (None, None, None)
    assert found["all"] == {"planned": 7, "built": 7, "reachable_ipv4": None, "reachable_ipv6": None}
    assert found["not_reachable"] == []
    rows = list(csv.DictReader(io.StringIO(run(LAB, "--format", "csv").output)))
    assert {row["reachable_ipv4"] for row in rows} == {""}
    empty = run(LAB, "--records", recorded(tmp_path, []))
    assert (empty.exit_code, "nothing was probed yet" in empty.output) == (0, True)


def test_the_usual_records_are_read(lab: City, tmp_path: Path) -> None:
    recorded(tmp_path / "usual", echoes(lab.nodes))
    assert "probed 0 s ago" in run(LAB).output


def test_old_records_say_their_age(lab: City, tmp_path: Path) -> None:
    recorded(tmp_path, echoes(lab.nodes, age=3 * 3600 + 60))
    result = run(LAB, "--records", tmp_path)
    assert result.exit_code == 0
    assert "probed 3 h ago" in result.output
    assert "old, run the check again" in result.output
    found = json.loads(run(LAB, "--records", tmp_path, "--format", "json").output)
    assert found["is_old"]
    assert 10800 <= found["age_seconds"] < 10900


def test_csv_has_stable_columns(lab: City, tmp_path: Path) -> None:
    text = run(LAB, "--records", recorded(tmp_path, echoes(lab.nodes)), "--format", "csv").output
    header = "scope,code,name,level,planned,built,reachable_ipv4,reachable_ipv6,probed_at\n"
    assert text.startswith(header)
    rows = list(csv.DictReader(io.StringIO(text)))
    levels = [(row["scope"], row["code"], row["level"]) for row in rows]
    assert levels == [
        ("county", "360902", "county"),
        ("county", "360902", "township"),
        ("county", "360902", "village"),
        ("county", "360981", "county"),
        *(("city", "3609", level) for level in ("province", "city", "county", "township", "village", "all")),
    ]
    assert rows[2]["planned"] == rows[2]["built"] == rows[2]["reachable_ipv6"] == "2"
    assert datetime.fromisoformat(rows[0]["probed_at"]).tzinfo


def test_a_whole_city_adds_up(yichun: City, tmp_path: Path) -> None:
    dead = {"r360983502598/ipv4"}
    recorded(tmp_path, echoes(yichun.nodes, dead))
    result = run(YICHUN, "--records", tmp_path)
    assert result.exit_code == 2
    assert all(width(line) <= 80 for line in result.output.splitlines())
    found: dict[str, Any] = json.loads(run(YICHUN, "--records", tmp_path, "--format", "json").output)
    for level in ("county", "township", "village"):
        for key, number in found["levels"][level].items():
            assert number == sum(county["levels"][level][key] for county in found["counties"])
    for key, number in found["all"].items():
        assert number == sum(counts[key] for counts in found["levels"].values())
    assert found["levels"]["village"] == {
        "planned": 2794,
        "built": 2794,
        "reachable_ipv4": 2793,
        "reachable_ipv6": 2794,
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "it is not there; write it with: jizuo check PATH availability --out"),
        ("{", "it holds no records"),
        ('[{"subject": 1}]', "it holds no records"),
        (
            '[{"subject":"yufang","check":"icmp","family":"ipv4","status":"pass","value":1.0,'
            '"at":"2026-01-01T00:00:00","evidence":""}]',
            "no offset from UTC",
        ),
    ],
)
def test_records_that_cannot_be_read_are_an_error(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "availability.json").write_text(content)
    result = run(LAB, "--records", tmp_path)
    assert result.exit_code == 1
    assert "availability.json" in result.stderr
    assert said in result.stderr
    assert not result.stdout


def test_a_wrong_inventory_is_an_error(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing")
    assert result.exit_code == 1
    assert result.stderr


def test_help_fits_80_columns() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(width(line) <= 80 for line in result.output.splitlines())


def test_only_routers_make_a_place_built(lab: City) -> None:
    routers = {node.site for node in lab.nodes.values() if node.role is NodeRole.ROUTER}
    for place in places_of(lab, None):
        sites = [site.id for site in lab.sites.values() if site.division == place.division]
        assert place.built == any(site in routers for site in sites)
