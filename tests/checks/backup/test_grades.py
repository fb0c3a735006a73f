"""Do grades of GB/T 20988 follow from RPO, RTO, level, copies and replication, as the edition's table has them?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checks.backup.grades import GradesError, Required, had, load_editions, missing_at, required
from inventories.backups.records import BackupPolicy, DatabaseBackup, Engine, Method
from inventories.records import HostedBy, System

from ..city import tiny_city

HOUR, DAY = 3600, 86400
EDITION = load_editions()["2007"]
SYSTEM = System(
    id="portal",
    name="门户",
    section="三(一)",
    owners=(),
    kind="system",
    hosted_by=HostedBy.CITY,
    nodes=("cloud-1",),
)
POLICY = BackupPolicy(
    id="gov",
    systems=("portal",),
    paths=("/srv",),
    schedule="*-*-* 00/2:00",
    repository="backup-1",
    copies=("offsite-1",),
    rpo=4 * HOUR,
    rto=12 * HOUR,
    owner="bureau",
)
CITY = tiny_city(systems=[SYSTEM], backups=[POLICY])
WAL = DatabaseBackup(engine=Engine.POSTGRESQL, name="portal", method=Method.CONTINUOUS)
DUMP = DatabaseBackup(engine=Engine.POSTGRESQL, name="other")


def system(**fields: Any) -> System:
    return System(**{name: getattr(SYSTEM, name) for name in SYSTEM.__struct_fields__} | fields)


def policy(**fields: Any) -> BackupPolicy:
    return BackupPolicy(**{name: getattr(POLICY, name) for name in POLICY.__struct_fields__} | fields)


@pytest.mark.parametrize(
    ("rpo", "rto", "mlps", "expected"),
    [
        # The figures alone: the least grade whose range holds them.
        (7 * DAY, 3 * DAY, 0, Required(1, ("RPO 7d", "RTO 3d"))),
        (DAY, DAY, 0, Required(2, ("RTO 1d",))),
        (DAY - 1, 0, 0, Required(3, ("RPO 23h 59m",))),
        (4 * HOUR, 12 * HOUR, 0, Required(3, ("RPO 4h", "RTO 12h"))),
        (4 * HOUR, 11 * HOUR, 0, Required(4, ("RTO 11h",))),
        (30 * 60, 2 * HOUR, 0, Required(5, ("RPO 30m",))),
        (DAY, 15 * 60, 0, Required(5, ("RTO 15m",))),
        (0, HOUR, 0, Required(4, ("RTO 1h",))),
        (0, 30, 0, Required(6, ("RTO 30s",))),
        # The level of 等保 lifts them, and never lowers them.
        (DAY, DAY, 2, Required(3, ("等保 2",))),
        (4 * HOUR, 12 * HOUR, 3, Required(4, ("等保 3",))),
        (30 * 60, 2 * HOUR, 3, Required(5, ("RPO 30m",))),
        (0, 0, 3, Required(4, ("等保 3",))),
        (0, 0, 1, None),
    ],
)
def test_the_grade_required(rpo: int, rto: int, mlps: int, expected: Required | None) -> None:
    assert required(EDITION, system(rpo=rpo, rto=rto, mlps=mlps)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 4),
        ({"rpo": DAY, "rto": 2 * DAY}, 4),
        ({"rto": 3 * DAY}, 3),
        ({"rpo": 2 * DAY}, 2),
        ({"rpo": 8 * DAY}, 0),
        ({"schedule": "daily", "rpo": DAY}, 2),
        ({"schedule": "*-*-* 03,15:00", "rpo": DAY}, 4),
        ({"schedule": "Mon..Sat *-*-* 03,15:00", "rpo": 2 * DAY}, 2),
        ({"schedule": "*-*-* *:30", "rpo": DAY, "window": "02:00-03:00"}, 2),
        ({"copies": ()}, 0),
        ({"copies": ("cloud-2",)}, 0),
        # Snapshots every 15 minutes are no real-time replication; databases that are replicated are.
        ({"schedule": "*-*-* *:00/15", "rpo": 1800, "rto": 2 * HOUR}, 4),
        ({"database": (WAL,), "rpo": 1800, "rto": 2 * HOUR}, 5),
        ({"database": (WAL, DUMP), "rpo": 1800, "rto": 2 * HOUR}, 4),
        ({"database": (WAL,), "rpo": 1800, "rto": 2 * HOUR, "schedule": "weekly"}, 5),
        ({"database": (WAL,), "rpo": 1801}, 4),
        ({"database": (WAL,), "rpo": 0, "rto": HOUR}, 6),
    ],
)
def test_the_grade_had(fields: dict[str, Any], expected: int) -> None:
    assert had(EDITION, CITY, SYSTEM, policy(**fields)) == expected


def test_each_missing_element_is_named() -> None:
    bare = policy(copies=(), schedule="daily", rpo=DAY + 1, rto=3 * DAY)
    assert [tuple(missing) for missing in missing_at(EDITION.grade(4), CITY, SYSTEM, bare)] == [
        ("rpo", "RPO 1d 1s, at most 1d at grade 4"),
        ("rto", "RTO 3d, at most 2d at grade 4"),
        ("offsite", "no copy in another prefecture city"),
        ("transfer", "no transfer several times a day"),
    ]


def test_a_higher_grade_asks_for_no_less() -> None:
    """Whoever lacks nothing at a grade lacks nothing below it, or the grade had would not be the highest."""
    policies = [
        policy(rpo=rpo, rto=rto, schedule=schedule, copies=copies, database=databases)
        for rpo in (0, 1800, 4 * HOUR, DAY, 7 * DAY)
        for rto in (60, HOUR, 2 * DAY, 9 * DAY)
        for schedule in ("hourly", "daily")
        for copies in ((), ("offsite-1",))
        for databases in ((), (WAL,))
    ]
    for one in policies:
        lacks = [bool(missing_at(grade, CITY, SYSTEM, one)) for grade in EDITION.grades]
        assert lacks == sorted(lacks), one


def test_nothing_is_invented_for_the_edition_in_force() -> None:
    edition = load_editions()["2025"]
    assert (edition.grades, edition.floor) == ((), {})
    assert required(edition, system(rpo=60, rto=60, mlps=3)) is None


def test_a_city_may_bring_an_edition(tmp_path: Path) -> None:
    own = tmp_path / "recovery-grades.toml"
    own.write_text(
        '[edition.2025]\ntitle = "T"\nstatus = "S"\n[[edition.2025.grade]]\ngrade = 1\nname = "一"\n'
        'transfer = "batches"\nrpo = { best = "1h", worst = "1d" }\nrto = { best = "0" }\n',
        encoding="utf-8",
    )
    editions = load_editions(tmp_path)
    assert list(editions) == ["2007", "2025"]
    assert required(editions["2025"], system(rpo=HOUR)) == Required(1, ("RPO 1h",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[edition.2025", "Expected ']'"),
        ('[edition.2025]\ntitle = "T"\n', "status"),
        ('[edition.2025]\ntitle = "T"\nstatus = "S"\nlevel = 1\n', "level"),
        ('[edition.2025]\ntitle = "T"\nstatus = "S"\nfloor = { 3 = 4 }\n', "unknown grades: [4]"),
        (
            '[edition.2025]\ntitle = "T"\nstatus = "S"\n[[edition.2025.grade]]\ngrade = 1\nname = "一"\n'
            'transfer = "media"\nrpo = { best = "1" }\nrto = { best = "0" }\n',
            "1, a number without a unit",
        ),
    ],
)
def test_an_edition_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "recovery-grades.toml").write_text(text, encoding="utf-8")
    with pytest.raises(GradesError) as caught:
        load_editions(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/recovery-grades.toml: ")
    assert words.replace("1, a", "'1', a") in str(caught.value)
    assert "grades.toml is" in str(caught.value)
