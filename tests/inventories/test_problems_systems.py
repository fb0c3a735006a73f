"""Is each thing that is wrong with the systems (systems.csv) found where it stands, alone, and with the way out?"""

from __future__ import annotations

from pathlib import Path

import pytest

from .breaking import Case, assert_found

CASES = [
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
    Case(
        "systems.csv",
        "icmp://core-b;",
        "▸icmp://core-b.yichun.example;",
        ("the inventory's own domain", "id, core-b"),
    ),
    Case("systems.csv", "icmp://core-b;", "▸tls://core-b;", ("has no port", "tls://core-b:PORT")),
    Case("systems.csv", "icmp://core-b;", "▸http://Bad_Name.example/;", ("unknown node",)),
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
    Case("systems.csv", "tcp://ops-1:9090", "▸tcp://ops-1:0", ("port 0", "1 to 65535")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words[0])
def test_one_broken_thing_is_one_problem_in_its_place(small_city: Path, case: Case) -> None:
    assert_found(small_city, case)
