"""A second lab beside that of the demo, for what waits long and ends hosts: backups, databases, drills."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from deploy.lab import lab as labs
from inventories.records import Management
from tests.lab.conftest import LENT, ROOT, Execute, executing_on
from tests.lab.conftest import jizuo as as_a_person

NAME = LENT or "test-backups"
MANAGEMENT = Management(ipv4="198.19.252.0/24", ipv6="2001:db8:ff00:c::/64")
INVENTORY = str(ROOT / "inventories/lab")
#: What these tests cut off in an hour uses up a month's error budgets: those alerts are about the tests themselves.
TOLERATED = tuple(
    word for group in ("System", "County", "Township") for word in ("--tolerate", f"{group}BudgetBurnFast")
)


def jizuo(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a command on this lab as a person would."""
    return as_a_person(*arguments, timeout=timeout, lab=NAME)


@pytest.fixture(scope="session")
def lab() -> Iterator[labs.Lab]:
    """A lab that is deployed and backed up, or the one that was lent."""
    if LENT:
        yield labs.open_lab(LENT)
        return
    if os.geteuid() != 0:
        pytest.fail("the lab's tests boot hosts: run them as root, or leave them out with --fast")
    labs.down(NAME)
    try:
        for command in (
            ("lab", "up", "--name", NAME, "--management", f"{MANAGEMENT.ipv4},{MANAGEMENT.ipv6}"),
            ("deploy", INVENTORY),
            ("backup", "run", INVENTORY, "--all"),
        ):
            done = jizuo(*command, timeout=900)
            assert done.returncode == 0, done.stdout + done.stderr
        wait_for_base_backups()
        yield labs.open_lab(NAME)
    finally:
        labs.down(NAME)


@pytest.fixture(scope="session")
def on(lab: labs.Lab) -> Execute:
    """Run a command on a host as root, not over the network."""
    return executing_on(lab)


def wait_for_base_backups(seconds: float = 300) -> None:
    """The keepers of a new city take the first base backup of a database within minutes."""
    here, deadline = labs.open_lab(NAME), time.monotonic() + seconds
    file = here.places.host("cloud-1") / "upper/var/lib/jizuo/database/cloud-1-main.json"
    while True:
        known = json.loads(file.read_bytes())["repositories"] if file.exists() else {}
        if known and all(one.get("full_at") for one in known.values()):
            return
        assert time.monotonic() < deadline, known
        time.sleep(2)
