"""What do `jizuo inventory validate`, `show` and `columns` print, and how do they exit?"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from inventories.cells import Column, cell_value, columns
from inventories.cli import inventory, load_or_exit
from inventories.column_guide import RECORDS, TABLES, column_guide
from inventories.column_page import example
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family
from inventories.topology import build_topology

from .breaking import break_file

ROOT = Path(__file__).parents[2]
YICHUN = ROOT / "inventories" / "yichun"
LAB = ROOT / "inventories" / "lab"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(inventory, [str(argument) for argument in arguments], catch_exceptions=False)


def assert_fits(output: str) -> None:
    """Tables and trees fit in 80 columns, counted as a terminal counts Chinese."""
    assert max(map(cell_len, output.splitlines())) <= 80
    assert "\x1b" not in output


@pytest.mark.parametrize("folder", [LAB, YICHUN], ids=lambda path: path.name)
def test_the_cities_of_the_kit_are_valid(folder: Path) -> None:
    result = run("validate", folder)
    assert result.exit_code == 0, result.stderr
    first, *counts = result.stdout.splitlines()
    assert first.endswith(": no problems")
    assert max(map(len, counts)) <= 80
    assert result.stderr == ""


def test_problems_go_to_standard_error_and_exit_is_1(small_city: Path) -> None:
    break_file(small_city, "nodes.csv", "yufang,360902105201", "yufang,▸360902105202")
    break_file(small_city, "units.csv", "data-bureau,市数据局", "data-bureau,▸")
    result = run("validate", small_city)
    assert result.exit_code == 1
    assert result.stdout == ""
    first, second, summary = result.stderr.splitlines()
    assert first == (
        f"{small_city}/nodes.csv:8:8: site is '360902105202', an unknown site; "
        "did you mean '360902105201'? If not, add it to sites.csv"
    )
    assert second == f"{small_city}/units.csv:2:13: name is empty; write a text"
    assert summary == "2 problems in 2 files"


def test_validate_json(small_city: Path) -> None:
    good = run("validate", small_city, "--json")
    assert good.exit_code == 0
    new = build_plan(load_city(small_city)).new_allocations
    assert json.loads(good.stdout) == {"problems": [], "slots_not_in_file": sum(map(len, new.values()))}
    break_file(small_city, "units.csv", "data-bureau,市数据局", "data-bureau,▸")
    bad = run("validate", small_city, "--json")
    assert bad.exit_code == 1
    [problem] = json.loads(bad.stdout)["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == (f"{small_city}/units.csv", 2, 13)
    assert set(problem) == {"file", "line", "column", "what", "fix"}


def test_what_the_address_plan_refuses_is_a_problem_too(small_city: Path) -> None:
    break_file(small_city, "allocations.csv", "core-b,2", "core-b,4000")
    result = run("validate", small_city)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{small_city}/allocations.csv:5:1: ")
    assert "4000" in result.stderr
    break_file(small_city, "allocations.csv", "core-b,4000", "core-b,2")
    break_file(small_city, "city.toml", '"360902" = 18', '"360902" = ▸25')
    result = run("validate", small_city)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{small_city}/city.toml:23:12: ")
    # A /24 has three blocks of /26; with a block a LAN the branch's four sites need four.
    break_file(small_city, "city.toml", '"360902" = 25', '"360902" = 24')
    break_file(small_city, "city.toml", "\nlan = 28", "\nlan = 26")
    result = run("validate", small_city)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{small_city}/sites.csv:9:1: no room: ")
    assert "袁州区 (360902)" in result.stderr


def test_load_or_exit_stops_any_command_in_the_same_way(small_city: Path) -> None:
    @click.command()
    @click.argument("path", type=click.Path(path_type=Path))
    def other(path: Path) -> None:
        click.echo(f"touched hosts of {load_or_exit(path).layout.name}")

    good = CliRunner().invoke(other, [str(small_city)])
    assert (good.exit_code, good.stdout) == (0, "touched hosts of 宜春市\n")
    break_file(small_city, "units.csv", "data-bureau,市数据局", "data-bureau,▸")
    bad = CliRunner().invoke(other, [str(small_city)])
    assert bad.exit_code == 1
    assert bad.stdout == ""
    assert bad.stderr == run("validate", small_city).stderr


def test_the_front_door_says_the_same(small_city: Path) -> None:
    break_file(small_city, "units.csv", "data-bureau,市数据局", "data-bureau,▸")
    command = [sys.executable, str(ROOT / "jizuo.py"), "inventory", "show", str(small_city)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{small_city}/units.csv:2:13: name is empty; write a text\n1 problem in 1 file\n"


def test_a_whole_city_is_validated_in_well_under_a_second() -> None:
    begin = time.process_time()
    load_city(YICHUN)
    assert time.process_time() - begin < 1


def test_the_tree_of_a_small_city_shows_everything(small_city: Path) -> None:
    result = run("show", small_city)
    assert result.exit_code == 0
    assert_fits(result.stdout)
    assert "3 counties, 1 township, 3 villages" in result.stdout
    city = load_city(small_city)
    assert all(key in result.stdout for key in (*city.sites, *city.nodes))
    lines = result.stdout.splitlines()
    township = next(number for number, line in enumerate(lines) if "慈化镇 360902105" in line)
    village = next(number for number, line in enumerate(lines) if "余坊村委会" in line)
    assert township < village
    assert lines[village].index("余") > lines[township].index("慈")


def test_the_tree_of_a_whole_city_stays_readable_unless_asked() -> None:
    result = run("show", YICHUN)
    assert_fits(result.stdout)
    assert len(result.stdout.splitlines()) < 60
    assert "袁州区 360902 (county)  34 townships, 393 villages" in result.stdout
    assert "--depth township shows more" in result.stdout
    deeper = run("show", YICHUN, "--depth", "township")
    assert 230 < len(deeper.stdout.splitlines()) < 300
    assert "慈化镇 360902105 (township)" in deeper.stdout
    assert "360902105201" not in deeper.stdout
    assert "360902105201" in run("show", YICHUN, "--depth", "village").stdout


def test_the_tree_as_json_holds_every_site_and_node(small_city: Path) -> None:
    tree = json.loads(run("show", small_city, "--json").stdout)

    def walk(sites: list[dict[str, object]]) -> list[dict[str, object]]:
        return [found for site in sites for found in (site, *walk(site.get("sites", [])))]  # type: ignore[arg-type]

    city = load_city(small_city)
    found = walk(tree["sites"])
    assert sorted(str(site["site"]) for site in found) == sorted(city.sites)
    assert sorted(node for site in found for node in site["nodes"]) == sorted(city.nodes)  # type: ignore[attr-defined]
    assert tree["counts"]["systems"] == len(city.systems)
    counties = json.loads(run("show", small_city, "--json", "--depth", "county").stdout)
    assert {site["level"] for site in walk(counties["sites"])} == {"province", "city", "county"}


def described(folder: Path, name: str) -> list[dict[str, object]]:
    result = run("show", folder, name, "--json")
    assert result.exit_code == 0, result.stderr
    text = run("show", folder, name)
    assert_fits(text.stdout)
    return list(json.loads(result.stdout))


def test_a_node_is_shown_with_what_plan_and_topology_derive(small_city: Path) -> None:
    city = load_city(small_city)
    plan = build_plan(city)
    [node] = described(small_city, "yuanzhou")
    assert node["object"] == "node"
    assert node["path"] == "江西省/宜春市/袁州区"
    assert node["as_number"] == build_topology(city, plan).nodes["yuanzhou"].asn
    assert node["loopback"] == {family.value: str(plan.loopback("yuanzhou", family)) for family in Family}
    assert node["management"] == {family.value: str(plan.management("yuanzhou", family)) for family in Family}
    links = {str(link["link"]): link for link in node["links"]}  # type: ignore[attr-defined]
    assert set(links) == {"yz-a", "yz-b", "cihua-up"}
    assert links["yz-a"]["peer"] == "core-a"
    assert links["yz-a"]["remote"]["ipv6"] == str(plan.link_address("yz-a", "core-a", Family.IPV6))


def test_a_server_is_shown_with_its_systems_and_policies(small_city: Path) -> None:
    [node] = described(small_city, "cloud-1")
    assert node["systems"] == ["yichun-gov-service-net", "gov-data-portal"]
    assert node["policies"] == ["gov-service"]
    [backup] = described(small_city, "backup-1")
    assert backup["repository_of"] == ["gov-service", "collab-office"]
    [offsite] = described(small_city, "offsite-1")
    assert offsite["copy_of"] == ["gov-service", "collab-office"]


def test_a_division_is_found_by_code_name_and_path(small_city: Path) -> None:
    by_code = described(small_city, "360902105201")
    assert by_code == described(small_city, "余坊村委会") == described(small_city, "慈化镇/余坊村委会")
    [village] = by_code
    assert village["path"] == "江西省/宜春市/袁州区/慈化镇/余坊村委会"
    site = village["site"]
    assert isinstance(site, dict)
    plan = build_plan(load_city(small_city))
    assert site["prefixes"]["ipv6"] == [str(p) for p in plan.site_prefix("360902105201", Family.IPV6)]
    assert site["lan"]["ipv4"] == str(plan.lan("360902105201", Family.IPV4))
    assert [node["node"] for node in site["nodes"]] == ["yufang", "client-1", "health-1", "civil-1"]


def test_systems_units_policies_links_and_the_city(small_city: Path) -> None:
    system, policy = described(small_city, "collab-office")
    assert (system["object"], policy["object"]) == ("system", "policy")
    assert system["kind"] == "system"
    assert system["owners"] == ["data-bureau 市数据局"]
    assert system["policies"][0]["repository"] == "backup-1"  # type: ignore[index]
    assert system["rpo"] == 4 * 3600
    assert policy["copies"][0]["in"] == "江西省/萍乡市"  # type: ignore[index]
    assert "rpo  4h" in run("show", small_city, "collab-office").stdout
    [unit] = described(small_city, "市行政审批局")
    assert unit["systems"] == ["yichun-gov-service-net 宜春政务服务网"]
    plan = build_plan(load_city(small_city))
    [link] = described(small_city, "cihua-up")
    assert link["prefixes"] == {family.value: str(plan.link_prefix("cihua-up", family)) for family in Family}
    [access] = described(small_city, "yufang-c1")
    assert "prefixes" not in access
    site, node = described(small_city, "core-a")
    assert (site["object"], node["object"]) == ("site", "node")
    [city] = described(small_city, "3609")
    assert city["prefixes"] == {"ipv4": "198.18.0.0/15", "ipv6": "2001:db8::/32"}


def test_every_object_of_the_lab_can_be_shown() -> None:
    city = load_city(LAB)
    for records in (
        city.divisions,
        city.sites,
        city.nodes,
        city.links,
        city.units,
        city.systems,
        city.backups,
        city.networks,
    ):
        assert records
        for key in records:
            assert described(LAB, key)


def test_a_private_network_is_shown_with_its_sites_hosts_and_border(small_city: Path) -> None:
    plan = build_plan(load_city(small_city))
    [network] = described(small_city, "health")
    assert network == described(small_city, "卫生健康专网")[0]
    assert (network["object"], network["vni"]) == ("network", 1001)
    assert network["unit"] == "health-commission 市卫健委"
    village, zone = network["sites"]  # type: ignore[misc]
    assert (village["site"], village["routers"]) == ("360902105201", ["yufang"])
    assert village["path"] == "江西省/宜春市/袁州区/慈化镇/余坊村委会"
    assert (zone["site"], zone["routers"]) == ("360902400", ["zone"])
    for family in Family:
        key = family.value
        assert village["lan"][key] == str(plan.private_lan("health", "360902105201", family))
        assert village["gateway"][key] == str(plan.private_gateway("health", "360902105201", family))
        assert village["hosts"][0][key] == str(plan.host("health-1", family))
        public, private = map(str, plan.crossing("health", family))
        crossing = network["crossing"]
        assert isinstance(crossing, dict)
        assert (crossing["public_end"][key], crossing["private_end"][key]) == (public, private)
    assert [host["node"] for site in (village, zone) for host in site["hosts"]] == ["health-1", "health-2"]
    assert network["border"] == "border-1"
    # IPv4 is translated at the border, to the private end; IPv6 is not.
    outside = {"ipv4": f"{plan.crossing('health', Family.IPV4)[1]}/32", "ipv6": "3fff:100::/48"}
    assert network["outside_as"] == outside


def test_hosts_and_routers_say_in_which_private_network_they_stand(small_city: Path) -> None:
    plan = build_plan(load_city(small_city))
    [host] = described(small_city, "health-1")
    assert host["network"] == "health 卫生健康专网"
    assert host["lan"] == {f.value: str(plan.private_lan("health", "360902105201", f)) for f in Family}
    assert host["gateway"] == {
        f.value: str(plan.private_gateway("health", "360902105201", f)) for f in Family
    }
    assert "dns_name" not in host  # no public name leads there
    [other] = described(small_city, "civil-1")
    assert host["address"]["ipv4"] == other["address"]["ipv4"]  # type: ignore[index]
    assert host["address"]["ipv6"] != other["address"]["ipv6"]  # type: ignore[index]
    [outsider] = described(small_city, "client-1")
    assert "network" not in outsider and "dns_name" in outsider
    [router] = described(small_city, "yufang")
    assert [row["network"] for row in router["networks"]] == ["health", "civil"]  # type: ignore[attr-defined]
    [village] = described(small_city, "360902105201")
    site = village["site"]
    assert isinstance(site, dict)
    assert [row["network"] for row in site["networks"]] == ["health", "civil"]
    assert [node.get("network", "") for node in site["nodes"]] == ["", "", "health", "civil"]
    [unit] = described(small_city, "health-commission")
    assert unit["networks"] == ["health 卫生健康专网"]
    [link] = described(small_city, "yufang-h1")
    assert link["network"] == "health"


def test_the_border_and_the_province_are_shown(small_city: Path) -> None:
    plan = build_plan(load_city(small_city))
    [border] = described(small_city, "border-1")
    crossings = {row["network"]: row["crossing"] for row in border["networks"]}  # type: ignore[attr-defined]
    assert set(crossings) == {"health", "civil"}
    assert crossings["civil"]["public_end"]["ipv6"] == str(plan.crossing("civil", Family.IPV6)[0])
    [site] = described(small_city, "border")
    assert site["prefixes"] == {"ipv4": ["203.0.113.0/25"], "ipv6": ["3fff:f00::/64"]}
    assert site["gateway"] == {"ipv4": "203.0.113.1", "ipv6": "3fff:f00::1"}
    [province] = described(small_city, "province-1")
    assert province["as_number"] == 4210000000
    assert province["loopback"] == {"ipv4": "203.0.113.130", "ipv6": "3fff:360::2"}
    links = {str(link["peer"]): link for link in province["links"]}  # type: ignore[attr-defined]
    assert {peer: link["relation"] for peer, link in links.items()} == {"core-a": "down", "core-b": "down"}


def test_a_network_of_a_city_without_border_leads_nowhere(small_city: Path) -> None:
    for file, rows in (("sites.csv", "border,"), ("nodes.csv", "border-1,"), ("nodes.csv", "internet-1,")):
        drop(small_city / file, rows)
    drop(small_city / "links.csv", "border-")
    [network] = described(small_city, "health")
    assert str(network["border"]).startswith("none")
    assert "crossing" not in network and "outside_as" not in network


def drop(file: Path, beginning: str) -> None:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(beginning)]
    assert len(kept) < len(lines)
    file.write_text("".join(kept), encoding="utf-8")


def test_an_unknown_name_and_a_name_of_many(small_city: Path) -> None:
    unknown = run("show", small_city, "yuanzhuo")
    assert unknown.exit_code == 1
    assert unknown.stderr.endswith("nothing is called 'yuanzhuo'; did you mean yuanzhou?\n")
    for number in range(9):
        name = f"360902105{number + 300}"
        with (small_city / "divisions.csv").open("a", encoding="utf-8") as divisions:
            divisions.write(f"{name},新村,village,360902105\n")
    many = run("show", small_city, "新村")
    assert many.exit_code == 1
    assert "9 objects are called '新村'; give the id of one:" in many.stderr
    assert "division 360902105308 江西省/宜春市/袁州区/慈化镇/新村" in many.stderr


def test_a_city_without_plan_is_shown_without_addresses(small_city: Path) -> None:
    break_file(small_city, "allocations.csv", "core-b,2", "core-b,4000")
    result = run("show", small_city, "yuanzhou", "--json")
    assert result.exit_code == 0
    assert "no address plan" in result.stderr
    [node] = json.loads(result.stdout)
    assert node["site"] == "360902"
    assert "loopback" not in node


def test_the_reference_page_holds_every_key_with_its_default() -> None:
    page = run("columns", "backups.toml", "--format", "markdown").stdout
    for row in column_guide():
        if row.file == "backups.toml":
            assert f"| `{row.column.rpartition('.')[2]}` | {row.meaning} | {row.values} |" in page
    for header in ("[policy.digital-museum]", "[[policy.digital-museum.database]]", "[repository.backup-1]"):
        assert f"\n## `{header}`\n" in page
    assert "| `id` | name of the policy: the table is [policy.ID] |" in page and "| in the header |" in page
    assert "| list of tables |" in page
    assert re.search(r"^\| `read_all` \|.*\| `7d` \| `\"7d\"` \|$", page, re.MULTILINE)
    assert re.search(r"^\| `schedule` \|.*\| required \|", page, re.MULTILINE)
    assert re.search(r"^\| `method` \|.*\| `dump` \|", page, re.MULTILINE)
    everything = run("columns", "--format", "markdown").stdout
    assert all(f"# {file}\n" in everything for file in ("divisions.csv", "city.toml", "policy.toml"))
    assert "```csv\nid,name,network_of\ndata-bureau,市数据局,360902\n```" in everything


def test_the_example_of_backups_holds_every_key_and_is_right(small_city: Path) -> None:
    """The page's example is a file that a city can have: every key of every record is in it."""
    rows = [row for row in column_guide() if row.file == "backups.toml"]
    text = example("backups.toml", rows)
    assert f"```toml\n{text}\n```" in run("columns", "backups.toml", "--format", "markdown").stdout
    for table, record in TABLES["backups.toml"].items():
        names = set(columns(record)) - {"id", "database", "verify"}
        [keys] = [
            {line.partition(" = ")[0] for line in part.splitlines()[1:]}
            for part in text.split("\n\n")
            if re.match(rf"\[+{table.replace('.', r'[.][a-z-]+[.]')}(\.[a-z0-9-]+)?\]", part)
        ]
        assert keys == names, table
    with (small_city / "units.csv").open("a", encoding="utf-8") as units:
        units.write("culture-tourism-bureau,市文广旅局\n")
    with (small_city / "systems.csv").open("a", encoding="utf-8") as systems:
        systems.write(
            "digital-museum,数字博物馆,三(二)4(5),,app,,city,internet,government,2,cloud-1,,1d,1d\n"
        )
    (small_city / "backups.toml").write_text(f"{text}\n", encoding="utf-8")
    city = load_city(small_city)
    assert city.backups["digital-museum"].database[0].name == "digital_museum"
    assert city.backup_places and list(city.backup_places.without) == ["egov-extranet"]


