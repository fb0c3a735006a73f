"""The deploy of databases: clusters where systems have them, receivers and keepers where they are kept."""

from __future__ import annotations

from pyinfra.api import deploy

from deploy.database import keeper, node
from deploy.database.clusters import Cluster, clusters_of, kept_by
from deploy.database.content import filled, made
from deploy.here import all_hosts, here, secret_store
from deploy.hoststate.files import files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from inventories.records import NodeRole

#: What the role installs; the mirror must hold these.
PACKAGES = (*node.PACKAGES, *keeper.PACKAGES)


@deploy("database")
def database() -> None:
    """PostgreSQL with the databases that policies name, or the repositories that keep them."""
    data = here()
    if data.role is NodeRole.CLOUD:
        clusters = clusters_of(data)
        if clusters:
            databases(clusters)
    else:
        kept = kept_by(data, all_hosts())
        if kept:
            repositories(kept)


def databases(clusters: list[Cluster]) -> None:
    """A node's clusters, what stands in them, and the way to their repositories."""
    data, store, hosts = here(), secret_store(), all_hosts()
    files(name="no cluster of the package's", wanted=node.before_installation())
    debian_packages(name="database server", names=node.PACKAGES)
    files(
        name="database accounts",
        wanted=node.accounts(),
        activate=[
            "systemd-sysusers /etc/sysusers.d/jizuo-database.conf",
            "systemd-tmpfiles --create /etc/tmpfiles.d/jizuo-database.conf",
        ],
    )
    made(name="database clusters", instances=tuple(cluster.instance for cluster in clusters))
    files(
        name="way to the repositories",
        wanted=[*node.programs(), *node.continuous_files(store, data, clusters, hosts)],
        exclusive=node.EXCLUSIVE,
    )
    for cluster in clusters:
        service = node.unit(cluster)
        files(
            name=f"database settings of {cluster.instance}",
            wanted=node.cluster_settings(data, cluster),
            activate=["systemctl daemon-reload", f"systemctl restart {service}"],
            confirm=[f"systemctl is-active -q {service}"],
        )
        filled(name=f"databases of {cluster.instance}", cluster=cluster)
    files(
        name="database units",
        wanted=node.continuous_units(data, clusters),
        activate=[
            "systemctl daemon-reload",
            "systemctl try-restart jizuo-database-source.service",
        ],
    )
    units(name="databases running", running=node.running_units(clusters))


def repositories(kept: list[Cluster]) -> None:
    """What receives databases' logs, and what pulls their base backups."""
    data, store, hosts = here(), secret_store(), all_hosts()
    debian_packages(name="database repository", names=keeper.PACKAGES)
    if data.role is NodeRole.OFFSITE:
        files(name="no cluster of the package's", wanted=node.before_installation())
        debian_packages(name="database server for a recovery", names=keeper.TAKE_OVER_PACKAGES)
    files(
        name="database repository accounts",
        wanted=keeper.accounts(),
        activate=[
            "systemd-sysusers /etc/sysusers.d/jizuo-keeper.conf",
            "systemd-tmpfiles --create /etc/tmpfiles.d/jizuo-keeper.conf",
        ],
    )
    files(
        name="database repository settings",
        wanted=[
            *node.programs(),
            *keeper.settings(store, data, kept, hosts),
            *keeper.units(data),
        ],
        activate=[
            "systemctl daemon-reload",
            "systemctl try-restart jizuo-database-receiver.service jizuo-database-seal.service",
        ],
        exclusive=(*keeper.EXCLUSIVE, f"{node.LIBRARY}/*.py"),
    )
    units(name="database repository running", running=keeper.running_units(kept))
