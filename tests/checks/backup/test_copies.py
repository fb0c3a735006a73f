"""Is each element of 3-2-1-1-0 found, missed and left unknown where it should be?"""

from __future__ import annotations

from typing import Any

import pytest

from checks.backup.copies import ELEMENTS, State, rule
from checks.backup.grades import load_editions
from checks.backup.limits import load_limits
from checks.backup.standing import standings
from checks.record import Record, Status
from inventories.backups.records import Backups, Medium, NoBackup, Protection, Repository
from inventories.records import City, Node, NodeRole

from ..city import NODES, tiny_city
from .test_grades import POLICY, SYSTEM, policy, system

LIMITS = load_limits()
EDITION = load_editions()["2007"]
BOTH = ("backup-1", "offsite-1")


def places(**kinds: dict[str, Any]) -> Backups:
    """Repositories on the nodes whose names have _ for -."""
    repositories = {name.replace("_", "-"): fields for name, fields in kinds.items()}
    return Backups(
        repositories={name: Repository(id=name, **fields) for name, fields in repositories.items()}
    )


def city(given: Backups | None = None, **fields: Any) -> City:
    second = Node(id="backup-2", site="cloud", role=NodeRole.BACKUP)
    return tiny_city(nodes=[*NODES, second], systems=[SYSTEM], backups=[policy(**fields)], places=given)


def missing(given: City, records: list[Record] | None = None) -> list[str]:
    found = rule(given, SYSTEM, given.backups["gov"], LIMITS, records)
    assert tuple(element.name for element in found) == ELEMENTS
    return [element.name for element in found if element.state is State.MISSING]


TAPE = {"medium": Medium.TAPE, "protection": Protection.OFFLINE}
NONE = {"protection": Protection.NONE}


@pytest.mark.parametrize(
    ("given", "fields", "expected"),
    [
        (places(offsite_1=TAPE), {}, []),
        (None, {}, ["media"]),
        (places(backup_1=TAPE, offsite_1=TAPE), {}, []),
        (places(offsite_1=TAPE), {"copies": ()}, ["copies", "media", "offsite"]),
        # A second copy in the same city is a copy, and may be the second medium, but is not off-site.
        (places(backup_2=TAPE), {"copies": ("backup-2",)}, ["offsite"]),
        (places(backup_1=NONE, offsite_1=NONE), {}, ["media", "immutable"]),
        (places(backup_1=NONE, offsite_1={"protection": Protection.WORM}), {}, ["media"]),
        # The same node twice is one copy.
        (None, {"copies": ("backup-1",)}, ["copies", "media", "offsite"]),
    ],
)
def test_each_element(given: Backups | None, fields: dict[str, Any], expected: list[str]) -> None:
    assert missing(city(given, **fields)) == expected


def verifications(status: Status = Status.PASS, **other: Status) -> list[Record]:
    """The records of the policy's job on cloud-1; others by check, with _ for - and __ for the colon."""
    changed = {name.replace("__", ":").replace("_", "-"): value for name, value in other.items()}
    return [
        Record(
            subject="gov@cloud-1",
            check=check,
            family="none",
            status=changed.get(check, status),
            value=None,
            at="2026-03-01T12:00:00.000+08:00",
            evidence="",
            reason="stale",
        )
        for node in BOTH
        for check in (f"repository-check:{node}", f"restore-test:{node}")
    ]


@pytest.mark.parametrize(
    ("records", "state", "words"),
    [
        (None, State.UNKNOWN, "not asked"),
        ([], State.UNKNOWN, "4 of 4 verifications have no result"),
        (verifications(), State.MET, "4 verifications without error"),
        (verifications()[1:], State.UNKNOWN, "1 of 4"),
        (verifications(restore_test__offsite_1=Status.ERROR), State.UNKNOWN, "1 of 4"),
        (
            verifications(restore_test__offsite_1=Status.FAIL),
            State.MISSING,
            "restore-test:offsite-1 of gov@cloud-1: stale",
        ),
        (verifications(Status.FAIL), State.MISSING, "and 3 more"),
    ],
)
def test_errors_on_verification(records: list[Record] | None, state: State, words: str) -> None:
    element = rule(city(), SYSTEM, POLICY, LIMITS, records)[-1]
    assert element.state is state
    assert words in element.what


def test_what_does_not_come_back_has_no_grade() -> None:
    graded = tiny_city(systems=[system(mlps=3)], backups=[POLICY])
    [well] = standings(graded, EDITION, verifications())
    assert (well.had, well.gap, [one.element for one in well.lacking]) == (4, 0, ["media"])
    [bad] = standings(graded, EDITION, verifications(repository_check__backup_1=Status.FAIL))
    assert (bad.had, bad.gap, [one.element for one in bad.lacking]) == (0, 4, ["errors", "media"])


def test_a_system_is_as_safe_as_its_weakest_policy() -> None:
    given = places(offsite_1=TAPE)
    two = [policy(id="files"), policy(id="more", copies=(), rto=3 * 86400)]
    [standing] = standings(tiny_city(systems=[system(mlps=3)], backups=two, places=given), EDITION)
    assert standing.policies == ("files", "more")
    assert standing.had == 0
    assert {one.element for one in standing.lacking} == {"offsite", "rto", "copies", "media"}


def test_the_worst_stand_first() -> None:
    systems = [
        system(id="reasoned"),
        system(id="well", mlps=2, nodes=("cloud-1",)),
        system(id="below", mlps=4),
        system(id="bare", mlps=3),
        system(id="nothing", nodes=()),
    ]
    without = Backups(
        repositories=places(offsite_1=TAPE).repositories,
        without={"reasoned": NoBackup(id="reasoned", reason="无数据", owner="bureau")},
    )
    policies = [policy(systems=("well", "below")), policy(id="bare", systems=("bare",), copies=())]
    found = standings(tiny_city(systems=systems, backups=policies, places=without), EDITION)
    assert [standing.system.id for standing in found] == ["nothing", "bare", "below", "well", "reasoned"]
    assert [standing.gap for standing in found] == [0, 4, 1, 0, 0]
    assert [one.what for one in found[0].lacking] == ["no policy, and no reason in [without.nothing]"]
    assert found[-1].required is None and found[-1].lacking == ()
