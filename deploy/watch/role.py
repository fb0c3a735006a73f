"""The deploy of the second watch: Prometheus and Alertmanager on the off-site node, with the first ones' settings.

A Prometheus that is lost with its data centre reports nothing. This one stands in another prefecture city,
scrapes the same hosts, and evaluates the same rules; its series carry another `replica`. Both tell both
Alertmanagers, which are one cluster: whichever is left notifies, and while both are there one does.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pyinfra import host
from pyinfra.api import deploy

from deploy.here import all_hosts, here, secret_store
from deploy.hoststate.files import files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from deploy.operations.contacts import EXCLUSIVE as SECRETS
from deploy.operations.contacts import contact_files, contacts_of, readable
from deploy.operations.monitoring import RESTART, VALID, daemon_files
from deploy.pyinfra_inventory import deployed_city
from deploy.watch.configuration import EXCLUSIVE, settings

#: What the role installs; the mirror must hold these.
PACKAGES = ("prometheus", "prometheus-alertmanager")


@deploy("watch")
def watch() -> None:
    """Prometheus and Alertmanager, their settings checked by their own tools before they take effect."""
    folder = cast(Path, host.data.get("inventory_folder"))
    city = deployed_city(folder)
    contacts = contacts_of(folder, city)
    debian_packages(name="monitoring packages", names=PACKAGES, without_starting=True)
    files(
        name="monitoring daemons",
        wanted=daemon_files(secret_store(), here(), all_hosts(), days=31, gigabytes=5),
        validate=VALID,
        activate=[RESTART],
    )
    files(
        name="monitoring settings",
        wanted=[
            *settings(folder, city.layout.management, here()),
            *contact_files(secret_store(), folder, contacts),
        ],
        validate=[
            "promtool check config {root}/etc/prometheus/prometheus.yml >/dev/null",
            "amtool check-config {/etc/prometheus/alertmanager.yml} >/dev/null",
            *readable(contacts),
        ],
        activate=[
            f"! systemctl is-active -q {unit} || systemctl reload {unit}"
            for unit in ("prometheus", "prometheus-alertmanager")
        ],
        exclusive=[*EXCLUSIVE, *SECRETS],
    )
    units(name="monitoring services", running=["prometheus.service", "prometheus-alertmanager.service"])
