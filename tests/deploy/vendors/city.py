"""The lab's city with routers of both vendors in it, their devices, and the state folder to reach them."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import paramiko
import pytest

from deploy.lab.keys import ensure_key
from deploy.vendors.cli import Fleet, requests_for
from deploy.vendors.transaction import Outcome, pending, push
from inventories.hosts import HostData, host_data
from inventories.load import load_city
from inventories.plan import build_plan
from tests.deploy.vendors.device import Device, serve

ROOT = Path(__file__).resolve().parents[3]
LAB = ROOT / "inventories" / "lab"

#: The routers that are not Linux here: a Huawei and an H3C.
VENDORS = {"yuanzhou": "vrp", "cihua": "comware"}
#: Their cabling.
CABLES = {
    ("yuanzhou", "yz-a"): "GigabitEthernet0/1/0",
    ("yuanzhou", "yz-b"): "GigabitEthernet0/1/1",
    ("yuanzhou", "cihua-up"): "GigabitEthernet0/1/2",
    ("yuanzhou", "lan0"): "GigabitEthernet0/1/3",
    ("yuanzhou", "mgmt0"): "GigabitEthernet0/0/0",
    ("cihua", "cihua-up"): "GigabitEthernet0/1",
    ("cihua", "juwei-up"): "GigabitEthernet0/2",
    ("cihua", "yufang-up"): "GigabitEthernet0/3",
    ("cihua", "lan0"): "GigabitEthernet0/4",
    ("cihua", "mgmt0"): "M-GigabitEthernet0",
}


def hosts_of(path: Path) -> dict[str, HostData]:
    city = load_city(path)
    return host_data(city, build_plan(city))


def city_with_routers(folder: Path, cables: dict[tuple[str, str], str] | None = None) -> Path:
    """A copy of the lab's inventory in which the routers of VENDORS are the vendors'."""
    path = folder / "city"
    shutil.copytree(LAB, path, ignore=shutil.ignore_patterns("__pycache__"))
    nodes = path / "nodes.csv"
    rows = list(csv.DictReader(nodes.open(encoding="utf-8", newline="")))
    for row in rows:
        row["os_family"] = VENDORS.get(row["id"], row["os_family"])
    with nodes.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_cables(path, CABLES if cables is None else cables)
    return path


def write_cables(path: Path, cables: dict[tuple[str, str], str]) -> None:
    lines = [f"{node},{interface},{port}" for (node, interface), port in cables.items()]
    (path / "vendor-ports.csv").write_text(
        "\n".join(["node,interface,port", *lines]) + "\n", encoding="utf-8"
    )


class Finished(NamedTuple):
    code: int
    out: str
    err: str


class Bench(NamedTuple):
    """Both devices at work, and the command that talks to them."""

    path: Path
    state: Path
    devices: dict[str, Device]

    def router(self, *arguments: str, stdin: str = "") -> Finished:
        """Run `jizuo router`, with a device given up after 5 s of silence."""
        if arguments[0] in ("diff", "push"):
            arguments = (*arguments, "--patience", "5")
        code = (
            "from deploy.vendors.cli import router\nimport click\n"
            "click.UsageError.exit_code = 1\nrouter(prog_name='jizuo router')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def push(self, *arguments: str) -> Finished:
        return self.router("push", str(self.path), *arguments, "--yes")

    def diff(self, *arguments: str) -> Finished:
        return self.router("diff", str(self.path), *arguments)

    def carry_out(self, node: str) -> Outcome:
        """Look and push as the command does, without Ansible in between: seconds instead of many."""
        (request,) = requests_for(Fleet(self.path), [node], self.state, 2)
        return push(msgspec.structs.replace(request, seen=pending(request).shown))

    def left(self, node: str) -> tuple[str, ...]:
        """What the device would still be told."""
        (request,) = requests_for(Fleet(self.path), [node], self.state, 2)
        return pending(request).shown

    def secrets(self) -> set[str]:
        """Every password that a device was given."""
        return {word for device in self.devices.values() for word in device.passwords.values()}

    def everything_kept(self) -> Iterator[tuple[Path, str]]:
        """Every file of the state folder but the secrets themselves, with its content."""
        for file in self.state.rglob("*"):
            if file.is_file() and "secrets" not in file.parts:
                yield file, file.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def bench(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Serve a device for each router of VENDORS at its management address, which lies on the loopback here."""
    path = city_with_routers(folder)
    state = folder / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("JIZUO_STATE", str(state))
    ensure_key(state / "ssh" / "deploy", "deploy")
    management = {"ipv4": "127.77.0.0/24", "ipv6": "2001:db8:ff00::/64"}
    nodes = load_city(path).nodes
    record = {"inventory": str(path), "management": management, "hosts": dict.fromkeys(nodes, "")}
    (state / "lab.json").write_text(json.dumps(record))
    allowed = paramiko.Ed25519Key.from_private_key_file(str(state / "ssh" / "deploy"))
    data = hosts_of(path)
    known, config = [], []
    with contextlib.ExitStack() as stack:
        devices = {}
        for node, vendor in VENDORS.items():
            host_key = folder / f"{node}.key"
            public = ensure_key(host_key, node).split()
            address = re.sub(r"^.*\.", "127.77.0.", data[node].management["ipv4"])
            ports = tuple(port for (router, _), port in CABLES.items() if router == node)
            devices[node] = Device(vendor, ports)
            key = paramiko.Ed25519Key.from_private_key_file(str(host_key))
            port = stack.enter_context(serve(devices[node], address, key, allowed))
            known.append(f"[{address}]:{port} {public[0]} {public[1]}")
            config.append(f"Host {address}\n    Port {port}\n")
        (state / "known_hosts").write_text("\n".join(known) + "\n")
        (state / "ssh_config").write_text("".join(config))
        yield Bench(path, state, devices)
