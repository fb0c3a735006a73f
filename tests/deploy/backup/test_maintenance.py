"""The repository's server removes old snapshots, leaves alone what it must, and heals what is damaged; all for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from inventories.backup_state import MaintenanceResult, RepositoryState, Result
from tests.deploy.backup.conftest import (
    CLIENT,
    POLICY,
    Client,
    edit_configuration,
    edit_verification,
    heal,
    maintain,
    maintenance,
    restic,
    restic_as_client,
    without_copy,
)


def add_snapshot(client: Client, ago: timedelta, *, arrived: timedelta | None = None) -> str:
    """Take a snapshot of another time, as whoever has the client's keys can; it arrived then or when it says."""
    moment = datetime.now() - ago
    before = {str(one["id"]) for one in restic(client, 0, "snapshots")}
    done = restic_as_client(
        client, 0, "backup", "--time", f"{moment:%Y-%m-%d %H:%M:%S}", "--host", CLIENT, "--tag", POLICY,
        str(client.data),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [new] = {str(one["id"]) for one in restic(client, 0, "snapshots")} - before
    came = time.time() - (ago if arrived is None else arrived).total_seconds()
    os.utime(client.servers[0].repository / "snapshots" / new, (came, came))
    return new


def ids(client: Client, server: int = 0) -> set[str]:
    return {str(one["id"]) for one in restic(client, server, "snapshots")}


def result(state: RepositoryState) -> tuple[MaintenanceResult, str]:
    assert state.prune is not None
    return state.prune.result, state.prune.reason


def test_old_snapshots_go_in_the_servers_window_and_the_client_goes_on(client: Client) -> None:
    [first] = ids(client)
    old = add_snapshot(client, timedelta(days=3))
    sent_late = add_snapshot(client, timedelta(hours=30), arrived=timedelta())
    keep = {"daily": 2}
    state = maintain(client, keep=keep)
    # Two days that arrived in their time, and two that restic itself would keep.
    assert ids(client) == {first, old, sent_late}
    state = maintain(client, keep={"daily": 1})
    assert state.prune is not None
    assert (state.prune.removed_count, state.prune.kept) == (2, 1)
    assert ids(client) == {first}
    assert (state.snapshots, state.foreign, state.arrived_last_day) == (1, 0, 1)
    assert state.bytes > 0
    without_copy(client)
    code, said = client.run("--verify")
    assert code == 0, said


@pytest.mark.parametrize(("hours", "left"), [((2, 3), 2), ((-1, 1), 1)], ids=["later", "now"])
def test_the_timers_maintenance_does_nothing_outside_the_window(
    client: Client, hours: tuple[int, int], left: int
) -> None:
    add_snapshot(client, timedelta(days=3))
    command = maintenance(client, 0, "maintain", "--scheduled")
    here = datetime.now(ZoneInfo(client.environment["TZ"]))
    window = "-".join(f"{here + timedelta(hours=one):%H:%M}" for one in hours)
    path = client.servers[0].folder / "held" / f"{CLIENT}-{POLICY}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "window": window}))
    done = subprocess.run(command, env=client.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(ids(client)) == left
    # A state of a run that was not begun would pass for one that was.
    assert (client.servers[0].folder / "maintenance" / f"{CLIENT}-{POLICY}.json").exists() is (left == 1)


def test_a_snapshot_of_the_future_stops_the_removal(client: Client) -> None:
    add_snapshot(client, timedelta(days=3))
    add_snapshot(client, timedelta(days=-1), arrived=timedelta())
    there = ids(client)
    state = maintain(client)
    assert result(state) == (MaintenanceResult.REFUSED, "future_snapshots")
    assert ids(client) == there


def test_another_tag_or_host_counts_for_nothing(client: Client) -> None:
    there = ids(client)
    for host, tag in ((CLIENT, "other"), ("xinchuang-1", POLICY)):
        done = restic_as_client(client, 0, "backup", "--host", host, "--tag", tag, str(client.data))
        assert done.returncode == 0, done.stderr
    state = maintain(client)
    assert result(state)[0] is MaintenanceResult.SUCCESS
    assert ids(client) > there
    assert (state.snapshots, state.foreign) == (1, 2)


def test_a_partial_run_does_not_push_the_whole_snapshot_out(client: Client) -> None:
    without_copy(client)
    [whole] = ids(client)
    edit_configuration(client, paths=[str(client.root / "srv/systems"), "/srv/not-mounted"])
    for _ in range(2):
        assert client.run()[0] == 3
    assert maintain(client).partial == 1
    left = restic(client, 0, "snapshots")
    assert whole in {one["id"] for one in left}
    assert len(left) == 3  # the whole one, the newest, and the newest's mark


def test_a_lock_that_is_alive_is_left_alone(client: Client) -> None:
    add_snapshot(client, timedelta(days=3))
    there = ids(client)
    base = client.root / "etc/keys" / f"{POLICY}@backup-1"
    living = subprocess.Popen(
        ["restic", "backup", "--no-cache", "--cacert", str(client.root / "etc/authority.pem"), "--stdin",
         "--repository-file", f"{base}.repository", "--password-file", f"{base}.password"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    locks = client.servers[0].repository / "locks"
    try:
        _until_any(locks)
        state = maintain(client)
        assert result(state) == (MaintenanceResult.FAILURE, "locked")
        assert state.oldest_lock_at
        assert ids(client) == there
        assert any(locks.iterdir())
    finally:
        living.kill()
        living.wait()
    # Its owner is dead, and this host can tell; of another host's lock only hours of silence tell.
    state = maintain(client)
    assert (result(state)[0], state.locks_removed) == (MaintenanceResult.SUCCESS, 1)
    assert len(ids(client)) == 1


def _until_any(folder: Path) -> None:
    deadline = time.monotonic() + 180
    while not any(folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_maintenance_that_is_killed_loses_nothing(client: Client) -> None:
    for days in (3, 4):
        add_snapshot(client, timedelta(days=days))
    command = maintenance(client, 0, "maintain")
    locks = client.servers[0].repository / "locks"
    process = subprocess.Popen(
        command, env=client.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    _until_any(locks)
    os.killpg(process.pid, signal.SIGKILL)  # restic too, in the midst of its removal
    process.wait()
    without_copy(client)
    state = maintain(client)
    assert result(state)[0] is MaintenanceResult.SUCCESS
    assert len(ids(client)) == 1
    code, said = client.run("--verify")
    assert code == 0, said


def largest_pack(client: Client, server: int = 0) -> Path:
    packs = (path for path in (client.servers[server].repository / "data").rglob("*") if path.is_file())
    return max(packs, key=lambda path: path.stat().st_size)


def damage(pack: Path, how: str) -> None:
    if how == "missing pack":
        pack.unlink()
        return
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[100] ^= 1
    pack.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped bit", "missing pack"])
@pytest.mark.parametrize("server", [0, 1], ids=["primary", "copy"])
def test_what_is_damaged_is_found_named_and_healed_from_the_other_repository(
    client: Client, how: str, server: int
) -> None:
    node = client.servers[server].node
    # restic asks a minute long for a pack that is not there when it reads; the check of the structure knows at once.
    edit_verification(client, read_all_seconds=86400 * (1 if how == "flipped bit" else 200))
    (client.data / "second.csv").write_bytes(os.urandom(3000))
    assert client.run()[0] == 0
    (client.data / "second.csv").unlink()  # what only the old snapshots hold comes back too
    pack = largest_pack(client, server)
    damage(pack, how)

    code, said = client.run("--verify")
    assert code == 1, said
    known = client.state().repositories[node]
    assert known.damage is not None
    assert known.damage.packs == (pack.name,)
    assert known.check is not None
    assert known.check.reason == "damaged"
    if how == "missing pack":
        refused = maintain(client, server)
        assert result(refused) == (MaintenanceResult.REFUSED, "damaged")

    healed = heal(client, server).healing
    assert healed is not None
    assert healed.snapshots_count >= 1
    if how == "flipped bit":
        assert healed.files == (f"data/{pack.name[:2]}/{pack.name}",)
        assert Path(healed.aside, healed.files[0]).exists()

    code, said = client.run()
    assert code == 0, said
    known = client.state().repositories[node]
    assert known.damage is None
    assert known.check is not None
    assert known.check.result is Result.SUCCESS
    done = restic_as_client(client, server, "check", "--no-lock", "--read-data")
    assert done.returncode == 0, done.stderr
    originals = [{one.get("original") or one["id"] for one in restic(client, n, "snapshots")} for n in (0, 1)]
    assert originals[0] == originals[1]
    assert len(originals[0]) == 4
    for one in restic(client, server, "snapshots"):
        target = client.root / "back" / str(one["id"])
        done = restic_as_client(
            client, server, "restore", "--no-lock", "--target", str(target), str(one["id"])
        )
        assert done.returncode == 0, done.stderr
    assert maintain(client, server, keep={}).damage is None


def test_a_healed_repository_can_be_filled_by_hand(client: Client) -> None:
    """The server found the damage itself, and the client never knew."""
    damage(largest_pack(client), "flipped bit")
    assert heal(client).healing is not None
    assert ids(client) == set()
    done = subprocess.run(
        client.command("rebuild", "--node", "backup-1", POLICY), env=client.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(ids(client)) == 1
    assert restic_as_client(client, 0, "check", "--no-lock", "--read-data").returncode == 0
