"""What goes stale: logs of a host that stop coming, and when the certificates of a repository node end."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import quote

from deploy.lab.lab import Lab

from .conftest import Execute, read

OPS, SILENT = "ops-1", "client-2"
NEWEST = "jizuo_log_stream_newest_timestamp_seconds"
ENDS = "jizuo_host_certificate_not_after_timestamp_seconds"


def left(on: Execute, host: str, name: str) -> dict[str, float]:
    """A metric that a host left for its node exporter, by its one label."""
    text = on(host, "sh", "-c", "cat /var/lib/prometheus/node-exporter/*.prom").stdout
    found = re.findall(rf'^{name}{{\w+="([^"]*)"}} (\S+)$', text, re.MULTILINE)
    return {label: float(value) for label, value in found}


def test_the_logs_of_every_host_arrive_and_one_that_stops_shows(lab: Lab, on: Execute) -> None:
    def measured() -> dict[str, float]:
        on(OPS, "systemctl", "start", "jizuo-log-streams.service")
        return left(on, OPS, NEWEST)

    def until(moment: float, host: str) -> None:
        end = time.monotonic() + 60
        while measured().get(host, 0) < moment:
            on(host, "logger", "jizuo-test")
            assert time.monotonic() < end, measured()
            time.sleep(1)

    assert set(measured()) == set(lab.city.nodes) - {OPS}
    assert not [host for host, newest in measured().items() if not newest], "a host never sent a line"
    # A line that was written years ago stands for a stream that stopped: the host's logger is off meanwhile.
    on(SILENT, "systemctl", "stop", "rsyslog.service", "syslog.socket")
    try:
        on(OPS, "touch", "-d", "@1000000000", f"/var/log/hosts/{SILENT}.log")
        on(OPS, "rm", "-f", f"/var/log/hosts/{SILENT}.log.1")
        on(SILENT, "logger", "nobody hears this")
        found = measured()
        assert found[SILENT] == 1_000_000_000
        assert min(newest for host, newest in found.items() if host != SILENT) > 1_700_000_000
    finally:
        on(SILENT, "systemctl", "start", "syslog.socket", "rsyslog.service")
    until(time.time() - 5, SILENT)


def test_a_repository_nodes_certificate_shows_in_prometheus(lab: Lab, on: Execute) -> None:
    on("backup-1", "systemctl", "start", "jizuo-certificate-ends.service")
    file = "/etc/jizuo/repository/certificate.pem"
    said = on("backup-1", "openssl", "x509", "-noout", "-enddate", "-in", file).stdout.strip()
    end = float(on("backup-1", "date", "-d", said.removeprefix("notAfter="), "+%s").stdout)
    assert left(on, "backup-1", ENDS)[file] == end
    record = (
        f'subject_check:jizuo_certificate_end_timestamp_seconds:min{{subject="backup-1", check="{file}"}}'
    )
    url = f"https://[{lab.record.hosts[OPS][1]}]:9090/api/v1/query?query={quote(record)}"
    deadline = time.monotonic() + 90
    while True:
        found = json.loads(read(lab, url))["data"]["result"]
        if found:
            break
        assert time.monotonic() < deadline, record
        time.sleep(2)
    assert float(found[0]["value"][1]) == end
