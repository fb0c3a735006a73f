"""A database node's files: PostgreSQL's settings, pgBackRest's as sender and as source, programs and units."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.backup.certificates import authority
from deploy.database import keys
from deploy.database.clusters import Cluster
from deploy.here import render
from deploy.hoststate.files import File
from deploy.secrets import SecretStore
from inventories.hosts import DATABASE_PORT, HostData

TEMPLATES = Path(__file__).parent / "templates"
PROGRAM = Path(__file__).parent / "program"
#: Debian 12's.
VERSION = "15"
#: What a database node installs; the mirror must hold these.
PACKAGES = ("postgresql-15", "pgbackrest", "python3")
#: PostgreSQL's account, and the one that repositories' keepers are let in as: it reads the data and writes nothing.
ACCOUNT, SOURCE_ACCOUNT = "postgres", "jizuo-source"
#: The account of backup jobs (deploy/backup/client.py), which dumps.
DUMPING = "jizuo-backup"
CONFIGURATION = "/etc/jizuo/database"
LIBRARY = "/usr/local/lib/jizuo/jizuo_database"
STATE = "/var/lib/jizuo/database"
SCRATCH = "/var/lib/postgresql/recovery"
LOCKS = "/var/lib/postgresql/pgbackrest-lock"
BINARIES = f"/usr/lib/postgresql/{VERSION}/bin"
#: The log is sent at least so often, in seconds; and so often a stamp is put.
SEND_EVERY, STAMP_EVERY = 60, 30
#: A restore is proven at least so often, in seconds.
PROVE_EVERY = 86400
EXCLUSIVE = (f"{CONFIGURATION}/*-*.json", f"{LIBRARY}/*.py")


def unit(cluster: Cluster) -> str:
    """Debian's unit of a cluster."""
    return f"postgresql@{VERSION}-{cluster.instance}.service"


def before_installation() -> list[File]:
    """The package shall make no cluster of its own: its folders would be closed to all but PostgreSQL."""
    text = "# Written by jizuo.\ncreate_main_cluster = false\nadd_include_dir = 'conf.d'\n"
    return [File("/etc/postgresql-common/createcluster.conf", text)]


def accounts() -> list[File]:
    """The account that keepers are let in as: in PostgreSQL's group, which may read the data."""
    text = f'u {SOURCE_ACCOUNT} - "lets databases be read" /nonexistent\nm {SOURCE_ACCOUNT} {ACCOUNT}\n'
    return [
        File("/etc/sysusers.d/jizuo-database.conf", text),
        File(
            "/etc/tmpfiles.d/jizuo-database.conf",
            f"d {STATE} 0755 {ACCOUNT} {ACCOUNT} -\nd {SCRATCH} 0700 {ACCOUNT} {ACCOUNT} -\n"
            f"d {LOCKS} 0700 {ACCOUNT} {ACCOUNT} -\n",
        ),
    ]


def programs() -> list[File]:
    """The package `jizuo_database`."""
    return [
        File(f"{LIBRARY}/{path.name}", path.read_text(encoding="utf-8"))
        for path in sorted(PROGRAM.glob("*.py"))
    ]


def cluster_settings(data: HostData, cluster: Cluster) -> list[File]:
    """PostgreSQL's own settings: who may log in, and how the log is sent."""
    folder = f"/etc/postgresql/{VERSION}/{cluster.instance}"
    owned = {"mode": "640", "owner": ACCOUNT, "group": ACCOUNT}
    values = {
        "cluster": cluster,
        "settings": f"{CONFIGURATION}/sender.conf",
        "send_every": SEND_EVERY,
        "time_zone": data.time_zone,
        "source": SOURCE_ACCOUNT,
        "dumping": DUMPING,
    }
    return [
        File(f"{folder}/conf.d/jizuo.conf", render(TEMPLATES / "postgresql.conf.j2", **values), **owned),
        File(f"{folder}/pg_hba.conf", render(TEMPLATES / "pg_hba.conf.j2", **values), **owned),
    ]


