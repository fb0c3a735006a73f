"""How long does PostgreSQL take to come back to a moment? `jizuo_database pitr` beside the same by hand.

The cluster and its repository are made in the folder: PostgreSQL 15 and pgBackRest as the deploy has them (zst,
aes-256-cbc, two processes), but the repository is a folder and not another node; what the way there takes the lab
shows. The peer is what an administrator would type: `pgbackrest restore`, `pg_ctl start`, and wait for the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench._backup_usage import Usage, Versus, measured, versus

PROGRAM = Path(__file__).parents[2] / "deploy" / "database" / "program"
#: Where another pgBackRest than the system's is.
VARIABLE = "PGBACKREST"
BINARIES = Path("/usr/lib/postgresql/15/bin")
ACCOUNT, STANZA, DATABASE, PORT = "postgres", "bench-main", "bench", 5498
#: The cluster is this part of the mixed files' size.
SHARE = 4
#: Bytes of a unit of pgbench's scale, about, and transactions after the base backup for each of them.
UNIT, TRANSACTIONS = 15_000_000, 2000
PYTHON = "/usr/bin/python3"


class Cluster:
    """A living cluster with its repository, all below one folder that its account owns."""

    def __init__(self, folder: Path, pgbackrest: str) -> None:
        self.folder, self.pgbackrest = folder, pgbackrest
        self.data, self.settings = folder / "data", folder / "pgbackrest.conf"
        self.environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(folder / "lib")}

    def make(self, scale: int) -> None:
        """Fill it, take a base backup, and go on writing."""
        for name in ("repository", "state", "scratch", "lock", "spool"):
            (self.folder / name).mkdir()
        shutil.copytree(PROGRAM, self.folder / "lib/jizuo_database")
        self.settings.write_text(
            f"[global]\nrepo1-path={self.folder}/repository\nrepo1-cipher-type=aes-256-cbc\n"
            f"repo1-cipher-pass=bench\nrepo1-retention-full=1\nstart-fast=y\ncompress-type=zst\nprocess-max=2\n"
            f"log-level-file=off\nlock-path={self.folder}/lock\nspool-path={self.folder}/spool\n"
            f"[{STANZA}]\npg1-path={self.data}\npg1-socket-path={self.folder}\npg1-port={PORT}\n"
        )
        (self.folder / f"{STANZA}.json").write_text(json.dumps(self.configuration()))
        shutil.chown(self.folder, ACCOUNT, ACCOUNT)
        subprocess.run(["chown", "-R", f"{ACCOUNT}:{ACCOUNT}", str(self.folder)], check=True)
        self.run(f"{BINARIES}/initdb", "-D", self.data, "--data-checksums", "-E", "UTF8", "--locale=C.UTF-8")
        push = f"{self.pgbackrest} --config={self.settings} --stanza={STANZA} archive-push %p"
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(
                f"listen_addresses = ''\nport = {PORT}\nunix_socket_directories = '{self.folder}'\n"
                f"archive_mode = on\narchive_command = '{push}'\nwal_level = replica\n"
                # What is measured reads; the writing before it need not wait for the disk.
                "synchronous_commit = off\n"
            )
        self.start()
        self.run(f"{BINARIES}/createdb", *self.connection(), DATABASE)
        self.backrest("stanza-create")
        self.run(f"{BINARIES}/pgbench", *self.connection(), "-q", "-i", "-s", scale, DATABASE)
        self.backrest("backup", "--type=full")
        transactions = scale * TRANSACTIONS
        self.run(f"{BINARIES}/pgbench", *self.connection(), "-c", 2, "-n", "-t", transactions // 2, DATABASE)

    def configuration(self) -> dict[str, Any]:
        """As deploy/database/node.py writes it."""
        return {
            "stanza": STANZA, "host": "bench", "policy": "bench", "database": DATABASE,
            "databases": [DATABASE], "rpo_seconds": 300, "verify_every_seconds": 86400,
            "places": [{"key": 1, "node": "backup-1"}], "unit": "none.service",
            "settings": str(self.settings), "data": str(self.data), "socket": str(self.folder), "port": PORT,
            "binaries": str(BINARIES), "state": str(self.folder / "state"),
            "scratch": str(self.folder / "scratch"), "pgbackrest": self.pgbackrest,
        }  # fmt: skip

    def command(self, *arguments: object) -> list[str]:
        """A command as the cluster's account."""
        return [
            "setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups", "--",
            *(str(argument) for argument in arguments),
        ]  # fmt: skip

    def run(self, *arguments: object) -> str:
        done = subprocess.run(
            self.command(*arguments), cwd="/", env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{arguments[0]}: {(done.stderr or done.stdout)[-500:]}")
        return done.stdout

    def connection(self) -> list[str]:
        return ["-h", str(self.folder), "-p", str(PORT)]

    def query(self, sql: str) -> str:
        """What the living cluster answers."""
        return self.run(f"{BINARIES}/psql", *self.connection(), "-XAtc", sql, DATABASE).strip()

    def backrest(self, *arguments: str) -> str:
        return self.run(self.pgbackrest, f"--config={self.settings}", f"--stanza={STANZA}", *arguments)

    def start(self) -> None:
        log = self.folder / "log"
        self.run(f"{BINARIES}/pg_ctl", "start", "-D", self.data, "-w", "-s", "-l", log)

    def stop(self) -> None:
        command = self.command(f"{BINARIES}/pg_ctl", "stop", "-D", self.data, "-m", "immediate", "-s")
        subprocess.run(command, cwd="/", capture_output=True)

    def drop_after(self) -> tuple[datetime, str, int]:
        """Let the table be dropped; the moment before, how many rows it had then, the log's bytes since the backup."""
        rows = self.query("select count(*) from pgbench_history")
        moment = datetime.fromisoformat(self.query("select clock_timestamp()"))
        time.sleep(1)
        self.query("drop table pgbench_history")
        self.query("select pg_switch_wal()")
        self.backrest("check")
        log = sum(
            path.stat().st_size for path in (self.folder / "repository/archive").rglob("*") if path.is_file()
        )
        return moment, rows, log


def measure(
    scratch: Path, megabytes: int, rounds: int, show: Callable[[str], None], say: Callable[[str], None]
) -> dict[str, Any]:
    """What a restore to a moment takes; says why when it cannot be measured here."""
    pgbackrest = os.environ.get(VARIABLE) or shutil.which("pgbackrest")
    lacking = [
        why
        for lacks, why in (
            (os.geteuid() != 0, "root, to become the account postgres"),
            (not (BINARIES / "initdb").exists(), "PostgreSQL 15 (apt-get install postgresql-15)"),
            (not pgbackrest, f"pgBackRest (apt-get install pgbackrest, or {VARIABLE}=PATH)"),
        )
        if lacks
    ]
    if lacking or not pgbackrest:
        show(f"PostgreSQL restore to a moment: not measured, this machine lacks {', '.join(lacking)}")
        return {"not_measured": lacking}
    scratch.chmod(0o711)
    with cluster(scratch / "database", pgbackrest) as living:
        scale = max(1, megabytes * 10**6 // SHARE // UNIT)
        say(f"a cluster of {scale * UNIT // 10**6} MB, its base backup, and writes after it")
        living.make(scale)
        moment, rows, log = living.drop_after()
        size = int(living.query(f"select pg_database_size('{DATABASE}')"))
        found = versus(
            rounds, lambda: ours(living, moment, rows, say), lambda: plain(living, moment, rows, say)
        )
    show(
        f"PostgreSQL restore to a moment: {size / 1e6:.0f} MB, {log / 1e6:.0f} MB of archived log, "
        f"median of {rounds} rounds"
    )
    _show(found, size, show)
    return {
        "total_bytes": size, "log_bytes": log, "rounds": rounds, "ours": found.ours._asdict(),
        "plain": found.plain._asdict(), "ratio": found.ratio,
    }  # fmt: skip


@contextlib.contextmanager
def cluster(folder: Path, pgbackrest: str) -> Iterator[Cluster]:
    """A folder for a cluster, which is stopped at the end."""
    folder.mkdir()
    made = Cluster(folder, pgbackrest)
    try:
        yield made
    finally:
        made.stop()


def ours(living: Cluster, moment: datetime, rows: str, say: Callable[[str], None]) -> Usage:
    """The kit's command: restored, asked, removed."""
    say("restore to a moment, ours")
    return measured(
        living.command(
            PYTHON, "-m", "jizuo_database", "pitr", STANZA, "--configuration", living.folder,
            "--to", moment.isoformat(), "--query", expected(rows), "--database", DATABASE,
        ),
        living.environment,
    )  # fmt: skip


def plain(living: Cluster, moment: datetime, rows: str, say: Callable[[str], None]) -> Usage:
    """The same by hand."""
    say("restore to a moment, by hand")
    folder = living.folder / "by-hand"
    connection = f"-h {folder} -p {PORT + 1}"
    options = f"-c port={PORT + 1} -c unix_socket_directories={folder} -c archive_mode=off"
    psql = f"{BINARIES}/psql -X -A -t -v ON_ERROR_STOP=1 {connection} {DATABASE}"
    script = f"""set -e
mkdir -m 700 {folder}
{living.pgbackrest} --config={living.settings} --stanza={STANZA} restore --pg1-path={folder} --type=time \\
    --target="{moment.isoformat(sep=" ")}" --target-action=promote
{BINARIES}/pg_ctl start -s -w -t 3600 -D {folder} -l {folder}/log -o {shlex.quote(options)}
until [ "$({psql} -c 'select pg_is_in_recovery()')" = f ]; do sleep 0.1; done
{psql} -c {shlex.quote(expected(rows))}
{BINARIES}/pg_ctl stop -s -w -m fast -D {folder}
rm -rf {folder}
"""
    return measured(living.command("sh", "-c", script), living.environment)


def expected(rows: str) -> str:
    """A query that fails where the table does not have the rows that it had at the moment."""
    return f"select 1 / (count(*) = {rows})::int from pgbench_history"


def _show(found: Versus, size: int, show: Callable[[str], None]) -> None:
    ours, plain, ratio = found.ours, found.plain, found.ratio
    show(
        f"  wall       ours {ours.seconds:8.2f} s   by hand      {plain.seconds:8.2f} s   "
        f"ratio {ratio['seconds']:.3f} ({size / 1e6 / ours.seconds:.0f} MB/s, {size / 1e6 / plain.seconds:.0f} MB/s)"
    )
    show(
        f"  processor  ours {ours.cpu_seconds:8.2f} s   by hand      {plain.cpu_seconds:8.2f} s   "
        f"ratio {ratio['cpu_seconds']:.3f}, the server's own not counted"
    )
