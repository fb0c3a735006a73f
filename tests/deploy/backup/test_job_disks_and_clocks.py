"""Disks that are full, processes that are killed in the midst, clocks that are wrong: what was reported safe stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inventories.backup_state import MaintenanceResult, Result
from tests.deploy.backup.conftest import (
    CLIENT,
    POLICY,
    Client,
    maintain,
    restic,
    restic_as_client,
    without_copy,
    wrap_restic,
)

if shutil.which("faketime") is None:
    pytest.fail("these tests need faketime; run: apt-get install faketime", pytrace=False)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Put what a folder holds on a file system of its own."""
    aside = folder.with_name(folder.name + ".aside")
    folder.rename(aside)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def whole(client: Client, server: int = 0) -> bool:
    return restic_as_client(client, server, "check", "--no-lock", "--read-data").returncode == 0


def test_a_full_disk_of_the_client_leaves_the_old_state_whole(client: Client) -> None:
    before = client.state()
    with small_disk(client.root / "state", 1):
        filler = client.root / "state/filler"
        filler.write_bytes(b"x" * free(client.root / "state"))
        code, said = client.run()
        assert code == 1
        assert "No space left on device" in said
        assert client.state() == before
        filler.unlink()
        code, said = client.run()
        assert code == 0, said
        assert client.state().last_success_at > before.last_success_at


def test_a_full_disk_where_restores_are_tested_fails_the_test_and_not_the_backup(client: Client) -> None:
    without_copy(client)
    (client.data / "large").write_bytes(os.urandom(3_000_000))
    before, cache = client.state(), client.root / "cache"
    with small_disk(cache, 2):
        code, said = client.run("--verify")
        assert code == 1, said
        state = client.state()
        tested = state.repositories["backup-1"].restore_test
        assert state.backup is not None
        assert tested is not None
        assert (state.backup.result, tested.result, tested.reason) == (
            Result.SUCCESS, Result.FAILURE, "disk_full",
        )  # fmt: skip
        assert state.last_success_at > before.last_success_at
        assert not list(cache.glob("restore-*"))
        subprocess.run(["mount", "-o", "remount,size=20m", str(cache)], check=True)
        code, said = client.run("--verify")
        assert code == 0, said


def test_a_full_disk_of_the_cache_is_told_and_mended_by_room(client: Client) -> None:
    """The job's index has no room there; nor has what restic keeps, which it does without."""
    without_copy(client)
    before, cache = client.state(), client.root / "cache"
    (client.data / "new.csv").write_text("x")
    with small_disk(cache, 1):
        filler = cache / "filler"
        filler.write_bytes(b"x" * free(cache))
        code, said = client.run()
        assert code == 1, said
        state = client.state()
        assert state.backup is not None
        assert (state.backup.result, state.backup.reason) == (Result.FAILURE, "disk_full")
        assert state.last_success_at == before.last_success_at
        filler.unlink()
        code, said = client.run()
        assert code == 0, said
    assert whole(client)


@pytest.mark.slow
def test_a_full_disk_of_the_server_is_no_success_and_what_was_there_stays(client: Client) -> None:
    without_copy(client)
    before = client.state()
    server = client.servers[0]
    server.stop()
    (client.data / "large").write_bytes(os.urandom(6_000_000))
    with small_disk(server.repositories, 4):
        server.start()
        # restic 0.14 tries for three quarters of a minute, almost all of it asleep, and has no setting for that.
        code, said = client.run()
        assert code == 1, said
        state = client.state()
        assert state.backup is not None
        assert (state.backup.result, state.backup.reason) == (Result.FAILURE, "not_stored")
        assert state.last_success_at == before.last_success_at
        assert len(restic(client, 0, "snapshots")) == 1
        assert whole(client)
        # With room again, the next run goes on.
        subprocess.run(["mount", "-o", "remount,size=40m", str(server.repositories)], check=True)
        code, said = client.run()
        assert code == 0, said
        assert whole(client)
        server.stop()


