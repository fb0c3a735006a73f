"""The lab as a whole: up, down, status, and the faults that are put into it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from netaddr import IPNetwork

from deploy.lab import host as machine
from deploy.lab import network
from deploy.lab.image import build_image
from deploy.lab.keys import ACCOUNTS, ensure_key, private_write, write_ssh_files
from deploy.lab.machine import LAB_PROGRAMS, check_root, kernel_lacks, missing_packages
from deploy.lab.places import Places
from deploy.lab.run import LabError, run
from inventories.hosts import linux_nodes
from inventories.load import load_city
from inventories.plan import AddressPlan, build_plan
from inventories.records import City, Family, Link, Management

#: inotify instances that a dozen systemds use up; the kernel's default of 128 is for one.
INOTIFY_INSTANCES = 8192

Say = Callable[[str], None]


class LabRecord(msgspec.Struct, forbid_unknown_fields=True):
    """What `lab.json` keeps of a lab that is up (or was, when its tool died)."""

    name: str
    inventory: str
    management: Management
    image: str
    hosts: dict[str, tuple[str, str]]
    boot_seconds: float = 0.0


@dataclass
class Lab:
    """A lab that exists, with the city it stands for."""

    places: Places
    record: LabRecord
    city: City
    plan: AddressPlan

    def link(self, name: str) -> Link:
        """The link of that id; raises LabError with the ids there are."""
        try:
            return self.city.links[name]
        except KeyError:
            raise LabError(f"no link {name}; the links are: {', '.join(self.city.links)}") from None

    def host(self, name: str) -> str:
        """The host of that name; raises LabError with the names there are."""
        if name not in self.city.nodes:
            raise LabError(f"no host {name}; the hosts are: {', '.join(self.city.nodes)}")
        return name


def check_machine() -> None:
    """Say in one line what this machine lacks for a lab, and what to do about it."""
    check_root()
    missing = missing_packages(LAB_PROGRAMS)
    if missing:
        raise LabError(f"not installed: {', '.join(missing)}; run: apt-get install {' '.join(missing)}")


@contextmanager
def locked(places: Places) -> Iterator[None]:
    """Hold the lab's lock: one tool at a time changes a lab; a tool that dies lets go."""
    places.lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with places.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"another jizuo is changing the lab {places.name}; wait for it to end") from None
        yield


def with_management(city: City, management: Management | None) -> City:
    """The city with another management network: a second lab beside the first."""
    if management is None:
        return city
    return msgspec.structs.replace(city, layout=msgspec.structs.replace(city.layout, management=management))


def open_lab(name: str) -> Lab:
    """The lab of that name that is up.

    Raises:
        LabError: there is none.
    """
    places = Places(name)
    try:
        record = msgspec.json.decode(places.record.read_bytes(), type=LabRecord)
    except FileNotFoundError:
        raise LabError(f"the lab {name} is not up; run: jizuo lab up --name {name}") from None
    except msgspec.DecodeError as error:
        raise LabError(
            f"{places.record} cannot be read ({error}); run: jizuo lab down --name {name}"
        ) from None
    city = with_management(load_city(Path(record.inventory)), record.management)
    if set(city.nodes) != set(record.hosts):
        changed = ", ".join(sorted(set(city.nodes) ^ set(record.hosts)))
        raise LabError(
            f"{record.inventory} has other nodes than the lab {name} was booted with ({changed}); "
            f"run: jizuo lab down --name {name}, then up"
        )
    return Lab(places, record, city, build_plan(city))


