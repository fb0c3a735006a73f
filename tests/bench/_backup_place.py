"""A client with its job and its repository server, as the deploy makes them, and plain restic beside it.

Plain restic has a repository of its own on the same server, the same way there (TLS, login) and a cache of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.backup.credentials import login
from deploy.secrets import SecretStore
from tests.bench._backup_usage import Usage, measured
from tests.deploy.backup.conftest import CLIENT, POLICY, Client, Server, edit_configuration

PLAIN = "plain"


class Place:
    """Runs the job, and plain restic, on the same data against the same server."""

    def __init__(self, client: Client) -> None:
        self.client, self.server = client, client.servers[0]
        # As in the job's unit.
        self.environment = {**client.environment, "PYTHONDONTWRITEBYTECODE": "1"}
        self.seed = client.root / "srv/seed"
        self.data = client.root / "srv/systems"
        self.seed.mkdir(parents=True)
        (self.seed / "seed").write_text("a repository that is not new\n")
        password = login(client.store, self.server.node, CLIENT)
        self.plain_repository = client.root / "etc/keys/plain.repository"
        self.plain_repository.write_text(
            f"rest:https://{CLIENT}:{password}@localhost:{self.server.port}/{CLIENT}/{PLAIN}/\n"
        )

    def begin_ours(self) -> None:
        """A new repository with one small snapshot, that is checked: nothing is due for a day."""
        for name in ("state", "cache"):
            shutil.rmtree(self.client.root / name)
            (self.client.root / name).mkdir()
        shutil.rmtree(self.server.repository, ignore_errors=True)
        edit_configuration(self.client, paths=[str(self.seed)])
        self.ours("run", POLICY)
        edit_configuration(self.client, paths=[str(self.data)])

    def begin_plain(self) -> None:
        """The same for plain restic."""
        shutil.rmtree(self.client.root / "plain-cache", ignore_errors=True)
        shutil.rmtree(self.server.repositories / CLIENT / PLAIN, ignore_errors=True)
        self.plain("init")
        self.plain("backup", str(self.seed))

    def ours(self, verb: str, *arguments: str) -> Usage:
        """Run the job's program."""
        return measured(self.client.command(verb, *arguments), self.environment)

    def plain(self, *arguments: str) -> Usage:
        """Run restic."""
        return measured(self.restic(*arguments), self.environment)

    def restic(self, *arguments: str) -> list[str]:
        """The command for plain restic on its own repository."""
        password = self.client.root / "etc/keys" / f"{POLICY}@{self.server.node}.password"
        return [
            "restic", "--repository-file", str(self.plain_repository), "--password-file", str(password),
            "--cacert", str(self.client.root / "etc/authority.pem"),
            "--cache-dir", str(self.client.root / "plain-cache"), *arguments,
        ]  # fmt: skip

    def repository_bytes(self) -> int:
        """What the packs of the job's repository take."""
        return sum(path.stat().st_size for path in (self.server.repository / "data").glob("*/*"))


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """A client and its server in a folder, the server up."""
    store = SecretStore(folder / "secrets")
    server = Server("backup-1", folder / "backup-1", store)
    try:
        server.start()
        client = Client(folder / "client", store, [server])
        client.configure()
        yield Place(client)
    finally:
        server.stop()
