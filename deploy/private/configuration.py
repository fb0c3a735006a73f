"""The files of one private network on one router as text: what the script reads, and the firewall inside. Pure."""

from __future__ import annotations

from pathlib import Path

from deploy.here import render
from inventories.private import PrivateSite
from inventories.records import Family

TEMPLATES = Path(__file__).parent / "templates"

#: What VXLAN adds to a packet over IPv6, in bytes: Ethernet 14, VXLAN 8, UDP 8, IPv6 40 (RFC 7348 section 5).
VXLAN_OVERHEAD = 70
#: The extranet's links, in bytes.
LINK_MTU = 1500


def settings(site: PrivateSite) -> str:
    """What `jizuo-private-network` reads: a key and its value a line, a line a peer."""
    lines = [
        "# Written by jizuo. peer: loopback, overlay address, MAC address, LANs in IPv4 and IPv6 (- for none).",
        f"vni {site.vni}",
        f"local {site.loopback}",
        f"address {site.address}",
        f"mac {site.mac}",
        f"mtu {LINK_MTU - VXLAN_OVERHEAD}",
        f"prefix4 {site.prefixes[Family.IPV4]}",
        f"prefix6 {site.prefixes[Family.IPV6]}",
    ]
    if site.gateway:
        lines.append(f"lan-mac {site.lan_mac}")
        lines += [f"gateway4 {site.gateway[Family.IPV4]}", f"gateway6 {site.gateway[Family.IPV6]}"]
    if site.way_out:
        lines.append(f"way-out {site.way_out.address}")
    if site.crossing is not None:
        lines += [
            f"public4 {site.crossing.public[Family.IPV4]}",
            f"public6 {site.crossing.public[Family.IPV6]}",
            f"private4 {site.crossing.private[Family.IPV4]}",
            f"private6 {site.crossing.private[Family.IPV6]}",
        ]
    lines += [
        " ".join(
            ["peer", peer.loopback, peer.address, peer.mac, *(peer.lan.get(family, "-") for family in Family)]
        )
        for peer in site.peers
    ]
    return "\n".join(lines) + "\n"


def rules(site: PrivateSite) -> str:
    """The nft script of the network's own table where a namespace holds it: all within the network, nothing else."""
    return render(TEMPLATES / "network.nft.j2", site=site, vrf=False)


def vrf_rules(site: PrivateSite) -> str:
    """The same rules as :func:`rules` where a VRF holds the network, as a table beside the host's own."""
    return render(TEMPLATES / "network.nft.j2", site=site, vrf=True)