def test_restic_that_is_killed_in_mid_backup_is_a_failure_and_the_next_run_goes_on(client: Client) -> None:
    without_copy(client)
    before = client.state()
    (client.data / "large").write_bytes(os.urandom(40_000_000))
    once = client.root / "once"
    wrap_restic(
        client,
        f"""case " $* " in *" backup "*) if [ ! -e '{once}' ]; then touch '{once}'
    "$RESTIC" --limit-upload 2000 "$@" & sleep 2; kill -9 $!; wait $!; exit; fi;; esac
exec "$RESTIC" "$@\"""",
    )
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.last_success_at) == (Result.FAILURE, before.last_success_at)
    code, said = client.run()
    assert code == 0, said
    assert whole(client)


def test_a_server_that_is_killed_in_mid_backup_and_comes_back_loses_nothing(client: Client) -> None:
    without_copy(client)
    (client.data / "large").write_bytes(os.urandom(40_000_000))
    before, server = client.state(), client.servers[0]
    wrap_restic(client, 'exec "$RESTIC" --limit-upload 4000 "$@"')
    process = client.start()
    data = server.repository / "data"
    stored = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    until(lambda: sum(path.stat().st_size for path in data.rglob("*") if path.is_file()) > stored + 100_000)
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    # What the server had half written stands in the way of sending it again: restic tries for most of a minute.
    process.terminate()
    process.communicate(timeout=300)
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.last_success_at) == (Result.FAILURE, before.last_success_at)
    server.start()
    assert whole(client)
    wrap_restic(client, 'exec "$RESTIC" "$@"')
    code, said = client.run()
    assert code == 0, said
    assert whole(client)


@pytest.mark.parametrize("off", ["+3700s", "+90000s", "-3700s", "-90000s"])
def test_a_clients_clock_that_is_wrong_is_told_and_costs_nothing(client: Client, off: str) -> None:
    """restic, which is no C program, keeps the right time; the job, and the time of its snapshot, do not."""
    without_copy(client)
    before = {str(one["id"]) for one in restic(client, 0, "snapshots")}
    done = subprocess.run(
        ["faketime", "-f", off, *client.command("run", POLICY)], env=client.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    known = client.state().repositories["backup-1"]
    assert known.clock_offset_seconds is not None
    assert abs(known.clock_offset_seconds - int(off[:-1])) < 60
    assert "one of the two is wrong" in done.stdout
    # The server removes nothing while a snapshot is of the future, and never the good one for one of the past.
    state = maintain(client, keep={"hourly": 1})
    assert state.prune is not None
    if off.startswith("+"):
        assert (state.prune.result, state.prune.reason) == (MaintenanceResult.REFUSED, "future_snapshots")
    assert before <= {str(one["id"]) for one in restic(client, 0, "snapshots")}
    # And once the clock is right again, so is all else.
    code, said = client.run()
    assert code == 0, said
    assert known.snapshot_at != client.state().last_success_at
    assert client.state().repositories["backup-1"].clock_offset_seconds == pytest.approx(0, abs=60)


def test_a_copy_arrives_after_the_clock_was_set_back(client: Client) -> None:
    done = subprocess.run(
        ["faketime", "-f", "+3700s", *client.command("run", POLICY)], env=client.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    code, said = client.run()  # its snapshot is not the newest, by the times that snapshots carry
    assert code == 0, said
    copied = client.state().repositories["offsite-1"]
    assert copied.snapshot_at == client.state().last_success_at
    assert len(restic(client, 1, "snapshots")) == 3


def test_a_clock_that_is_wrong_takes_no_living_lock_away(client: Client) -> None:
    """By a clock a day ahead every lock looks dead; a server that removes snapshots would be run into."""
    without_copy(client)
    base = client.root / "etc/keys" / f"{POLICY}@backup-1"
    living = subprocess.Popen(
        ["restic", "backup", "--no-cache", "--cacert", str(client.root / "etc/authority.pem"), "--stdin",
         "--repository-file", f"{base}.repository", "--password-file", f"{base}.password"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: any((client.servers[0].repository / "locks").iterdir()))
    wrap_restic(
        client,
        f"""echo "$@" >>'{client.root}/seen'
case " $* " in *" backup "*) if [ ! -e '{client.root}/once' ]; then touch '{client.root}/once'
    echo 'Fatal: repository is already locked exclusively by PID 1 on {CLIENT}' >&2; exit 1; fi;; esac
exec "$RESTIC" "$@\"""",
    )
    done = subprocess.run(
        ["faketime", "-f", "+1d", *client.command("run", POLICY)], env=client.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    living.kill()
    living.wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unlock" not in (client.root / "seen").read_text()
