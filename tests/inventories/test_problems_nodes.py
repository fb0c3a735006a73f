"""Is each thing that is wrong with the nodes (nodes.csv) found where it stands, alone, and with the way out?"""

from __future__ import annotations

from pathlib import Path

import pytest

from .breaking import Case, assert_found

CASES = [
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
    Case(
        "nodes.csv",
        "client-2,",
        "▸extra,▸cloud,agent,,,,\nclient-2,",
        ("an agent node stands at the cloud site", "with the role access"),
    ),
    Case(
        "nodes.csv",
        "client-2,",
        "▸extra,▸360902105,agent,,,,\nclient-2,",
        ("a site of the township level", "write the county's site"),
    ),
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
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words[0])
def test_one_broken_thing_is_one_problem_in_its_place(small_city: Path, case: Case) -> None:
    assert_found(small_city, case)
