"""What does the controller do by itself for a city? A service and a timer for each of its chores."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click

from deploy.here import render
from deploy.lab.places import CACHE_ROOT

TEMPLATES = Path(__file__).parent / "templates"
ROOT = Path(__file__).resolve().parents[2]


class Chore(NamedTuple):
    """Something that the controller does every so many hours.

    Attributes:
        name: What its units are called after `jizuo-`.
        description: What systemd says of it, before the city's division code.
        command: The command's words, given the inventory.
        success: Exit codes beside 0 that are no failure.
        written: What it writes, below the state folder; empty for all of that folder.
        longest_hours: At most half of the age at which an alert says that nobody does it, so that one run that is lost
            raises none.
    """

    name: str
    description: str
    command: Callable[[str], list[str]]
    success: str
    written: tuple[str, ...]
    longest_hours: int


DRIFT = Chore(
    "drift",
    "where hosts differ from the inventory",
    lambda inventory: ["drift", inventory, "--quiet"],
    # Changes are pending: they are what the check is for, not its failure.
    "2",
    ("deploy",),
    12,
)
RESTORES = Chore(
    "restores",
    "each backup job restored on another host and compared",
    lambda inventory: ["backup", "verify", inventory, "--elsewhere", "--quiet"],
    "",
    (),
    # A run takes one repository of a job in turn: with four, each comes every fortnight of the month that it may take.
    84,
)


def unit_files(chore: Chore, division: str, inventory: Path, state: Path, hours: int) -> dict[str, str]:
    """Both units by file name: the chore every `hours` hours, as the account that owns the state folder.

    The name has the city's division code: a controller may have several cities.
    """
    name = f"jizuo-{chore.name}-{division}"
    command = [sys.executable, str(ROOT / "jizuo.py"), *chore.command(str(inventory.resolve()))]
    values = {"description": chore.description, "division": division}
    service = render(
        TEMPLATES / "chore.service.j2",
        command=" ".join(map(_quoted, command)),
        success=chore.success,
        state=_quoted(f"JIZUO_STATE={state}"),
        cache=_quoted(f"JIZUO_CACHE={CACHE_ROOT}"),
        account=pwd.getpwuid(state.stat().st_uid).pw_name,
        written=" ".join(_quoted(str(folder)) for folder in _written(chore, state)),
        **values,
    )
    timer = render(TEMPLATES / "chore.timer.j2", hours=hours, **values)
    return {f"{name}.service": service, f"{name}.timer": timer}


def write_units(chore: Chore, division: str, inventory: Path, state: Path, folder: Path, hours: int) -> None:
    """Write both units to a folder, make what they write to, and say how it begins."""
    state = state.resolve()
    _make(chore, state)
    units = unit_files(chore, division, inventory, state, hours)
    for name, text in units.items():
        (folder / name).write_text(text, encoding="utf-8")
        click.echo(f"wrote {folder / name}")
    timer = next(name for name in units if name.endswith(".timer"))
    click.echo(f"to begin: systemctl daemon-reload && systemctl enable --now {timer}")


def _written(chore: Chore, state: Path) -> list[Path]:
    return [*([state / name for name in chore.written] or [state]), CACHE_ROOT]


def _make(chore: Chore, state: Path) -> None:
    """Make the folders that a unit writes: where one is missing, systemd does not start it.

    They belong to the account that owns the state folder, whoever writes the units.
    """
    owner = state.stat()
    for folder in _written(chore, state):
        if not folder.is_dir():
            folder.mkdir(parents=True, mode=0o755)
            os.chown(folder, owner.st_uid, owner.st_gid)


def _quoted(word: str) -> str:
    """A word as systemd reads it: `%` and `$` mean themselves (systemd.service(5), systemd.syntax(7))."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'
