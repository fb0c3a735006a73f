"""Are problems that several files make together found at once, in order, and nothing that only follows?"""

from __future__ import annotations

from pathlib import Path

import pytest

from inventories.load import load_city
from inventories.problems import InventoryError, Suggestions

from .breaking import break_file, problems_of


def told(folder: Path) -> list[str]:
    """The problems without the folder, as a person reads them."""
    return [str(problem).replace(f"{folder}/", "") for problem in problems_of(folder)]


def test_the_small_city_has_no_problem(small_city: Path) -> None:
    city = load_city(small_city)
    assert len(city.sites) == 16
    assert city.systems["gov-data-portal"].rpo == 4 * 3600
    assert city.systems["egov-extranet"].nodes == ("core-a", "core-b")
    assert city.backups["gov-service"].rto == 15 * 60
    assert city.allocations["management"] == {"core-a": 1, "core-b": 2}
    assert city.layout.ipv4.county_sizes == {"360902": 18, "360902400": 22}


def test_everything_is_reported_at_once_in_order_of_files_and_lines(small_city: Path) -> None:
    edits = [
        ("city.toml", "township = 48", "township = ▸40"),
        ("city.toml", '"192.0.2.0/24"', '▸"127.0.0.0/24"'),
        ("divisions.csv", "慈化居委会,village,360902105\n", "慈化居委会,village,▸360902106\n"),
        ("sites.csv", "cloud,3609,city,cloud,both,", "cloud,3609,city,cloud,both,▸360902"),
        ("nodes.csv", "节点1,debian,x86_64,xinchuang", "节点1,▸redhat,▸mips,xinchuang"),
        ("nodes.csv", "ops-1,operations,", "ops-1,▸operation,"),
        ("links.csv", "juwei-up,cihua,", "juwei-up,▸chiua,"),
        ("units.csv", "data-bureau,市数据局", "data-bureau,▸ 市数据局"),
        ("systems.csv", "4(1),approval-bureau", "4(1),▸approval"),
        ("backups.toml", '"*-*-* *:05/15:00"', '▸"often"'),
        ("allocations.csv", "core-b,2", "core-b,▸1"),
    ]
    expected: list[tuple[str, int, int]] = []
    for number, (file, old, new) in enumerate(edits):
        found = break_file(small_city, file, old, new)
        # Two edits of one file: positions of the first may not move, so each file is edited top down.
        assert found, edits[number]
        expected += found
    assert [(p.file, p.line, p.column) for p in problems_of(small_city)] == expected


def test_a_missing_uplink_is_one_problem_at_the_highest_site_behind_it(small_city: Path) -> None:
    break_file(small_city, "links.csv", "cihua-up,yuanzhou,cihua,uplink,both,\n", "")
    [problem] = told(small_city)
    assert problem.startswith(
        "sites.csv:11:1: site 360902105 cannot be reached from the core: its node cihua "
    )
    assert "nor 6 more nodes behind it" in problem
    assert problem.endswith("add a link from a reachable node to cihua in links.csv")


def test_one_of_two_uplinks_is_enough(small_city: Path) -> None:
    break_file(small_city, "links.csv", "yz-b,core-b,yuanzhou,uplink,b,\n", "")
    assert told(small_city) == []


def test_a_site_without_node_is_an_orphan(small_city: Path) -> None:
    break_file(
        small_city, "nodes.csv", "guanyuan,360902400001,router,官园社区接入路由器,debian,x86_64,none\n", ""
    )
    break_file(small_city, "links.csv", "guanyuan-up,zone,guanyuan,uplink,both,\n", "")
    [problem] = told(small_city)
    assert problem.startswith(
        "sites.csv:15:1: site 360902400001 cannot be reached from the core: it has no node"
    )


