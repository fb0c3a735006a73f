"""A repository node's files: the receiver that databases' nodes reach, and the keeper that they do not.

What pgBackRest's TLS server lets a client do was measured (2.45): its client may name any repository path, and
reads and writes there whatever the server's account may, stanzas notwithstanding. So there are two accounts.
The receiver's, which clients reach, adds to the log and can do no more: what arrived is sealed (`seal.py`), and
the base backups, the passphrases and the keys are not its own. The keeper's pulls the base backups and removes
what is kept long enough; no client reaches it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.backup.certificates import authority
from deploy.database import keys
from deploy.database.clusters import DIFF_EVERY_DAYS, FULL_EVERY_DAYS, Cluster
from deploy.database.node import VERSION
from deploy.here import render
from deploy.hoststate.files import File
from deploy.secrets import SecretStore
from inventories.hosts import DATABASE_PORT, HostData

TEMPLATES = Path(__file__).parent / "templates"
#: What a repository node installs; the mirror must hold these.
PACKAGES = ("pgbackrest", "python3")
#: In the other city clusters are restored when this one is lost, and its package mirror with it.
TAKE_OVER_PACKAGES = (f"postgresql-{VERSION}",)
RECEIVER, KEEPER = "jizuo-receiver", "jizuo-keeper"
FOLDER = "/srv/databases"
CONFIGURATION = "/etc/jizuo/database"
EXCLUSIVE = (f"{CONFIGURATION}/*-*.json",)


def accounts() -> list[File]:
    """Both accounts, in the keeper's group, and the repository's folders."""
    text = (
        f'u {KEEPER} - "keeps backups of databases" {FOLDER}\n'
        f'u {RECEIVER} -:{KEEPER} "receives the log of databases" /nonexistent\n'
    )
    folders = (
        f"d {FOLDER} 0750 {KEEPER} {KEEPER} -\n"
        f"d {FOLDER}/archive 1770 {KEEPER} {KEEPER} -\n"
        f"d {FOLDER}/backup 0750 {KEEPER} {KEEPER} -\n"
    )
    return [
        File("/etc/sysusers.d/jizuo-keeper.conf", text),
        File("/etc/tmpfiles.d/jizuo-keeper.conf", folders),
    ]


def settings(
    store: SecretStore, data: HostData, clusters: Sequence[Cluster], hosts: Mapping[str, HostData]
) -> list[File]:
    """pgBackRest's settings as receiver and as keeper, with their keys."""
    receiver, keeper = keys.receiver(store, data), keys.keeper(store, data)
    own = {"mode": "600", "owner": KEEPER, "group": KEEPER}
    # The receiver's primary group is the keeper's: a file of its own is one that it owns.
    for_receiver = {"mode": "400", "owner": RECEIVER, "group": KEEPER}
    window = data.held_repositories[0].window if data.held_repositories else "01:00-05:00"
    values = {
        "configuration": CONFIGURATION,
        "folder": FOLDER,
        "port": DATABASE_PORT,
        "version": VERSION,
        "role": "jizuo-source",
        "clusters": [
            {
                "cluster": cluster,
                "key": cluster.repositories.index(data.name) + 1,
                "host": hosts[cluster.node].fqdn,
                "passphrase": keys.passphrase(store, data.name, cluster.stanza),
            }
            for cluster in clusters
        ],
    }
    return [
        File(f"{CONFIGURATION}/authority.pem", authority(store).certificate),
        File(f"{CONFIGURATION}/receiver.pem", receiver.certificate),
        File(f"{CONFIGURATION}/receiver.key", receiver.key, **for_receiver),
        File(f"{CONFIGURATION}/receiver.conf", render(TEMPLATES / "receiver.conf.j2", **values)),
        File(f"{CONFIGURATION}/keeper.pem", keeper.certificate),
        File(f"{CONFIGURATION}/keeper.key", keeper.key, **own),
        File(f"{CONFIGURATION}/keeper.conf", render(TEMPLATES / "keeper.conf.j2", **values), **own),
        *(
            File(f"{CONFIGURATION}/{cluster.stanza}.json", _keeping(cluster, window), **own)
            for cluster in clusters
        ),
    ]


def units(data: HostData) -> list[File]:
    """The receiver, the sealing of what it received, and the keeper's timer."""
    values = {
        "receiver": RECEIVER,
        "keeper": KEEPER,
        "configuration": CONFIGURATION,
        "folder": FOLDER,
        "time_zone": data.time_zone,
    }
    names = (
        "jizuo-database-receiver.service",
        "jizuo-database-seal.service",
        "jizuo-database-keep@.service",
        "jizuo-database-keep@.timer",
    )
    return [File(f"/etc/systemd/system/{name}", render(TEMPLATES / f"{name}.j2", **values)) for name in names]


def running_units(clusters: Sequence[Cluster]) -> list[str]:
    """What shall run on the node."""
    timers = [f"jizuo-database-keep@{cluster.stanza}.timer" for cluster in clusters]
    return ["jizuo-database-receiver.service", "jizuo-database-seal.service", *timers]


def _keeping(cluster: Cluster, window: str) -> str:
    content = {
        "stanza": cluster.stanza,
        "settings": f"{CONFIGURATION}/keeper.conf",
        "full_every_seconds": FULL_EVERY_DAYS * 86400,
        "diff_every_seconds": DIFF_EVERY_DAYS * 86400,
        "window": window,
        "pgbackrest": "/usr/bin/pgbackrest",
        "fulls": cluster.fulls,
    }
    return json.dumps(content, indent=1) + "\n"
