"""The base image of the lab's hosts: a minimal Debian, built once from the machine's own package sources."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.lab.places import CACHE_ROOT
from deploy.lab.run import LabError, run

#: The Debian release of the lab's hosts.
SUITE = "bookworm"
#: What a host has before its first deploy: enough to boot, to be reached over SSH and to install packages; and all of
#: Python's library, as images of clouds have it.
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "iproute2",
    "iputils-ping",
    "nftables",
    "procps",
    "sudo",
    "ca-certificates",
    "python3",
)
#: Units that a lab host has no use for: nobody sits at its console, and its packages come from the mirror alone.
MASKED = ("systemd-firstboot.service", "apt-daily.timer", "apt-daily-upgrade.timer")
#: Free space that the image, its hosts' overlays and the mirror need, in bytes.
SPACE_NEEDED = 4 * 1024**3


def package_sources() -> list[str]:
    """The machine's own apt sources of :data:`SUITE`, one deb822 stanza or one-line entry an item.

    Sources of other suites (a vendor's own repository) are left out: the image is Debian alone.
    """
    found: list[str] = []
    base = Path("/etc/apt")
    for path in [base / "sources.list", *sorted((base / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".sources":
            stanzas = [stanza.strip() for stanza in re.split(r"\n\s*\n", text)]
            found += [
                s for s in stanzas if re.search(rf"^Suites:.*\b{SUITE}(-\S+)?\b", s, re.M) and _is_debian(s)
            ]
        elif path.suffix in (".list", ""):
            pattern = rf"^deb\s+(\[[^]]*\]\s+)?\S+\s+{SUITE}(-\S+)?/?\S*\s+main\b"
            found += [line.strip() for line in text.splitlines() if re.match(pattern, line.strip())]
    if not found:
        raise LabError(
            f"no package source for Debian {SUITE} is configured in /etc/apt; add one, then try again"
        )
    return found


def _is_debian(stanza: str) -> bool:
    suites = re.search(r"^Suites:(.*)$", stanza, re.M)
    return suites is not None and all(suite.split("-")[0] == SUITE for suite in suites.group(1).split())


def apt_options() -> list[str]:
    """The machine's own `Acquire::` settings (proxy, certificates, validity), as apt.conf lines."""
    dump = run(["apt-config", "dump", "Acquire"]).stdout
    return [line for line in dump.splitlines() if line.endswith(";") and '""' not in line]


def write_sources(folder: Path) -> tuple[list[Path], Path]:
    """Write :func:`package_sources` and :func:`apt_options` as files into `folder`."""
    stanzas = package_sources()
    files = []
    lines = [item for item in stanzas if item.startswith("deb")]
    if lines:
        files.append(folder / "machine.list")
        files[-1].write_text("\n".join(lines) + "\n", encoding="utf-8")
    deb822 = [item for item in stanzas if not item.startswith("deb")]
    if deb822:
        files.append(folder / "machine.sources")
        files[-1].write_text("\n\n".join(deb822) + "\n", encoding="utf-8")
    options = folder / "99machine"
    options.write_text("\n".join(apt_options()) + "\n", encoding="utf-8")
    return files, options


def image_key() -> str:
    """What the image is made of, as 16 hexadecimal digits: recipe, packages, suite and package sources."""
    recipe = Path(__file__).read_text(encoding="utf-8")
    made_of = (recipe, *PACKAGES, SUITE, *package_sources(), os.uname().machine)
    return hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]


def image_path() -> Path:
    """Where the image of :func:`image_key` stands, built or not."""
    return CACHE_ROOT / "images" / image_key()


def build_image() -> Path:
    """Build the base image unless it is cached, and return its folder.

    It is built beside its place and moved there whole, so that a build that dies leaves no half image.

    Raises:
        LabError: mmdebstrap failed, or there is no space.
    """
    image = image_path()
    if (image / "etc/os-release").exists():
        return image
    image.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(image.parent).free
    if free < SPACE_NEEDED:
        raise LabError(
            f"{image.parent} has {free / 1e9:.1f} GB free and the lab needs {SPACE_NEEDED / 1e9:.1f} GB; "
            "free some, or set JIZUO_CACHE to a folder on another disk"
        )
    for stale in image.parent.glob("*.building.*"):
        if not _alive(stale.name.rsplit(".", 1)[-1]):
            _remove_tree(stale)
    building = image.with_name(f"{image.name}.building.{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="jizuo-image-") as scratch:
        sources, options = write_sources(Path(scratch))
        command = [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            "--mode=root",
            f"--include={','.join(PACKAGES)}",
            f"--aptopt={options}",
            '--aptopt=APT::Install-Recommends "false"',
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--skip=check/empty",
            SUITE,
            str(building),
            *map(str, sources),
        ]
        try:
            run(command, timeout=600)
            _finish(building)
            building.rename(image)
        except BaseException:
            _remove_tree(building)
            raise
    return image


def _finish(root: Path) -> None:
    """What a lab host needs and Debian does not do: no package source, no keys, no machine id, networkd."""
    for path in [
        root / "etc/apt/sources.list",
        *(root / "etc/apt/sources.list.d").glob("*"),
        *(root / "etc/apt/apt.conf.d").glob("*mmdebstrap"),
        *(root / "etc/ssh").glob("ssh_host_*"),
        root / "etc/machine-id",
        root / "var/lib/dbus/machine-id",
        root / "etc/hostname",
        root / "etc/resolv.conf",
    ]:
        path.unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("uninitialized\n")
    # Installing packages on a dozen hosts of one machine is bound by dpkg's fsyncs; a lab host may lose data.
    (root / "etc/dpkg/dpkg.cfg.d/jizuo-lab").write_text("force-unsafe-io\n")
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")
    subprocess.run(
        ["chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", "deploy"], check=True
    )
    subprocess.run(["chroot", str(root), "systemctl", "mask", "-q", *MASKED], check=True)
    sudoers = root / "etc/sudoers.d/deploy"
    sudoers.write_text("deploy ALL=(ALL) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)


def _alive(pid: str) -> bool:
    return pid.isdigit() and Path("/proc", pid).exists()


def _remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
