"""`jizuo backup timer`: units by which the controller proves restores by itself."""

from __future__ import annotations

from pathlib import Path

import click

from deploy.cli import ready_state
from deploy.controller.units import RESTORES, write_units
from inventories.cli import load_or_exit


@click.command(
    epilog="""\b
Examples:
  sudo jizuo backup timer inventories/lab /etc/systemd/system --every 24
  sudo systemctl enable --now jizuo-restores-3609.timer

\b
Exit codes: 0 written, 1 failed."""
)
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--every",
    type=click.IntRange(1, RESTORES.longest_hours),
    default=24,
    show_default=True,
    metavar="HOURS",
    help="How often.",
)
def timer(path: Path, folder: Path, every: int) -> None:
    """Write the units of a timer that restores each job on another host.

    It runs `jizuo backup verify PATH --elsewhere` on this machine, which takes another host and another repository
    each time. FOLDER is where systemd looks for units.
    """
    city = load_or_exit(path)
    write_units(RESTORES, city.layout.division, path, ready_state(), folder, every)
