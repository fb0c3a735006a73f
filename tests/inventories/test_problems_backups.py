"""Is each thing that is wrong with the backups (backups.toml) found where it stands, alone, and with the way out?"""

from __future__ import annotations

from pathlib import Path

import pytest

from inventories.load import load_city

from .breaking import Case, assert_found, break_file, problems_of

HEAD = "# What is backed up."
#: A policy of a system that has no RPO of its own, so that any may be promised.
NETWORK = """[policy.network]
systems = ["egov-extranet"]
paths = ["/etc"]
schedule = "*-*-* 02:30:00"
repository = "backup-1"
rpo = "1d"
rto = "1h"
owner = "data-bureau"
"""


def added(text: str, *words: str) -> Case:
    """Tables that are added to the good ones."""
    return Case("backups.toml", HEAD, f"{text}\n{HEAD}", words)


def network(old: str, new: str, *words: str) -> Case:
    """The policy of the network with one thing changed."""
    assert NETWORK.count(old) == 1
    return added(NETWORK.replace(old, new), *words)


DATABASE = '[[policy.collab-office.database]]\nengine = "postgresql"\nname = "collab"\n'


def databases(text: str, *words: str) -> Case:
    """Databases that are added to a policy, which is the file's last table."""
    end = 'owner = "data-bureau"\nkeep = { hourly = 24, daily = 7, weekly = 4, monthly = 12 }\n'
    return Case("backups.toml", end, f"{end}\n{text}", words)


