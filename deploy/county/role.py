"""The deploy of a county's own watch: its probes, and Prometheus in agent mode, which writes to the city.

It writes over the extranet, as the county itself reaches the city: while the county is cut off, it keeps what it
measured, and writes it when the way is there again.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pyinfra import host
from pyinfra.api import deploy

from deploy.county.availability import UNIT, unit_file
from deploy.county.configuration import EXCLUSIVE, settings
from deploy.freshness.parts import PROBES_TIMER, county_probe_files
from deploy.here import here, secret_store
from deploy.hoststate.files import files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from deploy.login.files import scraper_files
from deploy.operations.inventory_copy import FOLDER, inventory_files
from deploy.operations.kit import HOME, installed
from deploy.operations.services import account_files
from deploy.operations.wheelhouse import make_wheelhouse
from deploy.pyinfra_inventory import deployed_city
from inventories.hosts import EXPORTER_PORT
from inventories.plan import build_plan

#: What the role installs; the mirror must hold these.
PACKAGES = ("prometheus", "python3-venv")


@deploy("county")
def county() -> None:
    """The kit and its probes, and Prometheus as an agent, its settings checked by promtool before they take effect."""
    folder = cast(Path, host.data.get("inventory_folder"))
    city = deployed_city(folder)
    daemon, wanted = settings(folder, city.layout.management, here())
    debian_packages(name="agent packages", names=PACKAGES, without_starting=True)
    _probes(folder)
    # Prometheus reads a certificate again at each new connection.
    files(name="agent credentials", wanted=scraper_files(secret_store(), here()))
    files(name="agent daemon", wanted=[daemon], activate=["systemctl try-restart prometheus"])
    # Reloaded, not restarted: after a restart it would send nothing of what it measured before.
    files(
        name="agent settings",
        wanted=wanted,
        validate=["promtool check config --agent {root}/etc/prometheus/prometheus.yml >/dev/null"],
        activate=["! systemctl is-active -q prometheus || systemctl reload prometheus"],
        exclusive=EXCLUSIVE,
    )
    units(name="agent services", running=["prometheus.service", UNIT, PROBES_TIMER])


def _probes(folder: Path) -> None:
    city = deployed_city(folder)
    # systemd looks for a unit's program: it has to be there before the unit is checked.
    program, *timed = county_probe_files(EXPORTER_PORT)
    files(
        name="agent account and program",
        wanted=[*account_files(), program],
        activate=["systemd-sysusers", "systemd-tmpfiles --create /etc/tmpfiles.d/jizuo-kit.conf"],
    )
    installed(name="agent kit", wheelhouse=make_wheelhouse(), restart=(UNIT,))
    # The exporter reads an edited inventory by itself, and keeps its counters.
    files(
        name="agent inventory",
        wanted=inventory_files(folder, city.layout.management),
        exclusive=[f"{FOLDER}/*"],
        validate=[f"{HOME}/bin/jizuo inventory validate {{root}}/etc/jizuo/inventory"],
    )
    files(
        name="agent probes",
        wanted=[
            unit_file(build_plan(city).owner(here().site), 2 * here().monitoring_interval),
            *timed,
        ],
        validate=["systemd-analyze verify --man=no {root}/etc/systemd/system/*.service"],
        activate=["systemctl daemon-reload", f"systemctl try-restart {UNIT} {PROBES_TIMER}"],
    )
