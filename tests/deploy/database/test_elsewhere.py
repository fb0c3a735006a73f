"""Does a cluster come back on its repository's node, from there alone? With PostgreSQL's and pgBackRest's programs.

The cluster writes stamps, is backed up, writes more, and is lost with its node. The keeper's settings still name that
node: nothing answers there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.database import clusters, content, keeper, keys, node
from deploy.database.program import stamps
from deploy.here import render
from tests.deploy.backup.test_escrow_database import (
    BINARIES,
    DATABASE,
    NODE,
    STANZA,
    City,
    command,
    own,
    place,
    run,
    write,
)

__all__ = ["place"]
MOMENT = "to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"


@pytest.fixture
def city(place: Path) -> Iterator[City]:
    city = City(place)
    city.begin()
    city.query(content._stamps(DATABASE), DATABASE)
    yield city


def put(city: City, count: int) -> list[str]:
    """Stamps that are put now, as a restored cluster tells them."""
    for _ in range(count):
        city.query("insert into jizuo.stamp default values", DATABASE)
        time.sleep(0.01)
    return city.query(stamps.question(count), DATABASE).splitlines()


def node_of(city: City) -> Path:
    """The repository's node as the deploy makes it, in a folder of this test."""
    folder = city.folder / "keeper"
    folder.mkdir()
    own(folder)
    cluster = clusters.Cluster(
        node="cloud-1", instance="main", databases=(), dumped=(), repositories=("backup-1", NODE)
    )
    assert cluster.stanza == STANZA
    settings = render(
        keeper.TEMPLATES / "keeper.conf.j2", configuration=keeper.CONFIGURATION, role="jizuo-source",
        folder=city.folder / "repository", port=1, version=node.VERSION,
        clusters=[{"cluster": cluster, "host": "cloud-1.invalid",
                   "passphrase": keys.passphrase(city.store, NODE, STANZA)}],
    )  # fmt: skip
    write(folder / "keeper.conf", settings)
    keeping = json.loads(keeper._keeping(cluster, "01:00-05:00"))
    write(folder / f"{STANZA}.json", json.dumps({**keeping, "settings": str(folder / "keeper.conf")}))
    shutil.copytree(node.PROGRAM, folder / "jizuo_database", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def reproduce(
    city: City, target: str, rows: int, *more: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    folder, scratch = city.folder / "keeper", city.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    own(scratch)
    done = subprocess.run(
        command("/usr/bin/python3", "-m", "jizuo_database", "reproduce", STANZA, "--configuration", folder, "--to",
                target, "--in", scratch, "--rows", rows, "--database", DATABASE, *more),
        cwd="/", env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    assert list(scratch.iterdir()) == [], "data or keys stay on the node"
    assert not re.findall(r"cipher-pass|passphrase", done.stdout + done.stderr)
    return done


def test_a_lost_cluster_comes_back_to_a_moment_from_its_repository_alone(city: City) -> None:
    put(city, 3)
    city.backrest("backup", "--type=full")
    wanted = put(city, 5)
    time.sleep(1.1)  # pgBackRest knows a backup's end by the second, and wants a moment after it
    moment = city.query(f"select {MOMENT}")
    time.sleep(0.05)
    put(city, 2)
    city.query("select pg_switch_wal()")
    city.backrest("check")
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    node_of(city)
    run(city.folder, BINARIES / "pg_ctl", "stop", "-D", city.data, "-m", "immediate")
    shutil.rmtree(city.data)

    told = json.loads(reproduce(city, moment, 5, "--database", "postgres").stdout)
    # Recovery ends at the first commit after its target; the two stamps behind the moment are not there.
    assert told["rows"] == wanted
    assert told["backup"].endswith("F")
    assert told["total_bytes"] > 10**6
    assert told["seconds"] >= told["restore_seconds"] > 0

    # What is wrong is said, and what was put there goes.
    done = reproduce(city, ahead, 5, check=False)
    assert done.returncode == 1
    assert "the archived log ends before that moment" in done.stderr
    done = reproduce(city, moment, 5, "--database", "not-there", check=False)
    assert done.returncode == 1
    assert 'database "not-there" does not exist' in done.stderr
