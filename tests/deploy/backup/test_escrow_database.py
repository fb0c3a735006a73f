"""Does the recovery kit alone bring a PostgreSQL cluster back on a strange machine? With the real programs, over TLS.

The cluster lives, is backed up and dropped a table of; then it is lost with all that its node and the controller
knew. What is left is the other city's repository, encrypted, behind pgBackRest's server, and the sealed kit.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.backup.certificates import Usage, authority, certificate
from deploy.backup.escrow.kit import FOLDER, ExistingSecrets, Kit, KitDatabase, contents, packed
from deploy.backup.escrow.sealing import seal
from deploy.database import clusters, keeper, keys, node
from deploy.here import render
from deploy.secrets import SecretStore

STANZA, NODE, DATABASE, ROWS = "cloud-1-main", "offsite-1", "portal", 1000
ACCOUNT = "postgres"
BINARIES = Path(node.BINARIES)
#: Where the kit's settings expect the server's on its own node; here it is another folder.
RECEIVER = f"{keeper.CONFIGURATION}/receiver.conf"

for program, package in (
    ("pgbackrest", "pgbackrest"),
    (f"{BINARIES}/initdb", "postgresql-15"),
    ("age", "age"),
):
    if shutil.which(program) is None:
        pytest.fail(f"these tests need {program}; run: apt-get install {package}", pytrace=False)


def command(*arguments: object) -> list[str]:
    """A command as an account that PostgreSQL runs under, which root is not."""
    words = [str(argument) for argument in arguments]
    if os.geteuid() != 0:
        return words
    return ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups", "--", *words]


def run(folder: Path, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """As on a machine that knows nothing: an environment with a search path and nothing else."""
    done = subprocess.run(
        command(*arguments), cwd=folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of that account's: pytest's own are closed to it, and a socket's path may be 107 characters long."""
    folder = Path(tempfile.mkdtemp(prefix="jizuo-kit-"))
    own(folder)
    try:
        yield folder
    finally:
        for data in folder.glob("*/PG_VERSION"):
            run(folder, BINARIES / "pg_ctl", "stop", "-D", data.parent, "-m", "immediate", check=False)
        shutil.rmtree(folder)


def own(*paths: Path) -> None:
    if os.geteuid() == 0:
        for path in paths:
            shutil.chown(path, ACCOUNT, ACCOUNT)


def write(path: Path, text: str) -> None:
    """A file of that account's alone: pgBackRest refuses a key that others can read."""
    path.write_text(text)
    path.chmod(0o600)
    own(path)


class City:
    """A cluster, its repository in the other city, and that one's server."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "living"
        self.store = SecretStore(folder / "secrets")
        self.receiver: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name in ("repository", "lock", "receiver"):
            (folder / name).mkdir()
            own(folder / name)

    def live_and_lose_a_table(self) -> str:
        """Back up, go on writing, and drop the table; the moment before."""
        self.begin()
        self.query(f"create table orders as select generate_series(1, {ROWS // 2}) as id", DATABASE)
        self.backrest("backup", "--type=full")
        self.query(f"insert into orders select generate_series({ROWS // 2 + 1}, {ROWS})", DATABASE)
        time.sleep(1.1)  # pgBackRest knows a backup's end by the second, and wants the moment after it
        moment = self.query("select clock_timestamp()")
        time.sleep(0.05)
        self.query("drop table orders", DATABASE)
        self.query("select pg_switch_wal()")
        self.backrest("check")
        return moment

    def begin(self) -> None:
        """A cluster whose log is kept in the repository."""
        write(
            self.folder / "pgbackrest.conf",
            f"[global]\nrepo1-path={self.folder}/repository\nrepo1-cipher-type=aes-256-cbc\n"
            f"repo1-cipher-pass={keys.passphrase(self.store, NODE, STANZA)}\nstart-fast=y\n"
            f"compress-type=zst\nlog-level-file=off\nlock-path={self.folder}/lock\n"
            f"[{STANZA}]\npg1-path={self.data}\npg1-socket-path={self.folder}\n",
        )
        run(self.folder, BINARIES / "initdb", "-D", self.data, "-N", "-E", "UTF8", "--locale=C.UTF-8")
        push = f"pgbackrest --config={self.folder}/pgbackrest.conf --stanza={STANZA} archive-push %p"
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(
                f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\n"
                f"archive_mode = on\narchive_command = '{push}'\nfsync = off\nmax_connections = 77\n"
            )
        log = self.folder / "log"
        run(self.folder, BINARIES / "pg_ctl", "start", "-D", self.data, "-w", "-s", "-l", log)
        self.backrest("stanza-create")
        self.query(f"create database {DATABASE}")

    def query(self, sql: str, database: str = "postgres") -> str:
        psql = (BINARIES / "psql", "-h", self.folder, "-XAtqc", sql, database)
        return run(self.folder, *psql).stdout.strip()

    def backrest(self, *arguments: str) -> None:
        settings = f"--config={self.folder}/pgbackrest.conf"
        run(self.folder, "pgbackrest", settings, f"--stanza={STANZA}", *arguments)

    def is_lost(self) -> None:
        """All but the repository, whose server knows no passphrase, is gone: node, settings, controller."""
        run(self.folder, BINARIES / "pg_ctl", "stop", "-D", self.data, "-m", "immediate")
        shutil.rmtree(self.data)
        (self.folder / "pgbackrest.conf").unlink()
        shutil.rmtree(self.store.folder)

    def serve(self) -> None:
        """The repository's server as the deploy configures it, for the name of this machine."""
        folder = self.folder / "receiver"
        pair = certificate(self.store, "database-receiver", Usage.SERVER, "localhost", ["localhost"])
        for name, text in (
            ("authority.pem", authority(self.store).certificate),
            ("receiver.pem", pair.certificate),
            ("receiver.key", pair.key),
            ("receiver.conf", self._receiver_settings(folder)),
        ):
            write(folder / name, text)
        log = (folder / "log").open("wb")
        self.receiver = subprocess.Popen(
            command("pgbackrest", f"--config={folder}/receiver.conf", "server"),
            stdout=log,
            stderr=log,
            cwd="/",
        )
        deadline = time.monotonic() + 180
        while True:
            with suppress(OSError):
                socket.create_connection(("localhost", self.port), timeout=1).close()
                return
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)

    def _receiver_settings(self, folder: Path) -> str:
        cluster = clusters.Cluster(node="cloud-1", instance="main", databases=(), dumped=())
        assert cluster.stanza == STANZA
        text = render(
            keeper.TEMPLATES / "receiver.conf.j2", port=self.port, configuration=folder,
            folder=self.folder / "repository", clusters=[{"cluster": cluster, "key": 1}],
        )  # fmt: skip
        text = text.replace("/run/jizuo-database-receiver", f"{self.folder}/lock")
        return text.replace("tls-server-address=::", "tls-server-address=localhost")

    def stop(self) -> None:
        if self.receiver:
            self.receiver.terminate()
            self.receiver.wait(20)


