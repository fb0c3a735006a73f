"""A new city's databases, hurried: base backups taken and restores proven now, not when the timers come to it."""

from __future__ import annotations

import subprocess
import time

from deploy.database.clusters import Cluster, clusters_of
from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from inventories.hosts import host_data
from inventories.plan import build_plan

#: How long all of it may take, in seconds.
PATIENCE = 400.0


def hurry(lab: Lab) -> None:
    """Have every continuously kept cluster backed up and proven; what fails is the check's to say."""
    until = time.monotonic() + PATIENCE
    hosts = host_data(lab.city, build_plan(lab.city))
    for data in hosts.values():
        for cluster in clusters_of(data):
            if cluster.repositories:
                _hurry(lab, cluster, until)


def _hurry(lab: Lab, cluster: Cluster, until: float) -> None:
    for node in cluster.repositories:
        # Two keepers cannot read one cluster at the same time; one that was refused is asked again.
        while _on(lab, node, "systemctl", "start", f"jizuo-database-keep@{cluster.stanza}"):
            if time.monotonic() > until:
                return
            time.sleep(2)
    watch = ("systemctl", "start", f"jizuo-database-watch@{cluster.stanza}")
    switch = ("runuser", "-u", "postgres", "--", "psql", "-XAtqc", "select pg_switch_wal()")
    for _ in range(2):  # the answer of a restore test lies between two stamps that were sent
        _on(lab, cluster.node, *watch)
        _on(lab, cluster.node, *switch)
    proven = f"/var/lib/jizuo/database/{cluster.stanza}.json"
    wanted = str(len(cluster.repositories))
    while time.monotonic() < until:
        time.sleep(2)
        _on(lab, cluster.node, *watch)
        _on(lab, cluster.node, "systemctl", "start", f"jizuo-database-prove@{cluster.stanza}")
        count = f'[ "$(grep -c restore_success_at {proven})" = {wanted} ]'
        if _on(lab, cluster.node, "sh", "-c", count) == 0:
            return


def _on(lab: Lab, node: str, *command: str) -> int:
    """A command's exit code on a host."""
    try:
        done = subprocess.run(
            [*labs.enter(lab, node), *command], capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return 124
    return done.returncode
