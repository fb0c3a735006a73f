"""Is the inventory of Yichun true to its sources, whole, and in keeping with the rules of its README?"""

from __future__ import annotations

import hashlib
import re
import shutil
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from inventories.backups.calendar import longest_pause, parse
from inventories.backups.records import Engine
from inventories.load import load_city
from inventories.plan import AddressPlan, build_plan
from inventories.records import (
    NO_LINUX,
    City,
    Cloud,
    Family,
    HostedBy,
    Level,
    LinkKind,
    NetworkZone,
    NodeRole,
    OperatingSystemFamily,
    Plane,
    SiteRole,
)
from inventories.scaffold import CityRequest, scaffold

YICHUN = Path(__file__).parents[2] / "inventories" / "yichun"
REQUEST = CityRequest(
    city="3609",
    domain="yichun.example",
    zones=("360902400", "360902402", "360902403"),
    partner="3603",
    partner_name="pingxiang",
)


@pytest.fixture(scope="module")
def yichun() -> City:
    return load_city(YICHUN)


@pytest.fixture(scope="module")
def plan(yichun: City) -> AddressPlan:
    return build_plan(yichun)


def _sha256(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_divisions_are_those_of_the_statistics(yichun: City) -> None:
    # The digest is that of the national statistics' rows for 36, 3609 and all below 3609 (2023), sorted.
    rows = [
        f"{row.code},{row.name},{row.level},{row.parent}"
        for row in yichun.divisions.values()
        if row.code != "3603"
    ]
    assert Counter(row.level for row in yichun.divisions.values()) == {
        Level.PROVINCE: 1,
        Level.CITY: 2,
        Level.COUNTY: 10,
        Level.TOWNSHIP: 219,
        Level.VILLAGE: 2794,
    }
    assert _sha256(sorted(rows)) == "7f7588724bcbca22030d6627bf7a2a615da588658beb1a58bbe587322c0913d8"
    assert yichun.divisions["3603"].name == "萍乡市"
    assert yichun.divisions["360902105"].name == "慈化镇"
    assert yichun.divisions["360902402498"].parent == "360902402"


def test_systems_are_the_199_that_the_plan_names(yichun: City) -> None:
    # The digest is that of the plan's facts as they were listed: id, name, section, units, kind, target.
    rows = []
    for row in yichun.systems.values():
        owners = "、".join(yichun.units[owner].name for owner in row.owners)
        rows.append("|".join((row.id, row.name, row.section, owners, row.kind, row.target)))
    assert len(rows) == 199
    assert _sha256(sorted(rows)) == "35d34df2369757608c4da429dc34d897e68c05e85b7ac1d0459e01d13325e450"
    ids = "9cb66f1ef3fd32508fd7620cbc9b803653914e821bf6ec7fdde0b4007438697c"
    assert _sha256(list(yichun.systems)) == ids, "the rows are not in the plan's order"


def test_owners_that_are_several_words_are_one_unit(yichun: City) -> None:
    assert yichun.systems["public-credit-platform"].owners[-1] == "double-random-conference-members"
    assert yichun.systems["lithium-residue-platform"].owners[-1] == "lithium-county-governments"
    assert yichun.units["lithium-county-governments"].name == "各涉锂县(市、区)政府"
    assert sum(not row.owners for row in yichun.systems.values()) == 9
    used = {owner for row in yichun.systems.values() for owner in row.owners}
    assert used == set(yichun.units)


def test_every_division_below_the_city_has_a_site_and_every_site_a_router(yichun: City) -> None:
    access = {row.id: row for row in yichun.sites.values() if row.role is SiteRole.ACCESS}
    below = {code for code, row in yichun.divisions.items() if row.level not in (Level.PROVINCE, Level.CITY)}
    assert {row.division for row in access.values()} == set(access) == below
    assert Counter(row.level for row in access.values()) == {
        Level.COUNTY: 13,
        Level.TOWNSHIP: 216,
        Level.VILLAGE: 2794,
    }
    routers = Counter(row.site for row in yichun.nodes.values() if row.role is NodeRole.ROUTER)
    assert routers == Counter([*access, "core-a", "core-b", "province", "border"])


def test_zones_are_county_level_peers_with_villages_directly_below(yichun: City) -> None:
    for zone in REQUEST.zones:
        assert (yichun.sites[zone].level, yichun.sites[zone].parent) == (Level.COUNTY, "")
        assert yichun.divisions[zone].level is Level.TOWNSHIP
    assert yichun.sites["360902400401"].parent == "360902400"


def test_uplinks_make_one_tree_with_two_planes_at_its_top(yichun: City) -> None:
    uplinks: dict[str, list[tuple[str, Plane]]] = {}
    for link in yichun.links.values():
        if link.kind is LinkKind.UPLINK:
            uplinks.setdefault(link.b, []).append((link.a, link.plane))
    for site in yichun.sites.values():
        if site.role is not SiteRole.ACCESS:
            continue
        if site.level is Level.COUNTY:
            assert uplinks[f"r{site.id}"] == [("core-a", Plane.A), ("core-b", Plane.B)]
        else:
            assert uplinks[f"r{site.id}"] == [(f"r{site.parent}", Plane.BOTH)]


def test_the_core_has_the_province_above_and_the_border_below_in_both_planes(yichun: City) -> None:
    ends = {(row.a, row.b): row.plane for row in yichun.links.values() if row.kind is LinkKind.UPLINK}
    for core, plane in (("core-a", Plane.A), ("core-b", Plane.B)):
        assert ends["province-1", core] is plane
        assert ends[core, "border-1"] is plane
    assert [row.id for row in yichun.nodes.values() if row.site in ("province", "border")] == [
        "province-1",
        "border-1",
    ]


def test_what_others_give_is_that_of_the_lab_and_the_off_site_node_is_where_it_was(
    yichun: City, plan: AddressPlan
) -> None:
    lab = load_city(YICHUN.parent / "lab")
    assert (yichun.layout.partners, yichun.layout.internet) == (lab.layout.partners, lab.layout.internet)
    # Narrowing a neighbour's prefix at its end moves nobody: 192.0.2.0/24 became /25 when the province came.
    assert [str(plan.host("offsite-1", family)) for family in Family] == ["192.0.2.2", "3fff:363::2"]
    assert [str(plan.host("province-1", family)) for family in Family] == ["192.0.2.130", "3fff:360::2"]


def test_a_private_network_is_added_as_the_readme_says(tmp_path: Path) -> None:
    """The rows of the README itself, and one host: nobody else's address moves."""
    folder = Path(shutil.copytree(YICHUN, tmp_path / "yichun"))
    readme = (YICHUN / "README.md").read_text(encoding="utf-8")
    [rows] = re.findall(r"```\n( *id,unit,vni,.*?)```", readme, re.DOTALL)
    (folder / "private-networks.csv").write_text(textwrap.dedent(rows), encoding="utf-8")
    with (folder / "nodes.csv").open("a", encoding="utf-8") as nodes:
        nodes.write("health-1,360902105201,client,余坊村卫生室终端,debian,x86_64,none\n")
    with (folder / "links.csv").open("a", encoding="utf-8") as links:
        links.write("yufang-h1,r360902105201,health-1,access,both,health\n")
    before, after = build_plan(load_city(YICHUN)), build_plan(load_city(folder))
    assert set(before.addresses()) <= set(after.addresses())
    assert {row.host for row in after.private_addresses()} == {"health-1", "r360902105201"}
    assert sum(map(len, after.new_allocations.values())) == 5  # two sites, the host twice, the crossing


def test_numbers_in_the_readme_are_those_of_the_files() -> None:
    readme = (YICHUN / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+\.csv)` \| ([\d,]+) \|", readme, re.MULTILINE)
    assert {name for name, _ in rows} == {path.name for path in YICHUN.glob("*.csv")}
    for name, number in rows:
        lines = (YICHUN / name).read_text(encoding="utf-8").splitlines()
        assert int(number.replace(",", "")) == len(lines) - 1, name


def test_every_server_stands_in_both_planes(yichun: City) -> None:
    servers = {row.id for row in yichun.nodes.values() if row.role is not NodeRole.ROUTER}
    links = {(row.a, row.b) for row in yichun.links.values() if row.kind is LinkKind.SERVER}
    assert links == {(core, server) for core in ("core-a", "core-b") for server in servers}
    roles = Counter(yichun.nodes[server].role for server in servers)
    assert roles[NodeRole.OPERATIONS] == roles[NodeRole.BACKUP] == 2
    assert roles[NodeRole.OFFSITE] == 1


def test_domestic_cloud_is_a_mix_of_families_and_architectures(yichun: City) -> None:
    nodes = [row for row in yichun.nodes.values() if row.cloud is Cloud.XINCHUANG]
    assert {row.os_family for row in nodes} == set(OperatingSystemFamily) - NO_LINUX
    assert {row.architecture.value for row in nodes} == {"x86_64", "aarch64", "loongarch64"}


@pytest.mark.parametrize("name", ["city.toml", "divisions.csv", "sites.csv"])
def test_scaffold_writes_the_same_file(yichun: City, name: str) -> None:
    files = scaffold(yichun.divisions.values(), REQUEST)
    assert files[name] == (YICHUN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "added"), [("nodes.csv", 27), ("links.csv", 54)])
def test_only_servers_are_added_to_what_the_scaffold_writes(yichun: City, name: str, added: int) -> None:
    scaffolded = set(scaffold(yichun.divisions.values(), REQUEST)[name].splitlines())
    kept = set((YICHUN / name).read_text(encoding="utf-8").splitlines())
    # The scaffold's five servers stand here too, under names that say what they do.
    missing, extra = scaffolded - kept, kept - scaffolded
    assert all(line.startswith(("cloud-1", "xinchuang-1", "backup-1")) for line in missing)
    assert len(extra) - len(missing) == added
    assert all(re.match(r"(cloud|xinchuang|backup|ops)-\d+[-,]", line) for line in extra)


def test_files_are_plain_utf8_with_unix_line_ends() -> None:
    for path in YICHUN.iterdir():
        raw = path.read_bytes()
        assert raw.decode("utf-8").endswith("\n"), path
        assert b"\r" not in raw and not raw.startswith(b"\xef\xbb\xbf"), path


def test_city_plans_in_both_families_with_room_to_grow(yichun: City, plan: AddressPlan) -> None:
    assert str(plan.county_prefix("360981", Family.IPV4)).endswith("/18")
    assert str(plan.county_prefix("360981", Family.IPV6)).endswith("/40")
    seen: dict[Family, set[str]] = {Family.IPV4: set(), Family.IPV6: set()}
    for node in yichun.nodes:
        for family, addresses in seen.items():
            addresses.add(str(plan.host(node, family)))
    assert {family: len(addresses) for family, addresses in seen.items()} == dict.fromkeys(Family, 3059)
    for row in plan.usage():
        if row.level in (Level.CITY, Level.COUNTY):
            assert row.used <= row.capacity * 15 / 16, row


def test_allocations_leave_nothing_to_be_numbered_in_memory(plan: AddressPlan) -> None:
    assert not any(plan.new_allocations.values())


# ------------------------------------------------------------------------------------------------
# The rules of inventories/yichun/README.md that a machine can decide.


def test_what_nobody_runs_has_nothing_to_run(yichun: City) -> None:
    for row in yichun.systems.values():
        if row.kind in ("list", "standard", "service", "pilot"):
            assert row.hosted_by is HostedBy.NOBODY, row.id
        if row.hosted_by is HostedBy.NOBODY:
            rest = (row.network, row.cloud, row.mlps, row.nodes, row.endpoints, row.rpo, row.rto)
            assert rest == (NetworkZone.NONE, Cloud.NONE, 0, (), (), 0, 0), row.id
        else:
            assert row.network is not NetworkZone.NONE, row.id


def test_what_others_run_is_only_reached(yichun: City) -> None:
    for row in yichun.systems.values():
        if re.search(r"^全?省|^江西|^“赣.通”\(|依托省级", row.name):
            assert row.hosted_by is HostedBy.PROVINCE, row.id
        if row.name.startswith("国家"):
            assert row.hosted_by is HostedBy.NATION, row.id
        if row.hosted_by is not HostedBy.CITY:
            assert (row.nodes, row.endpoints, row.cloud, row.rpo, row.rto) == ((), (), Cloud.NONE, 0, 0), (
                row.id
            )
        if row.hosted_by in (HostedBy.PROVINCE, HostedBy.NATION, HostedBy.OPERATOR):
            assert row.mlps == 0, row.id
        if row.kind == "datasource":
            assert row.hosted_by is HostedBy.DEPARTMENT, row.id
    hosts = Counter(row.hosted_by for row in yichun.systems.values())
    assert hosts[HostedBy.CITY] == 113


def test_police_systems_do_not_stand_on_the_extranet(yichun: City) -> None:
    for row in yichun.systems.values():
        if row.section.endswith("社会治安"):
            assert row.hosted_by is HostedBy.DEPARTMENT, row.id
            video = row.id in ("xueliang-project", "public-video-networking")
            assert row.network is (NetworkZone.OTHER if video else NetworkZone.POLICE), row.id


def test_clouds_follow_the_rule_and_the_nodes(yichun: City) -> None:
    named = {"unified-app-support", "process-components", "expert-database", "xinchuang-cloud"}
    for row in yichun.systems.values():
        for node in row.nodes:
            assert row.cloud in (yichun.nodes[node].cloud, Cloud.NONE), row.id
        if row.cloud is not Cloud.NONE:
            office = row.section.startswith(("三(二)6(1)", "三(二)6(2)"))
            domestic = office or row.kind == "security" or row.id in named
            assert row.cloud is (Cloud.XINCHUANG if domestic else Cloud.GOVERNMENT), row.id


def test_no_node_stands_in_two_zones_of_the_network(yichun: City) -> None:
    zones: dict[str, set[NetworkZone]] = {}
    for row in yichun.systems.values():
        for node in row.nodes:
            zones.setdefault(node, set()).add(row.network)
    assert all(len(found) == 1 for found in zones.values()), zones
    idle = set(yichun.nodes) - set(zones)
    assert all(yichun.nodes[node].role is NodeRole.ROUTER for node in idle), "a server that serves nothing"


def test_endpoints_stand_on_the_systems_own_nodes(yichun: City) -> None:
    for row in yichun.systems.values():
        hosts = {re.sub(r"^\w+://([^:/]+).*", r"\1", endpoint) for endpoint in row.endpoints}
        assert hosts <= {*row.nodes, "ops-1"}, row.id
        if row.hosted_by is HostedBy.CITY and row.id != "village-last-mile":
            assert row.endpoints, row.id


def test_recovery_objectives_follow_level_and_grade(yichun: City) -> None:
    minute, hour, day = 60, 3600, 86400
    for row in yichun.systems.values():
        if row.cloud is Cloud.NONE:
            continue
        objectives = (row.rpo, row.rto)
        if row.mlps == 3:
            assert objectives in ((30 * minute, 2 * hour), (4 * hour, 12 * hour)), row.id
        else:
            watches = re.search("实时|监测|监控|测报|全天候", row.name + row.target)
            assert row.mlps == 2
            assert objectives == ((4 * hour, 12 * hour) if watches else (day, day)), row.id


def test_every_system_with_an_rpo_stands_in_one_policy_that_keeps_it(yichun: City) -> None:
    policies = Counter(system for policy in yichun.backups.values() for system in policy.systems)
    assert policies == Counter(row.id for row in yichun.systems.values() if row.rpo)
    for policy in yichun.backups.values():
        rows = [yichun.systems[system] for system in policy.systems]
        assert {(row.rpo, row.rto) for row in rows} == {(policy.rpo, policy.rto)}, policy.id
        assert len({row.nodes for row in rows}) == 1, policy.id
        assert yichun.nodes[policy.repository].role is NodeRole.BACKUP
        assert [yichun.sites[yichun.nodes[copy].site].division for copy in policy.copies] == ["3603"]
        firsts = Counter(row.owners[0] for row in rows if row.owners)
        assert policy.owner == (firsts.most_common(1)[0][0] if firsts else "data-bureau"), policy.id


def test_every_system_that_the_city_hosts_has_a_policy_or_a_reason(yichun: City) -> None:
    places = yichun.backup_places
    assert places is not None
    hosted = {row.id for row in yichun.systems.values() if row.hosted_by is HostedBy.CITY}
    covered = {system for policy in yichun.backups.values() for system in policy.systems}
    assert covered | set(places.without) == hosted and not covered & set(places.without)
    for system, reason in places.without.items():
        owners = yichun.systems[system].owners
        assert reason.owner == (owners[0] if owners else "data-bureau"), system
        assert len(reason.reason) >= 20 and re.search("[一-鿿]", reason.reason), system


def test_what_is_probed_as_a_database_is_dumped(yichun: City) -> None:
    for policy in yichun.backups.values():
        expected = []
        for system in policy.systems:
            for endpoint in yichun.systems[system].endpoints:
                if endpoint.endswith(":5432"):
                    expected.append((Engine.POSTGRESQL, "main", system.replace("-", "_")))
                elif endpoint.endswith(":5236"):
                    expected.append((Engine.DM8, "DMSERVER", system.replace("-", "_").upper()))
        assert [(one.engine, one.instance, one.name) for one in policy.database] == expected, policy.id
        assert policy.paths == tuple(f"/srv/systems/{system}" for system in policy.systems) or (
            policy.id == "operations-grade4"
        )


def test_verification_goes_by_grade(yichun: City) -> None:
    day = 86400
    expected = {1800: (7 * day, day), 4 * 3600: (14 * day, 2 * day), day: (30 * day, 7 * day)}
    for policy in yichun.backups.values():
        assert (policy.verify.read_all, policy.verify.restore) == expected[policy.rpo], policy.id
        assert policy.verify.check == day


def test_repositories_are_those_that_policies_name(yichun: City) -> None:
    named = {node for policy in yichun.backups.values() for node in (policy.repository, *policy.copies)}
    assert yichun.backup_places and set(yichun.backup_places.repositories) == named


def test_jobs_run_twice_in_each_rpo(yichun: City) -> None:
    for policy in yichun.backups.values():
        schedule = parse(policy.schedule)
        pause = longest_pause(schedule, policy.window) if schedule else None
        assert pause and 2 * pause <= policy.rpo, policy.id
