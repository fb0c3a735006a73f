"""How is drift checked by itself? A service and a timer of the controller, for one city."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

from deploy.here import render
from deploy.lab.places import CACHE_ROOT

TEMPLATES = Path(__file__).parent / "templates"
ROOT = Path(__file__).resolve().parents[2]
#: At most half of the age at which the alert DriftNotChecked fires (a day), so that one lost check raises none.
LONGEST_HOURS = 12


def unit_name(division: str) -> str:
    """The units' name without its ending; a controller may have several cities."""
    return f"jizuo-drift-{division}"


def unit_files(division: str, inventory: Path, state: Path, hours: int) -> dict[str, str]:
    """Both units by file name: a check every `hours` hours, as the account that owns the state folder."""
    name = unit_name(division)
    command = [sys.executable, str(ROOT / "jizuo.py"), "drift", str(inventory.resolve()), "--quiet"]
    service = render(
        TEMPLATES / "jizuo-drift.service.j2",
        division=division,
        command=" ".join(map(_quoted, command)),
        state=_quoted(f"JIZUO_STATE={state}"),
        cache=_quoted(f"JIZUO_CACHE={CACHE_ROOT}"),
        account=pwd.getpwuid(state.stat().st_uid).pw_name,
        written=" ".join(_quoted(str(folder)) for folder in (state / "deploy", CACHE_ROOT)),
    )
    timer = render(TEMPLATES / "jizuo-drift.timer.j2", division=division, hours=hours)
    return {f"{name}.service": service, f"{name}.timer": timer}


def make_written(state: Path) -> None:
    """Make the folders that the unit writes: where one is missing, systemd does not start it.

    They belong to the account that owns the state folder, whoever writes the units.
    """
    owner = state.stat()
    for folder in (state / "deploy", CACHE_ROOT):
        if not folder.is_dir():
            folder.mkdir(parents=True, mode=0o755)
            os.chown(folder, owner.st_uid, owner.st_gid)


def _quoted(word: str) -> str:
    """A word as systemd reads it: `%` and `$` mean themselves (systemd.service(5), systemd.syntax(7))."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'
