"""Databases for real: a dropped table comes back, a cut loses nothing, and who takes a node takes no history."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from tests.lab.conftest import Execute

from .conftest import INVENTORY, jizuo

NODE, STANZA, DATABASE = "cloud-1", "cloud-1-main", "portal"
NOW = "to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"
ARCHIVE = f"/srv/databases/archive/{STANZA}"
PROGRAM = ("env", "PYTHONPATH=/usr/local/lib/jizuo", "python3", "-m", "jizuo_database")
#: What a repository must not lose. A base backup's note stays open to who brought it (seal.py): no restore reads it.
HISTORY = (
    "find /srv/databases -type f -not -name '*.lock' -not -name '*.tmp' -not -name '*.backup' "
    "-exec sha256sum {} + | sort"
)


def sql(on: Execute, statement: str, database: str = DATABASE) -> str:
    done = on(
        NODE,
        "runuser",
        "-u",
        "postgres",
        "--",
        "psql",
        "-XAtq",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        database,
        input=statement,
    )
    return str(done.stdout).strip()


def state_of(on: Execute) -> dict[str, Any]:
    unit = f"jizuo-database-watch@{STANZA}.service"
    # systemd starts a unit five times in ten seconds and no more; tests that take no time ask for it more often.
    on(NODE, "sh", "-c", f"systemctl reset-failed {unit} 2>/dev/null; systemctl start {unit}", timeout=120)
    found: dict[str, Any] = json.loads(on(NODE, "cat", f"/var/lib/jizuo/database/{STANZA}.json").stdout)
    return found


def until(on: Execute, what: str, holds: Any, seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while not holds(state := state_of(on)):
        assert time.monotonic() < deadline, f"{what}: {state}"
        time.sleep(1)
    return state


def switch(on: Execute) -> str:
    """End the current WAL segment; its name."""
    return sql(on, "select pg_walfile_name(pg_switch_wal())")


@pytest.fixture(autouse=True)
def kept(on: Execute) -> None:
    """Both repositories have a base backup: the keepers of a new city take it within minutes."""
    until(on, "base backups", lambda s: all(one.get("full_at") for one in s["repositories"].values()), 300)


@pytest.fixture
def drill_table(on: Execute) -> Iterator[None]:
    sql(on, "drop table if exists jizuo_drill")
    yield
    sql(on, "drop table if exists jizuo_drill")


def records(text: str) -> list[tuple[int, datetime]]:
    found = re.findall(r"^drill-record \S+ (\d+) (\S+)$", text, re.M)
    return [(int(identifier), datetime.fromisoformat(at)) for identifier, at in found]


def writer(lab: Lab, seconds: int) -> subprocess.Popen[str]:
    command = [*labs.enter(lab, NODE), *PROGRAM, "write", STANZA, "--seconds", str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def pitr(on: Execute, to: datetime, *more: str) -> dict[str, Any]:
    done = on(NODE, *PROGRAM, "pitr", STANZA, "--to", to.isoformat(), *more, timeout=300)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_table_that_was_dropped_under_a_writer_comes_back_beside_and_then_in_place(
    lab: Lab, on: Execute, drill_table: None
) -> None:
    writing = writer(lab, 12)
    time.sleep(8)
    # The moment is the database's own: the last one at which the table was there.
    before = datetime.fromisoformat(
        sql(on, f"begin; select {NOW}; "
            "lock table jizuo_drill in access exclusive mode; drop table jizuo_drill; commit;")
    )  # fmt: skip
    written = records(writing.communicate(timeout=60)[0])
    assert len(written) > 40
    assert max(at for _, at in written) < before + timedelta(seconds=2), "the writer did not stop at the drop"
    segment = switch(on)
    until(on, "the log is sent", lambda s: all(r["segment"] >= segment for r in s["repositories"].values()))

    living = sql(on, "select to_regclass('jizuo_drill') is null, pg_postmaster_start_time()")
    question = ["--query", "select count(*), max(id) from jizuo_drill"]
    beside = pitr(on, before, "--from", "offsite-1", *question)
    # Rows that were committed by then are there, every one; what came between the moment and the drop is lost.
    should = [identifier for identifier, at in written if at <= before]
    count, last = map(int, beside["answers"][0].split("|"))
    assert count >= len(should) - 1
    assert last >= should[-1] - 1
    lost = written[-1][0] - last
    assert 0 <= lost <= 3, f"{lost} rows lost"
    assert not beside["promoted"]
    assert sql(on, "select to_regclass('jizuo_drill') is null, pg_postmaster_start_time()") == living
    assert on(NODE, "ls", "/var/lib/postgresql/recovery").stdout == ""

    timeline = segment[:8]
    there = pitr(on, before, "--promote")
    try:
        kept = records(on(NODE, *PROGRAM, "rows", STANZA, "--database", DATABASE).stdout)
        assert [one for one, _ in kept] == list(range(1, last + 1))
        print(
            f"{len(written)} rows written, {lost} lost; beside in {beside['seconds']} s, in place {there['seconds']} s"
        )
        assert sql(on, "select pg_is_in_recovery()") == "f"
        after = switch(on)
        assert after[:8] > timeline
        until(
            on,
            "the new log is sent",
            lambda s: all(r["segment"] >= after for r in s["repositories"].values()),
        )
    finally:
        on(NODE, "rm", "-rf", there["before"])


def test_a_moment_that_the_log_does_not_reach_is_refused_and_leaves_nothing(on: Execute) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    done = on(NODE, *PROGRAM, "pitr", STANZA, "--to", ahead.isoformat(), check=False, timeout=300)
    assert done.returncode == 1
    assert "the archived log ends before that moment" in done.stderr
    assert on(NODE, "ls", "/var/lib/postgresql/recovery").stdout == ""


def test_the_living_cluster_is_never_written_over(on: Execute) -> None:
    now = datetime.now(UTC).isoformat()
    data = "/var/lib/postgresql/15/main"
    done = on(NODE, *PROGRAM, "pitr", STANZA, "--to", now, "--into", data, check=False)
    assert done.returncode == 1
    assert "is the living cluster" in done.stderr
    assert sql(on, "select 1") == "1"


def test_the_log_goes_on_to_the_other_repository_and_the_first_catches_up(on: Execute) -> None:
    rule = ["tcp", "dport", "8432", "drop", "comment", '"cut"']
    on("backup-1", "nft", "insert", "rule", "inet", "jizuo", "input", *rule)
    try:
        on("backup-1", "systemctl", "restart", "jizuo-database-receiver")
        names = [switch(on) for _ in range(3) if sql(on, "select pg_create_restore_point('cut')")]
        cut = until(
            on, "off-site goes on", lambda s: s["repositories"]["offsite-1"]["segment"] >= names[-1], 300
        )
        assert cut["repositories"]["backup-1"]["segment"] < names[-1]
        assert cut["repositories"]["backup-1"]["error"]
        assert cut["wal"]["failed_at"], "nothing says that sending failed"
    finally:
        listed = on("backup-1", "nft", "-a", "list", "chain", "inet", "jizuo", "input").stdout
        for handle in re.findall(r'comment "cut" # handle (\d+)', listed):
            on("backup-1", "nft", "delete", "rule", "inet", "jizuo", "input", "handle", handle)
    healed = until(
        on, "caught up", lambda s: s["repositories"]["backup-1"].get("segment", "") >= names[-1], 300
    )
    assert healed["repositories"]["backup-1"]["error"] == ""
    for node in ("backup-1", "offsite-1"):
        held = on(node, "find", ARCHIVE, "-type", "f").stdout
        assert all(f"/{name}-" in held for name in names), f"{node} lacks a segment"


def test_who_takes_the_database_s_node_takes_no_history(on: Execute) -> None:
    segment = switch(on)
    until(on, "the log is sent", lambda s: s["repositories"]["backup-1"]["segment"] >= segment)
    time.sleep(5)
    (path,) = on("backup-1", "find", ARCHIVE, "-name", f"{segment}-*").stdout.split()
    before = on("backup-1", "sh", "-c", HISTORY).stdout

    def as_client(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """pgBackRest as the database's account has it, keys and all."""
        own = ["--config=/etc/jizuo/database/sender.conf", f"--stanza={STANZA}", "--repo=1"]
        done: subprocess.CompletedProcess[str] = on(
            NODE, "runuser", "-u", "postgres", "--", "pgbackrest", *own, *arguments, check=False, input=given
        )
        return done

    relative = path.removeprefix("/srv/databases/")
    for place in (relative, f"archive/{STANZA}/archive.info", f"backup/{STANZA}/backup.info"):
        assert as_client("--raw", "repo-put", place, given="overwritten").returncode != 0, place
    assert as_client("repo-rm", relative).returncode != 0
    assert as_client("expire", "--repo1-retention-full=1").returncode != 0
    assert as_client("stanza-delete", "--force").returncode != 0

    # pgBackRest lets a client name any path on the server: what is secret there is not there for its account.
    on(
        NODE,
        "sh",
        "-c",
        "cd /etc/jizuo/database; sed 's#^repo1-host=#repo1-path=/etc\\n&#' sender.conf >/run/evil.conf; "
        "chown postgres /run/evil.conf",
    )
    try:
        for secret, readable in (("/etc/passwd", True), ("/etc/jizuo/database/keeper.conf", False),
                                 ("/etc/jizuo/database/keeper.key", False), ("/etc/shadow", False),
                                 ("/etc/jizuo/repository/htpasswd", False)):  # fmt: skip
            done = on(NODE, "runuser", "-u", "postgres", "--", "pgbackrest", "--config=/run/evil.conf",
                      f"--stanza={STANZA}", "--repo=1", "--raw", "repo-get", secret, check=False)  # fmt: skip
            assert (done.returncode == 0) is readable, (secret, done.stderr)
    finally:
        on(NODE, "rm", "-f", "/run/evil.conf")

    # The worst case: the whole account that clients reach.
    receiver = (
        "setpriv",
        "--reuid=jizuo-receiver",
        "--regid=jizuo-keeper",
        "--clear-groups",
        "--",
        "sh",
        "-c",
    )
    folder = path.rpartition("/")[0]
    for attack in (
        f"rm -f {path}",
        f"mv {path} {path}.gone",
        f": >{path}",
        f"chmod 600 {path}",
        f"ln -sf /dev/null {path}",
        f"rm -rf {folder} || test ! -e {path}",
        f"mv {folder} {folder}.gone",
        f"rm -rf /srv/databases/backup/{STANZA}/*F || test ! -e /srv/databases/backup/{STANZA}/backup.info",
        f"echo x >/srv/databases/backup/{STANZA}/backup.info",
        f"rm -f {ARCHIVE}/archive.info",
    ):
        done = on("backup-1", *receiver, attack, check=False)
        assert done.returncode != 0 or "rm -rf" in attack, attack
    after = on("backup-1", "sh", "-c", HISTORY).stdout
    assert set(before.splitlines()) <= set(after.splitlines())

    # What it left half written under the names that the keeper writes itself stops no base backup.
    on("backup-1", *receiver, f"echo x >{ARCHIVE}/archive.info.pgbackrest.tmp")
    keep_and_back_up = (
        f"systemctl start jizuo-database-keep@{STANZA}.service && setpriv --reuid=jizuo-keeper --regid=jizuo-keeper "
        f"--init-groups -- pgbackrest --config=/etc/jizuo/database/keeper.conf --stanza={STANZA} backup --type=diff"
    )
    done = on("backup-1", "sh", "-c", keep_and_back_up, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_who_takes_a_repository_s_keeper_reads_the_database_and_writes_nothing(on: Execute) -> None:
    own = ["runuser", "-u", "jizuo-source", "--"]
    for attack in ("touch /var/lib/postgresql/15/main/x", "cat /etc/jizuo/database/sender.conf",
                   "cat /etc/jizuo/database/sender.key",
                   f"psql -XAtq -v ON_ERROR_STOP=1 -d {DATABASE} -c 'select * from jizuo.stamp'",
                   f"psql -XAtq -v ON_ERROR_STOP=1 -d {DATABASE} -c 'create table public.x ()'"):  # fmt: skip
        assert on(NODE, *own, "sh", "-c", f"cd /; {attack}", check=False).returncode != 0, attack


def job(on: Execute) -> dict[str, Any]:
    on(NODE, "systemctl", "start", "jizuo-backup@gov-service", check=False, timeout=300)
    found: dict[str, Any] = json.loads(on(NODE, "cat", "/var/lib/jizuo/backup/gov-service.json").stdout)
    return found


def test_a_dump_is_in_the_snapshot_and_a_dump_that_fails_fails_the_job(on: Execute) -> None:
    sql(on, "create table if not exists item (id int primary key, name text);"
            "insert into item select i, '目录' || i from generate_series(1, 1000) i on conflict do nothing",
            "catalogue")  # fmt: skip
    state = job(on)
    assert state["backup"]["result"] == "success"
    good = state["last_success_at"]
    sql(on, 'revoke pg_read_all_data from "jizuo-backup"', "postgres")
    try:
        failed = job(on)
    finally:
        sql(on, 'grant pg_read_all_data to "jizuo-backup"', "postgres")
    assert failed["backup"]["result"] == "failure"
    assert failed["backup"]["reason"] == "dump"
    assert "permission denied" in failed["backup"]["error"]
    assert failed["last_success_at"] == good
    assert job(on)["backup"]["result"] == "success"


def test_a_dump_is_restored_into_a_cluster_of_its_own_and_answers_as_it_did(on: Execute) -> None:
    job(on)
    on(NODE, "rm", "-f", "/var/lib/jizuo/backup/gov-service.json")  # no restore test is remembered: it is due
    tested = job(on)["repositories"]["offsite-1"]["restore_test"]
    assert tested["result"] == "success", tested
    assert tested["dumps"] == ["catalogue"]


def test_a_dump_that_answers_otherwise_than_the_database_did_is_found(on: Execute) -> None:
    job(on)
    script = """
import json, os, shutil, sys
from jizuo_backup import dumps
from jizuo_backup.configuration import read_configuration
from jizuo_backup.restic import JobError
(dump,) = read_configuration("/etc/jizuo/backup/gov-service.json").dumps
copy = "/var/cache/jizuo-backup/probe"
for wrong in (False, True):
    shutil.copy(dump.file, copy)
    answers = json.load(open(dump.file + dumps.ANSWERS))
    if wrong:
        answers["tables"]["public.item"]["sum"] = "1"
    json.dump(answers, open(copy + dumps.ANSWERS, "w"))
    try:
        print(dumps.prove(dump, copy, "/var/cache/jizuo-backup/probe-cluster"))
    except JobError as error:
        print(error.reason, os.path.exists("/var/cache/jizuo-backup/probe-cluster"))
os.unlink(copy), os.unlink(copy + dumps.ANSWERS)
"""
    own = ("runuser", "-u", "jizuo-backup", "--", "env", "PYTHONPATH=/usr/local/lib/jizuo", "python3", "-")
    assert on(NODE, *own, input=script, timeout=120).stdout.splitlines() == ["1", "dump_differs False"]


def test_the_cluster_comes_back_on_the_off_site_node_from_what_stands_there(on: Execute) -> None:
    """The restore has no network there: neither the cluster's node nor another repository is reached."""
    for _ in range(2):  # two stamps must be archived
        segment = switch(on)
        until(on, "the log is sent", lambda s, end=segment: s["repositories"]["offsite-1"]["segment"] >= end)
        time.sleep(1)
    done = jizuo("backup", "verify", INVENTORY, "gov-service", "--elsewhere", "--json", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = [one for one in json.loads(done.stdout) if one["job"] == STANZA]
    assert found["result"] == "success", found
    assert (found["host"], found["repository"]) == ("offsite-1", "offsite-1")
    assert found["rows"] >= 2
    assert on("offsite-1", "ls", "/var/cache/jizuo-restore-elsewhere", check=False).returncode != 0
    assert on("offsite-1", "pgrep", "-x", "postgres", check=False).stdout == ""
    records = json.loads(jizuo("check", INVENTORY, "backup", "--format", "json").stdout)
    assert [
        (one["subject"], one["check"], one["status"])
        for one in records
        if one["check"].startswith("database-restore-elsewhere")
    ] == [(STANZA, "database-restore-elsewhere:offsite-1", "pass")]
