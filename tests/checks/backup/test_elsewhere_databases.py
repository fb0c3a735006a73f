"""Does every cluster come back where it is kept, from there alone, and is an answer that differs no success?"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from checks.backup import elsewhere, elsewhere_databases
from checks.backup.elsewhere import Proof, Restored
from checks.backup.elsewhere_databases import Cluster, clusters_of
from checks.backup.elsewhere_run import ElsewhereError
from checks.backup.hosts import Job
from checks.backup_state import Unknown
from inventories.load import load_city

from .portal import NOW
from .test_elsewhere import LAB, Trial, restored, trial

CLUSTER = Cluster("gov-service", "cloud-1", "main")
CITY = load_city(LAB)
EXPECTED = {
    "target": "2026-03-01T11:00:15+08:00",
    "moment": "2026-03-01T03:00:00.123456+00:00",
    "rows": ["7|2026-03-01T02:59:30.000000+00:00", "8|2026-03-01T03:00:00.000000+00:00"],
    "databases": ["portal", "catalogue"],
}
CAME = {
    "rows": EXPECTED["rows"],
    "backup": "20260301-010203F",
    "last_commit_at": "2026-03-01 03:00:00+00",
    "total_bytes": 30_000_000,
    "restore_seconds": 2.0,
    "seconds": 3.5,
}


def hosts(expected: object = EXPECTED, came: object = CAME) -> str:
    """What hosts answer that have the database's programs."""
    return f"echo '{json.dumps(expected)}' ;; *reproduce*) echo '{json.dumps(came)}'"


def lab(folder: Path, answers: str = "") -> AbstractContextManager[Trial]:
    return trial(folder, f"exit 1 ;; *expect*) {answers or hosts()}")


def test_clusters_are_those_of_chosen_jobs_that_another_city_keeps() -> None:
    assert clusters_of(CITY, [Job("gov-service", "cloud-1"), Job("collab-office", "xinchuang-1")]) == [
        CLUSTER
    ]
    assert clusters_of(CITY, [Job("collab-office", "xinchuang-1")]) == []
    policy = CITY.backups["gov-service"]
    assert elsewhere_databases.hosts_for(CITY, policy) == ["offsite-1"]
    alone = msgspec.structs.replace(policy, copies=())
    assert elsewhere_databases.hosts_for(CITY, alone) == []


def proven(**fields: object) -> Restored:
    return restored(host="offsite-1", repository="offsite-1", files=0, **{"rows": 20, **fields})


@pytest.mark.parametrize(
    ("test", "status", "reason"),
    [
        (proven(), "pass", ""),
        (proven(rows=0), "fail", "nothing_compared"),
        (proven(result="failure", error="it ends otherwise"), "fail", "failure"),
        (proven(at=NOW - timedelta(days=32)), "fail", "stale"),
        (None, "fail", "never"),
    ],
)
def test_what_restores_prove(test: Restored | None, status: str, reason: str) -> None:
    tests = (test,) if test else ()
    proofs = {CLUSTER.name: Proof(policy=CLUSTER.policy, client=CLUSTER.node, tests=tests)}
    [record] = elsewhere_databases.evaluate(CITY, proofs, NOW)
    assert (record.subject, record.check) == ("cloud-1-main", "database-restore-elsewhere:offsite-1")
    assert (record.status.value, record.reason) == (status, reason)
    if status == "pass":
        assert "the newest 20 rows of a cluster of 12345 bytes" in record.evidence


def test_who_cannot_be_asked_proves_nothing() -> None:
    [record] = elsewhere_databases.evaluate(CITY, Unknown("timeout", "no answer"), NOW)
    assert (record.status.value, record.reason) == ("error", "timeout")


