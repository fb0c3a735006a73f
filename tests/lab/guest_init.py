#!/usr/bin/python3
"""The first process of a test's virtual machine: runs the scripts that come in by its virtio port, answers with what
each printed. It has Debian's smallest Python, which knows neither JSON nor base64."""

import os
import subprocess
import time
from pathlib import Path

MOUNTS = (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run"), ("tmpfs", "/tmp"))
#: The port's driver and its bus; everything else is the kernel's to load when it is asked for it.
DRIVERS = ("virtio_pci", "virtio_console")


def port() -> str:
    """The virtio port's device, once its driver has found it."""
    for _ in range(1000):
        found = next(Path("/dev").glob("vport*p*"), None)
        if found:
            return str(found)
        time.sleep(0.02)
    raise SystemExit("no virtio port")


def main() -> None:
    os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME="/root", LC_ALL="C.UTF-8")
    for kind, place in MOUNTS:
        subprocess.run(["mount", "-t", kind, kind, place], check=True)
    for driver in DRIVERS:
        subprocess.run(["modprobe", driver], check=True)
    with open(port(), "r+b", buffering=0) as host:  # noqa: PTH123 - a device, unbuffered
        buffered = os.fdopen(os.dup(host.fileno()), "rb")
        host.write(b"ready\n")
        for line in buffered:
            timeout, script = line.split()
            try:
                done = subprocess.run(
                    ["sh", "-c", bytes.fromhex(script.decode())],
                    capture_output=True,
                    timeout=float(timeout),
                    check=False,
                )
                code, out, err = done.returncode, done.stdout, done.stderr
            except subprocess.TimeoutExpired as late:
                code, out, err = 124, late.stdout or b"", b"did not end in time"
            answer = memoryview(f"{code} {out.hex() or '-'} {err.hex() or '-'}\n".encode())
            while answer:  # the port takes so much at a time
                answer = answer[host.write(answer) :]


main()
