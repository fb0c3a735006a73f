"""What does `jizuo backup verify --elsewhere` say of the restores that it makes on other hosts?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.filesize import decimal

from checks.backup.elsewhere import Restored, paths_of
from checks.backup.elsewhere_databases import Cluster, clusters_of
from checks.backup.elsewhere_run import ElsewhereError, Prover, Subject
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

    restorable: list[Subject] = [job for job in jobs if paths_of(city.backups[job.policy])]
    restorable += clusters_of(city, jobs)
    known = {(one.policy, one.node) for one in restorable}
    for job in jobs:
        if (job.policy, job.node) not in known:
            say(
                f"{job.name}: nothing of it can be restored on another host: no folder, no dump, no off-site database"
            )
    found: list[tuple[Subject, Restored]] = []
    problem = ""
    prover = Prover(city, path, state, SecureShell(config=state / "ssh_config"), say)
    try:
        for subject, test in prover.prove(restorable):
            found.append((subject, test))
            if not as_json:
                click.echo(told(subject, test))
    except (ElsewhereError, OSError) as error:
        problem = str(error)
    except KeyboardInterrupt:
        problem = "stopped; keys and data were taken back"
        if prover.has_left_something:
            problem = "stopped, and keys or data are left on a host; the next run takes them back first"
    if as_json:
        rows = [{"job": subject.name, **msgspec.to_builtins(test)} for subject, test in found]
        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
    if problem:
        click.echo(f"jizuo backup verify: {problem}", err=True)
    return 0 if not problem and all(test.result == "success" for _, test in found) else 1


def told(subject: Subject, test: Restored) -> str:
    """A test in words."""
    where = f"on {test.host} from {test.repository}: " if test.host else ""
    if test.result != "success":
        return f"{subject.name}: {click.style('failure', fg='red')}: {where}{test.error}"
    said = f"{subject.name}: {click.style('success', fg='green')}: {where}"
    if isinstance(subject, Cluster):
        return (
            f"{said}{decimal(test.total_bytes)}, the newest {test.rows} rows as they were\n  moment "
            f"{test.snapshot_at}, base backup {test.snapshot}, restored and replayed in {test.seconds:.1f} s"
        )
    what = f"{test.files:,} files{' (a sample)' if test.sampled else ''}, {decimal(test.total_bytes)}"
    return (
        f"{said}{what}, each with the content hash of backup time\n  snapshot {test.snapshot} of "
        f"{test.snapshot_at}, restored in {test.seconds:.1f} s"
    )
