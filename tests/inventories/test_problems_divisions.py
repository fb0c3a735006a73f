"""Is each thing that is wrong with the divisions (divisions.csv) found where it stands, alone, and with the way out?"""

from __future__ import annotations

from pathlib import Path

import pytest

from .breaking import Case, assert_found

CASES = [
    Case("divisions.csv", "镇,township,360902\n", "镇,township,▸360903\n", ("unknown division", "'360902'")),
    Case("divisions.csv", "镇,township,360902\n", "镇,township,▸\n", ("orphan", "write 360902")),
    Case("divisions.csv", "镇,township,360902\n", "镇,township,▸360981\n", ("begins with", "write 360902")),
    Case("divisions.csv", "慈化镇,township", "慈化镇,▸village", ("9 digits", "township")),
    Case("divisions.csv", "慈化镇,township", "慈化镇,▸Township", ("none of its values", "; township?")),
    Case(
        "divisions.csv",
        "慈化镇,township",
        "慈化镇,▸乡",
        ("'乡'", "province, city, county, township, village"),
    ),
    Case(
        "divisions.csv",
        "360981,丰城市",
        "▸3609810,新县,county,3609\n360981,丰城市",
        ("'3609810'", "2, 4, 6, 9 or 12 digits"),
    ),
    Case("divisions.csv", "3603,萍乡市", "▸３６03,萍乡市", ("full-width", "write '3603'")),
    Case("divisions.csv", ",慈化镇,", ",▸,", ("name is empty", "write a text")),
    Case("divisions.csv", ",慈化镇,", ",▸ 慈化镇,", ("white space at its beginning", "'慈化镇'")),
    Case("divisions.csv", ",慈化镇,", ",慈化镇▸\u3000,", ("white space at its end", "'慈化镇'")),
    Case("divisions.csv", ",慈化镇,", ",慈▸\u200b化镇,", ("U+200B", "zero width space", "'慈化镇'")),
    Case("divisions.csv", ",慈化镇,", ',"慈化▸\n镇",', ("U+000A", "remove it")),
    Case(
        "divisions.csv",
        "360902105,慈化镇",
        "▸360902,袁州区,county,3609\n360902105,慈化镇",
        ("duplicate code '360902'", "first in line 5", "equal rows"),
    ),
    Case(
        "divisions.csv",
        ",慈化镇,township,360902\n",
        ",慈化镇,township▸\n",
        ("3 of", "parent"),
    ),
    Case("divisions.csv", ",慈化镇,township,360902\n", ",慈化镇,township,360902,▸\n", ("5 cells", "surplus")),
    Case("divisions.csv", "3603,萍乡市,city,36\n", "3603,萍乡市,city,36\n▸,,,\n", ("row is empty", "remove")),
    Case("divisions.csv", ",慈化镇,", ',▸"慈化镇,', ("cannot be read as CSV", "close the quotation mark")),
    Case(
        "divisions.csv", "3603,萍乡市,city,36\n", "3603,萍乡市,city,36\n▸>>>>>>> x\n", ("git merge", "sides")
    ),
    Case(
        "divisions.csv",
        "code,name,level,parent",
        "code,▸nmae,level,parent▸",
        ("'nmae'", "did you mean 'name'"),
    ),
    Case(
        "divisions.csv",
        "code,name,level,parent",
        "code,name,level,parent,▸note",
        ("'note'", "code, name, level"),
    ),
    Case("divisions.csv", "code,name,level,parent", "code,name,level,parent,▸name", ("twice", "remove one")),
    Case("divisions.csv", "code,name,level,parent", "▸code;name;level;parent", ("one cell", "commas")),
    Case(
        "divisions.csv",
        "code,name,level,parent",
        "▸\ufeffcode,name,level,parent",
        ("byte-order mark", "sed -i"),
    ),
    Case("divisions.csv", "36,江西省,province,\n", "36,江西省,province,▸35\n", ("'35'", "add the row of 35")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words[0])
def test_one_broken_thing_is_one_problem_in_its_place(small_city: Path, case: Case) -> None:
    assert_found(small_city, case)
