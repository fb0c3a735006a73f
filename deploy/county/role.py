"""The deploy of a county's own watch: Prometheus in agent mode, which scrapes the county and writes to the city.

It writes over the extranet, as the county itself reaches the city: while the county is cut off, it keeps what it
measured, and writes it when the way is there again.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pyinfra import host
from pyinfra.api import deploy

from deploy.county.configuration import EXCLUSIVE, settings
from deploy.here import here, secret_store
from deploy.hoststate.files import files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from deploy.login.files import scraper_files
from deploy.pyinfra_inventory import deployed_city

#: What the role installs; the mirror must hold these.
PACKAGES = ("prometheus",)


@deploy("county")
def county() -> None:
    """Prometheus as an agent, its settings checked by promtool before they take effect."""
    folder = cast(Path, host.data.get("inventory_folder"))
    daemon, wanted = settings(folder, deployed_city(folder).layout.management, here())
    debian_packages(name="agent package", names=PACKAGES, without_starting=True)
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
    units(name="agent service", running=["prometheus.service"])