CASES = [
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
        (
            "is an operations node",
            "cloud-1 is a cloud node",
            "role offsite, or another one with the role backup",
        ),
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
    # What a policy backs up, and where to.
    added(
        NETWORK.replace('paths = ["/etc"]\n', "").replace("[policy.", "[policy.▸"),
        "neither a path nor a database",
        "[[policy.network.database]]",
    ),
    network(
        '"backup-1"', '"backup-1"\ncopies = [▸"backup-1"]', "the repository itself", "another backup node"
    ),
    network('"backup-1"', '"backup-1"\ncopies = [▸"ofsite-1"]', "unknown node", "did you mean 'offsite-1'"),
    network('"backup-1"', '"backup-1"\ncopies = ["offsite-1", ▸"offsite-1"]', "holds a copy already"),
    # Databases.
    databases(
        '[[policy.collab-office.database]]\nengine = ▸"mysql"\nname = "x"\n', "'mysql'", "one of postgresql"
    ),
    databases(
        '[[▸policy.collab-office.database]]\nengine = "dm8"\n',
        "'name' is missing in [[policy.collab-office.database]]",
    ),
    databases(
        '[[policy.collab-office.database]]\nengine = "dm8"\nname = "OA"\nmethod = ▸"continuous"\n',
        "no method continuous for dm8 yet",
        "for postgresql alone",
        "write dump",
    ),
    databases(f'{DATABASE}method = ▸"wal"\n', "'wal'", "one of dump, continuous"),
    databases(
        DATABASE.replace('"collab"', '▸"-collab"'),
        "cannot stand on a command line",
        "a letter, digit or _ first",
    ),
    databases(f'{DATABASE}instance = ▸"main; rm"\n', "instance 'main; rm'", "command line"),
    databases(
        f"{DATABASE}\n{DATABASE}".replace('"collab"', '▸"collab"').replace("▸", "", 1),
        "backed up already",
        "remove one",
    ),
    databases(f"{DATABASE}▸port = 5432\n", "'port' is unknown", "engine, name, instance, method"),
    # Times.
    network('"*-*-* 02:30:00"', '▸"*-*-* 02:90:00"', "no systemd calendar expression"),
    network(
        '"*-*-* 02:30:00"', '▸"Mon..Fri 02:30"', "pauses for up to 3d", "rpo 1d", "better twice in that time"
    ),
    network('"*-*-* 02:30:00"', '▸"2027-01-01 02:30"', "does not run again and again", "without a year"),
    network('rpo = "1d"', 'rpo = "1d"\nwindow = ▸"22:00-6:00"', "window is '22:00-6:00'"),
    network('rpo = "1d"', 'rpo = "1d"\nwindow = ▸"02:20-02:40"', "20m long", "at least 30m"),
    added(
        NETWORK.replace("02:30", "00/2:30").replace('rpo = "1d"', 'rpo = "4h"\nwindow = ▸"01:00-05:00"'),
        "rpo is 4h",
        "1d or more",
    ),
    network(
        '"*-*-* 02:30:00"',
        '▸"*-*-* 02,14:30"\nwindow = "22:00-06:00"',
        "runs at 14:30, outside window",
        "another window",
    ),
    network(
        '"*-*-* 02:30:00"',
        '▸"Mon..Sat *-*-* *:30"\nwindow = "22:00-06:00"',
        "pauses for up to 25h",
        "longer than rpo 1d",
    ),
    network('"*-*-* 02:30:00"', '▸"*-*-* 02:30 UTC"\nwindow = "22:00-06:00"', "is in UTC", "without UTC"),
    added(f'{NETWORK}verify = {{ restore = ▸"30m" }}\n', "verify.restore is 30m", "write 1h or more"),
    added(f'{NETWORK}[policy.network.verify]\ncheck = ▸"59m"\n', "verify.check is 59m"),
    added(
        f'{NETWORK}[policy.network.verify]\nread_all = ▸"12h"\n',
        "shorter than verify.check 1d",
        "a part of the data",
    ),
    added(f"{NETWORK}[policy.network.verify]\nfiles = ▸0\n", "whole number from 1"),
    added(f'{NETWORK}[policy.network.verify]\n▸restor = "1d"\n', "did you mean 'restore'", "check, read_all"),
    added(f'{NETWORK}may_be_empty = [▸"/srv/other"]\n', "neither a path of the policy", "below one of"),
    # Repositories.
    added("[repository.▸bakup-1]\n", "'bakup-1' is an unknown node", "did you mean 'backup-1'"),
    added("[repository.▸ops-1]\n", "ops-1 is an operations node", "role backup or offsite"),
    added('[repository.backup-1]\nwindow = ▸"01:00-01:10"\n', "10m long", "at least 30m"),
    added('[repository.backup-1]\nmedium = ▸"tap"\n', "'tap'", "; tape?"),
    added('[repository.backup-1]\nprotection = ▸"imutable"\n', "none, append-only, worm, offline"),
    added("[repository.backup-1]\nbandwidth = ▸-1\n", "0 to 100000"),
    # Reasons for having no backup.
    added(
        '[without.▸egov-extrnet]\nreason = "x"\nowner = "data-bureau"\n', "unknown system", "'egov-extranet'"
    ),
    added(
        '[without.egov-extranet]\nreason = "x"\nowner = ▸"data-burau"\n', "responsible unit", "'data-bureau'"
    ),
    added('[without.▸egov-extranet]\nowner = "data-bureau"\n', "'reason' is missing"),
    added('[without.egov-extranet]\nreason = ▸""\nowner = "data-bureau"\n', "reason is empty"),
    added(
        '[without.▸collab-office]\nreason = "x"\nowner = "data-bureau"\n',
        "policy collab-office covers it",
        "one of the two",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words[0])
def test_one_broken_thing_is_one_problem_in_its_place(small_city: Path, case: Case) -> None:
    assert_found(small_city, case)


def test_a_system_with_an_rpo_has_data(small_city: Path) -> None:
    break_file(small_city, "systems.csv", "tcp://ops-1:9090,0,4h", "tcp://ops-1:9090,1d,4h")
    reason = '[without.▸ops-central-monitoring]\nreason = "无业务数据"\nowner = "data-bureau"\n'
    assert_found(small_city, added(reason, "gives it an rpo of 1d", "a policy for it, or 0 for its rpo"))


def test_what_others_run_needs_no_reason(small_city: Path) -> None:
    break_file(small_city, "systems.csv", "city,public,none,2,ops-1", "department,public,none,2,ops-1")
    reason = '[without.▸ops-central-monitoring]\nreason = "无业务数据"\nowner = "data-bureau"\n'
    assert_found(small_city, added(reason, "run by department", "not the city's"))


def test_a_copy_may_stand_on_a_second_backup_node(small_city: Path) -> None:
    row = "backup-1,backup,backup,备份节点1,debian,aarch64,none\n"
    break_file(small_city, "nodes.csv", row, f"{row}backup-2,backup,backup,备份节点2,debian,x86_64,none\n")
    links = (small_city / "links.csv").read_text(encoding="utf-8")
    [server] = [line for line in links.splitlines() if ",backup-1,server,a" in line]
    other = server.replace("backup-1", "backup-2").replace(server.split(",")[0], "bk2-a", 1)
    (small_city / "links.csv").write_text(f"{links}{other}\n", encoding="utf-8")
    case = network('"backup-1"', '"backup-1"\ncopies = ["backup-2"]')
    break_file(small_city, case.file, case.old, case.new)
    assert problems_of(small_city) == []
    assert load_city(small_city).backups["network"].copies == ("backup-2",)


@pytest.mark.parametrize(
    ("schedule", "window"),
    [
        ("02:30", "22:00-06:00"),
        ("*-*-* *:30", "22:00-06:00"),
        ("22,23:00", "22:00-22:00"),
        ("00:00", "23:30-00:01"),
    ],
)
def test_a_schedule_in_its_window_is_no_problem(small_city: Path, schedule: str, window: str) -> None:
    case = network('"*-*-* 02:30:00"', f'"{schedule}"\nwindow = "{window}"')
    break_file(small_city, case.file, case.old, case.new)
    assert problems_of(small_city) == []
