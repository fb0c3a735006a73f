"""What this machine needs for a lab and for the tests, and how it gets it: Debian packages, from its own sources."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from deploy.lab.places import CACHE_ROOT
from deploy.lab.run import LabError, run

#: Where the files of packages that are not installed are kept.
TOOLS = CACHE_ROOT / "tools"

#: What a lab calls on this machine: program, and the Debian package that has it.
LAB_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nft": "nftables",
    "ssh": "openssh-client",
    "gpg": "gnupg",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
#: What the tests call besides; none of these packages starts a service.
TEST_PROGRAMS = {
    "age": "age",
    "chromium": "chromium",
    "curl": "curl",
    "faketime": "faketime",
    "fping": "fping",
    "git": "git",
    "named-checkzone": "bind9-utils",
    "openssl": "openssl",
    "rclone": "rclone",
    "restic": "restic",
    "xxh128sum": "xxhash",
}
#: Packages of the tests that are no program: Chinese pages need a font that has the characters, and the backup job runs
#: under the system's own interpreter.
TEST_PACKAGES = ("fonts-noto-cjk", "python3-xxhash")
#: Programs of packages that would start a service when installed: their files alone are fetched.
UNPACKED_PROGRAMS = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "victoria-metrics": "victoria-metrics",
}


#: What a virtual machine takes besides, for what this machine's own kernel may lack.
GUEST_PROGRAMS = {"cpio": "cpio", "mmdebstrap": "mmdebstrap", "qemu-system-x86_64": "qemu-system-x86"}
#: Its kernel: a small package that depends on the one that has it (27 MB).
GUEST_KERNEL = "linux-image-cloud-amd64"


def missing_packages(programs: dict[str, str]) -> list[str]:
    """The packages of those programs that are not on the path."""
    return sorted({package for program, package in programs.items() if shutil.which(program) is None})


def absent_packages(packages: Iterable[str]) -> list[str]:
    """Those of the packages that dpkg does not have installed."""
    done = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"], check=False)
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return sorted(set(packages) - installed)


def prepare_tests(say: Callable[[str], None]) -> list[Path]:
    """Install and fetch what the lab and the tests call; returns folders to add to the path.

    Raises:
        LabError: something is missing and cannot be installed, because this is not root, or apt-get failed.
    """
    missing = missing_packages(LAB_PROGRAMS | TEST_PROGRAMS) + absent_packages(TEST_PACKAGES)
    if missing and os.geteuid() != 0:
        raise LabError(f"not installed: {', '.join(missing)}; run: sudo apt-get install {' '.join(missing)}")
    install(missing, say)
    packages = {package for program, package in UNPACKED_PROGRAMS.items() if shutil.which(program) is None}
    return [package_files(package, TOOLS / package, say) / "usr/bin" for package in sorted(packages)]


def fetched_programs() -> list[Path]:
    """Folders of the programs that were fetched before and are not on the path; fetches nothing."""
    packages = {package for program, package in UNPACKED_PROGRAMS.items() if shutil.which(program) is None}
    return [folder for package in sorted(packages) if (folder := TOOLS / package / "usr/bin").is_dir()]


def kernel_lacks() -> list[str]:
    """What this machine's kernel cannot do for a lab, each with what stands in for it; tried, not looked up."""
    tried = run(
        ["unshare", "--net", "ip", "link", "add", "probe", "type", "vrf", "table", "100"], check=False
    )
    if tried.returncode:
        return [f"no VRF in kernel {os.uname().release}: network namespaces instead"]
    return []


def check_root() -> None:
    """Raise LabError unless this is root: namespaces and mounts need it."""
    if os.geteuid() != 0:
        raise LabError("a lab boots hosts and makes network namespaces: run it as root (sudo)")


def install(packages: Iterable[str], say: Callable[[str], None]) -> None:
    """Install Debian packages from the machine's own sources; does nothing when there are none to install.

    Raises:
        LabError: apt-get is missing, or failed; the message ends with what it said.
    """
    wanted = sorted(packages)
    if not wanted:
        return
    if shutil.which("apt-get") is None:
        raise LabError(
            f"not installed: {', '.join(wanted)}; this machine has no apt-get, install them by hand"
        )
    check_root()
    say(f"installing {', '.join(wanted)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "-qq", "update"], timeout=300, env=environment)
    run(["apt-get", "-qq", "-y", "--no-install-recommends", "install", *wanted], timeout=900, env=environment)


def package_files(package: str, folder: Path, say: Callable[[str], None]) -> Path:
    """Unpack a Debian package's files below `folder` without installing it: no service starts.

    Returns the folder; a second call finds it there.
    """
    if folder.exists():
        return folder
    say(f"fetching {package}")
    building = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        building.chmod(0o777)  # apt fetches as its own user
        run(["apt-get", "-qq", "update"], timeout=300)
        done = run(
            [
                "sh",
                "-euc",
                'cd "$1" && apt-get -qq download "$2" && dpkg -x "$2"_*.deb files',
                "sh",
                str(building),
                package,
            ],
            timeout=300,
        )
        if not (building / "files").is_dir():
            raise LabError(f"{package} could not be fetched: {done.stderr.strip()}")
        (building / "files").rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def guest_kernel(say: Callable[[str], None]) -> tuple[Path, Path, Path]:
    """Debian's kernel for virtual machines, unpacked: the kernel, its folder of modules, and kmod, which loads them.

    What runs it is installed where it is missing.

    Raises:
        LabError: something is missing and cannot be installed or fetched.
    """
    install(missing_packages(GUEST_PROGRAMS), say)
    files = TOOLS / GUEST_KERNEL
    if not files.exists():
        run(["apt-get", "-qq", "update"], timeout=300)
        told = run(["apt-cache", "depends", "--important", GUEST_KERNEL]).stdout.split()
        package = next(
            (word for word in told if word.startswith("linux-image-") and word != GUEST_KERNEL), None
        )
        if package is None:
            raise LabError(f"the machine's package sources have no {GUEST_KERNEL}")
        package_files(package, TOOLS / package, say)
        files.symlink_to(package)
    (kernel,) = files.glob("boot/vmlinuz-*")
    (modules,) = files.glob("lib/modules/*")
    tools = package_files("kmod", TOOLS / "kmod", say)
    return (
        kernel,
        modules,
        next(tools / place for place in ("usr/bin/kmod", "bin/kmod") if (tools / place).exists()),
    )
