"""What does a command take? Seconds, the processor's seconds and memory, of all processes that it starts."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: Seconds between two looks at what the processes hold.
LOOK = 0.02
PAGE = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """What a command took; the processor's seconds are user and system time, the memory what is resident at most."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Versus(NamedTuple):
    """Our command and its peer, each run as often as the other in turn: medians of each."""

    ours: Usage
    plain: Usage
    rounds: int

    @property
    def ratio(self) -> dict[str, float]:
        """Ours to the peer's, for each field of Usage."""
        return {field: getattr(self.ours, field) / getattr(self.plain, field) for field in Usage._fields}


def measured(command: Sequence[str], environment: Mapping[str, str]) -> Usage:
    """Run a command to its end; exits where the command fails."""
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        ended, peak = threading.Event(), [0]
        watcher = threading.Thread(target=_watch, args=(process.pid, ended, peak), daemon=True)
        watcher.start()
        # All that the process itself waited for is in its usage (wait4(2)).
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        ended.set()
        watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            said = output.read().decode("utf-8", "replace")[-1000:]
            sys.exit(f"exit code {process.returncode} of {' '.join(command[:6])} ...: {said}")
    return Usage(seconds, used.ru_utime + used.ru_stime, max(peak[0], used.ru_maxrss * 1024))


def _watch(root: int, ended: threading.Event, peak: list[int]) -> None:
    while not ended.wait(LOOK):
        peak[0] = max(peak[0], sum(_resident(process) for process in _tree(root)))


def _tree(root: int) -> Iterator[int]:
    """A process and all below it (proc(5), children of each task)."""
    yield root
    for task in Path(f"/proc/{root}/task").glob("*/children"):
        try:
            below = task.read_text().split()
        except OSError:
            continue
        for child in below:
            yield from _tree(int(child))


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def versus(rounds: int, ours: Callable[[], Usage], plain: Callable[[], Usage]) -> Versus:
    """Run both in turn, the other one first each time: what else the machine does meets both."""
    taken: dict[Callable[[], Usage], list[Usage]] = {ours: [], plain: []}
    for number in range(rounds):
        for act in (ours, plain) if number % 2 == 0 else (plain, ours):
            taken[act].append(act())
    return Versus(median(taken[ours]), median(taken[plain]), rounds)


def median(taken: Sequence[Usage]) -> Usage:
    """The median of each field."""
    return Usage(
        statistics.median(one.seconds for one in taken),
        statistics.median(one.cpu_seconds for one in taken),
        int(statistics.median(one.peak_bytes for one in taken)),
    )