def up(name: str, inventory: Path, management: Management | None, say: Say) -> Lab:
    """Boot the inventory's hosts; what a dead run left is removed first.

    Returns once every host answers SSH over IPv4 and IPv6.

    Raises:
        LabError: the machine lacks something, the lab is up already, or a host did not come up.
    """
    check_machine()
    city = with_management(load_city(inventory), management)
    foreign = sorted(set(city.nodes) - set(linux_nodes(city)))
    if foreign:
        raise LabError(
            f"{', '.join(foreign)}: no Linux, and a lab boots nothing else; try them with jizuo router"
        )
    plan = build_plan(city)
    places = Places(name)
    with locked(places):
        if places.record.exists() and any(machine.pid_of(places, node) for node in _host_names(places)):
            raise LabError(f"the lab {name} is up already; run: jizuo lab down --name {name}")
        _remove(places)
        try:
            record = _boot(places, city, plan, inventory, say)
        except BaseException:
            # Half a lab is of no use to anybody: what was begun goes, also on Ctrl-C.
            _remove(places)
            raise
    return Lab(places, record, city, plan)


def _boot(places: Places, city: City, plan: AddressPlan, inventory: Path, say: Say) -> LabRecord:
    """Make everything of a lab and boot its hosts; returns its record once every host answers."""
    _raise_limits()
    for lack in kernel_lacks():
        say(lack)
    say("base image")
    image = build_image()
    say("keys and wires")
    hosts = {
        node: (str(plan.management(node, Family.IPV4)), str(plan.management(node, Family.IPV6)))
        for node in city.nodes
    }
    record = LabRecord(
        name=places.name,
        inventory=str(inventory.resolve()),
        management=city.layout.management,
        image=str(image),
        hosts=hosts,
    )
    places.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    private_write(places.record, msgspec.json.encode(record))
    for account in ACCOUNTS:
        ensure_key(places.keys / account, account)
    write_ssh_files(places, hosts)
    began = time.monotonic()
    network4, network6 = IPNetwork(city.layout.management.ipv4), IPNetwork(city.layout.management.ipv6)
    for prefix in (network4, network6):
        _check_free(places, prefix)
    network.create(
        places,
        city.nodes,
        city.links.values(),
        (f"{controller(network4)}/{network4.prefixlen}", f"{controller(network6)}/{network6.prefixlen}"),
    )
    say(f"booting {len(hosts)} hosts")
    for node, (ipv4, ipv6) in hosts.items():
        machine.seed(places, node, f"{ipv4}/{network4.prefixlen}", f"{ipv6}/{network6.prefixlen}")
        network.raise_links(places, node, city.links.values())
        machine.start(places, node, image)
    _wait_for_ssh(places, hosts, say)
    record.boot_seconds = round(time.monotonic() - began, 2)
    private_write(places.record, msgspec.json.encode(record))
    return record


def controller(prefix: IPNetwork) -> str:
    """This machine's own address on the management network: the last but one of the prefix."""
    return str(prefix[-2])


def _check_free(places: Places, prefix: IPNetwork) -> None:
    show = ["ip", "-oneline", f"-{prefix.version}", "route", "show", "to"]
    taken = run([*show, "match", str(prefix[1])]).stdout + run([*show, "root", str(prefix)]).stdout
    for line in taken.splitlines():
        if not line.startswith("default") and f"dev {places.bridge} " not in line:
            raise LabError(
                f"the management network {prefix} is in use on this machine ({line.strip()}); "
                "choose another with --management IPV4,IPV6"
            )


def _raise_limits() -> None:
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if int(limit.read_text()) < INOTIFY_INSTANCES:
        limit.write_text(str(INOTIFY_INSTANCES))


