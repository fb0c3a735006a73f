"""The controller's timers under systemd: a host of the lab is the controller, and what its timers do is seen.

The controller is the operations node, which has the kit's libraries: it gets the sources, the state with its keys, and
the caches, as a person's own machine has them.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.controller.units import DRIFT, RESTORES, Chore
from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from deploy.operations.closure import closure_folder, role_packages
from deploy.operations.wheelhouse import make_wheelhouse
from deploy.record import REMOTE
from tests.lab.conftest import ROOT, Execute

from .conftest import jizuo

OPS, HAND = "ops-1", "client-2"
HERE = "/srv/controller"
PYTHON = "/opt/jizuo/bin/python"
UNITS = "/etc/systemd/system"
#: Beside what a timer itself says: two minutes, and up to five more so that many controllers do not start at once.
AT_ONCE = "[Timer]\nOnActiveSec=1s\nRandomizedDelaySec=0\n"


def send(lab: Lab, host: str, tree: dict[Path, str]) -> None:
    """Put files and folders of this machine below :data:`HERE` of a host."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, name in tree.items():
            archive.add(path, name)
    subprocess.run(
        [*labs.enter(lab, host), "sh", "-c", f"mkdir -p {HERE} && tar -C {HERE} -x --no-same-owner"],
        input=packed.getvalue(),
        check=True,
        timeout=120,
    )


@pytest.fixture
def controller(lab: Lab, on: Execute) -> Iterator[str]:
    """The operations node as a controller; the inventory's folder there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.split(b"\0")
    kit = {ROOT / os.fsdecode(name): f"kit/{os.fsdecode(name)}" for name in listed if name}
    state = {
        lab.places.state / name: f"state/{name}" for name in ("ssh", "ssh_config", "known_hosts", "secrets")
    }
    send(lab, OPS, kit | state | {lab.places.record: "state/lab.json"})
    on(OPS, "sed", "--in-place", f"s|{lab.places.state}/|{HERE}/state/|", f"{HERE}/state/ssh_config")
    # A mirror's packages are called after the machine's own package sources, which differ there.
    asked = "from deploy.operations.closure import *; print(closure_folder(role_packages()).name)"
    mirror = on(OPS, "env", f"--chdir={HERE}/kit", PYTHON, "-c", asked).stdout.strip()
    wheels = {path.parent for path in make_wheelhouse().paths.values()}
    caches = {folder: f"cache/{folder.name}" for folder in wheels}
    send(lab, OPS, caches | {closure_folder(role_packages()): f"cache/{mirror}"})
    try:
        yield f"{HERE}/kit/inventories/lab"
    finally:
        for chore in (DRIFT, RESTORES):
            on(OPS, "systemctl", "disable", "--now", f"{unit(chore)}.timer", check=False)
            on(OPS, "sh", "-c", f"rm -rf {UNITS}/{unit(chore)}.*; systemctl daemon-reload")
            on(OPS, "systemctl", "reset-failed", f"{unit(chore)}.service", check=False)
        on(OPS, "rm", "-rf", HERE)


def unit(chore: Chore) -> str:
    return f"jizuo-{chore.name}-3609"


def begun(on: Execute, chore: Chore, *command: str) -> dict[str, str]:
    """Write a chore's units by the command that a person would type, start the timer alone, and wait for the end."""
    environment = ("env", f"JIZUO_STATE={HERE}/state", f"JIZUO_CACHE={HERE}/cache")
    on(OPS, *environment, PYTHON, f"{HERE}/kit/jizuo.py", *command, "--every", "1")
    dropped = f"{UNITS}/{unit(chore)}.timer.d"
    on(
        OPS,
        "sh",
        "-c",
        f"mkdir -p {dropped} && cat >{dropped}/test.conf && systemctl daemon-reload",
        input=AT_ONCE,
    )
    on(OPS, "systemctl", "enable", "--now", f"{unit(chore)}.timer")
    said = ended(on, chore)
    # And it will come again by itself.
    elapses = on(
        OPS, "systemctl", "show", "--property=NextElapseUSecMonotonic", "--value", f"{unit(chore)}.timer"
    )
    assert elapses.stdout.strip() not in ("", "infinity")
    return said


def test_the_timer_of_drift_finds_a_change_by_hand(lab: Lab, on: Execute, controller: str) -> None:
    on(HAND, "sh", "-c", "echo 'net.ipv4.ip_forward = 1' >>/etc/sysctl.d/60-jizuo.conf")
    try:
        said = begun(on, DRIFT, "drift", controller, "--timer", UNITS)
        assert (said["Result"], said["ExecMainStatus"]) == ("success", "2"), journal(on, DRIFT)
        record = json.loads(on(OPS, "cat", f"{REMOTE}/drift.json").stdout)
    finally:
        assert jizuo("deploy", str(ROOT / "inventories/lab"), "base", "--limit", HAND).returncode == 0
    assert record["hosts"][HAND]["pending"]["base"] == ["base | kernel settings"]
    assert {name for name, host in record["hosts"].items() if host["unread"]} == set()
    assert {name for name, host in record["hosts"].items() if any(host["pending"].values())} == {HAND}


def test_the_timer_of_restores_proves_each_job_on_another_host(
    lab: Lab, on: Execute, controller: str
) -> None:
    said = begun(on, RESTORES, "backup", "timer", controller, UNITS)
    assert (said["Result"], said["ExecMainStatus"]) == ("success", "0"), journal(on, RESTORES)
    told = journal(on, RESTORES)
    for job in ("gov-service@cloud-1", "collab-office@xinchuang-1"):
        assert f"{job}: success: on " in told
    assert told.count("each with the content hash of backup time") == 2


def ended(on: Execute, chore: Chore, seconds: float = 300) -> dict[str, str]:
    """The service's properties, once a run of it has ended."""
    deadline = time.monotonic() + seconds
    while True:
        shown = on(OPS, "systemctl", "show", f"{unit(chore)}.service", "--property=ActiveState,Result,ExecMainStatus,"
                   "ExecMainExitTimestampMonotonic").stdout  # fmt: skip
        said = dict(line.split("=", 1) for line in shown.split())
        if said["ExecMainExitTimestampMonotonic"] != "0" and said["ActiveState"] in ("inactive", "failed"):
            return said
        assert time.monotonic() < deadline, journal(on, chore)
        time.sleep(1)


def journal(on: Execute, chore: Chore) -> str:
    return str(on(OPS, "journalctl", "--no-pager", "-n", "40", "-u", f"{unit(chore)}.service").stdout)
