"""Which way do the routers' private networks go, VRF or network namespace, and why?"""

from __future__ import annotations

from collections.abc import Mapping

#: What operations of this process found, by host: the words of `jizuo-private-network mode`. Nothing is decided by it.
FOUND: dict[str, str] = {}
_WAYS = {"vrf": "VRFs", "namespace": "network namespaces"}


def mode_lines(modes: Mapping[str, str]) -> list[str]:
    """A line for each way and reason, with how many routers go it; pure."""
    routers: dict[str, list[str]] = {}
    for host, said in modes.items():
        routers.setdefault(said, []).append(host)
    lines = []
    for said, hosts in routers.items():
        mode, _, reason = said.partition(": ")
        who = "1 router" if len(hosts) == 1 else f"{len(hosts)} routers"
        lines.append(f"private networks of {who} stand in {_WAYS.get(mode, mode)}: {reason}")
    return lines
