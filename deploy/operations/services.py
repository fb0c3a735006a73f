"""The kit's own services: who they run as, what they may do, and when the checks run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy.here import render
from deploy.hoststate.files import File
from deploy.login.files import EXPORTER_WEB
from deploy.operations.inventory_copy import FOLDER
from deploy.operations.kit import HOME
from deploy.operations.storage import READ_URL
from inventories.hosts import EXPORTER_PORT, HostData
from inventories.records import Family

TEMPLATES = Path(__file__).parent / "templates"
ACCOUNT = "jizuo"
#: The state folder of the kit on this host (JIZUO_STATE): `ssh_config` and `ssh/` as on the controller.
STATE = "/etc/jizuo"
RECORDS = "/var/lib/jizuo/records"

EXPORTER = "jizuo-exporter.service"
#: The checks that run by themselves, and how many rounds of probes lie between the end of one run and the next.
CHECKS = {"security": 10, "backup": 6}
#: The audit of all controls takes some CPU seconds a host: never more often than this, in seconds.
LEAST_PAUSE = {"security": 300, "backup": 0}
TIMERS = tuple(f"jizuo-check-{check}.timer" for check in CHECKS)


def account_files() -> list[File]:
    """The unprivileged account, and the folders that the kit reads and writes."""
    user = f'u {ACCOUNT} - "exporters and checks of jizuo" /nonexistent /usr/sbin/nologin\n'
    folders = (
        "d /var/lib/jizuo 0755 root root -\n"
        f"d {RECORDS} 0755 {ACCOUNT} {ACCOUNT} -\n"
        "d /var/lib/jizuo/drills 0755 root root -\n"
        "d /var/lib/jizuo/deploy 0755 root root -\n"
    )
    return [File("/etc/sysusers.d/jizuo-kit.conf", user), File("/etc/tmpfiles.d/jizuo-kit.conf", folders)]


def ssh_files(hosts: Mapping[str, HostData], audit_key: bytes, known_hosts: str) -> list[File]:
    """How the checks reach every host: the audit account over the management network, host keys pinned."""
    blocks = [
        f"Host {name}\n    HostName {data.management[Family.IPV4]}\n    HostKeyAlias {name}\n"
        for name, data in sorted(hosts.items())
    ]
    common = (
        "Host *\n    User audit\n"
        f"    IdentityFile {STATE}/ssh/audit\n    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {STATE}/ssh/known_hosts\n    GlobalKnownHostsFile /dev/null\n"
        "    StrictHostKeyChecking yes\n    BatchMode yes\n    ConnectTimeout 5\n"
        "    ServerAliveInterval 5\n    ServerAliveCountMax 3\n"
    )
    return [
        File(f"{STATE}/ssh_config", "\n".join([*blocks, common])),
        File(f"{STATE}/ssh/known_hosts", known_hosts),
        File(f"{STATE}/ssh/audit", audit_key, mode="600", owner=ACCOUNT, group=ACCOUNT),
    ]


def unit_files(interval: int) -> list[File]:
    """The units of the exporter, which probes every `interval` seconds, and of each check with its timer."""
    values = {"account": ACCOUNT, "home": HOME, "inventory": FOLDER, "records": RECORDS, "state": STATE}
    found = [
        File(
            f"/etc/systemd/system/{EXPORTER}",
            render(
                TEMPLATES / "jizuo-exporter.service.j2",
                port=EXPORTER_PORT,
                interval=interval,
                # It has the year that the page shows, and answers this host alone; Prometheus keeps half of it.
                prometheus=READ_URL,
                web_config=EXPORTER_WEB,
                **values,
            ),
        )
    ]
    for check, rounds in CHECKS.items():
        seconds = max(rounds * interval, LEAST_PAUSE[check])
        service, timer = f"jizuo-check-{check}.service", f"jizuo-check-{check}.timer"
        found += [
            File(
                f"/etc/systemd/system/{service}",
                render(TEMPLATES / "jizuo-check.service.j2", check=check, **values),
            ),
            File(
                f"/etc/systemd/system/{timer}",
                render(TEMPLATES / "jizuo-check.timer.j2", check=check, seconds=seconds),
            ),
        ]
    return found
