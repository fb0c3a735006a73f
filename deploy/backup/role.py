"""The deploy of backups: jobs on the clients, repositories on the backup node and in the other city."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from pyinfra import host
from pyinfra.api import FactBase, deploy

from deploy.backup import client, server
from deploy.here import all_hosts, here, secret_store
from deploy.hoststate.files import File, files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from inventories.records import NodeRole

#: What the role installs; the mirror must hold these.
PACKAGES = (*client.PACKAGES, *server.PACKAGES)


class BackupPolicies(FactBase[list[str]]):
    """The policies that this host has a configuration of, or a key."""

    default = list

    def command(self) -> str:
        return f"ls -1 {shlex.quote(client.CONFIGURATION)} {shlex.quote(client.KEYS)} 2>/dev/null || true"

    def process(self, output: Iterable[str]) -> list[str]:
        found = set()
        for name in output:
            # A key is `<policy>@<node>.password` or `.repository`, whatever a cut short deploy added to that.
            policy, at, _ = name.partition("@")
            if at:
                found.add(policy)
            elif name.endswith(".json"):
                found.add(name.removesuffix(".json"))
        return sorted(found)


@deploy("backup")
def backup() -> None:
    """Repositories where other hosts keep backups, jobs where policies say so; a host can have both."""
    if here().role in (NodeRole.BACKUP, NodeRole.OFFSITE):
        repositories()
    jobs()


def repositories() -> None:
    """The server of repositories."""
    debian_packages(name="repository server", names=server.PACKAGES)
    files(
        name="repository account",
        wanted=server.account(),
        activate=[
            "systemd-sysusers /etc/sysusers.d/jizuo-repository.conf",
            f"systemd-tmpfiles --create {server.TMPFILES}",
            server.WRITE_THROUGH,
        ],
    )
    files(
        name="repository configuration",
        wanted=server.server_files(secret_store(), here()),
        activate=["systemctl daemon-reload", "systemctl restart jizuo-repository.service"],
        confirm=["systemctl is-active -q jizuo-repository.service"],
    )
    files(
        name="repository maintenance",
        wanted=server.maintenance_files(secret_store(), here()),
        activate=["systemctl daemon-reload", f"systemctl try-restart {server.MAINTENANCE_TIMER}"],
        exclusive=server.EXCLUSIVE,
    )
    units(name="repository service", running=["jizuo-repository.service", server.MAINTENANCE_TIMER])


def jobs() -> None:
    """The jobs of this host's policies, and the end of those that it no longer has."""
    data = here()
    wanted = [job.policy for job in data.backups]
    gone = [policy for policy in host.get_fact(BackupPolicies) or [] if policy not in wanted]
    if not wanted and not gone:
        return
    debian_packages(name="backup client", names=client.PACKAGES)
    files(
        name="backup account",
        wanted=client.account(data.backups),
        activate=[
            "systemd-sysusers /etc/sysusers.d/jizuo-backup.conf",
            f"if [ -e {client.LOGIN_FOLDER} ]; then systemd-tmpfiles --create {client.LOGIN_FOLDER}; fi",
        ],
    )
    if gone:
        units(name="policies that ended", stopped=[client.timer_name(policy) for policy in gone])
    files(
        name="backup jobs",
        wanted=job_set(),
        activate=["systemctl daemon-reload"],
        exclusive=client.EXCLUSIVE,
    )
    units(name="backup timers", running=[client.timer_name(policy) for policy in wanted])


def job_set() -> list[File]:
    """Every file of this host's jobs."""
    data, store, hosts = here(), secret_store(), all_hosts()
    found = {file.path: file for file in [*client.program(), *client.units(data)]}
    for job in data.backups:
        for file in [
            *client.job_files(store, data, job, hosts),
            *client.confinements(job, hosts),
            client.timer(data, job),
        ]:
            found[file.path] = file
    return list(found.values())