def test_a_city_without_core_says_so_once(small_city: Path) -> None:
    text = (small_city / "sites.csv").read_text(encoding="utf-8")
    (small_city / "sites.csv").write_text(text.replace(",city,core,", ",city,backup,"), encoding="utf-8")
    problems = told(small_city)
    assert problems[0].startswith("sites.csv:1:19: no site has the role core")
    # The links that begin at what is no core any longer are wrong too, and are told as such.
    assert {problem.split(":")[0] for problem in problems[1:]} == {"links.csv"}


def test_a_copy_on_the_repository_s_node_is_no_copy(small_city: Path) -> None:
    text = (small_city / "backups.toml").read_text(encoding="utf-8")
    (small_city / "backups.toml").write_text(text.replace('"offsite-1"', '"backup-1"', 1), encoding="utf-8")
    [problem] = told(small_city)
    assert problem == (
        "backups.toml:8:11: the copy on backup-1 is the repository itself: it is no second copy; "
        "write an offsite node, or another backup node"
    )


def test_a_division_that_is_gone_is_unknown_wherever_it_is_named(small_city: Path) -> None:
    break_file(small_city, "divisions.csv", "36,江西省,province,\n", "")
    problems = told(small_city)
    assert [problem.split(": ")[0] for problem in problems] == [
        "city.toml:34:11",
        "divisions.csv:2:15",
        "divisions.csv:3:15",
        "sites.csv:16:10",
    ]
    assert all("'36', an unknown division" in problem for problem in problems)


def test_an_off_site_city_without_prefixes_is_no_partner(small_city: Path) -> None:
    table = '[partners.3603]\nipv4 = "192.0.2.0/24"\nipv6 = "3fff:363::/32"\n'
    break_file(small_city, "city.toml", table, "")
    [problem] = told(small_city)
    assert problem.startswith("sites.csv:8:19: division is '3603', an unknown partner; ")
    assert problem.endswith("add [partners.3603] to city.toml")


def test_the_province_needs_prefixes_and_an_as_number(small_city: Path) -> None:
    break_file(small_city, "city.toml", "asn = 4210000000\n", "")
    [problem] = told(small_city)
    assert problem == (
        "sites.csv:16:10: the province's router at province has no AS number; "
        "add asn to [partners.36] in city.toml: the province gives it"
    )
    table = '[partners.36]\nipv4 = "203.0.113.128/25"\nipv6 = "3fff:360::/32"\n'
    break_file(small_city, "city.toml", table, "")
    [problem] = told(small_city)
    assert problem.startswith("sites.csv:16:10: division is '36', an unknown partner; ")


def test_the_border_needs_to_know_where_it_leads(small_city: Path) -> None:
    break_file(small_city, "city.toml", '[internet]\nipv4 = "203.0.113.0/25"\nipv6 = "3fff:f00::/64"\n', "")
    [problem] = told(small_city)
    assert problem == (
        "sites.csv:17:18: border site border leads to the internet, and city.toml says nothing of it; "
        "add [internet] with ipv4 and ipv6 to city.toml"
    )


@pytest.mark.parametrize("system", ["vrp", "comware", "dnf"])
def test_a_router_may_be_no_linux(small_city: Path, system: str) -> None:
    break_file(small_city, "nodes.csv", "袁州区汇聚路由器,debian", f"袁州区汇聚路由器,{system}")
    assert told(small_city) == []
    assert load_city(small_city).nodes["yuanzhou"].os_family == system


def test_two_private_networks_may_have_the_same_ipv4_range(small_city: Path) -> None:
    """The small city has two such; their IPv4 may also be the special range of private use (RFC 1918)."""
    rows = (small_city / "private-networks.csv").read_text(encoding="utf-8")
    assert rows.count("198.51.100.0/24") == 2
    (small_city / "private-networks.csv").write_text(
        rows.replace("198.51.100.0/24", "10.0.0.0/8"), encoding="utf-8"
    )
    assert told(small_city) == []


