"""What do the second Prometheus and Alertmanager read? The same as the first, as the kit's command writes them."""

from __future__ import annotations

from pathlib import Path

from deploy.hoststate.files import File
from deploy.kit_command import written_by
from deploy.login.files import prometheus_options
from deploy.operations.monitoring import SETTINGS
from inventories.monitoring import CONTACTS
from inventories.records import Management

#: Of these Prometheus reads every file, so that none may be left from another city.
EXCLUSIVE = (f"{SETTINGS}/rules/*", f"{SETTINGS}/targets/*")


def settings(inventory: Path, management: Management, replica: str) -> list[File]:
    """Every file below Prometheus's folder, for a city whose management network is `management`.

    Raises:
        CommandError: the kit's command failed.
    """
    command = ["exporter", "prometheus-config", "--replica", replica, *prometheus_options()]
    if (inventory / CONTACTS).exists():
        command += ["--contacts", str(inventory / CONTACTS)]
    return [
        File(f"{SETTINGS}/{name}", content)
        for name, content in written_by(command, inventory, management).items()
        if not name.startswith("runbooks/") and not name.endswith(".arguments")
    ]
