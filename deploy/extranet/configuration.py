"""The extranet configuration of one host as text: networkd's files and FRR's. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netaddr import IPNetwork

from deploy.here import render
from deploy.hoststate.files import File
from inventories.hosts import HostData, Interface, InterfaceKind
from inventories.records import Family, Level
from inventories.topology import RoutedNode

TEMPLATES = Path(__file__).parent / "templates"

#: FRR's daemons: BGP in both families, BFD to see a dead link, static routes for the summaries.
DAEMONS = """# Written by jizuo.
bgpd=yes
bfdd=yes
vtysh_enable=yes
zebra_options="  -A 127.0.0.1 -s 90000000"
bgpd_options="   -A 127.0.0.1"
bfdd_options="   -A 127.0.0.1"
staticd_options="-A 127.0.0.1"
"""


@dataclass(frozen=True)
class FrrFamily:
    """How FRR's language names a family."""

    name: str
    tag: str
    ip: str
    default: str

    @staticmethod
    def length(prefix: str) -> int:
        return int(IPNetwork(prefix).prefixlen)


FAMILIES = (FrrFamily("ipv4", "V4", "ip", "0.0.0.0/0"), FrrFamily("ipv6", "V6", "ipv6", "::/0"))


def frr_configuration(node: RoutedNode, passwords: Mapping[str, str]) -> str:
    """FRR's configuration of a router or a routed server; `passwords` are those of its sessions, by link."""
    return render(
        TEMPLATES / "frr.conf.j2",
        node=node,
        families=FAMILIES,
        passwords=passwords,
        own={
            family: (*node.originate[family], *(route.prefix for route in node.static[family]))
            for family in Family
        },
        takes_default_only=node.forwards and node.level in (Level.TOWNSHIP, Level.VILLAGE),
    )


def network_files(data: HostData) -> list[File]:
    """systemd-networkd's files: every interface of the plan with its addresses in both families."""
    found: list[File] = []
    for interface in data.interfaces:
        if interface.kind is InterfaceKind.LAN:
            found += _bridge(interface.name, interface.ports)
        found.append(_network(interface))
    for site in data.networks:
        if site.ports:
            found += _bridge(f"br-{site.network}", site.ports)
            # The gateway is inside the network's namespace, beyond one of the ports: the bridge itself has nothing.
            found.append(
                File(
                    f"/etc/systemd/network/30-br-{site.network}.network",
                    f"[Match]\nName=br-{site.network}\n\n[Link]\nRequiredForOnline=no\n\n[Network]\n"
                    "LinkLocalAddressing=no\nIPv6AcceptRA=no\nConfigureWithoutCarrier=yes\n",
                )
            )
    return found


def _bridge(name: str, ports: Sequence[str]) -> list[File]:
    """A bridge and the links that are its ports."""
    return [
        _netdev(name, "bridge", "\n[Bridge]\nSTP=no\nMulticastSnooping=no\n"),
        *(
            File(
                f"/etc/systemd/network/30-{port}.network",
                f"[Match]\nName={port}\n\n[Network]\nBridge={name}\nLinkLocalAddressing=no\n",
            )
            for port in ports
        ),
    ]


def _netdev(name: str, kind: str, more: str = "") -> File:
    return File(f"/etc/systemd/network/20-{name}.netdev", f"[NetDev]\nName={name}\nKind={kind}\n{more}")


def _network(interface: Interface) -> File:
    lines = ["[Match]", f"Name={interface.name}", "", "[Link]", "RequiredForOnline=no", "", "[Network]"]
    lines += [f"Address={address}" for address in interface.addresses]
    lines += [f"Gateway={gateway}" for gateway in interface.gateways]
    lines += [
        "LinkLocalAddressing=ipv6",
        "IPv6AcceptRA=no",
        "DHCP=no",
        "ConfigureWithoutCarrier=yes",
        "IgnoreCarrierLoss=yes",
        # The plan alone gives addresses, and a link must serve in the moment it is up.
        "IPv6DuplicateAddressDetection=0",
        "KeepConfiguration=yes",
    ]
    return File(f"/etc/systemd/network/30-{interface.name}.network", "\n".join(lines) + "\n")
