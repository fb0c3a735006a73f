"""What this machine needs for a lab and for the tests, and how it gets it: Debian packages, from its own sources."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from deploy.lab.run import LabError, run

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
#: What the tests call besides. None of these packages starts a service; promtool's does, so it comes otherwise.
TEST_PROGRAMS = {
    "chromium": "chromium",
    "named-checkzone": "bind9-utils",
    "restic": "restic",
    "rclone": "rclone",
    "fping": "fping",
    "openssl": "openssl",
}
#: Chinese characters in the status page's pictures need a font that has them.
TEST_PACKAGES = ("fonts-noto-cjk",)


def missing_packages(programs: dict[str, str]) -> list[str]:
    """The packages of those programs that are not on the path."""
    return sorted({package for program, package in programs.items() if shutil.which(program) is None})


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
