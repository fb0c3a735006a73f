"""The deploy of the base: the same for every host, in the order in which a new host needs it."""

from __future__ import annotations

from pathlib import Path

from pyinfra import host
from pyinfra.api import deploy

from deploy.base.firewall import firewall
from deploy.base.ruleset import ruleset
from deploy.freshness.parts import CERTIFICATE_TIMER, certificate_files
from deploy.here import here, render, secret_store
from deploy.hoststate.container import Container
from deploy.hoststate.files import File, files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from deploy.login.files import NODE_EXPORTER_WEB, node_exporter_files
from deploy.mirror_key import mirror_public_key
from inventories.hosts import MIRROR_PORT, NODE_EXPORTER_PORT, HostData
from inventories.monitoring import AUTHORITY
from inventories.records import Family

TEMPLATES = Path(__file__).parent / "templates"
KIT = Path(__file__).resolve().parents[2]

#: What the base installs; the mirror must hold these.
PACKAGES = (
    "nftables",
    "chrony",
    "rsyslog",
    "prometheus-node-exporter",
    "libpam-pwquality",
    "ca-certificates",
)

#: Both families by name: without it the exporter takes what it finds at boot, which may be IPv4 alone. Debian's
#: package asks systemd for every unit at each scrape: nine tenths of a scrape's time, for series that nothing reads.
#: Of what is left, two fifths went to reading a dozen files of sysfs for each interface; netlink says it at once.
NODE_EXPORTER = (
    f'# Written by jizuo.\nARGS="--web.listen-address=[::]:{NODE_EXPORTER_PORT} --no-collector.systemd '
    f'--collector.netclass.netlink --web.config.file={NODE_EXPORTER_WEB}"\n'
)
#: Whether it serves over TLS, with the certificate that it was given: a new one that it cannot use ends it.
NODE_EXPORTER_SHOWS = (
    "for try in $(seq 50); do "
    f"openssl s_client -connect [::1]:{NODE_EXPORTER_PORT} -CAfile {AUTHORITY} -verify_ip ::1 -brief "
    "2>&1 </dev/null | grep -q '^Verification: OK' && exit 0; sleep 0.1; done; exit 1"
)


@deploy("base")
def base() -> None:
    """Packages from the mirror, accounts, SSH, kernel settings, time, logs, node exporter, firewall."""
    data = here()
    files(name="names and login rules", wanted=login_rules(data), activate=["hostname -F /etc/hostname"])
    files(name="package source", wanted=package_source(data), activate=["apt-get -qq update"])
    debian_packages(name="packages", names=PACKAGES)
    files(name="accounts", wanted=accounts(data), activate=["systemd-sysusers /etc/sysusers.d/jizuo.conf"])
    # One listener: a service that systemd's socket started cannot bind the port again when it reloads. Sessions
    # outlive the restart (KillMode=process).
    files(
        name="SSH server",
        wanted=ssh_server(data),
        validate=["visudo -cqf {/etc/sudoers.d/jizuo}", "sshd -t -f {/etc/ssh/sshd_config}"],
        activate=["systemctl disable -q --now ssh.socket 2>/dev/null || true", "systemctl restart ssh"],
        confirm=["systemctl is-active -q ssh"],
    )
    files(
        name="kernel settings",
        wanted=[
            File("/etc/sysctl.d/60-jizuo.conf", render(TEMPLATES / "sysctl.conf.j2", forwards=forwards(data)))
        ],
        activate=["/lib/systemd/systemd-sysctl /etc/sysctl.d/60-jizuo.conf"],
    )
    files(
        name="time",
        wanted=time_service(data, container=bool(host.get_fact(Container))),
        validate=["chronyd -p -f {/etc/chrony/chrony.conf} >/dev/null"],
        activate=["systemctl daemon-reload", "systemctl restart chrony"],
    )
    files(
        name="logs",
        wanted=logs(data),
        validate=["rsyslogd -N1 -f {/etc/rsyslog.conf}"],
        activate=["systemctl restart systemd-journald rsyslog"],
        confirm=["systemctl is-active -q rsyslog"],
    )
    files(
        name="node exporter",
        wanted=node_exporter(data),
        activate=[
            "systemctl daemon-reload",
            "systemctl restart prometheus-node-exporter",
            "systemctl enable -q jizuo-firewall-counters.timer",
            f"systemctl enable -q {CERTIFICATE_TIMER}",
            f"systemctl restart jizuo-firewall-counters.timer {CERTIFICATE_TIMER}",
        ],
        confirm=[NODE_EXPORTER_SHOWS],
    )
    firewall(name="firewall", rules=rules(data), reach=[data.management[family] for family in Family])
    units(
        name="services",
        running=[
            "chrony.service",
            "rsyslog.service",
            "nftables.service",
            "prometheus-node-exporter.service",
            "jizuo-firewall-counters.timer",
            CERTIFICATE_TIMER,
            "ssh.service",
        ],
    )


