"""What a client loses while a plane is cut: real packets in both families, counted at the client."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

import msgspec

from deploy.lab import network
from deploy.lab.lab import Lab, enter
from deploy.lab.run import LabError, run
from inventories.records import Family, LinkKind, NodeRole, Plane, SiteRole

#: Seconds between two packets of a probe.
INTERVAL = 0.01


def probe(lab: Lab, client: str, target: str, packets: int) -> dict[Family, subprocess.Popen[str]]:
    """Start a ping in each family from a client to a node's service address."""
    return {
        family: subprocess.Popen(
            [
                *enter(lab, client),
                "ping",
                "-n",
                "-q",
                "-i",
                str(INTERVAL),
                "-c",
                str(packets),
                "-W",
                "1",
                str(lab.plan.host(target, family)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for family in Family
    }


def lost(process: subprocess.Popen[str]) -> int:
    """How many packets of a ping were not answered."""
    output, _ = process.communicate(timeout=60)
    found = re.search(r"(\d+) packets transmitted, (\d+) received", output)
    if not found:
        raise LabError(f"ping said nothing that can be counted: {output.strip()[-200:]}")
    return int(found[1]) - int(found[2])


def lost_during(
    lab: Lab, client: str, target: str, packets: int, fault: Callable[[], None]
) -> dict[Family, int]:
    """Packets lost in each family while `fault` is put in, one second after the probes began."""
    running = probe(lab, client, target, packets)
    time.sleep(1)
    fault()
    return {family: lost(process) for family, process in running.items()}


def cut_plane(lab: Lab, plane: Plane, *, up: bool) -> None:
    """Cut (or heal) every link of a plane between the core and what hangs on it."""
    for link in lab.city.links.values():
        if link.plane is plane and link.kind is not LinkKind.ACCESS:
            network.set_link(lab.places, link, up=up)


def plane_failover(lab: Lab, plane: Plane) -> dict[Family, int]:
    """Packets that a village's client loses to a cloud node while a plane is cut; it is healed afterwards."""
    client = next(node.id for node in lab.city.nodes.values() if node.role is NodeRole.CLIENT)
    target = next(node.id for node in lab.city.nodes.values() if node.role is NodeRole.CLOUD)
    try:
        return lost_during(lab, client, target, 300, lambda: cut_plane(lab, plane, up=False))
    finally:
        cut_plane(lab, plane, up=True)
        wait_for_planes(lab)


def wait_for_planes(lab: Lab, seconds: float = 30) -> None:
    """Wait until every neighbour of the core has its BGP session back, so that the next cut finds both planes.

    Raises:
        LabError: a session stays down.
    """
    cores = [node.id for node in lab.city.nodes.values() if lab.city.sites[node.site].role is SiteRole.CORE]
    deadline = time.monotonic() + seconds
    for core in cores:
        while waiting := sessions_down(lab, core):
            if time.monotonic() > deadline:
                raise LabError(f"{core}: BGP with {', '.join(waiting)} stays down after its link was healed")
            time.sleep(0.5)


def sessions_down(lab: Lab, router: str) -> list[str]:
    """The BGP sessions of a router that are not established, by peer address."""
    shown = run([*enter(lab, router), "vtysh", "-c", "show bgp summary json"]).stdout
    families = msgspec.json.decode(shown, type=dict[str, dict[str, Any]])
    return [
        peer
        for summary in families.values()
        for peer, session in summary["peers"].items()
        if session["state"] != "Established"
    ]
