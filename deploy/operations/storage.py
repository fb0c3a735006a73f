"""The city's long storage: VictoriaMetrics on the loopback, and before it nginx, which lets counties' agents write.

Everything that the city's Prometheus scrapes is written there too. An agent shows monitoring's certificate of its node;
what it writes bears the county that this node stands in, whatever it says itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyinfra.api import deploy

from deploy.here import all_hosts, here, render, secret_store
from deploy.hoststate.files import File, files
from deploy.login.keys import server, trusted
from deploy.secrets import SecretStore
from inventories.hosts import STORAGE_PORT, HostData
from inventories.records import NodeRole

TEMPLATES = Path(__file__).parent / "templates"
#: What the storage installs beside nginx; the mirror must hold these.
STORAGE_PACKAGES = ("victoria-metrics",)
#: Where it listens, for this host alone: it asks nobody who they are.
LISTEN = "127.0.0.1:8428"
WRITE_URL = f"http://{LISTEN}/api/v1/write"
#: Whom to ask as one would a Prometheus.
READ_URL = f"http://{LISTEN}"
FOLDER = "/var/lib/victoria-metrics"
UNIT = "victoria-metrics.service"
_CREDENTIALS = "/etc/jizuo/storage"


@deploy("storage")
def storage() -> None:
    """The daemon's settings, and the way to it from the counties; nginx and the package are there already."""
    data = here()
    files(
        name="daemon",
        wanted=daemon_files(data.monitoring_history),
        activate=["systemctl daemon-reload", f"systemctl try-restart {UNIT}"],
    )
    files(
        name="front",
        wanted=front_files(secret_store(), data, all_hosts()),
        activate=["nginx -q -t", "systemctl reload-or-restart nginx"],
        confirm=["systemctl is-active -q nginx"],
    )


def daemon_files(months: int) -> list[File]:
    """VictoriaMetrics's arguments, and what its unit may do."""
    return [
        File("/etc/default/victoria-metrics", f'ARGS="{" ".join(arguments(FOLDER, months))}"\n'),
        File(f"/etc/systemd/system/{UNIT}.d/jizuo.conf", render(TEMPLATES / "victoria-metrics.conf.j2")),
    ]


def arguments(folder: str, months: int, listen: str = LISTEN) -> list[str]:
    """The arguments of VictoriaMetrics 1.79 (Debian's).

    A batch that was written and whose answer was lost is written again: of samples of one series and one moment one is
    kept, and no others are left out, as a longer interval would.
    """
    return [
        f"-storageDataPath={folder}",
        f"-retentionPeriod={months}",
        "-dedup.minScrapeInterval=1ms",
        # Before the disk that the operations node shares is full it takes nothing more, and agents keep theirs.
        "-storage.minFreeDiskSpaceBytes=1GB",
        "-memory.allowedBytes=512MB",
        f"-httpListenAddr={listen}",
    ]


def front_files(store: SecretStore, data: HostData, hosts: Mapping[str, HostData]) -> list[File]:
    """nginx's part, with who may write; and the certificates."""
    agents = {name: one.site for name, one in sorted(hosts.items()) if one.role is NodeRole.AGENT}
    shown = server(store, data, "storage")
    front = render(
        TEMPLATES / "storage.conf.j2",
        agents=agents,
        port=STORAGE_PORT,
        credentials=_CREDENTIALS,
        write_url=WRITE_URL,
    )
    return [
        File(f"{_CREDENTIALS}/authority.pem", trusted(store)),
        File(f"{_CREDENTIALS}/certificate.pem", shown.certificate),
        # nginx reads it as root, before it gives that up.
        File(f"{_CREDENTIALS}/key.pem", shown.key, mode="600"),
        File("/etc/nginx/jizuo.d/storage.conf", front),
    ]
