"""The deploy of operations: monitoring, name service, and this kit itself as services."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from pyinfra import host
from pyinfra.api import deploy

from deploy.freshness.parts import LOG_TIMER, log_stream_files
from deploy.here import all_hosts, here, secret_store
from deploy.hoststate.files import File, files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from deploy.login.files import CHECK, EXPORTER_FOLDER, EXPORTER_WEB, exporter_files
from deploy.operations.contacts import EXCLUSIVE, contact_files, contacts_of, readable
from deploy.operations.inventory_copy import FOLDER, inventory_files
from deploy.operations.kit import HOME, installed
from deploy.operations.mirror_role import MIRROR_PACKAGES
from deploy.operations.monitoring import RESTART, VALID, daemon_files, generated_settings, settings_options
from deploy.operations.names import name_service
from deploy.operations.services import ACCOUNT, EXPORTER, TIMERS, account_files, ssh_files, unit_files
from deploy.operations.storage import STORAGE_PACKAGES, storage
from deploy.operations.storage import UNIT as STORAGE
from deploy.operations.wheelhouse import make_wheelhouse
from deploy.pyinfra_inventory import deployed_city
from inventories.hosts import linux_nodes
from inventories.plan import build_plan

#: What operations installs; the mirror must hold these.
PACKAGES = (
    *MIRROR_PACKAGES,
    *STORAGE_PACKAGES,
    "prometheus",
    "prometheus-alertmanager",
    "nsd",
    "python3-venv",
)


@deploy("operations")
def operations() -> None:
    """Packages, the kit, inventory and keys, name service, monitoring, and the services that run it all."""
    folder = cast(Path, host.data.get("inventory_folder"))
    city = deployed_city(folder)
    contacts = contacts_of(folder, city)
    wheelhouse = make_wheelhouse()
    inventory = inventory_files(folder, city.layout.management)
    debian_packages(name="packages", names=PACKAGES, without_starting=True)
    files(
        name="account",
        wanted=account_files(),
        activate=["systemd-sysusers", "systemd-tmpfiles --create /etc/tmpfiles.d/jizuo-kit.conf"],
    )
    installed(name="kit", wheelhouse=wheelhouse, restart=(EXPORTER,))
    # Nothing is restarted: exporter and checks read the inventory again by themselves, and counters go on.
    files(
        name="inventory",
        wanted=inventory,
        exclusive=[f"{FOLDER}/*"],
        validate=[f"{HOME}/bin/jizuo inventory validate {{root}}/etc/jizuo/inventory"],
    )
    files(
        name="keys of the checks, secrets of contacts",
        wanted=[
            *state_files(cast(Path, host.data.get("state_folder"))),
            *contact_files(secret_store(), folder, contacts),
        ],
        exclusive=EXCLUSIVE,
    )
    name_service(here(), build_plan(city))
    storage()
    files(
        name="monitoring daemons",
        wanted=daemon_files(secret_store(), here(), all_hosts(), days=190, gigabytes=20),
        validate=VALID,
        activate=[RESTART],
    )
    generated_settings(
        name="monitoring settings",
        made_from=digest(wheelhouse.release, inventory),
        options=settings_options(here()),
        validate=readable(contacts),
    )
    files(
        name="services of the kit",
        wanted=[
            *unit_files(2 * here().monitoring_interval),
            *exporter_files(secret_store(), here(), ACCOUNT),
        ],
        exclusive=[f"{EXPORTER_FOLDER}/*"],
        validate=[
            "systemd-analyze verify --man=no {root}/etc/systemd/system/*.service",
            f"{CHECK} {{{EXPORTER_WEB}}} >/dev/null",
        ],
        activate=["systemctl daemon-reload", f"systemctl try-restart {EXPORTER} {' '.join(TIMERS)}"],
    )
    files(
        name="log streams",
        wanted=log_stream_files(host.name, linux_nodes(city)),
        activate=["systemctl daemon-reload", f"systemctl try-restart {LOG_TIMER}"],
    )
    daemons = ["nsd.service", STORAGE, "prometheus.service", "prometheus-alertmanager.service"]
    units(name="services", running=[*daemons, EXPORTER, *TIMERS, LOG_TIMER])


def state_files(state: Path) -> list[File]:
    """SSH settings, pinned host keys and the audit key, from the controller's state folder."""
    audit_key = (state / "ssh" / "audit").read_bytes()
    return ssh_files(all_hosts(), audit_key, (state / "known_hosts").read_text(encoding="ascii"))


def digest(release: str, inventory: Iterable[File]) -> str:
    """One digest of the kit's release and the inventory's content, 64 hexadecimal digits."""
    total = hashlib.sha256(release.encode())
    for file in inventory:
        total.update(f"{file.path} {file.state}\n".encode())
    return total.hexdigest()
