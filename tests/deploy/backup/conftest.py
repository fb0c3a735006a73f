"""A client of one policy and its two repositories, for real: restic and rclone on loopback, TLS and logins."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deploy.backup.certificates import authority, server_certificate
from deploy.backup.client import PROGRAM
from deploy.backup.credentials import login, login_line, repository_password
from deploy.backup.server import server_arguments
from deploy.secrets import SecretStore
from inventories.backup_state import (
    BackupState,
    MaintenanceResult,
    RepositoryState,
    read_repository_state,
    read_state,
)
from tests.deploy.backup.cheap_keys import make_cheap

CLIENT, POLICY = "cloud-1", "gov-service"
#: Debian's own interpreter: what a client has, without the kit's environment.
PYTHON = "/usr/bin/python3"

if shutil.which("restic") is None or shutil.which("rclone") is None:
    pytest.fail("these tests need restic and rclone; run: apt-get install restic rclone", pytrace=False)


@dataclass
class Server:
    """A repository server as the deploy configures it."""

    node: str
    folder: Path
    store: SecretStore
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    #: Where it listens; empty is every address of both families, as in the deploy.
    address: str = "localhost"

    @property
    def repositories(self) -> Path:
        return self.folder / "repositories"

    @property
    def repository(self) -> Path:
        return self.repositories / CLIENT / POLICY

    def start(self) -> None:
        configuration = self.folder / "configuration"
        configuration.mkdir(parents=True, exist_ok=True)
        self.repositories.mkdir(exist_ok=True)
        pair = server_certificate(self.store, self.node, ["localhost"], ["127.0.0.1", "::1"])
        (configuration / "certificate.pem").write_text(pair.certificate)
        (configuration / "key.pem").write_text(pair.key)
        lines = [login_line(self.store, self.node, client) for client in (CLIENT, "xinchuang-1")]
        (configuration / "htpasswd").write_text("\n".join(lines) + "\n")
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        arguments = server_arguments(f"{self.address}:{self.port}", configuration, self.repositories)
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(["rclone", "-v", *arguments], stdout=log, stderr=log)
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("localhost", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        pytest.fail(f"rclone did not start: {(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


@dataclass
class Client:
    """A host with the job, its configuration and some data."""

    root: Path
    store: SecretStore
    servers: list[Server]
    exclude: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.root / "srv/systems/yichun-gov-service-net"

    @property
    def state_path(self) -> Path:
        return self.root / "state" / f"{POLICY}.json"

    def configure(self) -> None:
        """What the deploy's client.job_files does on a host, with folders and ports of this test."""
        keys = self.root / "etc/keys"
        keys.mkdir(parents=True, exist_ok=True)
        for folder in ("state", "cache", "lib"):
            (self.root / folder).mkdir(exist_ok=True)
        program = self.root / "lib/jizuo_backup"
        if not program.exists():
            shutil.copytree(PROGRAM, program, ignore=shutil.ignore_patterns("__pycache__"))
        (self.root / "etc/authority.pem").write_text(authority(self.store).certificate)
        repositories = []
        for server in self.servers:
            base = keys / f"{POLICY}@{server.node}"
            password = login(self.store, server.node, CLIENT)
            url = f"rest:https://{CLIENT}:{password}@localhost:{server.port}/{CLIENT}/{POLICY}/"
            base.with_name(base.name + ".repository").write_text(url + "\n")
            secret = repository_password(self.store, server.node, CLIENT, POLICY)
            base.with_name(base.name + ".password").write_text(secret + "\n")
            repositories.append(
                {
                    "node": server.node,
                    "host": "localhost",
                    "port": server.port,
                    "repository_file": f"{base}.repository",
                    "password_file": f"{base}.password",
                    "megabits": 0,
                }
            )
        configuration: dict[str, Any] = {
            "policy": POLICY,
            "host": CLIENT,
            "paths": [str(self.root / "srv/systems")],
            "exclude": self.exclude,
            "rpo_seconds": 3600,
            "window": None,
            "verify": {
                "check_seconds": 86400,
                "read_all_seconds": 7 * 86400,
                "restore_seconds": 86400,
                "sample_files": 20,
                "sample_bytes": 64 * 10**6,
            },
            "ca_file": str(self.root / "etc/authority.pem"),
            "repositories": repositories,
        }
        (self.root / "etc" / f"{POLICY}.json").write_text(json.dumps(configuration))

    def command(self, verb: str, *arguments: str) -> list[str]:
        return [
            PYTHON, "-m", "jizuo_backup", verb, "--configuration", str(self.root / "etc"),
            "--state", str(self.root / "state"), "--cache", str(self.root / "cache"), *arguments,
        ]  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return {"PATH": path, "PYTHONPATH": str(self.root / "lib"), "TZ": "Asia/Shanghai", "LANG": "C.UTF-8"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("run", *arguments, POLICY), env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the job; its exit code and what it said."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=600)
        self.must_hold_no_secret(output)
        return process.returncode, output

    def must_hold_no_secret(self, output: str) -> None:
        said = output + (self.state_path.read_text() if self.state_path.exists() else "")
        for path in self.store.folder.iterdir():
            if path.name.startswith(("backup-login", "backup-repository")):
                assert path.read_text().strip() not in said, f"{path.name} shows in log or state"

    def state(self) -> BackupState:
        return read_state(self.state_path)


def restic_as_client(
    client: Client, server: int, *arguments: str, seconds: float = 600
) -> subprocess.CompletedProcess[str]:
    """Whatever whoever has taken over the client may ask of a repository, with the client's own keys."""
    base = client.root / "etc/keys" / f"{POLICY}@{client.servers[server].node}"
    return subprocess.run(
        ["timeout", str(seconds), "restic", "--no-cache", "--cacert", str(client.root / "etc/authority.pem"),
         "--repository-file", f"{base}.repository", "--password-file", f"{base}.password", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def maintenance(
    client: Client, server: int, command: str, *arguments: str, keep: dict[str, int] | None = None
) -> list[str]:
    """Configure a server's maintenance as the deploy does, with folders of this test; the command that starts it."""
    place = client.servers[server]
    held, name = place.folder / "held", f"{CLIENT}-{POLICY}"
    for folder in (held, place.folder / "maintenance"):
        folder.mkdir(exist_ok=True)
    (held / f"{name}.repository").write_text(f"{place.repository}\n")
    password = repository_password(client.store, place.node, CLIENT, POLICY)
    (held / f"{name}.password").write_text(password + "\n")
    configuration = {
        "node": place.node, "client": CLIENT, "policy": POLICY, "folder": str(place.repository),
        "repository_file": str(held / f"{name}.repository"), "password_file": str(held / f"{name}.password"),
        "keep": {"last": 1} if keep is None else keep, "window": None,
    }  # fmt: skip
    (held / f"{name}.json").write_text(json.dumps(configuration))
    return [
        PYTHON, "-m", "jizuo_backup.repository", command, "--configuration", str(held),
        "--state", str(place.folder / "maintenance"), "--cache", str(place.folder / "cache"), *arguments,
    ]  # fmt: skip


def maintain(
    client: Client, server: int = 0, *arguments: str, keep: dict[str, int] | None = None
) -> RepositoryState:
    """Run a server's maintenance; what its state file says then, its exit code being what that means."""
    return _maintained(client, server, maintenance(client, server, "maintain", *arguments, keep=keep))


def heal(client: Client, server: int = 0) -> RepositoryState:
    """Have a server move aside what is damaged."""
    return _maintained(client, server, maintenance(client, server, "heal", f"{CLIENT}-{POLICY}"))


def _maintained(client: Client, server: int, command: list[str]) -> RepositoryState:
    done = subprocess.run(command, env=client.environment, capture_output=True, text=True, check=False)
    client.must_hold_no_secret(done.stdout + done.stderr)
    path = client.servers[server].folder / "maintenance" / f"{CLIENT}-{POLICY}.json"
    state = read_repository_state(path)
    steps = [state.healing] if "heal" in command else [state.check, state.prune]
    well = all(step is not None and step.result is MaintenanceResult.SUCCESS for step in steps)
    assert done.returncode == (0 if well else 1), done.stdout + done.stderr
    return state


def restic(client: Client, server: int, *arguments: str) -> list[dict[str, object]]:
    """What the repository itself says, read with the client's keys."""
    base = client.root / "etc/keys" / f"{POLICY}@{client.servers[server].node}"
    done = subprocess.run(
        ["restic", "--json", "--no-lock", "--no-cache", "--cacert", str(client.root / "etc/authority.pem"),
         "--repository-file", f"{base}.repository", "--password-file", f"{base}.password", *arguments],
        check=True, capture_output=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def wrap_restic(client: Client, script: str) -> None:
    """Put a program before restic in the job's PATH; the script calls the real one as "$RESTIC"."""
    real = subprocess.run(["which", "restic"], check=True, capture_output=True, text=True).stdout.strip()
    wrapper = client.root / "bin/restic"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(f"#!/bin/bash\nRESTIC={real}\n{script}\n")
    wrapper.chmod(0o755)


def edit_configuration(client: Client, **fields: object) -> None:
    path = client.root / "etc" / f"{POLICY}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def edit_verification(client: Client, **fields: int) -> None:
    """Change some fields of the configuration's plan of verification."""
    path = client.root / "etc" / f"{POLICY}.json"
    edit_configuration(client, verify={**json.loads(path.read_text())["verify"], **fields})


def empty(repository: Path) -> None:
    """Leave a repository as `restic init` made it: its key and its configuration."""
    for name in ("data", "index", "snapshots", "locks"):
        for path in (repository / name).rglob("*"):
            if path.is_file():
                path.unlink()


def without_copy(client: Client) -> None:
    """Leave the copy out where it is not what a test asks about: each run of restic takes half a second."""
    path = client.root / "etc" / f"{POLICY}.json"
    edit_configuration(client, repositories=json.loads(path.read_text())["repositories"][:1])


@contextmanager
def running(folder: Path) -> Iterator[Client]:
    """A client with a primary repository (backup-1) and a copy (offsite-1), both servers up."""
    store = SecretStore(folder / "secrets")
    servers = [Server(node, folder / node, store) for node in ("backup-1", "offsite-1")]
    try:
        for server in servers:
            server.start()
        here = Client(folder / "client", store, servers)
        here.configure()
        yield here
    finally:
        for server in servers:
            server.stop()


class FirstRun(NamedTuple):
    """A client after its first run, as files, and what that run said."""

    folder: Path
    code: int
    said: str


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    """A client's first run; its repositories are made once, since restic takes seconds to make a key.

    Half a second more would go to deriving it in every run of restic, of which these tests have hundreds.
    """
    folder = tmp_path_factory.mktemp("first-run")
    with running(folder) as here:
        (here.data / "data").mkdir(parents=True)
        (here.data / "index.html").write_text("<h1>宜春政务服务网</h1>\n")
        for number in range(8):
            (here.data / "data" / f"{number}.csv").write_bytes(os.urandom(2000))
        code, said = here.run()
        for server in here.servers:
            make_cheap(server.repository, repository_password(here.store, server.node, CLIENT, POLICY))
    return FirstRun(folder, code, said)


@pytest.fixture
def client(first_run: FirstRun, tmp_path: Path) -> Iterator[Client]:
    """A copy of the client after its first run, servers up."""
    folder = tmp_path / "city"
    shutil.copytree(first_run.folder, folder, symlinks=True)
    with running(folder) as here:
        yield here