@pytest.fixture
def city(place: Path) -> Iterator[City]:
    made = City(place)
    yield made
    made.stop()


def machine(city: City) -> Path:
    """A strange machine with the sealed kit and a private key, which opened it."""
    kept = KitDatabase(
        cluster=STANZA, policy="gov-service", client="cloud-1", database=DATABASE, version=node.VERSION,
        node=NODE, number=1, role="copy", city="萍乡市", name="localhost", ipv6="", ipv4="127.0.0.1",
        port=city.port,
    )  # fmt: skip
    kit = Kit(
        version=1, city="宜春市", made_at="2026-08-01T09:30:00+08:00", repositories=(), systems=(),
        databases=(kept,),
    )  # fmt: skip
    elsewhere = city.folder / "elsewhere"
    elsewhere.mkdir()
    own(elsewhere)
    run(elsewhere, "age-keygen", "-o", "custodian.key")
    public = run(elsewhere, "age-keygen", "-y", "custodian.key").stdout.strip()
    made = leading_here(contents(kit, ExistingSecrets(city.store.folder)), city)
    (elsewhere / "kit.age").write_bytes(seal(packed(made), [public]))
    run(elsewhere, "sh", "-c", "age -d -i custodian.key kit.age | tar -x --no-same-owner")
    return elsewhere / FOLDER


def leading_here(made: Mapping[str, bytes], city: City) -> dict[str, bytes]:
    """The kit, with the server's own folder of this test."""
    name = f"databases/{STANZA}.conf"
    assert RECEIVER.encode() in made[name]
    here = str(city.folder / "receiver/receiver.conf").encode()
    return {**made, name: made[name].replace(RECEIVER.encode(), here)}


def test_the_kit_alone_restores_a_cluster_to_the_moment_before_its_table_was_dropped(city: City) -> None:
    moment = city.live_and_lose_a_table()
    # Secrets that a real kit needs are there before it is made: the client's own certificate among them.
    keys.sender_of(city.store, "cloud-1")
    city.serve()
    kit = machine(city)
    city.is_lost()

    target = city.folder / "restored"
    said = run(kit, "bash", "restore.sh", "database", STANZA, target, "--time", moment)
    assert "repository of cloud-1-main on offsite-1 (copy, 萍乡市), 127.0.0.1 port" in said.stderr
    start, ask = (line.strip() for line in said.stdout.splitlines()[-2:])
    run(kit, "bash", "-c", start)
    psql = (*ask.split(), "-XAtqc")
    assert psql[0] == "psql"
    deadline = time.monotonic() + 180
    while run(kit, *psql, "select pg_is_in_recovery()").stdout.strip() != "f":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert run(kit, *psql, "select count(*), max(id) from orders").stdout.strip() == f"{ROWS}|{ROWS}"
    # It is another cluster's copy: it listens to nobody and sends its log to no repository.
    asked = "select current_setting('listen_addresses'), current_setting('archive_mode')"
    assert run(kit, *psql, asked).stdout.strip() == "|off"
    assert re.search(r"(?m)^max_connections = 77$", (target / "jizuo-kit.conf").read_text())


def test_a_stranger_without_the_kits_key_or_passphrase_gets_nothing(city: City) -> None:
    city.begin()
    city.backrest("backup", "--type=full")
    keys.sender_of(city.store, "cloud-1")
    city.serve()
    kit = machine(city)
    settings = kit / f"databases/{STANZA}.conf"
    true = settings.read_text()
    write(settings, re.sub(r"(?m)^(repo1-cipher-pass=).*$", r"\1another", true))
    no_passphrase = run(kit, "bash", "restore.sh", "database", STANZA, city.folder / "one", check=False)
    assert no_passphrase.returncode != 0  # pgBackRest 2.45 says no more than that: it crashes
    write(settings, true)
    pair = certificate(city.store, "database-sender", Usage.CLIENT, "xinchuang-1")
    write(kit / f"databases/{STANZA}.pem", pair.certificate)
    write(kit / f"databases/{STANZA}.key", pair.key)
    no_key = run(kit, "bash", "restore.sh", "database", STANZA, city.folder / "two", check=False)
    assert no_key.returncode != 0
    assert "access denied" in no_key.stderr
    for name in ("one", "two"):
        assert not (city.folder / name / "PG_VERSION").exists()
