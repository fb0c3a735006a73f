"""A restore that is told where to, from which snapshot, and what to do with what is there."""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from checks.backup.restore_cli import Place, Request
from deploy.backup.job.restore import Wish, add_arguments, wish_of
from inventories.load import load_city
from tests.deploy.backup.conftest import POLICY, Client, edit_verification, restic, without_copy, wrap_restic
from tests.deploy.backup.test_job_disks_and_clocks import small_disk
from tests.deploy.fake_hosts import LAB


def restore(client: Client, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        client.command("restore", "--from", "backup-1", *arguments, "--", POLICY, str(path or client.data)),
        env=client.environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def said(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def snapshots(client: Client) -> list[str]:
    """The ids of the snapshots of this client's own folders, the oldest first."""
    return [str(one["short_id"]) for one in restic(client, 0, "snapshots")]


def test_another_folder_and_the_data_stay_as_they_are(client: Client, tmp_path: Path) -> None:
    without_copy(client)
    assert client.run()[0] == 0
    (client.data / "index.html").write_text("newer than the backup")
    target = tmp_path / "restored"
    target.mkdir()  # empty: as good as new
    done = restore(client, "--to", str(target))
    told = said(done)
    assert (told["target"], told["files"], told["moved_aside"]) == (str(target), 9, "")
    assert (target / "index.html").read_text() == "<h1>宜春政务服务网</h1>\n"
    assert (client.data / "index.html").read_text() == "newer than the backup"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["city", "restored"]
    assert "restoring 9 files of" in done.stderr
    again = restore(client, "--to", str(target))
    assert again.returncode == 1
    assert f"{target} is there; move it away first" in again.stderr


def test_what_could_not_be_compared_here_is_refused_before_the_data_are_brought(
    client: Client, tmp_path: Path
) -> None:
    """A snapshot of a host with xxHash, on one without."""
    without_copy(client)
    assert client.run()[0] == 0
    (client.root / "lib/xxhash.py").write_text("raise ImportError\n")
    wrap_restic(client, f'echo "$*" >>{client.root}/seen; exec "$RESTIC" "$@"')
    done = restore(client, "--to", str(tmp_path / "restored"))
    assert done.returncode == 1
    assert "install python3-xxhash" in done.stderr
    brought = [line for line in (client.root / "seen").read_text().splitlines() if " restore " in line]
    assert len(brought) == 1
    assert f"{POLICY}.manifest" in brought[0]
    assert str(client.data) not in brought[0].partition("--include")[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["city"]


def test_a_large_sparse_file_comes_back_the_same_with_its_holes_filled(
    client: Client, tmp_path: Path
) -> None:
    without_copy(client)
    size, sparse = 300_000_000, client.data / "sparse.img"
    with sparse.open("wb") as file:
        for place in (0, 150_000_001, size - 4096):
            file.seek(place)
            file.write(os.urandom(4096))
    assert sparse.stat().st_blocks * 512 < 1_000_000
    edit_verification(client, sample_bytes=2 * size)
    code, output = client.run("--verify")
    assert code == 0, output
    tested = client.state().repositories["backup-1"].restore_test
    assert tested is not None
    assert tested.files == 10
    assert bytes_in(client.servers[0].repository) < 2_000_000  # and not 300 MB
    assert said(restore(client, "--dry", path=sparse))["total_bytes"] == size
    told = said(restore(client, "--to", str(tmp_path / "back.img"), path=sparse))
    assert (told["files"], told["total_bytes"]) == (1, size)
    back = tmp_path / "back.img"
    assert filecmp.cmp(sparse, back, shallow=False)
    # The limit that the check of the room reckons with.
    assert back.stat().st_blocks * 512 >= size


def test_holes_count_where_there_is_no_room(client: Client, tmp_path: Path) -> None:
    without_copy(client)
    with (client.data / "sparse.img").open("wb") as file:
        file.truncate(3_000_000)
    assert client.run()[0] == 0
    small = tmp_path / "small"
    small.mkdir()
    with small_disk(small, 1):
        done = restore(client, "--to", str(small / "back"), path=client.data / "sparse.img")
    assert done.returncode == 1
    assert "the data take 3000000, holes of sparse files included" in done.stderr


def test_a_path_as_long_as_one_can_be_that_is_restored_beside_another(client: Client) -> None:
    """PATH_MAX is 4096 bytes with the byte that ends it; a restore puts a folder of its own before the path."""
    without_copy(client)
    stage = client.root / "cache" / f"restore-{POLICY}"
    room = 4095 - len(str(stage)) - len(str(client.data)) - 1
    names = ["d" * 100] * (room // 101 - 1)
    names.append("f" * (room - 101 * len(names)))
    folder = client.data
    for name in names[:-1]:
        folder = folder / name
        folder.mkdir()
    deep = folder / names[-1]
    deep.write_text("deep down")
    assert len(f"{stage}{deep}") == 4095
    edit_verification(client, sample_files=100)
    code, output = client.run("--verify")
    assert code == 0, output
    tested = client.state().repositories["backup-1"].restore_test
    assert tested is not None
    assert tested.files == 10
    told = said(restore(client, "--to", str(client.root / "b"), path=client.data / names[0]))
    assert told["files"] == 1


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_a_person_asks_of_the_command_is_what_the_job_is_told() -> None:
    request = Request(
        policy=load_city(LAB).backups[POLICY], node="cloud-1", repository="backup-1", places=(), snapshot="",
        at="2026-08-01T09:30:00+08:00", overwrite=True, accept_differing=True,
    )  # fmt: skip
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    wish = wish_of(parser.parse_args(request.arguments(Place("/srv/a", "/srv/b"), dry=True)))
    assert wish == Wish(
        node="backup-1", path="/srv/a", target="/srv/b", at=request.at, dry=True, overwrite=True,
        accept_differing=True, sample_files=20,
    )  # fmt: skip


def test_dry_tells_what_would_be_restored_and_changes_nothing(client: Client, tmp_path: Path) -> None:
    without_copy(client)
    assert client.run()[0] == 0
    before = {path: path.stat().st_mtime_ns for path in client.data.rglob("*")}
    told = said(restore(client, "--dry"))
    assert (told["files"], told["exists"], told["snapshot"]) == (9, True, snapshots(client)[-1])
    assert told["total_bytes"] == sum(
        path.stat().st_size for path in client.data.rglob("*") if path.is_file()
    )
    assert told["free_bytes"] > 0
    assert said(restore(client, "--dry", "--to", str(tmp_path / "deep/er")))["exists"] is False
    assert not (tmp_path / "deep").exists()
    assert {path: path.stat().st_mtime_ns for path in client.data.rglob("*")} == before


def test_an_older_snapshot_by_its_id_and_by_the_time(client: Client, tmp_path: Path) -> None:
    without_copy(client)
    page = client.data / "index.html"
    page.write_text("old")
    assert client.run()[0] == 0
    between = client.state().last_success_at
    page.write_text("new")
    first = snapshots(client)[-1]
    subprocess.run(["sleep", "1.1"], check=True)  # snapshots bear whole seconds
    assert client.run()[0] == 0
    said(restore(client, "--snapshot", first, "--to", str(tmp_path / "by-id")))
    said(restore(client, "--at", between, "--to", str(tmp_path / "by-time")))
    said(restore(client, "--to", str(tmp_path / "newest")))
    # What happened within the second of a snapshot's time may have come before that snapshot: an attack, say.
    taken = datetime.fromisoformat(client.state().last_success_at)
    within, after = ((taken + timedelta(seconds=part)).isoformat() for part in (0.53, 1.53))
    said(restore(client, "--at", within, "--to", str(tmp_path / "within")))
    said(restore(client, "--at", after, "--to", str(tmp_path / "after")))
    names = ("by-id", "by-time", "newest", "within", "after")
    texts = [(tmp_path / name / "index.html").read_text() for name in names]
    assert texts == ["old", "old", "new", "old", "new"]
    for choice in (("--snapshot", "0000"), ("--at", "2001-01-01T00:00:00+08:00")):
        none = restore(client, *choice, "--to", str(tmp_path / "none"))
        assert none.returncode == 1
        assert "backup-1 holds no snapshots" in none.stderr
        assert first in none.stderr, "those that there are"
    wrong = restore(client, "--at", "yesterday", "--to", str(tmp_path / "none"))
    assert "yesterday: no moment like" in wrong.stderr
    assert not (tmp_path / "none").exists()


def test_overwrite_moves_aside_what_is_there(client: Client) -> None:
    without_copy(client)
    assert client.run()[0] == 0
    (client.data / "index.html").write_text("newer than the backup")
    told = said(restore(client, "--overwrite"))
    assert (client.data / "index.html").read_text() == "<h1>宜春政务服务网</h1>\n"
    assert (Path(told["moved_aside"]) / "index.html").read_text() == "newer than the backup"
    assert Path(told["moved_aside"]).parent == client.data.parent


def test_a_single_file(client: Client, tmp_path: Path) -> None:
    without_copy(client)
    assert client.run()[0] == 0
    told = said(restore(client, "--to", str(tmp_path / "page"), path=client.data / "index.html"))
    assert told["files"] == 1
    assert (tmp_path / "page").read_text() == "<h1>宜春政务服务网</h1>\n"


def test_a_disk_without_room_is_told_before_anything_is_read(client: Client, tmp_path: Path) -> None:
    without_copy(client)
    (client.data / "large").write_bytes(b"x" * 3_000_000)
    assert client.run()[0] == 0
    small = tmp_path / "small"
    small.mkdir()
    command = client.command(
        "restore", "--from", "backup-1", "--to", str(small / "back"), "--", POLICY, str(client.data)
    )
    script = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(small), *command],
        env=client.environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 1
    assert "has room for" in done.stderr


def test_of_large_data_a_sample_comes_back_and_of_small_all(client: Client, tmp_path: Path) -> None:
    without_copy(client)
    for number in range(30):
        (client.data / f"large-{number}").write_bytes(bytes([number]) * 10_000)
    assert client.run()[0] == 0
    whole = said(restore(client, "--to", str(tmp_path / "whole"), "--sample-bytes", "10000000"))
    assert (whole["sampled"], whole["files"]) == (False, 39)
    some = said(
        restore(client, "--to", str(tmp_path / "some"), "--sample-bytes", "50000", "--sample-files", "20")
    )
    assert some["sampled"] is True
    assert 1 <= some["files"] <= 20
    assert 0 < some["total_bytes"] <= 50_000
    assert sum(path.is_file() for path in (tmp_path / "some").rglob("*")) == some["files"]
    few = said(
        restore(client, "--to", str(tmp_path / "few"), "--sample-bytes", "50000", "--sample-files", "2")
    )
    assert few["files"] == 2


def test_what_a_clock_that_was_ahead_dated_later_is_not_taken_for_the_newest(
    client: Client, tmp_path: Path
) -> None:
    without_copy(client)
    (client.data / "index.html").write_text("taken with a clock that was a day ahead")
    ahead = subprocess.run(
        ["faketime", "-f", "+1d", *client.command("run", POLICY)], env=client.environment, capture_output=True,
        text=True, check=False, timeout=600,
    )  # fmt: skip
    assert ahead.returncode == 0, ahead.stdout
    (client.data / "index.html").write_text("taken with the clock right again")
    assert client.run()[0] == 0
    dated_last, right = snapshots(client)[-1], snapshots(client)[-2]
    done = restore(client, "--to", str(tmp_path / "restored"))
    assert said(done)["snapshot"] == right
    assert (tmp_path / "restored/index.html").read_text() == "taken with the clock right again"
    assert f"passed over, for their times are still to come: {dated_last} of " in done.stderr
    named = restore(client, "--to", str(tmp_path / "named"), "--snapshot", dated_last)
    assert said(named)["snapshot"] == dated_last

    behind = subprocess.run(
        ["faketime", "-f", "-30d", *client.command("restore", "--from", "backup-1", "--dry", "--", POLICY,
                                                  str(client.data))],
        env=client.environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert behind.returncode == 1
    assert "later than now by this host's clock" in behind.stderr
    assert "set the clock or name one with --snapshot" in behind.stderr
