"""Labs come and go: side by side, after a tool that was killed, and without leaving anything behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab import host as machine
from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from deploy.lab.places import Places

from .conftest import NAME as MAIN
from .conftest import ROOT, SIDE, jizuo

NAME = "side"
UP = ["lab", "up", "--name", NAME, "--management", f"{SIDE.ipv4},{SIDE.ipv6}", "--inventory"]


def traces(name: str) -> list[str]:
    """Everything of a lab that can be found on this machine: processes, interfaces, namespaces, mounts, files."""
    places = Places(name)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "systemd-nspawn" in line and str(places.state) in line:
            found.append(f"process {process.name}")
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    found += [line.split(": ")[1] for line in links.splitlines() if places.bridge in line]
    found += [str(path) for path in Path("/run/netns").glob(f"{places.namespace_prefix}*")]
    found += [
        line for line in Path("/proc/self/mounts").read_text().splitlines() if str(places.state) in line
    ]
    found += [
        str(parent / f"jizuo.{name}")
        for parent in machine.cgroup_parents()
        if (parent / f"jizuo.{name}").exists()
    ]
    found += [str(path) for path in (places.state, places.lock) if path.exists()]
    return found


@pytest.fixture(autouse=True)
def side_lab_goes() -> Iterator[None]:
    yield
    labs.down(NAME)


def test_two_labs_side_by_side_and_nothing_is_left(lab: Lab, small_inventory: Path) -> None:
    done = jizuo(*UP, str(small_inventory), lab=NAME)
    assert done.returncode == 0, done.stderr
    status = jizuo("lab", "status", "--name", NAME, "--json", lab=NAME)
    assert status.returncode == 0, status.stdout
    for address in labs.open_lab(NAME).record.hosts["cloud-1"]:
        assert address.startswith(("198.19.251.", "2001:db8:ff00:b::")), "not the second lab's own prefixes"
        assert labs._banner(address), f"{address} of the second lab does not answer SSH"
    assert jizuo("lab", "status", "--name", MAIN, "--json").returncode == 0, "the first lab suffered"
    assert traces(NAME), "the search for traces finds nothing even while the lab is up"
    assert jizuo("lab", "down", "--name", NAME, lab=NAME).returncode == 0
    assert traces(NAME) == []
    assert jizuo("lab", "status", "--name", MAIN, "--json").returncode == 0, "down took the first lab along"


def test_same_management_network_is_refused(lab: Lab, small_inventory: Path) -> None:
    taken = f"{lab.record.management.ipv4},{lab.record.management.ipv6}"
    done = jizuo(
        "lab", "up", "--name", NAME, "--inventory", str(small_inventory), "--management", taken, lab=NAME
    )
    assert done.returncode == 1
    assert "--management" in done.stderr
    assert "in use" in done.stderr


@pytest.mark.parametrize(
    "after", [*(pytest.param(after, marks=pytest.mark.slow) for after in (0.05, 0.6, 1.6)), 0.3, 1.0]
)
def test_up_and_down_after_the_tool_was_killed(small_inventory: Path, after: float) -> None:
    command = [sys.executable, str(ROOT / "jizuo.py"), *UP, str(small_inventory)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 30
    while not Places(NAME).state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = jizuo(*UP, str(small_inventory), lab=NAME)
    assert again.returncode == 0 or "is up already" in again.stderr, again.stderr
    assert jizuo("lab", "down", "--name", NAME, lab=NAME).returncode == 0
    assert traces(NAME) == []


def test_killed_host_comes_back_with_its_files(small_inventory: Path) -> None:
    assert jizuo(*UP, str(small_inventory), lab=NAME).returncode == 0
    here = labs.open_lab(NAME)
    subprocess.run([*labs.enter(here, "cloud-1"), "sh", "-c", "echo kept >/var/kept; sync"], check=True)
    assert jizuo("lab", "kill", "cloud-1", "--name", NAME, lab=NAME).returncode == 0
    status = jizuo("lab", "status", "--name", NAME, "--json", lab=NAME)
    assert status.returncode == 2
    seen = subprocess.run(
        [*labs.enter(here, "core-a"), "cat", "/sys/class/net/cl1-a/carrier"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.strip() == "0", "the neighbour of a dead host still sees a carrier"
    assert jizuo("lab", "start", "cloud-1", "--name", NAME, lab=NAME).returncode == 0
    kept = subprocess.run(
        [*labs.enter(here, "cloud-1"), "cat", "/var/kept"], capture_output=True, text=True, check=True
    )
    assert kept.stdout == "kept\n"


def test_unknown_names_are_answered_with_the_known_ones(lab: Lab) -> None:
    done = jizuo("lab", "cut", "no-such-link", "--name", MAIN)
    assert done.returncode == 1
    assert "yz-a" in done.stderr
    assert jizuo("lab", "status", "--name", "no-such-lab").stderr.startswith(
        "jizuo lab: the lab no-such-lab is not up"
    )


def test_strict_host_keys(lab: Lab, tmp_path: Path) -> None:
    config = lab.places.ssh_config.read_text()
    known = lab.places.known_hosts.read_text().splitlines()
    swapped = tmp_path / "known_hosts"
    # Two hosts' keys exchanged: a machine that answers in another's place.
    names, keys = zip(*[line.split(" ", 1) for line in known[:2]], strict=True)
    swapped.write_text(f"{names[0]} {keys[1]}\n{names[1]} {keys[0]}\n")
    file = tmp_path / "ssh_config"
    file.write_text(config.replace(str(lab.places.known_hosts), str(swapped)))
    host = names[0].split(",")[0]
    good = subprocess.run(
        ["ssh", "-F", str(lab.places.ssh_config), host, "true"], capture_output=True, check=False
    )
    bad = subprocess.run(["ssh", "-F", str(file), host, "true"], capture_output=True, text=True, check=False)
    assert good.returncode == 0
    assert bad.returncode == 255
    assert "Host key verification failed" in bad.stderr


def test_keys_are_private(lab: Lab) -> None:
    state = lab.places.state
    assert state.stat().st_mode & 0o777 == 0o700
    for path in [*(state / "ssh").iterdir(), *(state / "secrets").iterdir()]:
        assert path.suffix == ".pub" or path.stat().st_mode & 0o077 == 0, path
