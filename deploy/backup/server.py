"""The repository's side: rclone serves each client its own repositories, over TLS, none to be deleted."""

from __future__ import annotations

import shlex
from pathlib import Path

from deploy.backup.certificates import server_certificate
from deploy.backup.credentials import login_line
from deploy.here import render
from deploy.hoststate.files import File
from deploy.secrets import SecretStore
from inventories.hosts import BACKUP_PORT, HostData

TEMPLATES = Path(__file__).parent / "templates"
#: What a repository node installs; the mirror must hold these.
PACKAGES = ("rclone",)
#: The account that owns the repositories and can do nothing else.
USER = "jizuo-repository"
FOLDER = "/srv/repositories"
CONFIGURATION = "/etc/jizuo/repository"


def account() -> list[File]:
    """The server's account and the folder of its repositories."""
    return [
        File("/etc/sysusers.d/jizuo-repository.conf", f'u {USER} - "serves backup repositories" {FOLDER}\n'),
        File("/etc/tmpfiles.d/jizuo-repository.conf", f"d {FOLDER} 0700 {USER} {USER} -\n"),
    ]


def server_files(store: SecretStore, data: HostData) -> list[File]:
    """The server's certificate, its clients' logins and its unit."""
    names = [data.fqdn, data.name]
    pair = server_certificate(store, data.name, names, data.service.values())
    logins = "".join(f"{login_line(store, data.name, client)}\n" for client in sorted(data.backup_clients))
    unit = render(
        TEMPLATES / "jizuo-repository.service.j2",
        user=USER,
        folder=FOLDER,
        arguments=shlex.join(server_arguments(f":{BACKUP_PORT}", Path(CONFIGURATION), Path(FOLDER))),
    )
    return [
        File(f"{CONFIGURATION}/certificate.pem", pair.certificate, mode="640", group=USER),
        File(f"{CONFIGURATION}/key.pem", pair.key, mode="640", group=USER),
        File(f"{CONFIGURATION}/htpasswd", logins, mode="640", group=USER),
        File("/etc/systemd/system/jizuo-repository.service", unit),
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
