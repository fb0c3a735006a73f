"""A machine of the lab's management network that is no host of it: an operator's, with an address of its own there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from netaddr import IPNetwork

from deploy.lab.lab import Lab
from deploy.lab.places import NAMESPACES
from deploy.lab.run import run
from inventories.records import Family


@contextmanager
def operator(lab: Lab, number: int, ways: Mapping[str, str]) -> Iterator[list[str]]:
    """Join a namespace to the management bridge; yields the arguments that run a command there.

    Args:
        lab: the lab; when it goes down, what a test that died left here goes with it.
        number: from 1; which of several machines.
        ways: prefixes, each with the management address by which the machine sends what is for it.
    """
    namespace, port = lab.places.namespace(f"operator-{number}"), f"{lab.places.bridge}po{number}"
    management = lab.city.layout.management
    lines = [
        f"link add {port} type veth peer name mgmt0 netns {namespace}",
        f"link set {port} master {lab.places.bridge} up",
    ]
    within = ["link set lo up", "link set mgmt0 up"]
    # The controller has the last address but one (deploy.lab.lab.controller); these are the ones before it.
    for prefix in (IPNetwork(management.ipv4), IPNetwork(management.ipv6)):
        nodad = " nodad" if prefix.version == 6 else ""
        within.append(f"address add {prefix[-2 - number]}/{prefix.prefixlen} dev mgmt0{nodad}")
    within += [f"route replace {prefix} via {gateway}" for prefix, gateway in ways.items()]
    run(["ip", "netns", "add", namespace])
    try:
        run(["ip", "-batch", "-"], input="\n".join(lines) + "\n")
        run(["ip", "-netns", namespace, "-batch", "-"], input="\n".join(within) + "\n")
        yield ["nsenter", f"--net={NAMESPACES / namespace}", "--"]
    finally:
        run(["ip", "netns", "delete", namespace], check=False)


def straight_to_hosts(lab: Lab) -> dict[str, str]:
    """Every host's service addresses by that host's own management address."""
    return {
        f"{lab.plan.host(node, family)}": str(lab.plan.management(node, family))
        for node in lab.city.nodes
        for family in Family
    }


def by_router(lab: Lab, router: str) -> dict[str, str]:
    """Everything that is not management by the management address of one router."""
    default = {Family.IPV4: "0.0.0.0/0", Family.IPV6: "::/0"}
    return {default[family]: str(lab.plan.management(router, family)) for family in Family}
