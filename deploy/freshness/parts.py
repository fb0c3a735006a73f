"""Which files make a host say when certificates end, when logs last came, when a county's probes last went round?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deploy.here import render
from deploy.hoststate.files import File

_HERE = Path(__file__).parent
#: Where the node exporter reads what others have measured (Debian's package).
COLLECTED = "/var/lib/prometheus/node-exporter"
PROGRAMS = "/usr/local/libexec"
#: Where the kit keeps certificates on hosts.
CERTIFICATES = ("/etc/jizuo", "/etc/prometheus")
#: Where rsyslog of an operations node keeps the hosts' logs, a file each.
LOGS = "/var/log/hosts"
EXPECTED = "/etc/jizuo/log-hosts"
CERTIFICATE_TIMER, LOG_TIMER = "jizuo-certificate-ends.timer", "jizuo-log-streams.timer"
PROBES_TIMER = "jizuo-county-probes.timer"
#: An end moves when a person renews; the alert counts days. A stream is late after a quarter of an hour.
_HOURLY, _EVERY_MINUTE = 3600, 60


def certificate_files() -> list[File]:
    """The program, service and timer that show when a host's certificates end."""
    name = CERTIFICATE_TIMER.removesuffix(".timer")
    arguments = [f"{COLLECTED}/jizuo-certificates.prom", *CERTIFICATES]
    return _program(name, "when certificates end", arguments, _HOURLY)


def log_stream_files(node: str, hosts: Iterable[str]) -> list[File]:
    """The program, service and timer that show when each host's logs last came, and the hosts to expect.

    Its own are not sent to it: `node` is not among them.
    """
    name = LOG_TIMER.removesuffix(".timer")
    expected = "".join(f"{host}\n" for host in sorted(hosts) if host != node)
    arguments = [f"{COLLECTED}/jizuo-log-streams.prom", EXPECTED, LOGS]
    return [File(EXPECTED, expected), *_program(name, "when hosts' logs last came", arguments, _EVERY_MINUTE)]


def county_probe_files(port: int) -> list[File]:
    """The program, service and timer that show when the exporter of a county's agent last ended a round of probes.

    That exporter's series go to the storage alone, and while the county is cut off not even there; what the node
    exporter shows is read over the management network, and the city's rules see it.
    """
    name = PROBES_TIMER.removesuffix(".timer")
    arguments = [f"{COLLECTED}/jizuo-county-probes.prom", f"http://[::1]:{port}/metrics"]
    return _program(name, "when this county's probes last went round", arguments, _EVERY_MINUTE, asks=True)


def _program(name: str, about: str, arguments: list[str], seconds: int, *, asks: bool = False) -> list[File]:
    """`asks` is for a program that asks another one of the same host, over the loopback."""
    program = f"{PROGRAMS}/{name}"
    values = {"about": about, "command": " ".join([program, *arguments]), "seconds": seconds, "asks": asks}
    return [
        File(program, (_HERE / name).read_bytes(), mode="755"),
        *(
            File(
                f"/etc/systemd/system/{name}.{kind}",
                render(_HERE / "templates" / f"freshness.{kind}.j2", **values),
            )
            for kind in ("service", "timer")
        ),
    ]
