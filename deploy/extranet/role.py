"""The deploy of the extranet: interfaces everywhere, FRR on routers and on servers that stand in both planes."""

from __future__ import annotations

from pyinfra.api import deploy

from deploy.extranet.configuration import DAEMONS, frr_configuration, network_files
from deploy.here import here
from deploy.hoststate.files import File, files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units

#: What the extranet installs; the mirror must hold these.
PACKAGES = ("frr", "frr-pythontools")


@deploy("extranet")
def extranet() -> None:
    """Addresses on every interface, and BGP with BFD on every link."""
    data = here()
    files(
        name="interfaces",
        wanted=network_files(data),
        activate=["networkctl reload"],
        exclusive=["/etc/systemd/network/20-*", "/etc/systemd/network/30-*"],
    )
    if data.routing is None:
        return
    debian_packages(name="routing packages", names=PACKAGES, without_starting=True)
    files(name="routing daemons", wanted=[File("/etc/frr/daemons", DAEMONS, mode="640", owner="frr", group="frr")],
          activate=["systemctl restart frr"])
    files(
        name="routing configuration",
        wanted=[File("/etc/frr/frr.conf", frr_configuration(data.routing), mode="640", owner="frr", group="frr")],
        validate=["vtysh -C -f {/etc/frr/frr.conf}"],
        activate=["systemctl is-active -q frr || systemctl start frr", "systemctl reload frr"],
        confirm=["systemctl is-active -q frr"],
    )
    units(name="routing services", running=["frr.service", "systemd-networkd.service"])