def test_a_cluster_is_asked_for_what_its_own_node_says_and_leaves_nothing(tmp_path: Path) -> None:
    with lab(tmp_path) as tried:
        [(subject, found)] = tried.prover().prove([CLUSTER])
        assert subject == CLUSTER
        assert found.result == "success", found.error
        assert (found.host, found.repository, found.rows, found.files) == ("offsite-1", "offsite-1", 2, 0)
        assert (found.snapshot, found.snapshot_at) == (CAME["backup"], "2026-03-01T11:00:00.123+08:00")
        assert (found.seconds, found.total_bytes) == (3.5, 30_000_000)
        # No key goes anywhere: the keeper has them.
        assert tried.noted() == ["empty", "remove", "record"]
        asked = tried.log.read_text(encoding="utf-8")
        for text in (
            "jizuo_database expect cloud-1-main --from offsite-1",
            "install -d -m 700 -o jizuo-keeper -g jizuo-keeper /var/cache/jizuo-restore-elsewhere",
            "--property=User=jizuo-keeper",
            "--property=PrivateNetwork=yes",
            "reproduce cloud-1-main --to 2026-03-01T11:00:15+08:00 --in /var/cache/jizuo-restore-elsewhere --rows 2",
            "--database portal --database catalogue",
        ):
            assert text in asked
        proof = elsewhere.read_proof((tried.state / "restores/cloud-1-main.json").read_bytes())
        assert isinstance(proof, Proof)
        assert proof.tests == (found,)


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        (
            hosts(came={**CAME, "rows": EXPECTED["rows"][:1]}),
            "it should end with",
            ["empty", "remove", "record"],
        ),
        (
            f"echo '{json.dumps(EXPECTED)}' ;; *reproduce*) echo 'jizuo_database: the archived log ends'; exit 1",
            "offsite-1: the archived log ends",
            ["empty", "remove", "record"],
        ),
    ],
)
def test_what_does_not_come_back_as_it_was_is_a_failure_and_leaves_nothing(
    tmp_path: Path, answers: str, error: str, words: list[str]
) -> None:
    with lab(tmp_path, answers) as tried:
        [(_, found)] = tried.prover().prove([CLUSTER])
        assert found.result == "failure"
        assert error in found.error
        assert tried.noted() == words
        assert not tried.prover().has_left_something


def test_where_nothing_was_tried_what_was_proven_stays_proven(tmp_path: Path) -> None:
    """The cluster's own node is down: that says nothing of the off-site one."""
    down = tmp_path / "down"
    with lab(tmp_path, f"test ! -e {down} || exit 255; {hosts()}") as tried:
        [(_, proven)] = tried.prover().prove([CLUSTER])
        down.touch()
        tried.log.unlink()
        [(_, found)] = tried.prover().prove([CLUSTER])
        assert found.result == "failure"
        assert "not tried, for what it must answer is not known: cloud-1" in found.error
        assert tried.noted() == []
        assert tried.prover().proof(CLUSTER).tests == (proven,)


def test_a_failure_does_not_take_the_last_success_away() -> None:
    first = proven(at=NOW - timedelta(days=9))
    second = proven(at=NOW - timedelta(days=8))
    proof = Proof(policy=CLUSTER.policy, client=CLUSTER.node)
    for test in (first, second, *(proven(result="failure", error="differs", at=NOW) for _ in range(2))):
        proof = proof.with_test(test)
    assert [test.result for test in proof.tests] == ["success", "failure"]
    [record] = elsewhere_databases.evaluate(CITY, {CLUSTER.name: proof}, NOW)
    assert (record.status.value, record.reason, record.value) == ("fail", "failure", 8 * 86400)
    assert len(proof.with_test(proven(at=NOW)).tests) == 1


def test_data_that_cannot_be_removed_are_told_and_removed_first_the_next_time(tmp_path: Path) -> None:
    stuck = tmp_path / "stuck"
    stuck.touch()
    with lab(tmp_path, f"{hosts()} ;; *install*) ;; *rm*-rf*) test ! -e {stuck}") as tried:
        with pytest.raises(ElsewhereError, match="keys or data of cloud-1-main are left on offsite-1"):
            list(tried.prover().prove([CLUSTER]))
        assert tried.prover().has_left_something
        stuck.unlink()
        tried.log.unlink()
        [(_, found)] = tried.prover().prove([CLUSTER])
        assert found.result == "success"
        assert tried.noted() == ["remove", "empty", "remove", "record"]
        assert any("taking back what an interrupted test left on offsite-1" in line for line in tried.said)
