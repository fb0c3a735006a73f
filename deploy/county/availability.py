"""How does a county's agent probe its county? The kit's exporter for that part, which its own Prometheus alone asks.

The city's exporter probes the same targets from its centre. While the county is cut off, this one goes on: what was
down in the county, and what could only not be reached from the city, stays apart.
"""

from __future__ import annotations

from pathlib import Path

from deploy.here import render
from deploy.hoststate.files import File
from deploy.operations.inventory_copy import FOLDER
from deploy.operations.kit import HOME
from deploy.operations.services import ACCOUNT
from inventories.hosts import EXPORTER_PORT

UNIT = "jizuo-availability.service"
_TEMPLATE = Path(__file__).parent / "templates" / f"{UNIT}.j2"
#: The operations room's: what no service of the kit may do.
_HARDENING = Path(__file__).parents[1] / "operations" / "templates" / "hardening.j2"


def unit_file(county: str, interval: int) -> File:
    """The unit that probes a county's targets every `interval` seconds.

    It listens on the loopback alone and so asks for no login: what it serves leaves the host by the agent's own writes.
    """
    unit = render(
        _TEMPLATE,
        account=ACCOUNT,
        home=HOME,
        inventory=FOLDER,
        county=county,
        interval=interval,
        port=EXPORTER_PORT,
        hardening=render(_HARDENING),
    )
    return File(f"/etc/systemd/system/{UNIT}", unit)
