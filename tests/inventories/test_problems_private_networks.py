"""Is each thing that is wrong with private-networks.csv found where it stands, alone, and with the way out?"""

from __future__ import annotations

from pathlib import Path

import pytest

from .breaking import Case, assert_found

CASES = [
    Case(
        "private-networks.csv",
        "health,health-commission",
        "health,▸health-comission",
        ("unknown unit", "'health-commission'"),
    ),
    Case("private-networks.csv", ",1002,", ",▸1001,", ("vni 1001 is that of the network health", "16777215")),
    Case("private-networks.csv", ",1002,", ",▸0,", ("1 to 16777215",)),
    Case("private-networks.csv", ",1002,", ",▸16777216,", ("1 to 16777215",)),
    Case("private-networks.csv", "\nhealth,", "\n▸Health,", ("'Health'", "write 'health'")),
    Case(
        "private-networks.csv",
        "\ncivil,",
        "\n▸health-bureau,health-commission,1003,10.0.0.0/16,3fff:300::/48,28,\ncivil,",
        ("13 characters", "at most 11"),
    ),
    Case(
        "private-networks.csv",
        "1001,198.51.100.0/24",
        "1001,▸198.51.100.0",
        ("no IPv4 prefix", "198.51.100.0/24"),
    ),
    Case("private-networks.csv", "1001,198.51.100.0/24", "1001,▸198.51.100.9/24", ("no IPv4 prefix",)),
    Case("private-networks.csv", "1001,198.51.100.0/24", "1001,▸3fff:900::/48", ("no IPv4 prefix",)),
    Case("private-networks.csv", "3fff:100::/48", "▸198.51.101.0/24", ("no IPv6 prefix", "3fff:100::/48")),
    Case(
        "private-networks.csv",
        "1001,198.51.100.0/24",
        "1001,▸198.51.100.0/28",
        ("no room for LANs of /28", "/27 or shorter"),
    ),
    Case(
        "private-networks.csv",
        "3fff:100::/48",
        "▸3fff:100::/64",
        ("no room for LANs of /64", "/63 or shorter"),
    ),
    Case(
        "private-networks.csv",
        "1001,198.51.100.0/24",
        "1001,▸127.0.0.0/16",
        ("loopback", "RFC 1122", "department's own"),
    ),
    Case("private-networks.csv", "3fff:100::/48", "▸fe80::/48", ("RFC 4291",)),
    Case(
        "private-networks.csv",
        "1001,198.51.100.0/24",
        "1001,▸198.18.9.0/24",
        ("overlaps the city's", "apart from 198.18.0.0/15"),
    ),
    Case(
        "private-networks.csv", "1001,198.51.100.0/24", "1001,▸203.0.113.192/26", ("overlaps partner 36's",)
    ),
    Case(
        "private-networks.csv",
        "1001,198.51.100.0/24",
        "1001,▸203.0.113.64/26",
        ("overlaps the internet segment",),
    ),
    Case(
        "private-networks.csv",
        "1001,198.51.100.0/24",
        "1001,▸▸198.19.240.0/24",
        ("the city's", "management's"),
    ),
    Case(
        "private-networks.csv",
        "3fff:200::/48",
        "▸3fff:100::/40",
        ("overlaps that of the network health", "IPv6 is not translated at the border"),
    ),
    Case("private-networks.csv", "3fff:200::/48,28", "3fff:200::/48,▸30", ("8 to 29",)),
    Case("private-networks.csv", "lan4,name", "▸lan,name", ("'lan'",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words[0])
def test_one_broken_thing_is_one_problem_in_its_place(small_city: Path, case: Case) -> None:
    assert_found(small_city, case)
