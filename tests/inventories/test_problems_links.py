"""Is each thing that is wrong with the links (links.csv) found where it stands, alone, and with the way out?"""

from __future__ import annotations

from pathlib import Path

import pytest

from .breaking import Case, assert_found

CASES = [
    Case(
        "links.csv",
        "yufang-up,cihua,yufang,",
        "▸yufang-uplink-to-cihua,cihua,yufang,",
        ("22 characters", "15"),
    ),
    Case("links.csv", "yufang-up,cihua,yufang,", "yufang-up,cihua,▸yufnag,", ("unknown node", "'yufang'")),
    Case("links.csv", "yufang-up,cihua,yufang,", "yufang-up,▸yufang,cihua,", ("not above", "swap the ends")),
    Case("links.csv", "yufang-up,cihua,yufang,uplink", "yufang-up,cihua,yufang,▸uplnk", ("; uplink?",)),
    Case(
        "links.csv", "yz-a,core-a,yuanzhou,uplink,a", "yz-a,core-a,yuanzhou,uplink,▸b", ("plane", "write a")
    ),
    Case("links.csv", "yz-a,core-a,yuanzhou,uplink,a", "▸lan0,core-a,yuanzhou,uplink,a", ("taken",)),
    Case("links.csv", "yz-a,core-a,yuanzhou,uplink,a", "yz-a,core-a,▸core-a,uplink,a", ("with itself",)),
    Case("links.csv", "yz-b,core-b", "▸yz-a,core-b", ("duplicate id 'yz-a'", "line 3")),
    Case(
        "links.csv",
        "cl1-a,core-a,cloud-1,server",
        "cl1-a,core-a,▸cloud-1,uplink",
        ("two routers", "kind server"),
    ),
    Case(
        "links.csv",
        "cl1-a,core-a,cloud-1,server",
        "cl1-a,▸yuanzhou,cloud-1,server",
        ("router of a core site",),
    ),
    Case(
        "links.csv",
        "fc-a,core-a,fengcheng,uplink",
        "fc-a,core-a,▸fengcheng,server",
        ("a router", "kind uplink"),
    ),
    Case(
        "links.csv",
        "fc-a,core-a,fengcheng,uplink",
        "fc-a,core-a,▸fengcheng,core",
        ("core link", "core sites"),
    ),
    Case(
        "links.csv", "yufang-c1,yufang,client-1,access", "yufang-c1,yufang,▸client-1,uplink", ("kind access",)
    ),
    Case(
        "links.csv",
        "juwei-c2,cihua-juwei,client-2",
        "juwei-c2,cihua,▸client-2",
        ("on the LAN of", "within a site"),
    ),
    Case(
        "links.csv",
        "juwei-c2,cihua-juwei,client-2",
        "juwei-c2,▸client-1,▸client-2",
        ("router of the host's",),
    ),
    Case(
        "links.csv",
        "yufang-c1,yufang,client-1,access,both,\n",
        "yufang-c1,yufang,client-1,access,both,\nx-1,yufang,▸client-1,access,both,health\n",
        ("client-1 has an access link already, yufang-c1", "public or of a private network"),
    ),
    Case(
        "links.csv",
        "prov-a,province-1,core-a,",
        "prov-a,▸core-a,province-1,",
        ("core-a (city core) is not above province-1 (province province)", "a is the upper one, province-1"),
    ),
    Case("links.csv", "prov-a,province-1,core-a,", "prov-a,▸province-1,yuanzhou,", ("not above",)),
    Case("links.csv", "border-a,core-a,border-1,", "border-a,▸border-1,core-a,", ("swap the ends", "core-a")),
    Case("links.csv", "border-a,core-a,border-1,", "border-a,▸border-1,yuanzhou,", ("not above", "the core")),
    Case(
        "links.csv", "prov-b,province-1,core-b,uplink,b", "prov-b,▸province-1,core-b,core,b", ("core link",)
    ),
    Case(
        "links.csv",
        "health-1,access,both,health",
        "health-1,access,both,▸helth",
        ("'helth', an unknown private network", "did you mean 'health'", "private-networks.csv"),
    ),
    Case(
        "links.csv",
        "yufang-up,cihua,yufang,uplink,both,",
        "yufang-up,cihua,yufang,uplink,both,▸health",
        ("uplink", "leave it empty"),
    ),
    Case(
        "links.csv",
        "internet-1,access,both,",
        "internet-1,access,both,▸health",
        ("at site border", "access sites"),
    ),
    Case("links.csv", "yufang-h1,yufang", "▸lan-health,yufang", ("taken",)),
    Case("links.csv", "yufang-h1,yufang", "▸to-health,yufang", ("taken",)),
    Case(
        "links.csv",
        "yufang-up,",
        "x-1,yufang,▸cihua,access,both,\nyufang-up,",
        ("at the router", "kind uplink"),
    ),
    Case(
        "links.csv",
        "yufang-up,",
        "x-1,▸yuanzhou,fengcheng,uplink,both,\nyufang-up,",
        ("not above", "higher level"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words[0])
def test_one_broken_thing_is_one_problem_in_its_place(small_city: Path, case: Case) -> None:
    assert_found(small_city, case)
