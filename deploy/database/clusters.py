"""Which PostgreSQL clusters stand on a node, and which does a repository node keep? Pure, from hosts' data."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from inventories.backups.records import KEPT_DIFFS, KEPT_FULLS, Engine, Method
from inventories.hosts import HostData

#: How often a base backup is taken when the policy's `keep` says nothing else, in days.
FULL_EVERY_DAYS, DIFF_EVERY_DAYS = 7, 1


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A PostgreSQL cluster of one node, with the databases that policies name in it.

    Attributes:
        node: The node that it stands on.
        instance: Debian's name for it, `main` unless another is made.
        policy: The policy that keeps it continuously; empty when it is dumped only.
        database: What a restore test of the whole cluster asks.
        databases: All that policies name, in their order.
        dumped: Those of them that are dumped into snapshots.
        repositories: The nodes that keep it continuously, the primary one first; empty when it is dumped only.
        rpo: What may be lost, seconds.
        fulls: How many full backups are kept.
        diffs: How many differential backups are kept.
    """

    node: str
    instance: str
    policy: str = ""
    database: str = ""
    databases: tuple[str, ...]
    dumped: tuple[str, ...]
    repositories: tuple[str, ...] = ()
    rpo: int = 0
    fulls: int = KEPT_FULLS
    diffs: int = KEPT_DIFFS

    @property
    def stanza(self) -> str:
        """pgBackRest's name for the cluster, of which a repository holds many."""
        return f"{self.node}-{self.instance}"


def clusters_of(data: HostData) -> list[Cluster]:
    """The PostgreSQL clusters of a node, by instance; one that several policies keep follows the first."""
    found: dict[str, Cluster] = {}
    for job in data.backups:
        for database in job.databases:
            if database.engine is not Engine.POSTGRESQL:
                continue
            name = database.instance
            known = found.get(name) or Cluster(node=data.name, instance=name, databases=(), dumped=())
            changes: dict[str, object] = {}
            if database.name not in known.databases:
                changes["databases"] = (*known.databases, database.name)
            if database.method is Method.DUMP:
                changes["dumped"] = (*known.dumped, database.name)
            elif not known.policy:
                changes |= {
                    "policy": job.policy,
                    "database": database.name,
                    "repositories": (job.repository, *job.copies),
                    "rpo": job.rpo,
                    "fulls": job.keep.get("weekly", KEPT_FULLS),
                    "diffs": job.keep.get("daily", KEPT_DIFFS),
                }
            found[name] = msgspec.structs.replace(known, **changes)
    return list(found.values())


def kept_by(data: HostData, hosts: Mapping[str, HostData]) -> list[Cluster]:
    """The clusters that a repository node keeps continuously, in the order of its clients."""
    clients = dict.fromkeys(held.client for held in data.held_repositories)
    return [
        cluster
        for client in clients
        if client in hosts
        for cluster in clusters_of(hosts[client])
        if data.name in cluster.repositories
    ]
