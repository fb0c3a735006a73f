"""A server that is killed in mid-upload leaves half a file; its next start moves that aside. All for real."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from deploy.backup.job.holding import as_named
from deploy.backup.job.settling import UPLOAD_SECONDS, half_files
from inventories.backup_state import Result
from tests.deploy.backup.conftest import (
    CLIENT,
    POLICY,
    PYTHON,
    Client,
    edit_configuration,
    restic_as_client,
    without_copy,
)

NAMES = ("a" * 64, "b" * 64)


def settle(client: Client) -> str:
    """What the server's unit does before it starts; what it said."""
    done = subprocess.run(
        [PYTHON, "-m", "jizuo_backup.repository", "settle", str(client.servers[0].repositories)],
        env=client.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def half_file(client: Client) -> Path:
    """Wait until the server has a part of a pack."""
    data, deadline = client.servers[0].repository / "data", time.monotonic() + 180
    while time.monotonic() < deadline:
        for path in data.glob("*/*"):
            if path.stat().st_size > 200_000 and not as_named(str(path)):
                return path
        time.sleep(0.01)
    pytest.fail("nothing was sent")


def test_a_run_goes_on_when_its_server_was_killed_in_mid_upload_and_nothing_is_lost(client: Client) -> None:
    without_copy(client)
    server = client.servers[0]
    (client.data / "large").write_bytes(os.urandom(6_000_000))
    [place] = repositories_of(client)
    edit_configuration(client, repositories=[{**place, "megabits": 20}])
    running = client.start()
    half = half_file(client)
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    size = half.stat().st_size

    said = settle(client)
    assert f"{half.parent.name}/{half.name}" in said
    [aside] = (server.repositories / ".damaged" / f"{CLIENT}-{POLICY}").glob(f"*/data/*/{half.name}")
    assert aside.stat().st_size == size
    server.start()
    output, _ = running.communicate(timeout=600)
    assert running.returncode == 0, output
    backup = client.state().backup
    assert backup is not None
    assert backup.result is Result.SUCCESS
    # The very same pack was sent again, and is whole.
    assert half.stat().st_size > size
    done = restic_as_client(client, 0, "check", "--no-lock", "--read-data")
    assert done.returncode == 0, done.stderr
    assert settle(client) == ""


def repositories_of(client: Client) -> list[dict[str, object]]:
    found = json.loads((client.root / "etc" / f"{POLICY}.json").read_text())["repositories"]
    assert isinstance(found, list)
    return found


def test_only_what_is_not_as_named_and_of_the_servers_last_hour_is_half(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    whole = (
        data / "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )  # FIPS 180-4's example: abc
    whole.write_bytes(b"abc")
    half, old = (data / name for name in NAMES)
    for path in (half, old, data / f"{NAMES[0]}-tmp-1", tmp_path / "config"):
        path.write_bytes(b"a")
    moment = time.time() - 10 * 86400  # the server was off for days: its own times count, not the clock
    os.utime(whole, (moment, moment))
    for path in (half, data / f"{NAMES[0]}-tmp-1"):
        os.utime(path, (moment - UPLOAD_SECONDS + 1,) * 2)
    os.utime(old, (moment - UPLOAD_SECONDS - 1,) * 2)
    assert half_files(str(tmp_path)) == [str(half)]
