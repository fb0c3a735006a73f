"""Is every host and every repository tried in turn, is no failure hidden, and do neither keys nor data stay behind?"""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from checks.backup import elsewhere
from checks.backup.elsewhere import Proof, Restored, Turn
from checks.backup.elsewhere_run import ElsewhereError, Prover
from checks.backup.hosts import Job
from checks.record import Record
from checks.security.run import NotCollected
from checks.security.stream import Section
from checks.ssh import SecureShell
from inventories.load import load_city
from inventories.records import Node, NodeRole

from ..city import NODES, tiny_city
from ..test_cli import ROOT, controller
from .portal import CITY, NOW, POLICY, SYSTEM

JOB = Job("gov", "cloud-1")
LAB = ROOT / "inventories" / "lab"
MORE = [
    *NODES,
    Node(id="cloud-3", site="cloud", role=NodeRole.CLOUD),
    Node(id="cloud-4", site="cloud", role=NodeRole.CLOUD),
    Node(id="cloud-5", site="cloud", role=NodeRole.CLOUD),
    Node(id="cloud-6", site="cloud", role=NodeRole.CLOUD),
    Node(id="cloud-7", site="cloud", role=NodeRole.CLOUD),
]


def restored(**fields: Any) -> Restored:
    at = fields.pop("at", NOW - timedelta(days=1))
    good: dict[str, Any] = {
        "host": "cloud-2",
        "repository": "backup-1",
        "result": "success",
        "started_at": at.isoformat(),
        "ended_at": at.isoformat(),
        "seconds": 1.5,
        "snapshot": "d34db33f",
        "snapshot_at": at.isoformat(),
        "files": 40,
        "total_bytes": 12345,
    }
    return Restored(**{**good, **fields})


# Whose turn


@pytest.mark.parametrize("every", [1, 2, 7, 14, 30, 31])
@pytest.mark.parametrize("remembers", [True, False])
def test_every_host_and_every_repository_gets_its_turn(every: int, remembers: bool) -> None:
    """By a record of what was tried whatever the period; by the day alone where runs are daily."""
    city = tiny_city(nodes=MORE, systems=[SYSTEM], backups=[POLICY])
    hosts = {"cloud-2", "cloud-3", "cloud-4", "cloud-5", "cloud-6", "cloud-7", "offsite-1"}
    assert set(elsewhere.hosts_for(city, JOB)) == hosts
    proof, seen = Proof(policy="gov", client="cloud-1"), []
    for run in range(2 * len(hosts)):
        at = NOW + timedelta(days=every * run)
        found = elsewhere.turn(city, JOB, proof.tests if remembers else (), at.date())
        assert found is not None
        seen.append(found)
        if remembers:
            proof = proof.with_test(restored(host=found.host, repository=found.repository, at=at))
    # the firewalls let the off-site node to no other repository than its own
    assert {one.repository for one in seen if one.host == "offsite-1"} <= {"offsite-1"}
    if remembers or every == 1:
        assert {one.host for one in seen[: len(hosts)]} == hosts
        assert {one.repository for one in seen} == {"backup-1", "offsite-1"}


def test_an_off_site_node_without_a_copy_is_passed_over() -> None:
    alone = msgspec.structs.replace(POLICY, copies=())
    city = tiny_city(systems=[SYSTEM], backups=[alone])
    assert elsewhere.hosts_for(city, JOB) == ["cloud-2"]


def test_jobs_do_not_all_go_to_one_host_on_one_day() -> None:
    city = tiny_city(nodes=MORE, systems=[SYSTEM], backups=[POLICY])
    day = date(2026, 3, 1)
    found = {elsewhere.turn(city, Job("gov", node), (), day) for node in ("cloud-1", "cloud-2", "cloud-3")}
    assert len({one.host for one in found if one}) > 1
    assert elsewhere.turn(city, JOB, (), day) == elsewhere.turn(city, JOB, (), day)


def test_a_host_on_which_it_failed_is_not_tried_again_and_again() -> None:
    failed = restored(host="cloud-2", result="failure", error="down")
    assert elsewhere.turn(CITY, JOB, (failed,), NOW.date()) == Turn("offsite-1", "offsite-1")


