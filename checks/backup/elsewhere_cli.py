"""What does `jizuo backup verify --elsewhere` say of the restores that it makes on other hosts?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.filesize import decimal

from checks.backup.elsewhere import Restored, paths_of
from checks.backup.elsewhere_run import ElsewhereError, Prover
from checks.backup.hosts import Job
from checks.ssh import SecureShell
from inventories.records import City


def verify_elsewhere(
    city: City, path: Path, state: Path, jobs: Sequence[Job], *, as_json: bool, quiet: bool
) -> int:
    """Restore each job on another host and say what came of it; the command's exit code."""

    def say(line: str) -> None:
        if not (quiet or as_json):
            click.echo(line, err=True)

    restorable = [job for job in jobs if paths_of(city.backups[job.policy])]
    for job in jobs:
        if job not in restorable:
            say(f"{job.name}: backs up no folder and no dump; its databases are proven by their own restores")
    found: list[tuple[Job, Restored]] = []
    problem = ""
    prover = Prover(city, path, state, SecureShell(config=state / "ssh_config"), say)
    try:
        for job, test in prover.prove(restorable):
            found.append((job, test))
            if not as_json:
                click.echo(told(job, test))
    except (ElsewhereError, OSError) as error:
        problem = str(error)
    except KeyboardInterrupt:
        problem = "stopped; keys and data were taken back"
        if prover.has_left_something:
            problem = "stopped, and keys or data are left on a host; the next run takes them back first"
    if as_json:
        rows = [{"job": job.name, **msgspec.to_builtins(test)} for job, test in found]
        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
    if problem:
        click.echo(f"jizuo backup verify: {problem}", err=True)
    return 0 if not problem and all(test.result == "success" for _, test in found) else 1


def told(job: Job, test: Restored) -> str:
    """A test in words."""
    where = f"on {test.host} from {test.repository}"
    if test.result != "success":
        return f"{job.name}: {click.style('failure', fg='red')}: {where}: {test.error}"
    what = f"{test.files:,} files{' (a sample)' if test.sampled else ''}, {decimal(test.total_bytes)}"
    return (
        f"{job.name}: {click.style('success', fg='green')}: {where}: {what}, each with the content hash of backup "
        f"time\n  snapshot {test.snapshot} of {test.snapshot_at}, restored in {test.seconds:.1f} s"
    )
