"""Is each thing that is wrong with city.toml found where it stands, alone, and with the way out?"""

from __future__ import annotations

from pathlib import Path

import pytest

from .breaking import Case, assert_found

CASES = [
    Case("city.toml", '"198.18.0.0/15"', '▸"198.18.1.0/15"', ("bits set", "write 198.18.0.0/15")),
    Case("city.toml", '"198.18.0.0/15"', '▸"198.18.0.0"', ("no prefix", "198.18.0.0/15")),
    Case("city.toml", '"198.18.0.0/15"', '▸"300.18.0.0/15"', ("no prefix", "write an IPv4 address")),
    Case("city.toml", '"198.18.0.0/15"', '▸"3fff:1::/32"', ("an IPv6 prefix", "write an IPv4 prefix")),
    Case("city.toml", '"198.19.240.0/24"', '▸"198.18.240.0/24"', ("overlaps ipv4.prefix", "198.19.224.0/19")),
    Case(
        "city.toml",
        '"2001:db8:ff00::/64"',
        '▸"2001:db8:fe00::/64"',
        ("overlaps ipv6.prefix", "2001:db8:ff00::/40"),
    ),
    Case("city.toml", '"192.0.2.0/24"', '▸"198.18.2.0/24"', ("partners.3603.ipv4", "overlaps ipv4.prefix")),
    Case("city.toml", '"3fff:363::/32"', '▸"2001:db8:5::/48"', ("overlaps ipv6.prefix",)),
    Case("city.toml", '"192.0.2.0/24"', '▸"127.0.2.0/24"', ("loopback", "RFC 1122")),
    Case("city.toml", '"2001:db8::/32"', '▸"fd00::/32"', ("unique local", "RFC 4193")),
    Case("city.toml", '"2001:db8::/32"', '▸"2002::/16"', ("6to4",)),
    Case("city.toml", "township = 48", "township = ▸40", ("write 41 to 64", "ipv6.county")),
    Case("city.toml", "lan = 64", "lan = ▸72", ("write 57 to 64",)),
    Case("city.toml", "lan = 28", "lan = ▸25", ("write 26 to 30",)),
    Case("city.toml", "city_lan = 25", "city_lan = ▸31", ("write 20 to 30",)),
    Case("city.toml", "township = 48", 'township = ▸"48"', ("township is '48'", "whole number")),
    Case("city.toml", "township = 48", "▸towship = 48", ("'towship'", "did you mean 'township'")),
    Case("city.toml", '"360902" = 18', '"360903" = ▸18', ("no county-level site", "'360902'")),
    Case("city.toml", '"360902" = 18', '"360902" = ▸26', ("26 bits", "write 16 to 25")),
    Case("city.toml", '"yichun.example"', '▸"Yichun.example"', ("no DNS name",)),
    Case("city.toml", '"Asia/Shanghai"', '▸"Asia/Shangai"', ("unknown time zone", "'Asia/Shanghai'")),
    Case("city.toml", 'division = "3609"', 'division = ▸"3610"', ("unknown division",)),
    Case("city.toml", "asn = 4200000000", "asn = ▸64512", ("4200000000 to 4294967294",)),
    Case("city.toml", "asn = 4200000000", "asn = ▸4200000000.5", ("a number",)),
    Case("city.toml", "asn = 4200000000", "asn = ▸2024-01-01", ("a date or time",)),
    Case("city.toml", "asn = 4200000000", "asn = ▸", ("not TOML", "Invalid value")),
    Case("city.toml", "asn = 4200000000", 'asn = 4200000000\nname = "x"▸', ("overwrite", "remove or rename")),
    Case("city.toml", "asn = 4200000000", 'asn = "4200000000▸', ("not TOML",)),
    Case(
        "city.toml",
        '[ipv6]\nprefix = "2001:db8::/32"',
        "[▸ipv6]",
        ("'prefix' is missing in [ipv6]", "add prefix"),
    ),
    Case(
        "city.toml", '[partners.3603]\nipv4 = "192.0.2.0/24"\n', "[partners.▸3603]\n", ("'ipv4' is missing",)
    ),
    Case("city.toml", '"3fff:360::/32"', '▸"3fff:360::/96"', ("no room for a LAN", "/64 or shorter")),
    Case(
        "city.toml", '"203.0.113.128/25"', '▸"203.0.113.128/31"', ("a gateway and a host", "/30 or shorter")
    ),
    Case(
        "city.toml",
        '"203.0.113.128/25"',
        '▸"192.0.2.128/25"',
        ("partners.36.ipv4", "overlaps partners.3603.ipv4"),
    ),
    Case(
        "city.toml",
        "asn = 4210000000",
        "asn = ▸4200000005",
        ("among the city's own", "4200000000 to 4200000255"),
    ),
    Case("city.toml", "asn = 4210000000", "asn = ▸4294967295", ("0 to 4294967294",)),
    Case(
        "city.toml", '"203.0.113.0/25"', '▸"203.0.113.0/24"', ("internet.ipv4", "overlaps partners.36.ipv4")
    ),
    Case("city.toml", '"203.0.113.0/25"', '▸"203.0.113.0/31"', ("internet.ipv4", "/30 or shorter")),
    Case("city.toml", '"203.0.113.0/25"', '▸"3fff:f01::/64"', ("an IPv6 prefix", "write an IPv4 prefix")),
    Case("city.toml", '"3fff:f00::/64"', '▸"3fff:f00::/48"', ("no single segment", "such as 3fff:f00::/64")),
    Case("city.toml", '"3fff:f00::/64"', '▸"3fff:f00::/127"', ("no room for a LAN", "/64 or shorter")),
    Case("city.toml", '"3fff:f00::/64"', '▸"2001:db8:77::/64"', ("internet.ipv6", "overlaps ipv6.prefix")),
    Case("city.toml", '"3fff:f00::/64"', '▸"fe80::/64"', ("RFC 4291", "a prefix of your own")),
    Case("city.toml", "[internet]\n", "[internet]\nnew_connections = ▸0\n", ("1 to 1000000",)),
    Case("city.toml", "[internet]\n", "[internet]\n▸connections = 9\n", ("'connections'", "new_connections")),
    Case("city.toml", '[internet]\nipv4 = "203.0.113.0/25"\n', "[▸internet]\n", ("'ipv4' is missing",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words[0])
def test_one_broken_thing_is_one_problem_in_its_place(small_city: Path, case: Case) -> None:
    assert_found(small_city, case)
