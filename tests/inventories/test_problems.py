"""Is each thing that is wrong with an inventory found where it stands, alone, and with the way out?

Each case breaks one thing of the small city. The sign ▸ in the new text is where the problem must be
reported; it is taken out before the file is written, so that line and column are counted by the test itself.
A case that provokes any other problem than those marked fails too.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from .breaking import break_file, problems_of


class Case(NamedTuple):
    """What is broken: the file, its text before and after, and words that the problem must hold."""

    file: str
    old: str
    new: str
    words: tuple[str, ...]


DIVISIONS = [
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
]
TOWNSHIP_SITE = "360902105,360902105,township,access,both,360902\n"
SITES = [
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
]
NODES = [
    Case("nodes.csv", "yufang,360902105201", "yufang,▸360902105202", ("unknown site", "'360902105201'")),
    Case("nodes.csv", "yufang,360902105201,router", "yufang,360902105201,▸rooter", ("'rooter'", "; router?")),
    Case("nodes.csv", "cloud-1,cloud,cloud", "▸cloud_1,cloud,cloud", ("'cloud_1'", "write 'cloud-1'")),
    Case("nodes.csv", "cloud-1,cloud,cloud", "▸ｃloud-1,cloud,cloud", ("full-width", "write 'cloud-1'")),
    Case("nodes.csv", "client-1,360902105201,client", "client-1,360902105201,▸Client", ("; client?",)),
    Case(
        "nodes.csv",
        "节点1,debian,x86_64,xinchuang",
        "节点1,▸centos,x86_64,xinchuang",
        ("debian, dnf, vrp, comware",),
    ),
    Case("nodes.csv", "节点1,debian,x86_64,xinchuang", "节点1,debian,▸x86,xinchuang", ("; x86_64?",)),
    Case(
        "nodes.csv", "节点1,debian,x86_64,xinchuang", "节点1,debian,x86_64,▸government", ("write xinchuang",)
    ),
    Case(
        "nodes.csv",
        "client-2,",
        "▸client-1,360902105001,client,,,,\nclient-2,",
        ("duplicate id 'client-1'", "another id"),
    ),
    Case(
        "nodes.csv", "政务云节点1,debian", "政务云节点1,▸vrp", ("a router's", "cloud node", "debian or dnf")
    ),
    Case(
        "nodes.csv",
        "终端1,debian,x86_64,none\nclient-2",
        "终端1,▸comware,x86_64,none\nclient-2",
        ("a client",),
    ),
    Case(
        "nodes.csv",
        "internet-1,",
        "▸border-2,▸border,router,,,,\ninternet-1,",
        ("a second router, border-2 beside border-1", "has one router"),
    ),
    Case(
        "nodes.csv",
        "internet-1,",
        "▸province-2,▸province,router,,,,\ninternet-1,",
        ("a second router, province-2 beside province-1", "a province site has one router"),
    ),
    Case(
        "nodes.csv",
        "internet-1,",
        "▸office-1,▸province,client,,,,\ninternet-1,",
        ("stands at the province site", "access or border"),
    ),
]
LINKS = [
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
]
NETWORKS = [
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
PREFIXES = [
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
SYSTEMS = [
    Case(
        "systems.csv",
        "http://cloud-1/yichun-gov-service-net/,1h,15m",
        "http://cloud-1/yichun-gov-service-net/,1h,▸15 分钟",
        ("15 分钟", "write 15m"),
    ),
    Case(
        "systems.csv",
        "http://cloud-1/yichun-gov-service-net/,1h,15m",
        "http://cloud-1/yichun-gov-service-net/,▸60,15m",
        ("without a unit", "60s, 60m, 60h or 60d"),
    ),
    Case(
        "systems.csv",
        "http://cloud-1/yichun-gov-service-net/,1h,15m",
        "http://cloud-1/yichun-gov-service-net/,1h,▸15M",
        ("no duration", "write 15m"),
    ),
    Case(
        "systems.csv",
        "http://cloud-1/yichun-gov-service-net/,1h,15m",
        "http://cloud-1/yichun-gov-service-net/,1h,▸1.5h",
        ("no duration", "whole number"),
    ),
    Case(
        "systems.csv",
        "http://cloud-1/yichun-gov-service-net/,1h,15m",
        "http://cloud-1/yichun-gov-service-net/,1h,▸2w",
        ("no duration", "write 14d"),
    ),
    Case(
        "systems.csv",
        "4(1),approval-bureau",
        "4(1),data-bureau;▸approval-bureu",
        ("unknown responsible unit", "'approval-bureau'"),
    ),
    Case("systems.csv", "4(1),approval-bureau", "4(1),▸市行政审批局", ("name of a unit", "approval-bureau")),
    Case(
        "systems.csv",
        "4(1),approval-bureau",
        "4(1),data-bureau▸；approval-bureau",
        ("full-width", "data-bureau;approval-bureau"),
    ),
    Case(
        "systems.csv",
        "4(1),approval-bureau",
        "4(1),data-bureau;▸;approval-bureau",
        ("empty element", "semicolon"),
    ),
    Case("systems.csv", "4(1),approval-bureau", "4(1),approval-bureau;▸approval-bureau", ("twice",)),
    Case("systems.csv", "icmp://core-b;", "▸icmq://core-b;", ("nothing probes", "; icmp?")),
    Case("systems.csv", "icmp://core-b;", "▸icmp://core-c;", ("unknown node", "'core-")),
    Case("systems.csv", "icmp://core-b;", "▸icmp://[2001:db8::1];", ("address 2001:db8::1", "by its id")),
    Case("systems.csv", "icmp://core-b;", "▸icmp://core-b:7;", ("a port", "icmp://core-b")),
    Case("systems.csv", "tcp://ops-1:9090", "▸tcp://ops-1", ("no port", "tcp://ops-1:PORT")),
    Case("systems.csv", "tcp://ops-1:9090", "▸tcp://ops-1:90900", ("no URL", "1 to 65535")),
    Case("systems.csv", "tcp://ops-1:9090", "▸http://root:secret@ops-1/", ("account", "no secret")),
    Case("systems.csv", "dns://ops-1/cloud-1.yichun.example", "▸dns://ops-1", ("nothing to look up",)),
    Case("systems.csv", "public,none,2,ops-1", "public,none,▸6,ops-1", ("mlps is '6'", "0 to 5")),
    Case("systems.csv", "public,none,2,ops-1", "▸police,none,2,ops-1", ("network is police",)),
    Case("systems.csv", "public,none,2,ops-1", "public,none,2,▸ops-2", ("unknown node", "'ops-1'")),
    Case(
        "systems.csv",
        "city,public,xinchuang,3",
        "city,public,▸government,3",
        ("xinchuang cloud", "write xinchuang"),
    ),
    Case("systems.csv", "city,public,xinchuang,3", "▸nobody,public,xinchuang,3", ("hosted_by is nobody",)),
]
BACKUPS = [
    Case("backups.toml", '"gov-data-portal"', '▸"gov-data-portl"', ("unknown system", "'gov-data-portal'")),
    Case(
        "backups.toml",
        '"gov-data-portal"',
        '"gov-data-portal", ▸1',
        ("a number",),
    ),
    Case("backups.toml", 'rto = "15m"', "rto = ▸15", ("without a unit", "15s, 15m, 15h or 15d")),
    Case("backups.toml", 'rto = "15m"', 'rto = ▸"20m"', ("longer than", "write 15m or less")),
    Case(
        "backups.toml",
        'owner = "data-bureau"',
        'owner = ▸"data-burau"',
        ("responsible unit", "'data-bureau'"),
    ),
    Case("backups.toml", '"*-*-* *:05/15:00"', '▸"every 15 minutes"', ("systemd calendar", "02:30:00")),
    Case(
        "backups.toml",
        "[policy.collab-office]",
        "[policy.▸Collab_Office]",
        ("'Collab_Office'", "collab-office"),
    ),
    Case(
        "backups.toml",
        "[policy.collab-office]",
        "[▸policies.collab-office]",
        ("none of the tables of backups", "[policy.ID]"),
    ),
]

#: Rows and keys beside the good ones.
ADDED = [
    Case("systems.csv", "tcp://ops-1:9090", "▸tcp://ops-1:0", ("port 0", "1 to 65535")),
    Case(
        "nodes.csv",
        "client-2,",
        "▸extra,▸cloud,operations,,,,\nclient-2,",
        ("an operations node", "or another role"),
    ),
    Case(
        "nodes.csv",
        "client-2,",
        "▸extra,cloud,cloud,,,,government\nclient-2,",
        ("cannot be reached", "links.csv"),
    ),
    Case(
        "nodes.csv", "client-2,", "▸▸management,cloud,router,,,,\nclient-2,", ("taken", "cannot be reached")
    ),
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
    Case("divisions.csv", "36,江西省,province,\n", "36,江西省,province,▸35\n", ("'35'", "add the row of 35")),
    Case(
        "sites.csv",
        "cloud,3609,",
        "▸▸x,360902105,township,access,,360902\ncloud,3609,",
        ("another id", "360902105", "has no node"),
    ),
    Case(
        "backups.toml",
        'paths = ["/srv/systems"]\nschedule = "*-*-* *:05',
        'paths = ["/srv", ▸"srv/../x"]\nschedule = "*-*-* *:05',
        ("not absolute",),
    ),
    Case(
        "backups.toml", 'systems = ["collab-office"]', "systems = ▸[]", ("covers no system", "at least one")
    ),
    Case(
        "backups.toml",
        'repository = "backup-1"\ncopies = ["offsite-1"]\nrpo = "4h"',
        'repository = ▸"ops-1"\ncopies = [▸"cloud-1"]\nrpo = "4h"',
        ("is an operations node", "not off-site"),
    ),
    Case(
        "backups.toml",
        "keep = { hourly = 24, daily = 7, weekly = 4, monthly = 12 }\n\n",
        "keep = { hourli = ▸24, daily = ▸0 }\n\n",
        ("'hourly'", "1 or more"),
    ),
    Case(
        "backups.toml",
        '[policy.collab-office]\nsystems = ["collab-office"]',
        '[policy.▸collab-office]\n▸system = ["collab-office"]',
        ("'systems' is missing in [policy.collab-office]", "'system' is unknown", "did you mean 'systems'"),
    ),
    Case("allocations.csv", "360902/host", "▸360902/hosts", ("unknown pool", "'360902/host'")),
    Case("allocations.csv", "360902/host", "▸Host!", ("no pool", "management")),
    Case("allocations.csv", "core-b,2", "core-b,▸1", ("held by 'core-a'", "line 4", "--allocate")),
    Case("allocations.csv", "core-b,2", "core-b,▸-1", ("whole number from 0",)),
    Case("allocations.csv", "core-b,2", "core-b,▸1.5", ("'1.5'", "whole number")),
    Case(
        "allocations.csv",
        "management,core-b,2",
        "management,▸core-a,2",
        ("duplicate pool and member", "line 4"),
    ),
]


@pytest.mark.parametrize(
    "case",
    [*DIVISIONS, *SITES, *NODES, *LINKS, *NETWORKS, *PREFIXES, *SYSTEMS, *BACKUPS, *ADDED],
    ids=lambda case: f"{case.file} {case.words[0]}",
)
def test_one_broken_thing_is_one_problem_in_its_place(small_city: Path, case: Case) -> None:
    expected = break_file(small_city, case.file, case.old, case.new)
    assert expected, "the case marks no position"
    problems = problems_of(small_city)
    assert [(p.file, p.line, p.column) for p in problems] == expected, problems
    told = " ".join(f"{p.what}; {p.fix}" for p in problems)
    for word in case.words:
        assert word in told
