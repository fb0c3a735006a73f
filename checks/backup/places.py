"""Where do a policy's jobs run and its repositories stand, and which of those are off-site?"""

from __future__ import annotations

from inventories.backups.records import BackupPolicy
from inventories.records import City, Node, NodeRole, System


def job_nodes(city: City, policy: BackupPolicy) -> list[str]:
    """The nodes on which a policy's job runs: those of its systems."""
    nodes = (node for system in policy.systems for node in city.systems[system].nodes)
    return list(dict.fromkeys(nodes))


def nodes_to_ask(city: City) -> list[str]:
    """Every node on which a backup job runs."""
    return list(dict.fromkeys(node for policy in city.backups.values() for node in job_nodes(city, policy)))


def backup_nodes(city: City) -> list[str]:
    """Every node that has something to say: where jobs run, repositories stand, and records are handed over to."""
    held = (node for policy in city.backups.values() for node in repositories_of(policy))
    records = (node.id for node in city.nodes.values() if node.role is NodeRole.OPERATIONS)
    return list(dict.fromkeys((*nodes_to_ask(city), *held, *records)))


def policies_of(city: City, system: System) -> list[BackupPolicy]:
    """The policies that cover a system, in the file's order."""
    return [policy for policy in city.backups.values() if system.id in policy.systems]


def repositories_of(policy: BackupPolicy) -> list[str]:
    """The nodes that hold a policy's repositories, the first one first, each once."""
    return list(dict.fromkeys((policy.repository, *policy.copies)))


def offsite_of(city: City, system: System, policy: BackupPolicy) -> list[str]:
    """Those of a policy's repositories that stand in another prefecture city than the system."""
    return [node for node in repositories_of(policy) if _is_offsite(city, system, node)]


def _is_offsite(city: City, system: System, node: str) -> bool:
    """Another prefecture city, not another rack: the first four digits of the division codes differ."""
    here = {_prefecture(city, city.nodes[name]) for name in system.nodes if name in city.nodes}
    return bool(here) and node in city.nodes and _prefecture(city, city.nodes[node]) not in here


def _prefecture(city: City, node: Node) -> str:
    return city.sites[node.site].division[:4]
