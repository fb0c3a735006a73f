"""Does a scaffolded city load and plan, are its IPv4 sizes what its sites need, and what is refused?"""

from __future__ import annotations

import csv
import gzip
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from netaddr import IPNetwork

from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Division, Family, Ipv4Layout, Level, NodeRole, Plane, SiteRole
from inventories.scaffold import CityRequest, ScaffoldError, city_records, scaffold
from inventories.scaffold_cli import new, read_divisions, write_new
from inventories.sizing import Demand, capacity, demands, smallest_size
from inventories.topology import Relation, build_topology

DIVISIONS = Path(__file__).parents[2] / "inventories" / "yichun" / "divisions.csv"
LAYOUT = Ipv4Layout(prefix="198.18.0.0/15")


def _division(code: str, level: Level, parent: str) -> Division:
    return Division(code=code, name=f"名{code}", level=level, parent=parent)


def _small_city(townships: int, villages: int) -> list[Division]:
    rows = [
        _division("36", Level.PROVINCE, ""),
        _division("3608", Level.CITY, "36"),
        _division("3601", Level.CITY, "36"),
        _division("360101", Level.COUNTY, "3601"),
        _division("360802", Level.COUNTY, "3608"),
    ]
    for township in range(townships):
        code = f"360802{township:03}"
        rows.append(_division(code, Level.TOWNSHIP, "360802"))
        rows += [_division(f"{code}{village:03}", Level.VILLAGE, code) for village in range(villages)]
    return rows


def _new(directory: Path, *options: str) -> Result:
    arguments = [str(directory), "--divisions", str(DIVISIONS), "--city", "3609", *options]
    return CliRunner().invoke(new, arguments)


def test_new_city_loads_and_plans_in_both_families(tmp_path: Path) -> None:
    done = _new(tmp_path / "city", "--partner", "3603:pingxiang", "--zone", "360902403")
    assert done.exit_code == 0, done.output
    city = load_city(tmp_path / "city")
    assert city.layout.domain == "c3609.example"
    assert city.sites["offsite-pingxiang"].division == "3603"
    assert sum(site.level is Level.COUNTY for site in city.sites.values()) == 11
    plan = build_plan(city)
    for family in Family:
        assert len({plan.host(node, family) for node in city.nodes}) == len(city.nodes)
    assert "2794" not in done.output and "3032 nodes" in done.output


def test_statistics_may_be_compressed(tmp_path: Path) -> None:
    packed = tmp_path / "divisions.csv.gz"
    packed.write_bytes(gzip.compress(DIVISIONS.read_bytes()))
    assert list(read_divisions(packed)) == list(read_divisions(DIVISIONS))


def test_city_takes_nothing_of_its_partner_or_other_cities() -> None:
    records = city_records(_small_city(2, 3), CityRequest("3608", "x.example", partner="3601"))
    assert {row.code[:4] for row in records.divisions if row.level is not Level.PROVINCE} == {"3601", "3608"}
    assert [row.code for row in records.divisions if row.code.startswith("3601")] == ["3601"]
    alone = city_records(_small_city(2, 3), CityRequest("3608", "x.example"))
    assert all(site.role is not SiteRole.OFFSITE for site in alone.sites)
    assert all(node.role is not NodeRole.OFFSITE for node in alone.nodes)


def test_order_of_the_statistics_does_not_matter() -> None:
    rows = _small_city(3, 2)
    request = CityRequest("3608", "x.example")
    assert scaffold(rows, request) == scaffold(reversed(rows), request)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"city": "3699"}, "3699 is not among the divisions"),
        ({"city": "360802"}, "is a county, not a city"),
        ({"partner": "3608"}, "another prefecture city"),
        ({"zones": ("360802",)}, "is a county, not a township"),
        ({"city": "3601", "zones": ("360802000",)}, "does not stand below the city 3601"),
        ({"domain": "Bad_Name.example"}, "'Bad_Name' is no name"),
        ({"partner": "3601", "partner_name": "南昌"}, "'南昌' is no name"),
        ({"ipv4": "2001:db8::/32"}, "is no IPv4 prefix"),
        ({"ipv4": "198.18.0.1/15"}, "write 198.18.0.0/15"),
        ({"ipv6": "2001:db8::/40"}, "give a /36 or larger"),
        ({"ipv4": "198.18.0.0/19"}, "give it a /18 or larger"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(change: dict[str, str], message: str) -> None:
    request = CityRequest("3608", "x.example")._replace(**change)
    with pytest.raises(ScaffoldError, match=message):
        scaffold(_small_city(2, 3), request)


def test_an_existing_directory_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "city" / "kept"
    kept.parent.mkdir()
    kept.write_text("mine")
    done = _new(tmp_path / "city")
    assert done.exit_code == 1 and "is there already" in done.output
    assert [path.name for path in tmp_path.rglob("*")] == ["city", "kept"]


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="file/in-no-directory"):
        write_new(tmp_path / "city", {"a.csv": "a\n", "file/in-no-directory": "b\n"})
    assert list(tmp_path.iterdir()) == []
    write_new(tmp_path / "deep" / "city", {"a.csv": "a\n"})
    assert (tmp_path / "deep" / "city" / "a.csv").read_bytes() == b"a\n"


