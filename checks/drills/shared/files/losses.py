"""Which packets of a client were lost, and when was the last? Runs on the client: needs ping and python3-minimal.

losses.py start FOLDER SECONDS ADDRESS4 ADDRESS6
    begins a ping over each family, a packet every 10 ms, as transient units; what they say goes to FOLDER.
losses.py report FOLDER SINCE MOMENT
    prints, for each family, `drill-moment MOMENT-FAMILY TIME`: when the first packet after the last lost one was
    answered, or SINCE (0: the beginning) where none was lost after it; and a line `lost FAMILY COUNT of SENT`.
losses.py stop FOLDER
    ends the pings.

TIME and SINCE are Unix seconds, or SINCE is ISO 8601 with an offset.
"""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path

INTERVAL = 0.01
FAMILIES = ("ipv4", "ipv6")
ANSWER = re.compile(r"^\[(\d+\.\d+)\] .*icmp_seq=(\d+) .*time=([\d.]+) ms")
#: ping counts in 16 bits; a step back by more than half of that is the counter's turn.
TURN = 1 << 16


def unit(family: str) -> str:
    return f"jizuo-drill-ping-{family}"


def start(folder: str, seconds: str, *addresses: str) -> int:
    """Begin both pings, and wait until each was answered."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for family, address in zip(FAMILIES, addresses, strict=True):
        output = Path(folder) / family
        output.unlink(missing_ok=True)
        subprocess.run(["systemctl", "reset-failed", unit(family)], capture_output=True, check=False)
        subprocess.run(
            [
                *("systemd-run", "--quiet", "--collect", f"--unit={unit(family)}"),
                f"--property=StandardOutput=file:{output}",
                *("ping", "-n", "-D", "-i", str(INTERVAL), "-w", seconds, address),
            ],
            check=True,
        )
    return 0


def answers(file: Path) -> list[tuple[int, float]]:
    """Sequence numbers that were answered, and when, Unix seconds; in the order of sending."""
    found: dict[int, float] = {}
    newest = 0
    for line in file.read_text(encoding="ascii", errors="replace").splitlines():
        if match := ANSWER.match(line):
            number = int(match[2]) + newest // TURN * TURN
            if number < newest - TURN // 2:
                number += TURN
            newest = max(newest, number)
            found.setdefault(number, float(match[1]))
    return sorted(found.items())


def lost_since(found: list[tuple[int, float]], since: float) -> tuple[int, int, float]:
    """Packets lost after a moment, of how many, and when the first after the last of them was answered."""
    lost, sent, healed = 0, 0, since
    for (before, _), (number, at) in pairwise(found):
        if at < since:
            continue
        sent += number - before
        if number - before > 1:
            lost += number - before - 1
            healed = at
    return lost, sent, healed


def report(folder: str, since: str, called: str) -> int:
    """Print what was lost; exit code 1 where a family is not answered at all now."""
    try:
        moment = float(since)
    except ValueError:
        moment = datetime.fromisoformat(since).timestamp()
    silent = 0
    now = datetime.now().timestamp()
    for family in FAMILIES:
        found = answers(Path(folder) / family)
        lost, sent, healed = lost_since(found, moment or found[0][1] if found else moment)
        if not found or now - found[-1][1] > 1:
            print(f"{family}: no packet was answered in the last second", file=sys.stderr)
            silent = 1
            continue
        print(f"lost {family} {lost} of {sent}")
        print(f"drill-moment {called}-{family} {healed:.3f}")
    return silent


def stop(folder: str) -> int:
    """End the pings; also where they do not run."""
    units = [unit(family) for family in FAMILIES]
    subprocess.run(["systemctl", "stop", *units], capture_output=True, check=False)
    return 0


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    sys.exit(
        start(*arguments) if verb == "start" else report(*arguments) if verb == "report" else stop(*arguments)
    )
