"""Is each thing that is wrong with the sites (sites.csv) found where it stands, alone, and with the way out?"""

from __future__ import annotations

from pathlib import Path

import pytest

from .breaking import Case, assert_found

TOWNSHIP_SITE = "360902105,360902105,township,access,both,360902\n"
CASES = [
    Case(
        "sites.csv", TOWNSHIP_SITE, "360902105,360902105,township,access,both,▸\n", ("orphan", "write 360902")
    ),
    Case(
        "sites.csv",
        TOWNSHIP_SITE,
        "360902105,360902105,township,access,both,▸360903\n",
        ("unknown site", "360902"),
    ),
    Case(
        "sites.csv",
        TOWNSHIP_SITE,
        "360902105,360902105,township,access,both,▸360981\n",
        ("not above", "360902"),
    ),
    Case(
        "sites.csv",
        TOWNSHIP_SITE,
        "360902105,360902105,township,access,both,▸cloud\n",
        ("cloud site", "360902"),
    ),
    Case(
        "sites.csv",
        TOWNSHIP_SITE,
        "360902105,360902105,township,▸acess,both,360902\n",
        ("'acess'", "; access?"),
    ),
    Case(
        "sites.csv",
        TOWNSHIP_SITE,
        "360902105,360902105,township,access,▸c,360902\n",
        ("'c'", "one of a, b, both"),
    ),
    Case(
        "sites.csv",
        "360902400001,360902400001,village",
        "360902400001,360902400001,▸township",
        ("level is township", "write village"),
    ),
    Case(
        "sites.csv",
        "360981,360981,county,access,both,\n",
        "360981,360981,county,access,both,▸3609\n",
        ("no parent",),
    ),
    Case("sites.csv", "360981,360981,county", "360981,▸360982,county", ("unknown division", "360981")),
    Case(
        "sites.csv",
        "cloud,3609,city,cloud,both,\n",
        "cloud,▸3603,city,cloud,both,\n",
        ("stands in", "write 3609"),
    ),
    Case("sites.csv", "cloud,3609,city,cloud,both,\n", "cloud,3609,▸county,cloud,both,\n", ("write city",)),
    Case(
        "sites.csv", "cloud,3609,city,cloud,both,\n", "cloud,3609,city,cloud,both,▸360902\n", ("no parent",)
    ),
    Case("sites.csv", "pingxiang,3603,city", "pingxiang,▸3609,city", ("off-site", "another prefecture city")),
    Case(
        "sites.csv", "pingxiang,3603,city", "pingxiang,▸36,city", ("the province", "another prefecture city")
    ),
    Case("sites.csv", "backup,3609,city", "▸Backup,3609,city", ("'Backup'", "write 'backup'")),
    Case(
        "sites.csv",
        "operations,3609,city,operations",
        "operations,3609,city,▸ops",
        ("'ops'", "one of province, core, border"),
    ),
    Case("sites.csv", "province,36,province", "province,36,▸city", ("of level city", "write province")),
    Case("sites.csv", "province,36,province", "province,▸3609,province", ("stands in", "write 36")),
    Case(
        "sites.csv",
        "province,36,province,province,both,",
        "province,36,province,province,both,▸core-a",
        ("no parent",),
    ),
    Case("sites.csv", "border,3609,city", "border,▸3603,city", ("a border site stands in", "write 3609")),
    Case("sites.csv", "border,3609,city", "border,3609,▸province", ("of level province", "write city")),
    Case("sites.csv", "border,3609,city,border,both,", "border,3609,city,border,both,▸3609", ("no parent",)),
    Case(
        "sites.csv",
        "border,3609,city,border,both,\n",
        "border,3609,city,border,both,\n▸border-b,3609,city,▸border,both,\n",
        ("second border", "tracks connections", "has no node"),
    ),
    Case(
        "sites.csv",
        "cloud,3609,",
        "▸▸x,360902105,township,access,,360902\ncloud,3609,",
        ("another id", "360902105", "has no node"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words[0])
def test_one_broken_thing_is_one_problem_in_its_place(small_city: Path, case: Case) -> None:
    assert_found(small_city, case)