def test_a_wrong_row_of_the_statistics_is_named(tmp_path: Path) -> None:
    statistics = tmp_path / "wrong.csv"
    statistics.write_text("code,name,level,parent\n36,江西省,province,\n3608,吉安市,prefecture,36\n")
    done = CliRunner().invoke(new, [str(tmp_path / "city"), "--divisions", str(statistics), "--city", "3608"])
    assert done.exit_code == 1 and f"{statistics}:3: " in done.output and "prefecture" in done.output


def test_demand_counts_blocks_by_township() -> None:
    records = city_records(_small_city(townships=3, villages=4), CityRequest("3608", "x.example"))
    # Five LANs a township are two blocks of four; the county's own LAN is one more block.
    assert demands(records.sites, records.nodes, LAYOUT) == [Demand("360802", 3, 12, 7, 16, 15)]


def test_capacity_is_that_of_the_address_plan() -> None:
    # A /20 is 4096 addresses: 256 loopbacks, 768 for links of two, 3072 in blocks of 64: `plan --usage`.
    assert capacity(20, LAYOUT) == (48, 255, 383)


@pytest.mark.parametrize(("blocks", "bits"), [(1, 22), (11, 22), (12, 21), (90, 19), (91, 18)])
def test_size_leaves_a_sixteenth_free(blocks: int, bits: int) -> None:
    assert smallest_size(Demand("360802", 1, 1, blocks, 1, 1), LAYOUT) == bits


@pytest.mark.parametrize("shape", [(1, 1), (30, 31), (200, 2), (14, 60)])
def test_sizes_hold_what_the_plan_puts_into_them(tmp_path: Path, shape: tuple[int, int]) -> None:
    write_new(tmp_path / "city", scaffold(_small_city(*shape), CityRequest("3608", "x.example")))
    city = load_city(tmp_path / "city")
    block = IPNetwork(str(build_plan(city).county_prefix("360802", Family.IPV4)))
    assert block.prefixlen == city.layout.ipv4.county_sizes["360802"]
    smaller = city.layout.ipv4.county_sizes["360802"] + 1
    demand = demands(city.sites.values(), city.nodes.values(), city.layout.ipv4)[0]
    assert smaller > 22 or not capacity(smaller, city.layout.ipv4).holds(demand.with_headroom)


def test_cells_are_csv_of_the_records_fields() -> None:
    text = scaffold(_small_city(1, 1), CityRequest("3608", "x.example"))["links.csv"]
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["id", "a", "b", "kind", "plane", "network"]
    assert rows[1] == ["core-ab", "core-a", "core-b", "core", "both", ""]
    assert ["u360802-b", "core-b", "r360802", "uplink", "b", ""] in rows
    assert ["u360802000000", "r360802000", "r360802000000", "uplink", "both", ""] in rows


def test_a_new_city_has_the_province_above_and_a_border(tmp_path: Path) -> None:
    write_new(tmp_path / "city", scaffold(_small_city(1, 1), CityRequest("3608", "x.example")))
    city = load_city(tmp_path / "city")
    assert (city.sites["province"].division, city.sites["province"].level) == ("36", Level.PROVINCE)
    topology = build_topology(city, build_plan(city))
    cores = {("core-a", Plane.A), ("core-b", Plane.B)}
    province = topology.nodes["province-1"]
    assert {(row.node, row.plane) for row in province.neighbors} == cores
    assert {row.relation for row in province.neighbors} == {Relation.DOWN}
    assert province.asn == city.layout.partners["36"].asn == 4210000000
    others = {node.asn for name, node in topology.nodes.items() if name != "province-1"}
    assert province.asn not in others  # a session between two AS numbers is external
    border = topology.nodes["border-1"]
    assert {(row.node, row.plane) for row in border.neighbors} == cores
    assert {row.relation for row in border.neighbors} == {Relation.UP}
    assert city.sites[city.nodes["border-1"].site].role is SiteRole.BORDER


def test_what_is_not_the_city_s_is_an_input_in_ranges_of_documentation(tmp_path: Path) -> None:
    """RFC 5737 and RFC 9637 (in IPv6), and what a person reads in city.toml says so."""
    divisions = _small_city(1, 1)
    text = scaffold(divisions, CityRequest("3608", "x.example", partner="3601"))["city.toml"]
    data = tomllib.loads(text)
    tables = {"partners.36": data["partners"]["36"], "partners.3601": data["partners"]["3601"]}
    tables["internet"] = data["internet"]
    documentation = [IPNetwork(p) for p in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "3fff::/20")]
    for name, table in tables.items():
        for key in ("ipv4", "ipv6"):
            prefix = IPNetwork(table[key])
            assert any(prefix in network for network in documentation if network.version == prefix.version)
        comment = text.partition(f"\n[{name}]\n")[0].rpartition("\n\n")[2].replace("\n# ", " ")
        assert comment.startswith("# ") and "input" in comment, name
    assert 4200000000 <= data["partners"]["36"]["asn"] <= 4294967294  # RFC 6996


def test_a_city_needs_its_province_among_the_divisions() -> None:
    rows = [row for row in _small_city(1, 1) if row.level is not Level.PROVINCE]
    with pytest.raises(ScaffoldError, match="the province above the city 36 is not among the divisions"):
        scaffold(rows, CityRequest("3608", "x.example"))
