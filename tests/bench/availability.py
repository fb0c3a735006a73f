"""What do availability probes cost? CPU-seconds per 1,000 probes on loopback, and fping beside them.

Run by `jizuo bench availability`; fping is compared where it is installed, or where FPING names it.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from checks.availability.run import probe_all
from checks.availability.targets import Kind, Target
from inventories.records import Family

TARGETS = 3025  # the sites of Yichun, a router each
RATE = 1000


def addresses(family: Family) -> Iterator[str]:
    for number in range(TARGETS):
        yield "::1" if family is Family.IPV6 else f"127.1.{number // 250}.{number % 250 + 1}"


def targets(kind: Kind, family: Family, port: int = 0) -> list[Target]:
    return [
        Target(subject=address, check=kind.value, kind=kind, family=family, address=address, port=port)
        for address in addresses(family)
    ]


def cpu() -> float:
    own, child = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + child.ru_utime + child.ru_stime


def report(name: str, probes: int, cpu_seconds: float, seconds: float) -> float:
    cost = cpu_seconds / probes * 1000
    print(f"{name:<34} {probes:>6} probes {seconds:7.2f} s {cost:8.4f} CPU-s per 1,000")
    return cost


def measure(name: str, probed: list[Target]) -> float:
    started, used = time.monotonic(), cpu()
    records = asyncio.run(probe_all(probed, rate=RATE))
    seconds, used = time.monotonic() - started, cpu() - used
    well = sum(record.status == "pass" for record in records)
    if well != len(probed):
        sys.exit(f"{name}: {well} of {len(probed)} answered: {records[0].evidence}")
    return report(name, len(probed), used, seconds)


def measure_fping(program: str, family: Family) -> float:
    option = "-6" if family is Family.IPV6 else "-4"
    names = "\n".join(addresses(family)) + "\n"
    started, used = time.monotonic(), cpu()
    arguments = [program, option, "-q", "-r0", "-t1000", f"-i{1000 / RATE:g}"]
    subprocess.run(arguments, input=names, text=True, capture_output=True, check=True)
    return report(f"fping {family}", TARGETS, cpu() - used, time.monotonic() - started)


def main(arguments: Sequence[str] = ()) -> int:
    """Print the cost of each kind of probe."""
    fping = os.environ.get("FPING") or shutil.which("fping")
    ours = {f: measure(f"jizuo ICMP {f}", targets(Kind.ICMP, f)) for f in Family}
    both = targets(Kind.ICMP, Family.IPV4) + targets(Kind.ICMP, Family.IPV6)
    measure("jizuo ICMP both at once", both)
    if fping:
        for family in Family:
            print(f"{'ratio to fping':<34} {ours[family] / measure_fping(fping, family):6.2f}")
    else:
        print("fping is not installed (Debian package fping): no comparison")
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096) as server:
        for family in Family:
            measure(f"jizuo TCP {family}", targets(Kind.TCP, family, server.getsockname()[1])[:2000])
    return 0


if __name__ == "__main__":
    sys.exit(main())
