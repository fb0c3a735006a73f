"""What the plan says when a pool is exhausted, prefixes overlap, a prefix is too small or two claim one slot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from inventories.allocation import PlanError
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Layout, Level, LinkKind

from .editing import Editor

SMALL = Path(__file__).parent / "small_city"


@pytest.fixture
def editor() -> Editor:
    editor = Editor(load_city(SMALL))
    editor.allocations = {}
    return editor


def layout(base: Layout, **changes: Any) -> Layout:
    """The layout with values changed: `ipv4__block=27` is `[ipv4] block = 27`."""
    data = msgspec.to_builtins(base)
    for key, value in changes.items():
        table, _, name = key.rpartition("__")
        (data[table] if table else data)[name] = value
    return msgspec.convert(data, Layout)


def problems(editor: Editor, **changes: Any) -> list[str]:
    editor.layout = layout(editor.layout, **changes)
    with pytest.raises(PlanError) as caught:
        build_plan(editor.city())
    return list(caught.value.problems)


def only(found: list[str], *parts: str) -> None:
    assert len(found) == 1, found
    for part in parts:
        assert part in found[0], found[0]


def test_too_many_counties(editor: Editor) -> None:
    for number in range(4):
        editor.add(f"3610{number:02}", Level.COUNTY)
    only(
        problems(editor, ipv6__county=35, management__ipv6="3fff::/64"),
        "IPv6 prefixes (/35) of counties at the city level of 宜春市 (3609): 8 are needed",
        "only 7",
        "shorten [ipv6] prefix (now 2001:db8::/32) and keep its first address, which renumbers nothing",
    )


def test_the_smallest_county_level_that_fits_is_accepted(editor: Editor) -> None:
    editor.layout = layout(editor.layout, ipv6__county=35, management__ipv6="3fff::/64")
    for number in range(3):
        editor.add(f"3610{number:02}", Level.COUNTY)
    assert build_plan(editor.city()).county_prefix("361002", "ipv6").prefixlen == 35


def test_too_many_townships(editor: Editor) -> None:
    for number in range(2):
        editor.add(f"36090230{number}", Level.TOWNSHIP, "360902")
    editor.add("360902303", Level.TOWNSHIP, "360902")
    for site in ("xinchuang", "backup", "operations"):
        editor.remove_site(site)
    only(
        problems(editor, ipv6__township=42),
        "IPv6 prefixes (/42) of townships at the county level of 袁州区 (360902): 4 are needed",
        "only 2",
        "shorter [ipv6] county or a longer township",
    )


def test_too_many_sites_of_the_city_itself(editor: Editor) -> None:
    only(
        problems(editor, ipv6__township=42),
        "sites of the city itself (/42 and /25) at the city level of 宜春市 (3609): 6 are needed",
        "only 3",
        "shorter [ipv6] county or a longer township",
    )
    only(
        problems(editor, ipv6__township=48, ipv4__city_lan=21),
        "sites of the city itself (/48 and /21) at the city level",
        "[ipv4.county_sizes] 3609 (now /19)",
    )


def test_too_many_villages(editor: Editor) -> None:
    for number in range(2):
        editor.add(f"36090210530{number}", Level.VILLAGE, "360902105")
    only(
        problems(editor, ipv6__village=50),
        "IPv6 prefixes (/50) of villages at the township level of 慈化镇 (360902105): 4 are needed",
        "only 3",
        "[ipv6] township or a longer village",
    )


def test_too_many_ipv4_blocks(editor: Editor) -> None:
    for number in range(3):
        editor.add(f"36090210{number}", Level.TOWNSHIP, "360902")
    sizes = {"360902": 24, "360981": 24, "360902400": 24}
    only(
        problems(editor, ipv4__county_sizes=sizes, ipv4__block=26),
        "IPv4 blocks (/26) at the county level of 袁州区 (360902): 5 are needed, but there are only 3",
        "give 360902 a larger block in [ipv4.county_sizes] (now /24)",
    )


def test_too_many_loopbacks_and_links_are_told_at_once(editor: Editor) -> None:
    sizes = {"360902": 26, "360981": 24, "360902400": 24}
    for number in range(3):
        editor.add(f"36090210530{number}", Level.VILLAGE, "360902105", "cihua")
    found = problems(editor, ipv4__county_sizes=sizes, ipv4__block=28)
    assert any(
        "IPv4 loopbacks of routers at the county level of 袁州区 (360902): 7" in line for line in found
    )
    assert any("IPv4 links at the county level of 袁州区 (360902): 6" in line for line in found)
    assert all("[ipv4.county_sizes]" in line for line in found)


def test_too_many_hosts_on_a_lan(editor: Editor) -> None:
    for number in range(13):
        editor.add_client(f"pc-{number}", "360902105001")
    only(
        problems(editor),
        "hosts on the LAN of site 360902105001 at the village level of 慈化居委会",
        "only 13",
    )


def test_a_lan_holds_as_many_hosts_as_it_has_addresses(editor: Editor) -> None:
    for number in range(12):
        editor.add_client(f"pc-{number}", "360902105001")
    plan = build_plan(editor.city())
    lan = plan.lan("360902105001", "ipv4")
    hosts = {plan.host(node.id, "ipv4") for node in editor.nodes.values() if node.role == "client"}
    assert max(host for host in hosts if host in lan) == lan.broadcast - 1


def test_too_many_management_addresses(editor: Editor) -> None:
    only(
        problems(editor, management__ipv4="198.19.240.0/28"),
        "IPv4 management addresses at the city level of 宜春市 (3609): 22 are needed, but there are only 14",
        "shorten [management] ipv4 (now 198.19.240.0/28) and keep its first address, which renumbers nothing",
    )


def test_more_room_in_management_renumbers_nothing(editor: Editor) -> None:
    before = editor.allocate()
    editor.layout = layout(editor.layout, management__ipv4="198.19.240.0/22")
    after = build_plan(editor.city())
    for node in editor.nodes:
        assert after.management(node, "ipv4") == before.management(node, "ipv4")


def test_a_city_prefix_too_small_for_its_counties(editor: Editor) -> None:
    found = problems(editor, ipv4__prefix="198.18.0.0/18", management__ipv4="198.19.240.0/24")
    assert "IPv4 block (/19) of 丰城市 (360981) at the county level" in found[0]
    assert "shorten [ipv4] prefix and keep its first address" in found[0]
    assert "[ipv4.county_sizes] 360981 = 20" in found[0]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"ipv6__prefix": "2001:db8::/40"},
            ["[ipv6] county = 40", "county level does not fit", "宜春市 (3609)"],
        ),
        ({"ipv6__village": 47}, ["[ipv6] village = 47", "village level does not fit", "township (/48)"]),
        ({"ipv6__lan": 80}, ["[ipv6] lan = 80", "RFC 7421"]),
        ({"ipv6__lan": 56}, ["[ipv6] lan = 56", "RIPE-690"]),
        ({"ipv6__prefix": "2001:db8::1/32"}, ["bits set past its length", 'write "2001:db8::/32"']),
        ({"ipv6__prefix": "198.18.0.0/15"}, ["is not an IPv6 prefix"]),
        ({"ipv4__prefix": "198.18.0.0/33"}, ["is not an IPv4 prefix"]),
        ({"ipv4__county": 14}, ["[ipv4] county = 14", "larger than the city's prefix (/15)"]),
        ({"ipv4__county": 25}, ["[ipv4] county = 25", "county level is too small", "at most 24"]),
        ({"ipv4__lan": 25}, ["[ipv4] lan = 25", "between the block (/26) and /29"]),
        ({"ipv4__city_lan": 20}, ["[ipv4] city_lan = 20", "between /21"]),
        (
            {"management__ipv4": "192.0.2.0/26"},
            ["[management] ipv4 192.0.2.0/26", "[partners.3603] ipv4", "overlap"],
        ),
        ({"management__ipv6": "2001:db8::/64"}, ["[management] ipv6", "infrastructure", "slot 0"]),
        (
            {"management__ipv4": "198.18.0.0/14"},
            ["[ipv4] prefix 198.18.0.0/15", "[management] ipv4", "overlap"],
        ),
    ],
    ids=lambda value: next(iter(value.items()))[0] if isinstance(value, dict) else "",
)
def test_a_layout_that_cannot_be(editor: Editor, changes: dict[str, Any], parts: list[str]) -> None:
    if changes.get("management__ipv4") == "198.18.0.0/14":
        changes = {"management__ipv4": "198.16.0.0/13"}
    found = problems(editor, **changes)
    for part in parts:
        assert part in found[0], found[0]


def test_two_members_on_one_slot_are_both_named_with_the_way_out(editor: Editor) -> None:
    editor.allocate()
    editor.allocations["management"]["cihua"] = editor.allocations["management"]["zone"]
    only(
        problems(editor),
        "pool management: ",
        "cihua",
        "zone",
        f"both hold slot {editor.allocations['management']['zone']}",
        "delete the line of the one that is not deployed yet and run jizuo plan PATH --allocate",
    )


def test_the_way_out_of_a_collision_works(editor: Editor) -> None:
    editor.allocate()
    editor.allocations["360902105"]["360902105201"] = editor.allocations["360902105"]["360902105001"]
    assert "360902105001" in problems(editor)[0]
    del editor.allocations["360902105"]["360902105201"]
    plan = editor.allocate()
    assert plan.lan("360902105201", "ipv6") != plan.lan("360902105001", "ipv6")
    assert set(plan.new_allocations) == {"360902105"}


def test_a_slot_outside_its_pool_is_named(editor: Editor) -> None:
    editor.allocate()
    editor.allocations["360902105"]["360902105201"] = 256
    only(
        problems(editor),
        "360902105201 holds slot 256, outside 1 to 255",
        "township level of 慈化镇 (360902105)",
    )


def test_ipv4_blocks_that_overlap_are_named(editor: Editor) -> None:
    editor.allocate()
    editor.allocations["3609/ipv4"]["360981"] = 0
    found = problems(editor)
    assert any("360981 (slot 0, /19) overlaps 360902" in line for line in found), found
    assert any("县" in line or "宜春市 (3609)" in line for line in found)


def test_broken_references_are_told_rather_than_met_later(editor: Editor) -> None:
    editor.add_client("lost", "nowhere")
    editor.add_link("loose", "core-a", "nobody", LinkKind.CORE)
    found = problems(editor)
    assert any("lost: there is no site nowhere" in line for line in found)
    assert any("loose: there is no node nobody" in line for line in found)


def test_a_block_line_of_the_wrong_form_is_named(editor: Editor) -> None:
    editor.allocate()
    editor.allocations["360902/block"]["360902105"] = 90
    only(problems(editor), "pool 360902/block: 360902105 is no block of a group", "GROUP#NUMBER")