def test_policies_of_other_tables_are_made_of_their_examples(small_city: Path) -> None:
    rows = [row for row in column_guide() if row.file == "policy.toml"]
    text = example("policy.toml", rows)
    (small_city / "policy.toml").write_text(f"{text}\n", encoding="utf-8")
    policy = load_city(small_city).policy
    assert policy and list(policy.services) == ["web"] and list(policy.rules) == ["village-web"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("egov-extranet", "no backup reason 网络设备的配置由本清单生成"),
        ("ops-central-monitoring", "owner data-bureau 市数据局"),
        ("data-bureau", "without backup egov-extranet 电子政务外网"),
        ("offsite-1", "repository medium disk, protection append-only, removes old snapshots 01:00-05:00"),
        ("collab-office", "verify check 1d, read all 7d, restore 1d, files 20, megabytes 64"),
    ],
)
def test_backups_are_shown(name: str, words: str) -> None:
    output = run("show", LAB, name).stdout
    assert_fits(output)
    assert words in " ".join(re.sub(r"[│├└─]", "", output).split())
    assert "None" not in output


def test_columns_are_explained_and_their_examples_are_right() -> None:
    guide = column_guide()
    for file, record in RECORDS.items():
        assert [row.column for row in guide if row.file == file] == list(columns(record))
    for row in guide:
        if row.file.endswith(".csv"):
            column: Column = columns(RECORDS[row.file])[row.column]
            cell_value(column, row.example)  # raises when the example is none
            assert row.required == column.required
    rows = json.loads(run("columns", "--json").stdout)
    assert len(rows) == len(guide)
    output = run("columns").stdout
    assert_fits(output)
    assert all(row.column in output for row in guide)
    assert "[partners.CODE]" in output  # brackets are no markup
    [network] = [row for row in rows if (row["file"], row["column"]) == ("systems.csv", "network")]
    assert network["values"] == "one of public, private, internet, police, other, none"
    assert "divisions.csv" not in run("columns", "systems.csv").stdout
    network = run("columns", "private-networks.csv").stdout
    assert "whole number from 1 to 16777215" in network and "RFC 7348" in network
    assert "VXLAN" not in run("columns", "nodes.csv").stdout
    for file, words in {
        "sites.csv": ("province, core, border",),
        "nodes.csv": ("debian, dnf, vrp, comware",),
        "city.toml": ("[internet]", "asn of its router"),
    }.items():
        assert all(
            word in " ".join(row["values"] + row["meaning"] for row in rows if row["file"] == file)
            for word in words
        )
    [internet] = [row for row in rows if (row["file"], row["column"]) == ("city.toml", "internet")]
    assert (internet["values"], internet["required"]) == ("table", False)
    wrong = run("columns", "system.csv")
    assert wrong.exit_code != 0
    assert "systems.csv" in wrong.stderr


def test_the_guide_s_example_rows_are_headers_of_the_small_city(small_city: Path) -> None:
    for file, record in RECORDS.items():
        if file.endswith(".csv"):
            header = next(csv.reader(io.StringIO((small_city / file).read_text(encoding="utf-8"))))
            known = columns(record)
            assert header == [name for name in known if known[name].required or name in header]
