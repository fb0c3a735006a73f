"""What does `jizuo backup status` cost for 3,000 jobs? From states in hand, and as a command with states in files.

One job in ten is late, so that there are findings to tell. The budget is a second from the states to the printed
table.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import structs

from checks.backup.status import lines, states_in, statuses, summary
from inventories.backups.records import BackupPolicy
from inventories.load import load_city
from inventories.records import City

JOBS = 3000
LATE = 10  # one in so many
LIMIT = 1.0  # seconds, from states to the printed table
ROOT = Path(__file__).parents[2]
LAB = ROOT / "inventories" / "lab"
SYSTEM = "yichun-gov-service-net"


def city() -> City:
    """The lab's city with 3,000 policies, each of which runs on one node."""
    lab = load_city(LAB)
    first = next(iter(lab.backups.values()))
    policies = (policy(first, number) for number in range(JOBS))
    return structs.replace(lab, backups={one.id: one for one in policies})


def policy(like: BackupPolicy, number: int) -> BackupPolicy:
    return structs.replace(like, id=f"policy-{number:04}", systems=(SYSTEM,))


def state(name: str, node: str, now: datetime, *, late: bool) -> dict[str, Any]:
    """A state as a job writes it."""

    def ago(minutes: float) -> str:
        return (now - timedelta(minutes=minutes)).isoformat(timespec="milliseconds")

    taken = ago(600 if late else 7)
    step = {"result": "success", "started_at": ago(6), "ended_at": ago(5), "seconds": 60.0, "files": 20}
    repositories = {
        place: {
            "role": role, "snapshot": "d34db33f", "snapshot_at": taken, "check": step, "check_success_at": ago(180),
            "restore_test": step, "restore_success_at": ago(180), "restored_snapshot_at": ago(240),
            "copy": None if role == "primary" else step,
        }
        for place, role in (("backup-1", "primary"), ("offsite-1", "copy"))
    }  # fmt: skip
    return {
        "version": 1, "policy": name, "host": node, "rpo_seconds": 3600, "written_at": ago(5),
        "last_success_at": taken, "backup": {**step, "snapshot": "d34db33fcafe"}, "repositories": repositories,
    }  # fmt: skip


def write(folder: Path, made: City, now: datetime) -> None:
    node = made.systems[SYSTEM].nodes[0]
    (folder / node).mkdir(parents=True)
    for number, name in enumerate(made.backups):
        content = state(name, node, now, late=number % LATE == 0)
        (folder / node / f"{name}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def inventory(folder: Path) -> None:
    """The lab's inventory with the policies, as a person would have it."""
    shutil.copytree(LAB, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    table = (
        '[policy.policy-{number:04}]\nsystems = ["' + SYSTEM + '"]\npaths = ["/srv/systems"]\n'
        'schedule = "*-*-* *:00/15:00"\nrepository = "backup-1"\ncopies = ["offsite-1"]\nrpo = "1h"\nrto = "15m"\n'
        'owner = "approval-bureau"\n'
    )
    with (folder / "backups.toml").open("a", encoding="utf-8") as file:
        for number in range(JOBS):
            file.write("\n" + table.format(number=number))


class Figures(NamedTuple):
    """Seconds: `shown` from the states to the printed table, `shown_cpu` of the processor for that."""

    jobs: int
    late: int
    read: float
    shown: float
    shown_cpu: float
    command: float


def measure(scratch: Path) -> Figures:
    """What the status of 3,000 jobs costs; files are made in `scratch`."""
    now = datetime.now().astimezone()
    made, folder = city(), scratch / "states"
    write(folder, made, now)
    began = time.monotonic()
    states = states_in(folder)
    read = time.monotonic() - began
    began, used = time.monotonic(), time.process_time()
    found = statuses(made, states, now)
    "\n".join([*lines(found), summary(found)])
    shown, used = time.monotonic() - began, time.process_time() - used
    late = sum(one.status == "fail" for one in found)
    if (len(found), late) != (JOBS, JOBS // LATE):
        sys.exit(f"{len(found)} jobs, {late} of them late: that is not what was written")
    inventory(scratch / "city")
    expected = JOBS + len(load_city(LAB).backups)
    command = [sys.executable, str(ROOT / "jizuo.py"), "backup", "status", str(scratch / "city")]
    began = time.monotonic()
    done = subprocess.run([*command, "--states", str(folder)], capture_output=True, text=True, check=False)
    whole = time.monotonic() - began
    if done.returncode != 2 or f"{expected} jobs: " not in done.stdout:
        sys.exit(f"exit code {done.returncode}: {done.stderr or done.stdout[-200:]}")
    return Figures(JOBS, late, read, shown, used, whole)
