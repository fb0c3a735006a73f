"""The deploy of a cloud node: a web server with the systems of the plan that stand on it."""

from __future__ import annotations

from pathlib import Path

from pyinfra import host
from pyinfra.api import deploy

from deploy.cloud.content import first_content
from deploy.cloud.seeding import FOLDER, seeded
from deploy.here import here, render
from deploy.hoststate.files import File, files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from inventories.hosts import HostData
from inventories.records import Family

TEMPLATES = Path(__file__).parent / "templates"
#: What a cloud node installs; the mirror must hold these.
PACKAGES = ("nginx",)
PORT = 80
#: One file each for systems of other nodes that are served here for a time (deploy/backup/recovery.py).
GUESTS = "/etc/nginx/systems.d"


@deploy("cloud")
def cloud() -> None:
    """Each system at /ID/ on port 80 of both families' service addresses, with its content under /srv/systems."""
    data = here()
    debian_packages(name="web server", names=PACKAGES, without_starting=True)
    inventory = Path(str(host.data.get("inventory_folder")))
    seeded(
        name="first content of the systems",
        contents={system.id: first_content(system, inventory) for system in data.systems},
    )
    files(
        name="web server settings",
        wanted=web_server(data),
        validate=["nginx -q -t -c {/etc/nginx/nginx.conf}"],
        activate=["systemctl daemon-reload", "systemctl reload-or-restart nginx"],
        confirm=["systemctl is-active -q nginx"],
    )
    units(name="web server running", running=["nginx.service"])


def web_server(data: HostData) -> list[File]:
    """nginx on the service addresses alone; it waits for them at boot by trying again."""
    again = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=on-failure\nRestartSec=1\n"
    configuration = render(
        TEMPLATES / "nginx.conf.j2",
        addresses=[data.service[Family.IPV4], f"[{data.service[Family.IPV6]}]"],
        port=PORT,
        folder=FOLDER,
        systems=data.systems,
        guests=GUESTS,
    )
    return [
        File("/etc/nginx/nginx.conf", configuration),
        File("/etc/systemd/system/nginx.service.d/jizuo.conf", again),
    ]