def _banner(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            connection.settimeout(2)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _wait_for_ssh(places: Places, hosts: dict[str, tuple[str, str]], say: Say, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    waiting = {(node, address) for node, pair in hosts.items() for address in pair}
    while waiting:
        ready = {item for item in waiting if _banner(item[1])}
        waiting -= ready
        if ready:
            say(f"{len(hosts) - len({node for node, _ in waiting})} of {len(hosts)} hosts answer SSH")
        dead = [node for node, _ in waiting if machine.pid_of(places, node) is None]
        if dead or (waiting and time.monotonic() > deadline):
            node = dead[0] if dead else min(waiting)[0]
            log = places.host(node) / "console.log"
            tail = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
            raise LabError(f"{node} did not come up; its console, {log}, ends: {tail}")
        if waiting:
            time.sleep(0.05)


def down(name: str) -> None:
    """Remove a lab whole: processes, namespaces, interfaces, control groups, files."""
    check_machine()
    places = Places(name)
    with locked(places):
        _remove(places)
    places.lock.unlink(missing_ok=True)


def _remove(places: Places) -> None:
    for node in _host_names(places):
        machine.kill(places, node)
    for parent in machine.cgroup_parents():
        machine.remove_cgroup(parent / f"jizuo.{places.name}")
    network.remove(places)
    shutil.rmtree(places.state, ignore_errors=True)


def _host_names(places: Places) -> list[str]:
    """Every host that this lab has or had, as its files and control groups say, whatever the inventory says now."""
    names = {path.name for path in places.hosts.glob("*")} if places.hosts.is_dir() else set()
    for parent in machine.cgroup_parents():
        group = parent / f"jizuo.{places.name}"
        names |= {path.name for path in group.glob("*") if path.is_dir()} if group.is_dir() else set()
    return sorted(names)


def kill(lab: Lab, node: str) -> None:
    """Cut a host's power: its processes end at once and its links lose their carrier."""
    machine.kill(lab.places, lab.host(node))
    network.power_off(lab.places, node, lab.city.links.values())


def start(lab: Lab, node: str) -> None:
    """Boot a host that was killed; its files are as the cut left them. Returns when it answers SSH."""
    network.raise_links(lab.places, lab.host(node), lab.city.links.values())
    machine.start(lab.places, node, Path(lab.record.image))
    _wait_for_ssh(lab.places, {node: lab.record.hosts[node]}, lambda _: None)


def replace(lab: Lab, node: str) -> None:
    """A new machine in a host's place: power cut, disk set aside, booted as an installer leaves it.

    Raises:
        LabError: it was replaced before, and the first disk is still aside.
    """
    disk, aside = _disks(lab, node)
    if aside.exists():
        raise LabError(
            f"{node} was replaced before; put its own disk back first: jizuo lab replace {node} --back"
        )
    kill(lab, node)
    disk.rename(aside)
    ipv4, ipv6 = lab.record.hosts[node]
    management = lab.city.layout.management
    network4, network6 = IPNetwork(management.ipv4), IPNetwork(management.ipv6)
    machine.seed(lab.places, node, f"{ipv4}/{network4.prefixlen}", f"{ipv6}/{network6.prefixlen}")
    start(lab, node)


def put_back(lab: Lab, node: str) -> bool:
    """End a replacement: the host's own disk comes back and is booted. False when there was none."""
    disk, aside = _disks(lab, node)
    if not aside.exists():
        return False
    kill(lab, node)
    if disk.exists():
        shutil.rmtree(disk)
    aside.rename(disk)
    start(lab, node)
    return True


def _disks(lab: Lab, node: str) -> tuple[Path, Path]:
    """What a host has written since it was made, and where that is set aside."""
    folder = lab.places.host(lab.host(node))
    return folder / "upper", folder / "upper.aside"


def enter(lab: Lab, node: str) -> list[str]:
    """The arguments that run a command inside a host, in all its namespaces, without the network.

    Raises:
        LabError: the host does not run.
    """
    supervisor = machine.pid_of(lab.places, node)
    if supervisor is None:
        raise LabError(f"{node} does not run; run: jizuo lab start {node}")
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    for child in children:
        # nspawn's stub forks the host's process 1: the process whose innermost number is 1.
        status = Path(f"/proc/{child}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        if numbers[-1] == "1" and len(numbers) > 2:
            return [
                "nsenter",
                f"--target={child}",
                "--mount",
                "--uts",
                "--ipc",
                "--net",
                "--pid",
                "--cgroup",
                "--",
            ]
    raise LabError(f"{node} is starting; try again in a moment")


def environment(name: str) -> dict[str, str]:
    """This process's environment, with the lab's state folder as the one that commands use."""
    return {**os.environ, "JIZUO_STATE": str(Places(name).state)}
