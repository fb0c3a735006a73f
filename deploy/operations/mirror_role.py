"""The deploy of the mirror: a signed apt repository on the operations node, before any host needs it."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api import deploy

from deploy.base.role import package_source
from deploy.here import here, render, secret_store
from deploy.hoststate.files import File, files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from deploy.mirror_key import mirror_fingerprint, mirror_private_key
from deploy.operations.closure import fetch_closure, load_closure
from deploy.operations.repository import ROOT, published, settings
from inventories.hosts import MIRROR_PORT, HostData
from inventories.records import Family

TEMPLATES = Path(__file__).parent / "templates"

#: What the mirror itself installs, once it has packages to install from.
MIRROR_PACKAGES = ("nginx",)


@deploy("mirror")
def mirror() -> None:
    """Every package that the roles install, published by reprepro and served by nginx on both families."""
    data, store = here(), secret_store()
    folder = fetch_closure()
    closure = load_closure(folder)
    fingerprint = mirror_fingerprint(store)
    files(
        name="repository settings",
        wanted=settings(closure.architecture, fingerprint, mirror_private_key(store)),
    )
    published(name="packages", debs=folder / "debs", closure=closure, fingerprint=fingerprint)
    files(name="package source", wanted=package_source(data), activate=["apt-get -qq update"])
    debian_packages(name="web server", names=MIRROR_PACKAGES, without_starting=True)
    files(
        name="web server settings",
        wanted=web_server(data),
        validate=["nginx -q -t -c {/etc/nginx/nginx.conf}"],
        activate=["systemctl daemon-reload", "systemctl reload-or-restart nginx"],
        confirm=["systemctl is-active -q nginx"],
    )
    units(name="web server running", running=["nginx.service"])


def web_server(data: HostData) -> list[File]:
    """nginx on the management addresses; it waits for them at boot by trying again."""
    addresses = [data.management[Family.IPV4], f"[{data.management[Family.IPV6]}]"]
    again = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=on-failure\nRestartSec=1\n"
    configuration = render(TEMPLATES / "nginx.conf.j2", addresses=addresses, port=MIRROR_PORT, root=ROOT)
    return [
        File("/etc/nginx/nginx.conf", configuration),
        File("/etc/systemd/system/nginx.service.d/jizuo.conf", again),
    ]
