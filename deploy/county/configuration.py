"""What does a county's Prometheus in agent mode read? What the kit's command writes, and who it is to the city."""

from __future__ import annotations

from pathlib import Path

from deploy.hoststate.files import File
from deploy.kit_command import written_by
from deploy.login.files import NODE_EXPORTER_WEB
from deploy.operations.monitoring import SETTINGS
from inventories.hosts import STORAGE_PORT, HostData
from inventories.monitoring import AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY
from inventories.records import Management

#: Of these Prometheus reads every file, so that none may be left from another county.
EXCLUSIVE = (f"{SETTINGS}/targets/*",)
_ARGUMENTS = "prometheus.arguments"


def settings(inventory: Path, management: Management, data: HostData) -> tuple[File, list[File]]:
    """The daemon's arguments, and every file below Prometheus's folder.

    It writes to each operations node by name: names lead to both families, and the connection takes the one that works.
    Who asks it for its own metrics shows a certificate, as to a node exporter: it has nothing that people look at.

    Raises:
        CommandError: the kit's command failed.
    """
    command = ["exporter", "agent-config", "--node", data.name]
    for name in data.operations:
        command += ["--write", f"{name}=https://{name}.{data.domain}:{STORAGE_PORT}/api/v1/write"]
    command += ["--ca", AUTHORITY, "--certificate", CLIENT_CERTIFICATE, "--key", CLIENT_KEY]
    command += ["--web-config", NODE_EXPORTER_WEB]
    written = written_by(command, inventory, management)
    arguments = " ".join(written.pop(_ARGUMENTS).decode().split())
    daemon = File("/etc/default/prometheus", f'ARGS="{arguments}"\n')
    return daemon, [File(f"{SETTINGS}/{name}", content) for name, content in written.items()]