def test_management_may_lie_in_the_last_county_of_the_city_or_apart(small_city: Path) -> None:
    break_file(small_city, "city.toml", 'ipv4 = "198.19.240.0/24"', 'ipv4 = "10.9.0.0/16"')
    break_file(small_city, "city.toml", 'ipv6 = "2001:db8:ff00::/64"', 'ipv6 = "fd00:9::/64"')
    assert told(small_city) == []


def test_full_width_characters_are_at_home_in_official_names(small_city: Path) -> None:
    break_file(small_city, "divisions.csv", "余坊村委会,village", "八五一０农场（幸福ｅ家）,village")
    assert told(small_city) == []
    assert load_city(small_city).divisions["360902105201"].name == "八五一０农场（幸福ｅ家）"


def test_a_duplicate_is_found_a_thousand_rows_later(small_city: Path) -> None:
    with (small_city / "units.csv").open("a", encoding="utf-8") as units:
        units.writelines(f"unit-{number},单位{number}\n" for number in range(1000))
        units.write("data-bureau,另一个局\n")
    [problem] = told(small_city)
    assert problem == (
        "units.csv:1006:1: duplicate id 'data-bureau', first in line 2; give one of the two another id"
    )


def test_suggestions_end_when_their_budget_is_spent() -> None:
    suggestions = Suggestions(budget=2)
    assert suggestions.nearest("yufnag", ["yufang", "cihua"]) == "yufang"
    assert suggestions.nearest("chiua", ["yufang", "cihua"]) == "cihua"
    assert suggestions.nearest("yufan", ["yufang", "cihua"]) == ""
    assert suggestions.nearest("yufnag", ["yufang", "cihua"]) == "yufang"  # asked before


def test_a_refused_row_is_not_unknown_to_others(small_city: Path) -> None:
    break_file(small_city, "nodes.csv", "yuanzhou,360902,router", "yuanzhou,360902,▸rooter")
    assert len(told(small_city)) == 1
    break_file(small_city, "divisions.csv", "360902,袁州区,county,3609\n", "360902,袁州区,▸contry,3609\n")
    assert [problem.split(": ")[0] for problem in told(small_city)] == [
        "divisions.csv:5:12",
        "nodes.csv:4:17",
    ]


def test_an_unreadable_file_makes_nothing_unknown(small_city: Path) -> None:
    break_file(small_city, "nodes.csv", "id,site,role", "id,▸sites,role")
    problems = told(small_city)
    assert [problem.split(": ")[0] for problem in problems] == ["nodes.csv:1:4", "nodes.csv:1:48"]


@pytest.mark.parametrize("count", [3000])
def test_thousands_of_problems_take_no_time_to_tell(small_city: Path, count: int) -> None:
    with (small_city / "nodes.csv").open("a", encoding="utf-8") as nodes:
        nodes.writelines(f"n{number},3609021{number:05},router,,,,\n" for number in range(count))
    with pytest.raises(InventoryError) as caught:
        load_city(small_city)
    assert len(caught.value.problems) == count
    assert str(caught.value).count("\n") == count - 1


def test_an_access_site_of_another_city_is_none_of_this_city(small_city: Path) -> None:
    with (small_city / "divisions.csv").open("a", encoding="utf-8") as divisions:
        divisions.write("360302,安源区,county,3603\n")
    with (small_city / "sites.csv").open("a", encoding="utf-8") as sites:
        sites.write("360302,360302,county,access,both,\n")
    with (small_city / "nodes.csv").open("a", encoding="utf-8") as nodes:
        nodes.write("anyuan,360302,router,,,,\n")
    with (small_city / "links.csv").open("a", encoding="utf-8") as links:
        links.write("ay-a,core-a,anyuan,uplink,a,\n")
    [problem] = told(small_city)
    assert problem == (
        "sites.csv:18:8: division 360302 is not below the city 3609; "
        "remove the site, or change division in city.toml"
    )