def test_a_city_of_one_host_has_no_other() -> None:
    alone = tiny_city(nodes=[node for node in NODES if node.id in ("cloud-1", "backup-1")])
    city = msgspec.structs.replace(CITY, nodes=alone.nodes)
    assert elsewhere.turn(city, JOB, (), NOW.date()) is None
    [record, _] = elsewhere.evaluate(city, {}, NOW)
    assert (record.status.value, record.reason) == ("fail", "no_host")


def test_what_is_restored_is_folders_and_dumps() -> None:
    city = load_city(LAB)
    assert elsewhere.paths_of(city.backups["gov-service"]) == [
        "/srv/systems",
        "/var/lib/jizuo/backup/dumps/gov-service",
    ]
    assert elsewhere.paths_of(city.backups["collab-office"]) == ["/srv/systems"]


# What is proven


def judge(*tests: Restored) -> dict[str, Record]:
    proofs = {"gov@cloud-1": Proof(policy="gov", client="cloud-1", tests=tests)}
    return {record.check: record for record in elsewhere.evaluate(CITY, proofs, NOW)}


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ([restored()], ("pass", "", 86400)),
        ([restored(sampled=True)], ("pass", "", 86400)),
        ([restored(at=NOW - timedelta(days=31))], ("pass", "", 31 * 86400)),
        ([restored(at=NOW - timedelta(days=31, seconds=1))], ("fail", "stale", 31 * 86400 + 1)),
        ([restored(at=NOW + timedelta(hours=1))], ("fail", "future", -3600)),
        ([restored(files=0)], ("fail", "nothing_compared", None)),
        ([restored(result="failure", error="differs")], ("fail", "failure", None)),
        # a failure on one host is not hidden by a success on another before it, and is by one after it
        (
            [
                restored(at=NOW - timedelta(days=2)),
                restored(host="offsite-1", result="failure", error="differs"),
            ],
            ("fail", "failure", 2 * 86400),
        ),
        (
            [
                restored(host="offsite-1", at=NOW - timedelta(days=2), result="failure", error="down"),
                restored(),
            ],
            ("pass", "", 86400),
        ),
        ([restored(repository="offsite-1")], ("fail", "never", None)),
        ([], ("fail", "never", None)),
    ],
)
def test_what_tests_prove(tests: list[Restored], expected: tuple[str, str, float | None]) -> None:
    record = judge(*tests)["restore-elsewhere:backup-1"]
    assert (record.status.value, record.reason, record.value) == expected
    assert record.subject == "gov@cloud-1"


def test_the_evidence_says_where_how_much_and_how_old() -> None:
    evidence = judge(restored(sampled=True))["restore-elsewhere:backup-1"].evidence
    for text in (
        "40 files (a sample)",
        "12345 bytes",
        "on cloud-2",
        "1.5 s",
        "1d ago",
        "2026-02-28T12:00:00",
    ):
        assert text in evidence


def captured(*tests: Restored) -> dict[str, Section]:
    proof = Proof(policy="gov", client="cloud-1", tests=tests)
    line = f"gov@cloud-1.json\t{msgspec.json.encode(proof).decode()}"
    return {"restores-elsewhere": Section((line,), 0)}


def test_records_are_those_of_operations_nodes_and_the_newest_counts() -> None:
    two = [*NODES, Node(id="ops-2", site="cloud", role=NodeRole.OPERATIONS)]
    city = tiny_city(nodes=two, systems=[SYSTEM], backups=[POLICY])
    old = captured(restored(at=NOW - timedelta(days=60)))
    silent = NotCollected("timeout", "no answer")
    for captures in (
        {"ops-1": old, "ops-2": captured(restored())},
        {"ops-1": captured(restored()), "ops-2": old},
    ):
        proofs = elsewhere.proofs_of(city, captures)
        [record, _] = elsewhere.evaluate(city, proofs, NOW)
        assert (record.status.value, record.value) == ("pass", 86400)
    # A client cannot say so itself.
    assert elsewhere.proofs_of(city, {"cloud-1": captured(restored()), "ops-1": {}}) == {}
    half = elsewhere.evaluate(
        city, elsewhere.proofs_of(city, {"ops-1": silent, "ops-2": captured(restored())}), NOW
    )
    assert half[0].status.value == "pass"
    none = elsewhere.evaluate(city, elsewhere.proofs_of(city, {"ops-1": silent}), NOW)
    assert {(record.status.value, record.reason) for record in none} == {("error", "timeout")}


