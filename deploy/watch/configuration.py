"""What do the second Prometheus and Alertmanager read? The same as the first, as the kit's command writes them."""

from __future__ import annotations

from pathlib import Path

from deploy.hoststate.files import File
from deploy.kit_command import written_by
from deploy.operations.monitoring import RUNBOOKS, SETTINGS, settings_options
from inventories.hosts import HostData
from inventories.monitoring import CONTACTS
from inventories.records import Management

#: Of these Prometheus reads every file, so that none may be left from another city.
EXCLUSIVE = (f"{SETTINGS}/rules/*", f"{SETTINGS}/targets/*", f"{RUNBOOKS}/*")


def settings(inventory: Path, management: Management, data: HostData) -> list[File]:
    """Every file below Prometheus's folder of the node of `data`, for a city whose management network is `management`.

    Runbooks are among them: those of the first watch are gone when this one is needed.

    Raises:
        CommandError: the kit's command failed.
    """
    command = ["exporter", "prometheus-config", *settings_options(data)]
    if (inventory / CONTACTS).exists():
        command += ["--contacts", str(inventory / CONTACTS)]
    return [
        File(f"{SETTINGS}/{name}", content)
        for name, content in written_by(command, inventory, management).items()
        if not name.endswith(".arguments")
    ]
