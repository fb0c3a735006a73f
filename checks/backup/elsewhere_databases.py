"""Do databases that are kept continuously come back on another host? Which does it, and what is proven. Pure.

The host is the off-site node that keeps the cluster's log and base backups: it takes over when the city's data centre
is lost, and has PostgreSQL for that. It restores from what stands there alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from checks.backup.elsewhere import Proofs, Restored, Turn, judge_proof, longest_untried
from checks.backup.finding import Finding, record_of
from checks.backup.hosts import Job
from checks.backup.limits import Limits, load_limits
from checks.backup.places import repositories_of
from checks.backup_databases import ELSEWHERE, continuous
from checks.backup_state import Unknown
from checks.record import Record, Status
from inventories.backups.records import BackupPolicy
from inventories.records import City, NodeRole


class Cluster(msgspec.Struct, frozen=True):
    """A database cluster of a node that a policy keeps continuously."""

    policy: str
    node: str
    instance: str

    @property
    def name(self) -> str:
        """pgBackRest's stanza, as the deploy names it."""
        return f"{self.node}-{self.instance}"


def clusters_of(city: City, jobs: Iterable[Job]) -> list[Cluster]:
    """The clusters of jobs that have a repository which they can be restored on."""
    chosen = {(job.policy, job.node) for job in jobs}
    return [
        Cluster(policy.id, node, database.instance)
        for policy, node, database in continuous(city)
        if (policy.id, node) in chosen and hosts_for(city, policy)
    ]


def hosts_for(city: City, policy: BackupPolicy) -> list[str]:
    """The hosts on which a policy's clusters have to come back: each keeps them, and could take over."""
    return [
        node
        for node in repositories_of(policy)
        if node in city.nodes and city.nodes[node].role is NodeRole.OFFSITE
    ]


def turn(city: City, cluster: Cluster, tests: Sequence[Restored]) -> Turn:
    """Whose turn it is: the repository from which the cluster was not restored for longest."""
    host = longest_untried(hosts_for(city, city.backups[cluster.policy]), tests)
    return Turn(host, host)


def evaluate(
    city: City, proofs: Proofs | Unknown, now: datetime, limits: Limits | None = None
) -> list[Record]:
    """Hold the restores of every cluster against the limit.

    Returns:
        For each cluster, whose subject is `NODE-INSTANCE`, and each of its off-site repositories
        `database-restore-elsewhere:NODE`: the age of the last restore there, seconds.
    """
    limits = limits or load_limits()
    records = []
    for policy, node, database in continuous(city):
        name = Cluster(policy.id, node, database.instance).name
        for place in hosts_for(city, policy):
            if isinstance(proofs, Unknown):
                found = Finding(Status.ERROR, None, proofs.why, proofs.reason)
            else:
                found = judge_proof(proofs, name, place, now, limits)
            records.append(record_of(name, f"{ELSEWHERE}:{place}", now, found))
    return records