@pytest.mark.parametrize("text", ["{", json.dumps({"version": 2, "policy": "gov", "client": "cloud-1"})])
def test_a_record_that_cannot_be_read_proves_nothing(text: str) -> None:
    captures = {"ops-1": {"restores-elsewhere": Section((f"gov@cloud-1.json\t{text}",), 0)}}
    records = elsewhere.evaluate(CITY, elsewhere.proofs_of(CITY, captures), NOW)
    assert {record.reason for record in records} == {"unreadable_record"}


# How it is done

REPORT = json.dumps({"snapshot": "d34db33f", "snapshot_at": "2026-03-01T11:00:00+08:00", "seconds": 1.5, "files": 9,
                     "total_bytes": 123, "sampled": False})  # fmt: skip
#: A host on which a restore reports; all that it is asked is noted.
HOST = """printf '%s\\n' "$1" >>{log}; cat >/dev/null
case $1 in
*jizuo_backup*) {restore} ;;
*restores/*) echo record >>{log} ;;
esac"""


class Trial:
    """A prover against a real SSH server, and a program in pyinfra's place that notes what it is asked."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.state, self.log = state, folder / "log"
        self.program = folder / "pyinfra"
        self.deploy("exit 0")
        self.said: list[str] = []

    def deploy(self, script: str) -> None:
        note = f'for last; do :; done\nprintf "deploy %s %s\\n" "$5" "$last" >>{self.log}\n'
        self.program.write_text(f"#!/bin/sh\n{note}{script}\n", encoding="utf-8")
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)

    def prover(self) -> Prover:
        shell = SecureShell(config=self.state / "ssh_config")
        return Prover(load_city(LAB), LAB, self.state, shell, self.said.append, (str(self.program),))

    def noted(self) -> list[str]:
        """What happened on hosts, in order, in a word each."""
        words = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            if line.startswith("deploy "):
                words.append(line.removeprefix("deploy ").replace("recovery=", ""))
            elif "jizuo_backup" in line:
                words.append("restore")
            elif "install -d" in line:
                words.append("empty")
            elif "rm -rf" in line:
                words.append("remove")
            elif line == "record":
                words.append("record")
        return words


@contextmanager
def trial(folder: Path, restore: str = f"echo '{REPORT}'", nodes: tuple[str, ...] = ()) -> Iterator[Trial]:
    log = folder / "log"
    script = HOST.format(log=log, restore=restore)
    answering = list(nodes or ("xinchuang-1", "cloud-1", "offsite-1", "ops-1"))
    with controller(folder / "state", ["sh", "-c", script, "sh", "COMMAND"], answering) as state:
        yield Trial(folder, state)


OFFICE = Job("collab-office", "xinchuang-1")
WHOLE = ["empty", "{host} present", "restore", "empty", "remove", "{host} absent", "record"]


def test_keys_come_data_come_and_both_go(tmp_path: Path) -> None:
    with trial(tmp_path) as tried:
        [(job, found)] = tried.prover().prove([OFFICE])
        assert job == OFFICE
        assert (found.result, found.files, found.total_bytes, found.seconds) == ("success", 9, 123, 1.5)
        assert found.host in ("cloud-1", "offsite-1")
        assert tried.noted() == [word.format(host=found.host) for word in WHOLE]
        proof = elsewhere.read_proof((tried.state / "restores/collab-office@xinchuang-1.json").read_bytes())
        assert isinstance(proof, Proof)
        assert proof.tests == (found,)
        asked = tried.log.read_text(encoding="utf-8")
        for text in (
            "--sample-bytes 64000000 --sample-files 20",
            "--configuration /etc/jizuo/recovery",
            "systemd-run",
        ):
            assert text in asked
        # The next time it is the other host's turn.
        [(_, second)] = tried.prover().prove([OFFICE])
        assert {found.host, second.host} == {"cloud-1", "offsite-1"}


@pytest.mark.parametrize(
    ("restore", "error"),
    [
        ("echo 'jizuo_backup: 1 files differ from the manifest'; exit 1", "1 files differ from the manifest"),
        ("exit 255", "ssh failed"),
        ("echo '{'", "cannot be read"),
    ],
)
def test_a_restore_that_fails_is_recorded_and_leaves_nothing(
    tmp_path: Path, restore: str, error: str
) -> None:
    with trial(tmp_path, restore) as tried:
        [(_, found)] = tried.prover().prove([OFFICE])
        assert found.result == "failure"
        assert error in found.error
        assert tried.noted()[-3:] == ["remove", f"{found.host} absent", "record"]
        assert not tried.prover().has_left_something


def test_keys_that_do_not_come_are_taken_back_too(tmp_path: Path) -> None:
    with trial(tmp_path) as tried:
        tried.deploy('echo "no route" >&2; case $last in *present) exit 1 ;; esac')
        [(_, found)] = tried.prover().prove([OFFICE])
        assert "pyinfra: no route" in found.error
        assert tried.noted() == ["empty", f"{found.host} present", "remove", f"{found.host} absent", "record"]


def test_a_host_that_is_down_gets_no_keys(tmp_path: Path) -> None:
    with trial(tmp_path, nodes=("ops-1",)) as tried:
        [(_, found)] = tried.prover().prove([OFFICE])
        assert found.result == "failure"
        assert tried.noted() == ["record"]


def test_keys_that_cannot_be_taken_back_are_told_and_taken_back_first(tmp_path: Path) -> None:
    with trial(tmp_path) as tried:
        tried.deploy("case $last in *absent) exit 1 ;; esac")
        with pytest.raises(ElsewhereError, match="keys or data of collab-office@xinchuang-1 are left on"):
            list(tried.prover().prove([OFFICE, OFFICE]))
        assert tried.noted()[-1] == "record"
        path = tried.state / "restores/collab-office@xinchuang-1.json"
        proof = elsewhere.read_proof(path.read_bytes())
        assert isinstance(proof, Proof)
        [left] = proof.tests
        assert left.result == "failure", "a test that leaves keys behind is none that went well"
        tried.log.unlink()
        tried.deploy("exit 0")
        [(_, found)] = tried.prover().prove([OFFICE])
        assert tried.noted()[:2] == ["remove", f"{left.host} absent"]
        assert found.result == "success"


def test_what_is_on_a_host_that_left_the_inventory_stops_no_other(tmp_path: Path) -> None:
    with trial(tmp_path) as tried:
        journal = tried.state / "restores/.keys-given.json"
        journal.parent.mkdir()
        journal.write_bytes(
            msgspec.json.encode({"job": {"policy": "gov", "node": "cloud-9"}, "host": "cloud-8"})
        )
        [(_, found)] = tried.prover().prove([OFFICE])
        assert found.result == "success"
        assert any(
            "cloud-8, where a test left something, is no longer in the inventory" in line
            for line in tried.said
        )
        assert not tried.prover().has_left_something


def test_a_disk_that_is_full_when_the_journal_is_written_stops_no_later_test(tmp_path: Path) -> None:
    with trial(tmp_path) as tried:
        prover = tried.prover()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                list(prover.prove([OFFICE]))
        tried.log.unlink()
        [(_, found)] = tried.prover().prove([OFFICE])
        assert found.result == "success"
        assert tried.noted()[-1] == "record"


def full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_takes_everything_back(tmp_path: Path, sent: signal.Signals) -> None:
    """The command as people type it, stopped while data come."""
    with trial(tmp_path, f"touch {tmp_path}/restoring; sleep 3") as tried:
        # Where the tests run in the background of a shell, SIGINT would be ignored from the start.
        program = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.checks.backup.test_elsewhere import *
tried = Trial(Path({str(tmp_path)!r}), Path({str(tried.state)!r}))
try:
    list(tried.prover().prove([OFFICE]))
except KeyboardInterrupt:
    sys.exit(7)
"""
        with subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        ) as run:
            deadline = time.monotonic() + 180
            while not (tmp_path / "restoring").exists():
                assert run.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            run.send_signal(sent)
            assert run.wait(60) == 7
        words = tried.noted()
        assert [word.rpartition(" ")[2] for word in words] == [
            "empty",
            "present",
            "restore",
            "remove",
            "absent",
        ]
        assert not tried.prover().has_left_something


def test_one_at_a_time(tmp_path: Path) -> None:
    with trial(tmp_path) as tried:
        under_way = tried.prover().prove([OFFICE, OFFICE])
        next(under_way)
        with pytest.raises(ElsewhereError, match="under way"):
            list(tried.prover().prove([OFFICE]))
        list(under_way)
