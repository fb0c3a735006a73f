"""What do the second Prometheus and Alertmanager read? The same as the first, as the kit's command writes them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.hoststate.files import File
from deploy.login.files import prometheus_options
from deploy.operations.inventory_copy import FOLDER as INVENTORY
from deploy.operations.inventory_copy import inventory_files
from deploy.operations.monitoring import CONTACTS, SETTINGS
from inventories.records import Management

#: Of these Prometheus reads every file, so that none may be left from another city.
EXCLUSIVE = (f"{SETTINGS}/rules/*", f"{SETTINGS}/targets/*")


class ConfigurationError(Exception):
    """The kit's command refused; the message is its own."""


def settings(inventory: Path, management: Management, replica: str) -> list[File]:
    """Every file below Prometheus's folder, for a city whose management network is `management`.

    The exporters' room renders it, which this room does not import: the command is asked, on the controller.

    Raises:
        ConfigurationError: the command failed.
    """
    with tempfile.TemporaryDirectory(prefix="jizuo-watch-") as scratch:
        folder, out = Path(scratch) / "inventory", Path(scratch) / "out"
        folder.mkdir()
        for file in inventory_files(inventory, management):
            (folder / Path(file.path).relative_to(INVENTORY)).write_bytes(file.data)
        command = [sys.executable, "-c", "import jizuo; jizuo.main()", "exporter", "prometheus-config"]
        command += [str(folder), "--out", str(out), "--replica", replica, *prometheus_options()]
        if (folder / CONTACTS).exists():
            command += ["--contacts", str(folder / CONTACTS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_root())
        if done.returncode:
            raise ConfigurationError(done.stderr.strip() or done.stdout.strip())
        return [
            File(f"{SETTINGS}/{path.relative_to(out)}", path.read_bytes())
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.parent.name != "runbooks" and path.suffix != ".arguments"
        ]


def _root() -> Path:
    """Where the module `jizuo` is found when the kit runs from its source."""
    return Path(__file__).resolve().parents[2]
