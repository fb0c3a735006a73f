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
    # A disk that takes 30 ms at least; what is asked of it, and how long the writer sleeps, is noted.
    (programs / "sync").write_text(f'#!/bin/sh\necho "sync $1" >>{log}\nsleep 0.03\nexec /bin/sync "$1"\n')
    (programs / "sleep").write_text(
        f'#!/bin/sh\n[ "$1" = 0.03 ] || echo "sleep $1" >>{log}\nexec /bin/sleep "$1"\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin"}
    writer = subprocess.Popen(["/bin/sh", str(WRITE), str(records)], env=environment)
    try:
        deadline = time.monotonic() + 30
        while len(list(records.glob("*.json"))) < 6:
            assert time.monotonic() < deadline
            assert writer.poll() is None
            time.sleep(0.05)
    finally:
        writer.kill()
        writer.wait()
    said = log.read_text().splitlines()
    assert said[:2] == [f"sync {records}/.new", f"sync {records}"], "the file before its name, then the name"
    slept = [float(line.split()[1]) for line in said if line.startswith("sleep ")]
    assert slept, "the writer was never in time"
    # Two syncs of 30 ms each lie within the 100 ms: what is left to sleep is less, however slow the machine is.
    assert max(slept) <= 0.04
    for path in records.glob("*.json"):
        assert path.read_text() == f'{{"received": {path.stem}}}\n'
