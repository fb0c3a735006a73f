"""The writer of drills: a record is on the disk before it is told, and the work's time is not added to the interval."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from checks.drills.definition import SHARED

WRITE = SHARED / "files/write.sh"


def test_records_are_synced_and_what_that_took_is_slept_less(tmp_path: Path) -> None:
    programs, log, records = tmp_path / "bin", tmp_path / "log", tmp_path / "records"
    programs.mkdir()
    # A disk that takes 60 ms at least; what is asked of it, and how long the writer sleeps, is noted.
    (programs / "sync").write_text(f'#!/bin/sh\necho "sync $*" >>{log}\nsleep 0.06\nexec /bin/sync "$@"\n')
    (programs / "sleep").write_text(
        f'#!/bin/sh\n[ "$1" = 0.06 ] || echo "sleep $1" >>{log}\nexec /bin/sleep "$1"\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin"}
    writer = subprocess.Popen(["/bin/sh", str(WRITE), str(records)], env=environment)
    try:
        deadline = time.monotonic() + 180
        while len(list(records.glob("*.json"))) < 6 or "sleep" not in log.read_text():
            assert time.monotonic() < deadline
            assert writer.poll() is None
            time.sleep(0.05)
    finally:
        writer.kill()
        writer.wait()
    said = log.read_text().splitlines()
    first = min(records.glob("*.json"))
    assert said[0] == f"sync {first} {records}", "the file before its name"
    assert not list(records.glob(".*")), "a name that a backup lists and cannot read a moment later"
    slept = [float(line.split()[1]) for line in said if line.startswith("sleep ")]
    assert slept, "the writer was never in time"
    # The sync of 60 ms lies within the 100 ms: what is left to sleep is less, however slow the machine is.
    assert max(slept) <= 0.04
    for path in sorted(records.glob("*.json"))[:-1]:
        assert path.read_text() == f'{{"received": {path.stem}}}\n'
