"""The power of a repository's node is cut: what a client was told is stored is there, and what is not is known.

The repositories stand on a file system in an image. The image as it is at a moment is what a disk has when the power
goes: what the kernel had not written yet is not in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.backup.job.holding import as_named
from deploy.backup.server import FOLDER, TMPFILES, account
from inventories.backup_state import Result
from tests.deploy.backup.conftest import (
    Client,
    Server,
    edit_configuration,
    restic_as_client,
    without_copy,
)
from tests.deploy.backup.test_job_disks_and_clocks import whole
from tests.deploy.backup.test_job_second_copy import originals
from tests.deploy.backup.test_settling import repositories_of, settle

# Each makes, mounts and copies an image of its own.
pytestmark = pytest.mark.slow


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def on_a_disk(server: Server, image: Path, *, through: bool) -> Iterator[None]:
    """The server's repositories on a disk of their own, written through as the deploy has it, or not."""
    server.stop()
    with image.open("wb") as file:
        file.truncate(400_000_000)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    before = image.with_suffix(".before")
    server.repositories.rename(before)
    server.repositories.mkdir()
    with mounted(image, server.repositories):
        if through:
            [text] = [file.data.decode() for file in account() if file.path == TMPFILES]
            lines = re.findall(rf"^[hH] {FOLDER} .*$", text, re.M)
            rules = image.with_suffix(".conf")
            rules.write_text("\n".join(lines).replace(FOLDER, str(server.repositories)) + "\n")
            subprocess.run(["systemd-tmpfiles", "--create", rules], check=True)
        shutil.copytree(before, server.repositories, dirs_exist_ok=True)
        subprocess.run(["sync", "--file-system", server.repositories], check=True)
        server.start()
        try:
            yield
        finally:
            server.stop()


@contextmanager
def after_the_cut(client: Client, image: Path) -> Iterator[None]:
    """The node comes back with what its disk has."""
    server = client.servers[0]
    with mounted(image, server.repositories):
        settle(client)
        server.start()
        try:
            yield
        finally:
            server.stop()


def files(folder: Path) -> dict[str, bool]:
    """Each file of a repository, and whether its content is what its name says."""
    return {
        str(path.relative_to(folder)): as_named(str(path)) or path.name == "config"
        for path in folder.rglob("*")
        if path.is_file()
    }


def large(client: Client) -> str:
    """Put 40 MB that restic has not seen, of hexadecimal digits; their digest."""
    content = os.urandom(20_000_000).hex()
    (client.data / "large").write_text(content)
    return hashlib.sha256(content.encode()).hexdigest()


def restored(client: Client) -> str:
    done = restic_as_client(client, 0, "dump", "--no-lock", "latest", str(client.data / "large"))
    return hashlib.sha256(done.stdout.encode()).hexdigest()


class Cut(NamedTuple):
    """What there was when the power went, right behind a run that succeeded, and the disk as it was then."""

    digest: str
    held: set[object]
    there: dict[str, bool]
    image: Path


def cut_behind_a_run(client: Client, folder: Path, *, through: bool) -> Cut:
    digest, image, after = large(client), folder / "image", folder / "after"
    with on_a_disk(client.servers[0], image, through=through):
        code, said = client.run()
        assert code == 0, said
        shutil.copy(image, after)
        return Cut(digest, originals(client, 0), files(client.servers[0].repository), after)


def test_what_a_run_reported_is_there_when_the_power_goes_at_once(client: Client, tmp_path: Path) -> None:
    without_copy(client)
    cut = cut_behind_a_run(client, tmp_path, through=True)
    with after_the_cut(client, cut.image):
        left = files(client.servers[0].repository)
        assert [name for name in cut.there if not left.get(name)] == []
        assert whole(client)
        assert originals(client, 0) == cut.held
        assert restored(client) == cut.digest


def test_a_run_that_goes_on_when_the_node_is_back_reports_what_is_there(
    client: Client, tmp_path: Path
) -> None:
    """The client was told that packs are stored, and sends the rest to the node that came back."""
    without_copy(client)
    server = client.servers[0]
    [place] = repositories_of(client)
    edit_configuration(client, repositories=[{**place, "megabits": 40}])
    digest, image, after = large(client), tmp_path / "image", tmp_path / "after"
    with on_a_disk(server, image, through=True):
        running = client.start()
        packs = server.repository / "data"
        before, deadline = set(packs.glob("*/*")), time.monotonic() + 180
        while not any(as_named(str(path)) for path in set(packs.glob("*/*")) - before):
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.01)
        # Nothing is acknowledged from here on.
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        shutil.copy(image, after)
        assert running.poll() is None, "the run was over before the cut"
        server.process.kill()
        server.process.wait()
    with after_the_cut(client, after):
        said, _ = running.communicate(timeout=1200)
        if running.returncode:
            # A pack was whole on the disk, and the client not told: append-only, the server refuses it when it is sent
            # again. The run fails then, and says so; the next one goes on from there.
            backup = client.state().backup
            assert backup is not None
            assert (running.returncode, backup.result) == (1, Result.FAILURE), said
            code, said = client.run()
            assert code == 0, said
        assert whole(client)
        assert restored(client) == digest


@pytest.mark.parametrize("copy", [True, False], ids=["with a copy", "alone"])
def test_what_a_disk_that_is_not_written_through_loses_is_known_and_comes_back(
    client: Client, tmp_path: Path, copy: bool
) -> None:
    """Not every file system knows the attribute. Nothing of the run is there: the snapshot itself, which came last."""
    if not copy:
        without_copy(client)
    cut = cut_behind_a_run(client, tmp_path, through=False)
    with after_the_cut(client, cut.image):
        left = files(client.servers[0].repository)
        lost = [name for name in cut.there if not left.get(name)]
        print(f"{len(lost)} of {len(cut.there)} files lost")
        assert any(name.startswith("snapshots/") for name in lost), (
            "nothing was lost: there is nothing to show"
        )
        # What is left is whole, older, and takes new backups.
        assert whole(client)
        assert originals(client, 0) < cut.held
        code, said = client.run()
        assert code == 0, said
        assert whole(client)
        if copy:
            assert "backup-1 no longer holds what it held: all is compared with the copies" in said
            assert originals(client, 0) >= cut.held
        assert restored(client) == cut.digest
        backup = client.state().backup
        assert backup is not None
        assert backup.result is Result.SUCCESS
