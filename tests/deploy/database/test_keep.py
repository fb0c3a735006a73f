"""Does the keeper remove what is kept long enough and nothing that the policy promises? With the real pgBackRest."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from deploy.database.program import keep
from tests.deploy.backup import test_escrow_database as escrow
from tests.deploy.backup.test_escrow_database import ACCOUNT, BINARIES, DATABASE, STANZA, City, run

WEEK = 7 * 86400

place = escrow.place


@pytest.fixture
def city(place: Path) -> Iterator[City]:
    made = City(place)
    made.begin()
    # As the keeper's: nothing is removed after a backup, and two full ones are kept.
    settings = (place / "pgbackrest.conf").read_text()
    extra = "expire-auto=n\nrepo1-retention-full=2\n"
    escrow.write(place / "keeper.conf", settings.replace(f"[{STANZA}]", f"{extra}[{STANZA}]"))
    yield made
    made.stop()


def keeping(city: City, *, full_every: int, window: str) -> keep.Keeping:
    """What the deploy writes; pgBackRest runs under the cluster's account, which a test is not."""
    program = city.folder / "as-account"
    as_account = f"setpriv --reuid={ACCOUNT} --regid={ACCOUNT} --init-groups --" if os.geteuid() == 0 else ""
    program.write_text(f'#!/bin/sh\ncd / && exec {as_account} {shutil.which("pgbackrest")} "$@"\n')
    program.chmod(0o755)
    settings = str(city.folder / "keeper.conf")
    return keep.Keeping(STANZA, settings, full_every, 86400, window, str(program), 2)


def taken(city: City) -> list[str]:
    return [one["label"] for one in keep.backups(keeping(city, full_every=WEEK, window="00:00-23:59"))]


def row(city: City, number: int) -> str:
    """Write a row; a moment after it that a restore can aim at."""
    city.query(f"insert into orders values ({number})", DATABASE)
    time.sleep(1.1)  # pgBackRest knows a backup's end by the second, and wants the moment after it
    moment = city.query("select clock_timestamp()")
    time.sleep(0.05)
    return moment


def restored(city: City, moment: str, folder: Path) -> str:
    """The rows that a restore to a moment has."""
    run(
        city.folder, "pgbackrest", f"--config={city.folder}/keeper.conf", f"--stanza={STANZA}",
        f"--pg1-path={folder}", "--type=time", f"--target={moment}", "--target-action=promote", "restore",
    )  # fmt: skip
    options = f"-c archive_mode=off -c unix_socket_directories={city.folder}"
    run(
        city.folder,
        BINARIES / "pg_ctl",
        "start",
        "-D",
        folder,
        "-w",
        "-s",
        "-o",
        options,
        "-l",
        city.folder / "log2",
    )
    deadline = time.monotonic() + 180
    while city.query("select pg_is_in_recovery()") != "f":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return city.query("select string_agg(id::text, ',' order by id) from orders", DATABASE)


def test_what_another_account_left_half_is_removed_and_what_is_the_keepers_own_is_not(tmp_path: Path) -> None:
    archive = tmp_path / "repository/archive" / STANZA
    settings = tmp_path / "keeper.conf"
    settings.write_text(f"[global]\nrepo1-path={tmp_path}/repository\n[{STANZA}]\n")
    nothing = keep.Keeping(STANZA, str(settings), 1, 1, "00:00-00:00", "false", 2)
    assert keep.clear_the_way(nothing) == [], "there is no stanza yet"
    archive.mkdir(parents=True)
    for name, owner in (
        ("archive.info", 1001),
        ("archive.info.pgbackrest.tmp", 1001),
        ("own.pgbackrest.tmp", 0),
    ):
        (archive / name).write_text("x")
        os.chown(archive / name, owner, -1)
    (archive / "link.pgbackrest.tmp").symlink_to("/etc/passwd")
    os.chown(archive / "link.pgbackrest.tmp", 1001, -1, follow_symlinks=False)
    (archive / "folder.pgbackrest.tmp/in").mkdir(parents=True)
    removed = keep.clear_the_way(nothing)
    assert sorted(removed) == [f"{name}.pgbackrest.tmp" for name in ("archive.info", "folder", "link")]
    assert {path.name for path in archive.iterdir()} == {"archive.info", "own.pgbackrest.tmp"}


@pytest.mark.slow
def test_a_flood_of_full_backups_pushes_nothing_out_and_the_kept_range_comes_back(city: City) -> None:
    closed, now = "00:00-00:00", datetime.now().astimezone()
    opened = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=1):%H:%M}"
    city.query("create table orders (id int)", DATABASE)
    moments = []
    for number in (1, 2, 3):
        # A full one each time, as where a clock ran wild: each looks too old.
        said = keep.keep(keeping(city, full_every=1, window=closed), datetime.now().astimezone())
        assert said == "full backup taken"
        moments.append(row(city, number))
    there = taken(city)
    assert len(there) == 3
    said = keep.keep(keeping(city, full_every=WEEK, window=opened), datetime.now().astimezone())
    assert said.startswith(
        "nothing removed: the newest 2 full backups reach back 0.0 days, and the policy keeps 7.0"
    )
    assert taken(city) == there

    # Of such as are due every few minutes the newest two reach back far enough: the first goes, with its log.
    said = keep.keep(
        keeping(city, full_every=2 * keep.EARLY - 100, window=opened), datetime.now().astimezone()
    )
    assert said == "what is kept long enough removed"
    assert taken(city) == there[1:]
    city.query("select pg_switch_wal()")
    city.backrest("check")
    run(city.folder, BINARIES / "pg_ctl", "stop", "-D", city.data, "-m", "immediate")
    assert restored(city, moments[1], city.folder / "back") == "1,2"
