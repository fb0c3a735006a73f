"""Does each system name known units and nodes, and endpoints that a probe can reach?"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from inventories.problems import shown
from inventories.records import HostedBy, NetworkZone, System
from inventories.rules.nodes import CLOUD_OF
from inventories.sources import Draft

#: The schemes that have a probe, and whether an endpoint of the scheme must name a port or a path.
SCHEMES = {"http": "", "https": "", "tcp": "port", "tls": "port", "dns": "path", "icmp": ""}
_ADDRESS = re.compile(r"^(\[.*\]|[0-9.]+)\Z")
#: A DNS name of two labels or more (RFC 1123 section 2.1): what it names stands elsewhere.
_DNS_NAME = re.compile(r"^(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]\Z")


def check(draft: Draft) -> None:
    """Notes unknown owners and nodes, endpoints that cannot be probed, and columns at odds."""
    for key, system in draft.systems.records.items():
        for number, owner in enumerate(system.owners):
            check_owner(draft, (key, "owners"), owner, number)
        for number, name in enumerate(system.nodes):
            node = draft.nodes.records.get(name)
            if node is None and not draft.nodes.knows(name):
                place = (draft.systems, key, "nodes")
                fix = "add it to nodes.csv"
                draft.report_unknown(place, "node", name, draft.nodes.records, fix, number)
            elif node is not None and node.site in draft.sites.records:
                cloud = CLOUD_OF.get(draft.sites.records[node.site].role)
                if cloud is not None and cloud is not system.cloud:
                    what = f"cloud is {system.cloud}, but its node {name} is of the {cloud} cloud"
                    draft.report(draft.systems, key, "cloud", what, f"write {cloud}, or another node")
        for number, endpoint in enumerate(system.endpoints):
            _check_endpoint(draft, key, endpoint, number)
        _check_sense(draft, key, system)


def check_owner(draft: Draft, place: tuple[str, str], owner: str, number: int | None = None) -> None:
    """Notes an unknown responsible unit of a system; the unit's name instead of its id is told so."""
    if draft.units.knows(owner):
        return
    key, field = place
    by_name = {unit.name: identifier for identifier, unit in draft.units.records.items()}
    if owner in by_name:
        what = f"{field} has {shown(owner)}, the name of a unit"
        draft.report(draft.systems, key, field, what, f"write its id, {by_name[owner]}", number)
        return
    where = (draft.systems, key, field)
    draft.report_unknown(where, "responsible unit", owner, draft.units.records, "add it to units.csv", number)


def _check_sense(draft: Draft, key: str, system: System) -> None:
    stands = system.nodes or system.endpoints
    if system.hosted_by is HostedBy.NOBODY and stands:
        what = "hosted_by is nobody, but the system has nodes or endpoints"
        draft.report(
            draft.systems, key, "hosted_by", what, "write who runs it: city, department, province ..."
        )
    if system.endpoints and system.network not in (
        NetworkZone.PUBLIC,
        NetworkZone.PRIVATE,
        NetworkZone.INTERNET,
    ):
        what = f"network is {system.network}, but the system has endpoints on the extranet"
        draft.report(
            draft.systems, key, "network", what, "write public, private or internet, or remove the endpoints"
        )


def _check_endpoint(draft: Draft, key: str, endpoint: str, number: int) -> None:
    def report(what: str, fix: str) -> None:
        draft.report(draft.systems, key, "endpoints", f"endpoint {shown(endpoint)} {what}", fix, number)

    try:
        url = urlsplit(endpoint)
        port = url.port
    except ValueError:
        report("is no URL", "write scheme://node:port/path with a port from 1 to 65535")
        return
    if url.scheme not in SCHEMES:
        known = [f"{scheme}://" for scheme in SCHEMES]
        near = draft.suggestions.nearest(url.scheme, SCHEMES) if url.scheme else ""
        report(
            "has a scheme that nothing probes",
            f"write one of {', '.join(known)}" + (f"; {near}?" if near else ""),
        )
        return
    host = url.hostname or ""
    if not host:
        report("names no node", f"write {url.scheme}://NODE")
    elif _ADDRESS.match(host) or ":" in host:
        report(f"names the address {host}", "name a node by its id: its addresses are the plan's")
    elif (node := host.removesuffix(f".{draft.layout.domain}" if draft.layout else "")) != host:
        report(f"names {host!r}, a name of the inventory's own domain", f"write the node's id, {node}")
    elif not draft.nodes.knows(host) and (url.scheme == "dns" or not _DNS_NAME.match(host)):
        fix = draft.suggestions.fix(
            host, draft.nodes.records, "add it to nodes.csv, or write the DNS name of what stands elsewhere"
        )
        report(f"names {host!r}, an unknown node", fix)
    _check_parts(url, port, report)


def _check_parts(url: SplitResult, port: int | None, report: object) -> None:
    assert callable(report)  # noqa: S101
    needs = SCHEMES[url.scheme]
    if port == 0:
        report("has the port 0", "write a port from 1 to 65535")
    if needs == "port" and port is None:
        report("has no port", f"write {url.scheme}://{url.hostname or 'NODE'}:PORT")
    if needs == "path" and len(url.path) < 2:
        report("names nothing to look up", f"write dns://{url.hostname or 'NODE'}/NAME")
    if url.scheme == "icmp" and (port or url.path not in ("", "/")):
        report("has a port or a path, which ICMP has not", f"write icmp://{url.hostname or 'NODE'}")
    if url.username or url.password:
        report("holds an account", "remove it: an inventory holds no secret")
