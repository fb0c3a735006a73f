"""A recovery on another node: the keys to a client's backups and a place in its web server, given or taken back.

For people and for drills, by pyinfra's plain command on the node that takes over:

    pyinfra inventories/lab/inventory.py deploy/backup/recover.py --limit xinchuang-1 -y \\
        --data client=cloud-1 --data policy=gov-service --data system=yichun-gov-service-net --data recovery=present

Then, on that node as root, `PYTHONPATH=/usr/local/lib/jizuo python3 -m jizuo_backup restore --configuration
/etc/jizuo/recovery --from offsite-1 gov-service /srv/systems/yichun-gov-service-net` brings the data back. With
`recovery=absent` the keys and the place are gone; data that were restored stay. Without `system` there is no place
in the web server: the keys alone, for a restore that proves that the data come back here too.
"""

from __future__ import annotations

import msgspec
from pyinfra import host

from deploy.backup import client
from deploy.cloud.role import GUESTS
from deploy.cloud.seeding import FOLDER
from deploy.here import all_hosts, secret_store
from deploy.hoststate.files import File, files
from deploy.hoststate.packages import debian_packages
from inventories.hosts import BackupJob, HostData

#: The keys of a recovery stand apart from those of the node's own jobs, readable by root alone.
CONFIGURATION = "/etc/jizuo/recovery"
#: A web server that is down reads its configuration when it starts, and cannot be told to do so before.
_SERVING = "systemctl is-active -q nginx"


class RecoveryError(Exception):
    """The recovery that was asked for is not one that the inventory knows; the message says what there is."""


class Recovery(msgspec.Struct, frozen=True):
    """What is recovered: a system that stood on `client`, from the backups of `policy`; empty for the data alone."""

    client: HostData
    job: BackupJob
    system: str


def asked_for(hosts: dict[str, HostData], client_name: str, policy: str, system: str) -> Recovery:
    """The recovery of these names.

    Raises:
        RecoveryError: the inventory does not have them.
    """
    lost = hosts.get(client_name)
    if lost is None:
        raise RecoveryError(f"client={client_name}: no such node; the nodes are {', '.join(hosts)}")
    job = next((job for job in lost.backups if job.policy == policy), None)
    if job is None:
        names = ", ".join(job.policy for job in lost.backups) or "none"
        raise RecoveryError(f"policy={policy}: {client_name} has no such policy; it has {names}")
    if system and system not in [one.id for one in lost.systems]:
        names = ", ".join(one.id for one in lost.systems) or "none"
        raise RecoveryError(f"system={system}: not on {client_name}, which has {names}")
    return Recovery(lost, job, system)


def key_files(recovery: Recovery, hosts: dict[str, HostData]) -> list[File]:
    """The configuration of the restore and what opens the repositories, for root alone."""
    found = client.job_files(secret_store(), recovery.client, recovery.job, hosts, CONFIGURATION)
    return [msgspec.structs.replace(file, mode="600", group="root") for file in found]


def place(recovery: Recovery) -> File:
    """The system's place in the web server of the node that takes it over."""
    text = (
        f"# Written by jizuo: {recovery.system} of {recovery.client.name} is served here while it is down there.\n"
        f"location ^~ /{recovery.system}/ {{ index index.html; root {FOLDER}; }}\n"
    )
    return File(f"{GUESTS}/{recovery.system}.conf", text)


def recover() -> None:
    """Bring the node to what `--data` asks for.

    Raises:
        RecoveryError: what is asked for is not in the inventory.
    """
    asked = {name: str(host.data.get(name) or "") for name in ("client", "policy", "system", "recovery")}
    if asked["recovery"] not in ("present", "absent"):
        raise RecoveryError("say --data recovery=present, or recovery=absent")
    hosts = all_hosts()
    recovery = asked_for(hosts, asked["client"], asked["policy"], asked["system"])
    keys, places = key_files(recovery, hosts), [place(recovery)] if recovery.system else []
    if asked["recovery"] == "present":
        debian_packages(name="restic", names=client.PACKAGES)
        keys += client.program()
    else:
        keys, places = (
            [msgspec.structs.replace(file, content=None) for file in some] for some in (keys, places)
        )
    # Apart from the web server's files: whatever state it is in, keys that are taken back stay away.
    files(name="keys of the recovery", wanted=keys)
    if places:
        files(
            name="place of the recovery",
            wanted=places,
            activate=[f"! {_SERVING} || nginx -q -t", f"! {_SERVING} || systemctl reload nginx"],
        )
