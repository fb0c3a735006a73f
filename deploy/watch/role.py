"""The deploy of the second watch: Prometheus on the off-site node, with the first one's rules and targets.

A Prometheus that is lost with its data centre reports nothing. This one stands in another prefecture city,
scrapes the same hosts, and evaluates the same rules; its series carry another `replica`.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pyinfra import host
from pyinfra.api import deploy

from deploy.here import here
from deploy.hoststate.files import files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from deploy.pyinfra_inventory import deployed_city
from deploy.watch.configuration import EXCLUSIVE, daemon, settings

#: What the role installs; the mirror must hold these.
PACKAGES = ("prometheus",)


@deploy("watch")
def watch() -> None:
    """Prometheus, its settings checked by promtool before they take effect."""
    folder = cast(Path, host.data.get("inventory_folder"))
    debian_packages(name="monitoring package", names=PACKAGES, without_starting=True)
    files(name="monitoring daemon", wanted=[daemon()], activate=["systemctl try-restart prometheus"])
    files(
        name="monitoring settings",
        wanted=settings(folder, deployed_city(folder).layout.management, here().name),
        validate=["promtool check config {root}/etc/prometheus/prometheus.yml >/dev/null"],
        activate=["! systemctl is-active -q prometheus || systemctl reload prometheus"],
        exclusive=EXCLUSIVE,
    )
    units(name="monitoring service", running=["prometheus.service"])
