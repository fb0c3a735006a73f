"""A person acts as root on a client: what root leaves there must not stop the job, which is no root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.backup.conftest import POLICY, Client, FirstRun, maintenance, running

#: Whose folders the job's are here, as those of jizuo-backup are on a host: nobody and nogroup, which every Debian has.
ACCOUNT = 65534

# A client with an account of its own is made anew for each.
pytestmark = pytest.mark.slow


@pytest.fixture
def client(first_run: FirstRun) -> Iterator[Client]:
    """A client whose job has an account of its own; pytest's folders are closed to it."""
    if os.geteuid() != 0:
        pytest.fail("root and another account are needed: run this as root, or leave it out")
    folder = Path(tempfile.mkdtemp(prefix="jizuo-owner-"))
    try:
        shutil.copytree(first_run.folder, folder, symlinks=True, dirs_exist_ok=True)
        folder.chmod(0o755)
        with running(folder) as here:
            for path in (here.root, *here.root.rglob("*")):
                os.chown(path, ACCOUNT, ACCOUNT, follow_symlinks=False)
            done = as_the_job(here)
            assert done.returncode == 0, done.stdout + done.stderr
            # Nothing is cached: whoever comes first makes the folders.
            for path in (here.root / "cache").iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
            yield here
    finally:
        shutil.rmtree(folder)


def owners(client: Client) -> set[int]:
    """Whose files are in the job's folders."""
    return {path.lstat().st_uid for name in ("cache", "state") for path in [*(client.root / name).rglob("*")]}


def as_root(client: Client, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        client.command(verb, *arguments), env=client.environment, capture_output=True, text=True, check=False
    )


def as_the_job(client: Client) -> subprocess.CompletedProcess[str]:
    account = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", "--"]
    return subprocess.run(
        [*account, *client.command("run", POLICY)],
        env=client.environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_what_root_restores_or_rebuilds_leaves_nothing_that_the_job_cannot_write(client: Client) -> None:
    back = client.root / "back"
    done = as_root(client, "restore", "--from", "backup-1", "--to", str(back), "--", POLICY, str(client.data))
    assert done.returncode == 0, done.stderr
    assert (back / "index.html").read_text() == (client.data / "index.html").read_text()
    assert owners(client) == {ACCOUNT}
    assert not list(client.root.glob("jizuo-restore-*"))
    done = as_the_job(client)
    assert done.returncode == 0, done.stdout + done.stderr

    shutil.rmtree(client.servers[0].repository)
    done = as_root(client, "rebuild", "--node", "backup-1", POLICY)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["snapshots"] == 3
    assert owners(client) == {ACCOUNT}
    done = as_the_job(client)
    assert done.returncode == 0, done.stdout + done.stderr


def test_root_does_not_run_a_job_by_hand(client: Client) -> None:
    before = client.state()
    done = as_root(client, "run", POLICY)
    assert done.returncode == 1
    assert f"root is not its account: systemctl start jizuo-backup@{POLICY}.service" in done.stderr
    assert client.state() == before
    assert owners(client) == {ACCOUNT}


def test_roots_maintenance_makes_its_folders_for_the_repositories_owner(client: Client) -> None:
    """On a node whose unit for it never ran yet."""
    server = client.servers[0]
    for path in (server.repositories, *server.repositories.rglob("*")):
        os.chown(path, ACCOUNT, ACCOUNT)
    state, cache = server.folder / "state", server.folder / "cache"
    assert not cache.exists()
    done = subprocess.run(
        maintenance(client, 0, "maintain", "--state", str(state)),
        env=client.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for folder in (state, cache, server.repositories):
        assert {path.lstat().st_uid for path in (folder, *folder.rglob("*"))} == {ACCOUNT}
