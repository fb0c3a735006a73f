"""What do backups cost? Our job beside plain restic, PostgreSQL's restore to a moment, the status of 3,000 jobs.

Run by `jizuo bench backup`. restic and rclone are the real ones, over TLS on loopback, as the deploy configures them.
Our command and its peer run in turn, and medians are compared; what the server takes is in neither. The data are
in the page cache for both: where a disk is slow, it hides what the job does beside restic.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.bench import _backup_database, _backup_status
from tests.bench._backup_usage import Versus

if TYPE_CHECKING:
    from tests.bench._backup_job import Comparison

#: By how much more of each our job may take than plain restic.
TARGETS = {"first backup": 1.05, "unchanged rerun": 1.10}
FULL_MEGABYTES, FULL_FILES = 2000, 100_000
#: The data, two repositories of them, and what is restored.
ROOM = 4.5
PARTS = ("large", "unchanged", "database", "status")
EXAMPLES = """\
examples:
  jizuo bench backup
  jizuo bench backup --size 100 --rounds 1    a quick one
  jizuo bench backup --only unchanged --json
"""


def main(arguments: Sequence[str] = ()) -> int:
    """Measure; exit 1 where a target is missed."""
    options = _parser().parse_args(list(arguments))
    parts = options.only or list(PARTS)
    for program in ("restic", "rclone"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is not installed; run: apt-get install restic rclone")
    said: dict[str, Any] = {"size_megabytes": options.size, "cores": os.cpu_count(), "load": os.getloadavg()}
    targets: dict[str, bool] = {}
    show: Callable[[str], None] = (lambda line: None) if options.json else partial(print, flush=True)
    with TemporaryDirectory(prefix="bench-backup-", dir=options.folder) as scratch:
        folder = Path(scratch)
        if shutil.disk_usage(folder).free < ROOM * options.size * 10**6:
            sys.exit(f"{folder} has no room for {ROOM * options.size:.0f} MB; see --folder")
        if "large" in parts or "unchanged" in parts:
            said["job"] = [_told(one, show, targets) for one in _job(folder, options, parts)]
        if "database" in parts:
            said["database"] = _backup_database.measure(folder, options.size, options.rounds, show, progress)
        if "status" in parts:
            said["status"] = _status(folder, show, targets)
    said["targets"] = targets
    for name, met in targets.items():
        show(f"target {'met   ' if met else 'missed'} {name}")
    if options.json:
        print(json.dumps(said, indent=2))
    return 0 if all(targets.values()) else 1


def progress(line: str) -> None:
    """For whoever waits; apart from the figures."""
    print(f"... {line}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jizuo bench backup",
        description="\n\n".join(textwrap.fill(part, 79) for part in (__doc__ or "").strip().split("\n\n")),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--size", type=int, default=FULL_MEGABYTES, metavar="MB", help="of data; the files' number follows"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be repeated")
    parser.add_argument("--folder", default=None, help="where the data are made, and removed")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    return parser


def _job(folder: Path, options: argparse.Namespace, parts: Sequence[str]) -> Iterator[Comparison]:
    # Not before restic is known to be here: the tests' parts that these use need it.
    from tests.bench._backup_job import large, unchanged
    from tests.bench._backup_place import place

    with place(folder / "city") as here:
        if "large" in parts:
            yield from large(here, options.size, options.rounds, progress)
        if "unchanged" in parts:
            files = FULL_FILES * options.size // FULL_MEGABYTES
            yield unchanged(here, "unchanged rerun", files, 100, options.rounds + 2, progress)
            # What restic holds of a folder is most of its memory, of which our job has an opinion (memory.py).
            yield unchanged(here, "unchanged rerun of one folder", files, files, options.rounds, progress)
    shutil.rmtree(folder / "city")


def _told(one: Comparison, show: Callable[[str], None], targets: dict[str, bool]) -> dict[str, Any]:
    files = f", {one.files} files" if one.files else ""
    show(f"{one.name}: {one.total_bytes / 1e6:.0f} MB{files}, median of {one.versus.rounds} rounds")
    limit = TARGETS.get(one.name)
    show_versus(one.versus, "plain restic", show, one.total_bytes, limit)
    ratio = one.versus.ratio
    if limit is not None:
        targets.update({f"{one.name}, {WORDS[field]}": ratio[field] < limit for field in ratio})
    return {
        "name": one.name, "total_bytes": one.total_bytes, "files": one.files, "rounds": one.versus.rounds,
        "ours": one.versus.ours._asdict(), "plain": one.versus.plain._asdict(), "ratio": ratio,
    }  # fmt: skip


WORDS = {"seconds": "wall", "cpu_seconds": "processor", "peak_bytes": "memory"}


def show_versus(
    versus: Versus, peer: str, show: Callable[[str], None], total_bytes: int = 0, limit: float | None = None
) -> None:
    """A line for each field: ours, the peer's, the ratio, and the target."""
    ours, plain, ratio = versus.ours, versus.plain, versus.ratio
    goal = f", target under {limit:.2f}" if limit else ""
    speed = ""
    if total_bytes:
        speed = (
            f" ({total_bytes / 1e6 / ours.seconds:.0f} MB/s, {total_bytes / 1e6 / plain.seconds:.0f} MB/s)"
        )
    show(f"  wall       ours {ours.seconds:8.2f} s   {peer} {plain.seconds:8.2f} s   ratio {ratio['seconds']:.3f}"
         f"{goal}{speed}")  # fmt: skip
    show(f"  processor  ours {ours.cpu_seconds:8.2f} s   {peer} {plain.cpu_seconds:8.2f} s   "
         f"ratio {ratio['cpu_seconds']:.3f}{goal}")  # fmt: skip
    show(f"  memory     ours {ours.peak_bytes / 1e6:8.1f} MB  {peer} {plain.peak_bytes / 1e6:8.1f} MB  "
         f"ratio {ratio['peak_bytes']:.3f}{goal}")  # fmt: skip


def _status(folder: Path, show: Callable[[str], None], targets: dict[str, bool]) -> dict[str, Any]:
    progress("status of 3,000 jobs")
    found = _backup_status.measure(folder)
    limit = _backup_status.LIMIT
    show(f"status of {found.jobs} jobs, {found.late} late")
    show(f"  states read from files           {found.read:6.2f} s")
    show(f"  judged, sorted and laid out      {found.shown:6.2f} s, {found.shown_cpu:.2f} s of the processor, "
         f"target under {limit:.1f} s")  # fmt: skip
    show(f"  the whole command                {found.command:6.2f} s, its start and the inventory included")
    targets["status"] = found.shown < limit
    return found._asdict()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
