"""One host of the lab: its file system, its boot, its death."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

from deploy.lab.keys import ensure_key, private_write
from deploy.lab.places import NAMESPACES, Places
from deploy.lab.run import LabError

#: Mounts the overlay in a mount namespace of its own, so that no mount outlives the host, and becomes nspawn.
#: Arguments: image, host folder, machine name, network namespace, then cgroup folders.
BOOT = """
image=$1; host=$2; machine=$3; namespace=$4; shift 4
for group; do echo $$ >"$group/cgroup.procs"; done
rm -rf "$host/work"; mkdir -p "$host/work" "$host/upper" "$host/root"
mount -t overlay overlay -o "volatile,lowerdir=$image,upperdir=$host/upper,workdir=$host/work" "$host/root"
set --
[ -c /dev/net/tun ] && set -- --bind=/dev/net/tun
exec systemd-nspawn --quiet --boot --register=no --keep-unit --console=pipe --link-journal=no \\
    --resolv-conf=off --timezone=off --machine="$machine" --hostname="${host##*/}" --directory="$host/root" \\
    --network-namespace-path="$namespace" --capability=CAP_NET_ADMIN,CAP_NET_RAW,CAP_NET_BIND_SERVICE "$@"
"""


def cgroup_parents() -> list[Path]:
    """The roots below which a host gets a control group of its own: cgroup v2, and v1's systemd hierarchy."""
    parents = []
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, folder, kind, options = line.split()[:4]
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options):
            parents.append(Path(folder))
    if not parents:
        raise LabError("no control group hierarchy is mounted; mount cgroup2 at /sys/fs/cgroup")
    return parents


def cgroups(places: Places, name: str) -> list[Path]:
    """A host's control groups, one in each hierarchy."""
    return [parent / f"jizuo.{places.name}" / name for parent in cgroup_parents()]


def seed(places: Places, name: str, ipv4: str, ipv6: str) -> None:
    """Write what an installer would leave on a new machine: name, management address, host key, deploy's key.

    `ipv4` and `ipv6` are addresses with prefix lengths.
    """
    upper = places.host(name) / "upper"
    network = upper / "etc/systemd/network/10-mgmt0.network"
    network.parent.mkdir(parents=True, exist_ok=True)
    network.write_text(
        "[Match]\nName=mgmt0\n\n[Network]\n"
        f"Address={ipv4}\nAddress={ipv6}\nIPv6AcceptRA=no\nLinkLocalAddressing=ipv6\n"
        "IPv6DuplicateAddressDetection=0\n",
        encoding="ascii",
    )
    # Everything else is down until a deploy says otherwise; waiting for it would delay the boot.
    mask = upper / "etc/systemd/system/systemd-networkd-wait-online.service"
    mask.parent.mkdir(parents=True, exist_ok=True)
    if not mask.is_symlink():
        mask.symlink_to("/dev/null")
    (upper / "etc/hostname").write_text(f"{name}\n", encoding="ascii")
    # With an id of its own a host is no machine at its first boot, which would enable every unit (preset-all).
    (upper / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
    key = places.host(name) / "ssh_host_ed25519_key"
    public = ensure_key(key, name)
    private_write(upper / "etc/ssh/ssh_host_ed25519_key", key.read_bytes())
    private_write(upper / "etc/ssh/ssh_host_ed25519_key.pub", f"{public}\n".encode(), 0o644)
    (upper / "etc/ssh").chmod(0o755)
    ssh = upper / "home/deploy/.ssh"
    ssh.mkdir(parents=True, exist_ok=True)
    private_write(ssh / "authorized_keys", f"{ensure_key(places.keys / 'deploy', 'deploy')}\n".encode())
    uid = 1000  # the first account of the image
    for path in (ssh.parent, ssh, ssh / "authorized_keys"):
        os.chown(path, uid, uid)
    ssh.parent.chmod(0o750)
    ssh.chmod(0o700)


def start(places: Places, name: str, image: Path) -> subprocess.Popen[bytes]:
    """Boot a host; returns at once.

    Raises:
        LabError: it runs already.
    """
    if pid_of(places, name):
        raise LabError(f"{name} runs already")
    groups = cgroups(places, name)
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    folder = places.host(name)
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        "SYSTEMD_NSPAWN_TMPFS_TMP": "0",
    }
    with (folder / "console.log").open("ab") as console:
        process = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--propagation",
                "slave",
                "sh",
                "-euc",
                BOOT,
                "sh",
                str(image),
                str(folder),
                places.machine(name),
                str(NAMESPACES / places.namespace(name)),
                *map(str, groups),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env=environment,
            start_new_session=True,
            cwd="/",
        )
    private_write(folder / "pid", f"{process.pid} {start_time(process.pid)}\n".encode())
    return process


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot: tells it from a later one with the same number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def pid_of(places: Places, name: str) -> int | None:
    """The process that runs a host, or None when it does not run."""
    try:
        pid, began = map(int, (places.host(name) / "pid").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return None
    return pid if start_time(pid) == began else None


def kill(places: Places, name: str) -> None:
    """End a host as a power cut does: every process of its control group at once, no shutdown."""
    pid = pid_of(places, name)
    for group in cgroups(places, name):
        _kill_group(group)
    if pid:
        with_grace = time.monotonic() + 5
        while start_time(pid) is not None and time.monotonic() < with_grace:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                break
            time.sleep(0.01)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    (places.host(name) / "pid").unlink(missing_ok=True)
    for group in cgroups(places, name):
        remove_cgroup(group)


def _kill_group(group: Path) -> None:
    switch = group / "cgroup.kill"
    if switch.exists():
        switch.write_text("1")
        return
    for listing in sorted(group.rglob("cgroup.procs"), reverse=True):
        for pid in listing.read_text().split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue


def remove_cgroup(group: Path) -> None:
    """Remove a control group and those below it, once their processes are gone (at most 5 s)."""
    deadline = time.monotonic() + 5
    while group.exists():
        for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            try:
                folder.rmdir()
            except OSError:
                continue
        try:
            group.rmdir()
        except OSError as error:
            if time.monotonic() > deadline:
                raise LabError(f"{group} still holds processes: {error}") from error
            time.sleep(0.02)


def erase(places: Places, name: str) -> None:
    """Remove all of a host's files."""
    shutil.rmtree(places.host(name), ignore_errors=True)
