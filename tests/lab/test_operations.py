"""The operations node: what the mirror lost comes back, what was altered is refused, names answer from a village."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.lab.lab import Lab
from deploy.lab.places import NAMESPACES
from deploy.mirror_key import mirror_public_key
from deploy.secrets import SecretStore
from inventories.records import Family

from .conftest import Execute, read

Deploy = Callable[..., tuple[int, dict[str, Any]]]
OPS = "ops-1"

ASK = """
import json, sys
import dns.message, dns.query
server, *questions = sys.argv[1:]
for question in questions:
    name, kind = question.split("/")
    for query in (dns.query.udp, dns.query.tcp):
        answer = query(dns.message.make_query(name, kind), server, timeout=3)
        print(json.dumps([str(item) for rrset in answer.answer for item in rrset]))
"""


def changed(deploy_json: Deploy, role: str) -> list[str]:
    code, result = deploy_json(role, "--limit", OPS)
    assert code == 0, result
    return list(result["hosts"][OPS]["changed"])


def test_the_mirror_is_served_and_signed_in_both_families(lab: Lab, tmp_path: Path) -> None:
    ring = tmp_path / "ring.gpg"
    public = mirror_public_key(SecretStore(lab.places.state / "secrets"))
    subprocess.run(["gpg", "--dearmor", "-o", ring], input=public.encode(), check=True)
    ipv4, ipv6 = lab.record.hosts[OPS]
    for address in (ipv4, f"[{ipv6}]"):
        with urllib.request.urlopen(f"http://{address}:8081/dists/bookworm/InRelease", timeout=5) as answer:
            subprocess.run(["gpgv", "--keyring", ring], input=answer.read(), check=True, capture_output=True)


def test_lost_and_cut_packages_come_back_and_nothing_else_is_sent(
    lab: Lab, on: Execute, deploy_json: Deploy
) -> None:
    on(OPS, "sh", "-c", "cd /srv/mirror/pool/main; rm f/frr/frr_*.deb; truncate -s 1000 n/nsd/nsd_*.deb")
    on(OPS, "sh", "-c", "touch -d 2020-01-01 /srv/mirror/pool/main/c/chrony/chrony_*.deb")
    assert changed(deploy_json, "mirror") == ["mirror | packages"]
    on(OPS, "reprepro", "--basedir", "/var/lib/jizuo/mirror", "checkpool")
    age = on(OPS, "sh", "-c", "stat -c %y /srv/mirror/pool/main/c/chrony/chrony_*.deb").stdout
    assert age.startswith("2020-01-01"), "a package that was whole was sent again"
    assert changed(deploy_json, "mirror") == []


def test_a_killed_reprepro_is_healed(lab: Lab, on: Execute, deploy_json: Deploy) -> None:
    """What a reprepro leaves that died: its lock, databases of which half is missing, half a file in the pool."""
    on(
        OPS,
        "sh",
        "-euc",
        "cd /var/lib/jizuo/mirror/db; touch lockfile; rm checksums.db; cd /srv/mirror; rm pool/main/f/frr/*.deb; "
        "head -c 1000 /dev/urandom >pool/main/f/frr/half_1.0_amd64.deb; rm dists/bookworm/InRelease",
    )
    assert changed(deploy_json, "mirror") == ["mirror | packages"]
    on(OPS, "reprepro", "--basedir", "/var/lib/jizuo/mirror", "checkpool")
    assert "half_1.0" not in on(OPS, "find", "/srv/mirror/pool").stdout
    assert changed(deploy_json, "mirror") == []


@pytest.mark.parametrize(
    "alter",
    [
        "printf 'Package: evil\\nVersion: 1\\n' >>main/binary-amd64/Packages; "
        "gzip -kf main/binary-amd64/Packages",
        "sed -i 's/^Origin: .*/Origin: evil/' InRelease",
    ],
    ids=["the list of packages", "what was signed"],
)
def test_an_altered_index_is_refused_by_the_hosts(
    alter: str, lab: Lab, on: Execute, deploy_json: Deploy
) -> None:
    update = "rm -rf /var/lib/apt/lists; mkdir -p /var/lib/apt/lists/partial; apt-get -q update"
    on("client-1", "sh", "-c", update)
    on(OPS, "sh", "-euc", f"cd /srv/mirror/dists/bookworm; {alter}")
    try:
        refused = on("client-1", "sh", "-c", update, check=False)
        assert refused.returncode != 0
        assert any(word in refused.stderr for word in ("mismatch", "not signed", "BADSIG", "unexpected size"))
    finally:
        healed = changed(deploy_json, "mirror")
    assert healed == ["mirror | packages"]
    on("client-1", "sh", "-c", update)


@pytest.mark.parametrize("family", list(Family))
def test_names_answer_over_the_extranet(family: Family, lab: Lab) -> None:
    """Asked from a village: every name in both directions, over UDP and TCP."""
    addresses = {each: str(lab.plan.host("cloud-1", each)) for each in Family}
    reverse = lab.plan.host("cloud-1", Family.IPV6).reverse_dns
    command = [
        "nsenter",
        f"--net={NAMESPACES / lab.places.namespace('client-1')}",
        *(sys.executable, "-c", ASK, str(lab.plan.host(OPS, family))),
        "cloud-1.yichun.example/A",
        "cloud-1.yichun.example/AAAA",
        f"{reverse}/PTR",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    udp_and_tcp = [
        [addresses[Family.IPV4]],
        [addresses[Family.IPV4]],
        [addresses[Family.IPV6]],
        [addresses[Family.IPV6]],
        ["cloud-1.yichun.example."],
        ["cloud-1.yichun.example."],
    ]
    assert [json.loads(line) for line in done.stdout.splitlines()] == udp_and_tcp


def test_the_exporter_may_send_raw_packets_and_nothing_more(lab: Lab, on: Execute) -> None:
    pid = on(OPS, "systemctl", "show", "--property=MainPID", "--value", "jizuo-exporter").stdout.strip()
    status = dict(
        line.split(":\t", 1)
        for line in on(OPS, "cat", f"/proc/{pid}/status").stdout.splitlines()
        if ":\t" in line
    )
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 1 << 13  # CAP_NET_RAW
    assert status["NoNewPrivs"] == "1"
    assert on(OPS, "stat", "-c", "%a %U", "/etc/jizuo/ssh/audit").stdout == "600 jizuo\n"


def test_edited_settings_and_a_broken_release_are_made_right(
    lab: Lab, on: Execute, deploy_json: Deploy
) -> None:
    on(
        OPS,
        "sh",
        "-euc",
        "echo 'scrape_configs: []' >/etc/prometheus/prometheus.yml; rm /opt/jizuo/release; "
        "touch /etc/prometheus/rules/stray.yml /etc/jizuo/inventory/stray.csv",
    )
    healed = changed(deploy_json, "operations")
    assert healed == ["operations | kit", "operations | inventory", "operations | monitoring settings"]
    assert on(OPS, "ls", "/etc/prometheus/rules", "/etc/jizuo/inventory").stdout.count("stray") == 0
    rules = read(lab, f"https://[{lab.record.hosts[OPS][1]}]:9090/api/v1/rules")
    groups = [group["name"] for group in json.loads(rules)["data"]["groups"]]
    assert "jizuo-availability" in groups
    assert on(OPS, "systemctl", "is-active", "jizuo-exporter", "prometheus", "prometheus-alertmanager", "nsd")


def test_settings_that_prometheus_refuses_never_take_effect(
    lab: Lab, on: Execute, deploy_json: Deploy
) -> None:
    """A broken rule in the kit: the operation fails with promtool's words, and the old settings stay."""
    kept = on(OPS, "sh", "-c", "cat /etc/prometheus/rules/*.yml").stdout
    rules = "/opt/jizuo/lib/python3.11/site-packages/exporters/rules/jizuo-backup.yml"
    on(OPS, "sh", "-euc", f"cp {rules} /root/rules; echo 'nonsense: [' >>{rules}; rm /etc/prometheus/.jizuo")
    try:
        code, result = deploy_json("operations", "--limit", OPS)
        assert code == 1
        assert result["hosts"][OPS]["failed"] == "operations | monitoring settings"
        assert "jizuo-backup.yml" in result["hosts"][OPS]["detail"]
        assert on(OPS, "sh", "-c", "cat /etc/prometheus/rules/*.yml").stdout == kept
        assert ".stage" not in on(OPS, "ls", "-a", "/etc/prometheus").stdout
    finally:
        on(OPS, "mv", "/root/rules", rules)
    assert changed(deploy_json, "operations") == ["operations | monitoring settings"]
