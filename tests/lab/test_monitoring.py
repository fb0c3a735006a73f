"""Monitoring as it is deployed: two Prometheus, two Alertmanagers as a cluster, and nobody who may not ask."""

from __future__ import annotations

import json
import urllib.parse

import pytest

from deploy.lab.lab import Lab
from deploy.login.keys import login
from deploy.secrets import SecretStore
from inventories.records import Family

from .conftest import Execute, jizuo, read

WATCHING = ("ops-1", "offsite-1")
#: Asks every address and port of standard input over TLS with nothing to show, and says what it met: `STATUS`,
#: `wants a certificate` or what else went wrong.
NOBODY = """
import json, ssl, sys, urllib.error, urllib.request
trusted = ssl.create_default_context(cafile="/etc/jizuo/monitoring/authority.pem")
found = {}
for where in json.load(sys.stdin):
    try:
        with urllib.request.urlopen(f"https://{where}/metrics", timeout=5, context=trusted) as answer:
            found[where] = str(answer.status)
    except urllib.error.HTTPError as error:
        found[where] = str(error.code)
    except OSError as error:
        # Its alert: "certificate required" (RFC 8446), or as older versions of Go have it "bad certificate".
        wants = "ALERT_" in str(error) and "CERTIFICATE" in str(error)
        found[where] = "wants a certificate" if wants else str(error)
print(json.dumps(found))
"""


def addresses(lab: Lab, node: str) -> tuple[str, str]:
    ipv4, ipv6 = lab.record.hosts[node]
    return ipv4, f"[{ipv6}]"


def test_nobody_is_answered_without_login_or_certificate(lab: Lab, on: Execute) -> None:
    """Every daemon of every host in both families: its certificate is checked, and it wants to know who asks."""
    wanted = {
        f"{address}:9100": "wants a certificate"
        for node in lab.record.hosts
        for address in addresses(lab, node)
    }
    for node, ports in (("ops-1", (9090, 9093, 9910)), ("offsite-1", (9090, 9093))):
        for address in addresses(lab, node):
            wanted |= {f"{address}:{port}": "401" for port in ports}
    found = json.loads(on("backup-1", "python3", "-c", NOBODY, input=json.dumps(list(wanted))).stdout)
    assert found == wanted


@pytest.mark.parametrize("node", WATCHING)
def test_both_alertmanagers_are_one_cluster_and_get_the_alerts_of_both(lab: Lab, node: str) -> None:
    for address in addresses(lab, node):
        status = json.loads(read(lab, f"https://{address}:9093/api/v2/status"))["cluster"]
        assert status["status"] == "ready"
        peers = {peer["address"] for peer in status["peers"]}
        assert peers == {f"[{lab.record.hosts[one][1]}]:9094" for one in WATCHING}
        sent_to = json.loads(read(lab, f"https://{address}:9090/api/v1/alertmanagers"))["data"]
        hosts = {urllib.parse.urlsplit(one["url"]).netloc for one in sent_to["activeAlertmanagers"]}
        assert hosts == {f"[{lab.record.hosts[one][1]}]:9093" for one in WATCHING}


@pytest.mark.parametrize("node", WATCHING)
def test_each_prometheus_reaches_every_daemon(lab: Lab, node: str) -> None:
    answer = json.loads(read(lab, f"https://{addresses(lab, node)[1]}:9090/api/v1/targets?state=active"))
    targets = answer["data"]["activeTargets"]
    assert {target["lastError"] for target in targets} == {""}
    assert {target["scrapeUrl"].partition(":")[0] for target in targets} == {"https"}
    # Every host's node exporter, the kit's exporter, two of Prometheus and Alertmanager each, a county's agent.
    assert len(targets) == len(lab.record.hosts) + 1 + 4 + 1


@pytest.mark.parametrize("family", list(Family))
def test_a_person_reads_the_status_from_the_controller(lab: Lab, family: Family) -> None:
    reader = login(SecretStore(lab.places.state / "secrets"))
    url = f"https://{addresses(lab, 'ops-1')[family is Family.IPV6]}:9910"
    options = ("--ca", str(reader.ca), "--user", reader.user, "--password-file", str(reader.password_file))
    done = jizuo("status", "--url", url, *options)
    assert done.returncode in (0, 2), done.stderr
    assert "宜春" in done.stdout
    refused = jizuo("status", "--url", url, "--ca", str(reader.ca))
    assert refused.returncode == 1
    assert "--user" in refused.stderr


def test_keys_and_passwords_are_readable_to_their_daemons_alone(on: Execute) -> None:
    command = (
        "find /etc/jizuo/monitoring /etc/jizuo/exporter ! -perm 640 -type f; "
        "cat /proc/$(pidof prometheus)/cmdline /proc/$(pidof prometheus-alertmanager)/cmdline | tr '\\0' ' ' "
        "| grep -c -F -f /etc/jizuo/monitoring/password"
    )
    done = on("ops-1", "sh", "-c", command, check=False)
    assert sorted(done.stdout.split()) == [
        "/etc/jizuo/monitoring/authority.pem",
        "0",
    ]
