"""Where do the daemons of monitoring stand and listen, and which files on a host say how they are reached?

What deploy writes and what checks and exporters read: the one place where they agree.
"""

from __future__ import annotations

from collections.abc import Mapping

from inventories.records import NodeRole

PROMETHEUS_PORT, ALERTMANAGER_PORT = 9090, 9093
#: Over which Alertmanagers tell each other of notifications and silences (its default).
CLUSTER_PORT = 9094

#: The nodes with a Prometheus and an Alertmanager: the operations nodes, and the one that watches from the other city.
WATCHING = frozenset({NodeRole.OPERATIONS, NodeRole.OFFSITE})

#: The folder of every host for what its daemons of monitoring show and trust; keys are readable to their account.
FOLDER = "/etc/jizuo/monitoring"
#: The authority of all certificates below: the daemons' own, and those with which Prometheus asks for a host's metrics.
AUTHORITY = f"{FOLDER}/authority.pem"
CLIENT_CERTIFICATE, CLIENT_KEY = f"{FOLDER}/client.pem", f"{FOLDER}/client-key.pem"
#: The login of the kit's own programs, and the one of people: two, so that a host that is lost gives away no person's.
PROGRAMS, PEOPLE = "jizuo", "operations"
#: The login of the province above, at Prometheus alone.
PROVINCE = "province"
#: The file of the programs' password, on the nodes that have such programs.
PASSWORD = f"{FOLDER}/password"
#: Whom the province's receiver of sums is trusted by, and the city's password there.
PROVINCE_AUTHORITY, PROVINCE_PASSWORD = f"{FOLDER}/province-authority.pem", f"{FOLDER}/province-password"
#: Beside an inventory's files: who is told of alerts (:mod:`inventories.contacts`). Without it nobody is.
CONTACTS = "contacts.toml"
#: Of the nodes with an Alertmanager: the secrets and authorities that contacts name.
CONTACTS_FOLDER = f"{FOLDER}/contacts"


def cluster_arguments(addresses: Mapping[str, str], own: str, tls: str = "") -> list[str]:
    """The arguments that join the Alertmanager of node `own` to those of the other nodes.

    One alone needs no cluster and opens no port for it. It listens on all addresses, for its own may come after it.

    Args:
        addresses: Of every node with an Alertmanager, by name.
        own: The node that the arguments are for.
        tls: The file of the cluster's mutual TLS; then all goes over TCP. Empty for none.
    """
    others = [address for node, address in addresses.items() if node != own]
    if own not in addresses or not others:
        return ["--cluster.listen-address="]
    return [
        f"--cluster.listen-address=[::]:{CLUSTER_PORT}",
        f"--cluster.advertise-address={endpoint(addresses[own], CLUSTER_PORT)}",
        *(f"--cluster.peer={endpoint(address, CLUSTER_PORT)}" for address in others),
        *([f"--cluster.tls-config={tls}"] if tls else []),
    ]


def endpoint(host: str, port: int) -> str:
    """Address and port; IPv6 in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