def continuous_files(
    store: SecretStore, data: HostData, clusters: Sequence[Cluster], hosts: Mapping[str, HostData]
) -> list[File]:
    """What sending the log and being read takes; none where every database is dumped only."""
    kept = [cluster for cluster in clusters if cluster.repositories]
    if not kept:
        return []
    sender, source = keys.sender(store, data), keys.source(store, data)
    # The passphrases and the sender's key are PostgreSQL's alone: keepers come in as another account.
    own = {"mode": "600", "owner": ACCOUNT, "group": ACCOUNT}
    for_source = {"mode": "640", "group": SOURCE_ACCOUNT}
    files = [
        File(f"{CONFIGURATION}/authority.pem", authority(store).certificate),
        File(f"{CONFIGURATION}/sender.pem", sender.certificate),
        File(f"{CONFIGURATION}/sender.key", sender.key, **own),
        File(f"{CONFIGURATION}/source.pem", source.certificate),
        File(f"{CONFIGURATION}/source.key", source.key, **for_source),
    ]
    places = {
        cluster.stanza: [
            {
                "key": key,
                "node": node,
                "host": hosts[node].fqdn,
                "passphrase": passphrase,
            }
            for key, node in enumerate(cluster.repositories, 1)
            for passphrase in (keys.passphrase(store, node, cluster.stanza),)
        ]
        for cluster in kept
    }
    keepers = sorted({(node, cluster.stanza) for cluster in kept for node in cluster.repositories})
    values = {
        "configuration": CONFIGURATION,
        "clusters": kept,
        "places": places,
        "keepers": keepers,
        "port": DATABASE_PORT,
        "version": VERSION,
        "role": SOURCE_ACCOUNT,
    }
    files += [
        File(f"{CONFIGURATION}/sender.conf", render(TEMPLATES / "sender.conf.j2", **values), **own),
        File(f"{CONFIGURATION}/source.conf", render(TEMPLATES / "source.conf.j2", **values), **for_source),
        *(File(f"{CONFIGURATION}/{cluster.stanza}.json", _configuration(data, cluster)) for cluster in kept),
    ]
    return files


def continuous_units(data: HostData, clusters: Sequence[Cluster]) -> list[File]:
    """The server that keepers read from, and the timers of stamps and restore tests."""
    if not any(cluster.repositories for cluster in clusters):
        return []
    values = {
        "account": ACCOUNT,
        "source": SOURCE_ACCOUNT,
        "configuration": CONFIGURATION,
        "time_zone": data.time_zone,
        "stamp_every": STAMP_EVERY,
        "scratch": SCRATCH,
        "state": STATE,
    }
    names = (
        "jizuo-database-source.service",
        "jizuo-database-watch@.service",
        "jizuo-database-watch@.timer",
        "jizuo-database-prove@.service",
        "jizuo-database-prove@.timer",
    )
    return [File(f"/etc/systemd/system/{name}", render(TEMPLATES / f"{name}.j2", **values)) for name in names]


def running_units(clusters: Sequence[Cluster]) -> list[str]:
    """What shall run on the node."""
    kept = [cluster.stanza for cluster in clusters if cluster.repositories]
    units = [unit(cluster) for cluster in clusters]
    if kept:
        units.append("jizuo-database-source.service")
    for stanza in kept:
        units += [f"jizuo-database-watch@{stanza}.timer", f"jizuo-database-prove@{stanza}.timer"]
    return units


def _configuration(data: HostData, cluster: Cluster) -> str:
    content = {
        "stanza": cluster.stanza,
        "host": data.name,
        "policy": cluster.policy,
        "database": cluster.database,
        "databases": cluster.databases,
        "rpo_seconds": cluster.rpo,
        "verify_every_seconds": PROVE_EVERY,
        "places": [{"key": key, "node": node} for key, node in enumerate(cluster.repositories, 1)],
        "unit": unit(cluster),
        "settings": f"{CONFIGURATION}/sender.conf",
        "data": f"/var/lib/postgresql/{VERSION}/{cluster.instance}",
        "socket": "/var/run/postgresql",
        "port": 5432,
        "binaries": BINARIES,
        "state": STATE,
        "scratch": SCRATCH,
        "pgbackrest": "/usr/bin/pgbackrest",
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