def package_source(data: HostData) -> list[File]:
    """The city's mirror over the management network, and nothing else.

    An operations node is the mirror: it reads its own folder.
    """
    name, addresses = next(iter(data.operations.items()))
    uri = "file:/srv/mirror" if name == data.name else f"http://[{addresses[Family.IPV6]}]:{MIRROR_PORT}"
    stanza = (
        f"Types: deb\nURIs: {uri}\nSuites: bookworm\nComponents: main\n"
        "Signed-By: /etc/apt/keyrings/jizuo-mirror.asc\n"
    )
    return [
        File("/etc/apt/keyrings/jizuo-mirror.asc", mirror_public_key(secret_store())),
        File("/etc/apt/sources.list.d/jizuo.sources", stanza),
        File("/etc/apt/sources.list", None),
    ]


def accounts(data: HostData) -> list[File]:
    """The account that audits; the one that deploys was there before us. Keys are root's files, not the accounts'."""
    store = secret_store().folder.parent / "ssh"
    deploy_key = (store / "deploy.pub").read_text(encoding="ascii")
    audit_key = (store / "audit.pub").read_text(encoding="ascii")
    return [
        File(
            "/etc/sysusers.d/jizuo.conf",
            'u audit - "reads what the security checks need" /nonexistent /bin/sh\n',
        ),
        File("/etc/ssh/authorized_keys/deploy", deploy_key),
        File(
            "/etc/ssh/authorized_keys/audit",
            f'restrict,command="sudo -n /usr/local/libexec/jizuo-collect" {audit_key}',
        ),
        File(
            "/usr/local/libexec/jizuo-collect",
            (KIT / "checks/security/collect.sh").read_bytes(),
            mode="755",
        ),
    ]


def ssh_server(data: HostData) -> list[File]:
    sudoers = (
        "deploy ALL=(ALL:ALL) NOPASSWD: ALL\naudit ALL=(root) NOPASSWD: /usr/local/libexec/jizuo-collect\n"
    )
    return [
        File("/etc/sudoers.d/jizuo", sudoers, mode="440"),
        File("/etc/ssh/sshd_config", render(TEMPLATES / "sshd_config.j2"), mode="600"),
    ]


def forwards(data: HostData) -> int:
    """1 on a router, 0 elsewhere."""
    return int(data.routing is not None and data.routing.forwards)


def time_service(data: HostData, *, container: bool) -> list[File]:
    """chrony from the city's servers; in a container, which may not set the kernel's clock, it serves and measures."""
    dropin = (
        "[Unit]\nConditionCapability=\n[Service]\nExecStart=\nExecStart=!/usr/sbin/chronyd $DAEMON_OPTS -x\n"
    )
    return [
        File("/etc/chrony/chrony.conf", render(TEMPLATES / "chrony.conf.j2", data=data)),
        File("/etc/systemd/system/chrony.service.d/jizuo.conf", dropin if container else None),
    ]


def logs(data: HostData) -> list[File]:
    # GB/T 22239-2019 8.1.4.3 wants logs protected and kept; the Cybersecurity Law, article 21, says six months.
    rotate = (
        "/var/log/syslog /var/log/auth.log /var/log/hosts/*.log {\n"
        "    weekly\n    rotate 27\n    missingok\n    notifempty\n    compress\n    delaycompress\n    sharedscripts\n"
        "    postrotate\n        /usr/lib/rsyslog/rsyslog-rotate\n    endscript\n}\n"
    )
    journal = "[Journal]\nStorage=persistent\nSystemMaxUse=1G\nMaxRetentionSec=190day\nForwardToSyslog=yes\n"
    return [
        File("/etc/rsyslog.conf", render(TEMPLATES / "rsyslog.conf.j2", data=data)),
        File("/etc/logrotate.d/rsyslog", rotate),
        File("/etc/systemd/journald.conf.d/jizuo.conf", journal),
    ]


def node_exporter(data: HostData) -> list[File]:
    """The node exporter's settings and certificates, and what writes counters and certificates' ends for it."""
    name = "jizuo-firewall-counters"
    return [
        File("/etc/default/prometheus-node-exporter", NODE_EXPORTER),
        *node_exporter_files(secret_store(), data),
        File(f"/usr/local/libexec/{name}", (Path(__file__).parent / name).read_bytes(), mode="755"),
        *(
            File(f"/etc/systemd/system/{name}.{kind}", render(TEMPLATES / f"{name}.{kind}.j2"))
            for kind in ("service", "timer")
        ),
        *certificate_files(),
    ]


def login_rules(data: HostData) -> list[File]:
    """Names of the city's servers, and what assessors of MLPS level 3 look for at login (docs: checks' profile)."""
    names = [
        "127.0.0.1 localhost",
        f"127.0.1.1 {data.fqdn} {data.name}",
        "::1 localhost ip6-localhost ip6-loopback",
    ]
    for name, addresses in sorted(data.neighbors.items()):
        names += [f"{address} {name}.{data.domain} {name}" for address in addresses if name != data.name]
    return [
        File("/etc/hosts", "\n".join(names) + "\n"),
        File("/etc/hostname", f"{data.name}\n"),
        File("/etc/profile.d/jizuo.sh", "umask 027\nTMOUT=300\nreadonly TMOUT\nexport TMOUT\n"),
        File("/etc/security/pwquality.conf", "minlen = 12\nminclass = 3\nenforce_for_root\n"),
        File(
            "/etc/security/faillock.conf",
            "deny = 5\nunlock_time = 900\nfail_interval = 900\neven_deny_root\nroot_unlock_time = 900\naudit\n",
        ),
    ]


def rules(data: HostData) -> str:
    """The host's nft script."""
    return ruleset(data)
