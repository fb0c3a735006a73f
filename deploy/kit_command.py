"""What does a command of the kit write for a city? Asked on the controller, by rooms that may not import it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.operations.inventory_copy import FOLDER as INVENTORY
from deploy.operations.inventory_copy import inventory_files
from inventories.records import Management


class CommandError(Exception):
    """The kit's command refused; the message is its own."""


def written_by(command: Sequence[str], inventory: Path, management: Management) -> dict[str, bytes]:
    """Every file that `jizuo COMMAND INVENTORY --out FOLDER` writes, by its path below the folder.

    `management` is the city's management network, which a lab may have changed.

    Raises:
        CommandError: the command failed.
    """
    with tempfile.TemporaryDirectory(prefix="jizuo-command-") as scratch:
        folder, out = Path(scratch) / "inventory", Path(scratch) / "out"
        folder.mkdir()
        for file in inventory_files(inventory, management):
            (folder / Path(file.path).relative_to(INVENTORY)).write_bytes(file.data)
        whole = [sys.executable, "-c", "import jizuo; jizuo.main()", *command, str(folder), "--out", str(out)]
        done = subprocess.run(whole, capture_output=True, text=True, check=False, cwd=_root())
        if done.returncode:
            raise CommandError(done.stderr.strip() or done.stdout.strip())
        return {
            str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()
        }


def _root() -> Path:
    """Where the module `jizuo` is found when the kit runs from its source."""
    return Path(__file__).resolve().parents[1]
