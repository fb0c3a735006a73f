"""The repository's side: rclone serves each client its own repositories, over TLS, none to be deleted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from deploy.backup import client
from deploy.backup.certificates import server_certificate
from deploy.backup.credentials import login_line, repository_password
from deploy.here import render
from deploy.hoststate.files import File
from deploy.secrets import SecretStore
from inventories.hosts import BACKUP_PORT, HostData

TEMPLATES = Path(__file__).parent / "templates"
#: What a repository node installs; the mirror must hold these.
PACKAGES = ("rclone", *client.PACKAGES)
#: The account that owns the repositories and can do nothing else.
USER = "jizuo-repository"
FOLDER = "/srv/repositories"
CONFIGURATION = "/etc/jizuo/repository"
HELD = f"{CONFIGURATION}/held"
#: Who may read the repositories' passwords: root, and the maintenance, which removes old snapshots. The account of
#: the server that clients talk to is not in it. It means that root of this node can read what is backed up here and
#: remove its history; that is why a copy stands on another node under another password, and why this node is a
#: node of its own.
MAINTENANCE_GROUP = "jizuo-maintenance"
MAINTENANCE_TIMER = "jizuo-repository-maintenance.timer"
#: Of these a node has what it holds and nothing else.
EXCLUSIVE = (f"{HELD}/*",)
#: How often the maintenance tries in its window, in minutes: a client may be at work the first time.
TRY_EVERY = 30


#: For folders that were made before that; not every file system knows the attribute.
WRITE_THROUGH = f"find {FOLDER} -type d -exec chattr +S {{}} + || echo 'cannot be written through' >&2"
#: The folder of the repositories, and that what is written there is written through.
TMPFILES = "/etc/tmpfiles.d/jizuo-repository.conf"


def account() -> list[File]:
    """The server's account and the folder of its repositories."""
    return [
        File(
            "/etc/sysusers.d/jizuo-repository.conf",
            f'u {USER} - "serves backup repositories" {FOLDER}\ng {MAINTENANCE_GROUP} -\n',
        ),
        # rclone acknowledges what the kernel has in memory, and a cut of power takes the last half minute of that:
        # packs that a client was told of are gone, and it goes on to a snapshot that needs them. With the attribute S
        # (chattr(1)), which all that is made in the folder inherits, a file is on the disk before that.
        File(TMPFILES, f"d {FOLDER} 0700 {USER} {USER} -\nh {FOLDER} - - - - +S\n"),
    ]


def server_files(store: SecretStore, data: HostData) -> list[File]:
    """The server's certificate, its clients' logins and its unit."""
    names = [data.fqdn, data.name]
    pair = server_certificate(store, data.name, names, data.service.values())
    logins = "".join(f"{login_line(store, data.name, name)}\n" for name in sorted(data.backup_clients))
    unit = render(
        TEMPLATES / "jizuo-repository.service.j2",
        user=USER,
        folder=FOLDER,
        library=str(Path(client.LIBRARY).parent),
        arguments=shlex.join(server_arguments(f":{BACKUP_PORT}", Path(CONFIGURATION), Path(FOLDER))),
    )
    return [
        File(f"{CONFIGURATION}/certificate.pem", pair.certificate, mode="640", group=USER),
        File(f"{CONFIGURATION}/key.pem", pair.key, mode="640", group=USER),
        File(f"{CONFIGURATION}/htpasswd", logins, mode="640", group=USER),
        File("/etc/systemd/system/jizuo-repository.service", unit),
    ]


def maintenance_files(store: SecretStore, data: HostData) -> list[File]:
    """What removes old snapshots: the program, its unit and timer, and for each repository its keeping and key."""
    files = list(client.program())
    for held in data.held_repositories:
        base = f"{HELD}/{held.client}-{held.policy}"
        folder = f"{FOLDER}/{held.client}/{held.policy}"
        password = repository_password(store, data.name, held.client, held.policy)
        configuration = {
            "node": data.name,
            "client": held.client,
            "policy": held.policy,
            "folder": folder,
            "repository_file": f"{base}.repository",
            "password_file": f"{base}.password",
            "keep": held.keep,
            "window": held.window,
        }
        files += [
            File(f"{base}.json", json.dumps(configuration, indent=1, ensure_ascii=False) + "\n"),
            File(f"{base}.repository", f"{folder}\n"),
            File(f"{base}.password", f"{password}\n", mode="640", group=MAINTENANCE_GROUP),
        ]
    windows = sorted({held.window for held in data.held_repositories})
    moments = [moment for window in windows for moment in tries_in(window)]
    service = render(
        TEMPLATES / "jizuo-repository-maintenance.service.j2",
        user=USER,
        group=MAINTENANCE_GROUP,
        folder=FOLDER,
        time_zone=data.time_zone,
    )
    timer = render(
        TEMPLATES / "jizuo-repository-maintenance.timer.j2",
        moments=list(dict.fromkeys(moments)) or ["03:00"],
        time_zone=data.time_zone,
    )
    return [
        *files,
        File("/etc/systemd/system/jizuo-repository-maintenance.service", service),
        File(f"/etc/systemd/system/{MAINTENANCE_TIMER}", timer),
    ]


def tries_in(window: str) -> list[str]:
    """The times of day at which the maintenance begins or tries again: `HH:MM`, from the window's start on."""
    begins, ends = (int(text[:2]) * 60 + int(text[3:]) for text in window.split("-"))
    length = (ends - begins) % (24 * 60) or 24 * 60
    return [
        f"{minute // 60 % 24:02}:{minute % 60:02}" for minute in range(begins, begins + length, TRY_EVERY)
    ]


def server_arguments(listen: str, configuration: Path, folder: Path) -> list[str]:
    """rclone's arguments; a listening address without a host means every address of both families.

    The service addresses come and go with the routing, so the server does not bind them: the firewall lets
    nobody but the extranet in.
    """
    return [
        "serve",
        "restic",
        # No remotes, and so no configuration file: the folder is local.
        "--config=",
        f"--addr={listen}",
        "--append-only",
        "--private-repos",
        # A list that is kept in memory would hide a file that was lost on the disk.
        "--cache-objects=false",
        "--min-tls-version=tls1.2",
        f"--cert={configuration / 'certificate.pem'}",
        f"--key={configuration / 'key.pem'}",
        f"--htpasswd={configuration / 'htpasswd'}",
        str(folder),
    ]
