"""The demo's own figures: complete, plausible, and none that contradicts what can be seen from outside."""

from __future__ import annotations

import csv
import json
import subprocess
import time

from inventories.records import Family

from .conftest import PYINFRA, ROOT, DemoRun, Execute, jizuo, read

#: The names that programs rely on.
NAMES = {
    "divisions", "prefixes", "addresses", "plan_seconds", "hosts", "boot_seconds", "first_deploy_changed",
    "second_deploy_changed", "targets_up", "targets_total", "extranet", "backups_fresh", "restores_verified",
    "controls", "drill", "prometheus_targets_up", "total_seconds",
}  # fmt: skip


def test_all_is_well(demo: DemoRun) -> None:
    assert demo.figures["reasons"] == [], "\n".join(demo.figures["reasons"])
    assert demo.code == 0
    assert "all well" in demo.output


def test_stable_names(demo: DemoRun) -> None:
    assert set(demo.figures) >= NAMES
    assert set(demo.figures["controls"]) == {
        "compliant",
        "noncompliant",
        "not_applicable",
        "manual",
        "waived",
    }
    assert set(demo.figures["targets_up"]) == {"ipv4", "ipv6"}


def test_every_control_is_compliant_waived_or_a_person_s(demo: DemoRun) -> None:
    assert demo.figures["controls"]["compliant"] > 200
    assert demo.figures["controls"]["noncompliant"] == 0


def test_the_extranet_is_as_planned(demo: DemoRun) -> None:
    assert demo.figures["extranet"]["findings"] == 0
    assert demo.figures["extranet"]["as_planned"] > 900


def test_divisions_are_those_of_the_file(demo: DemoRun) -> None:
    with (ROOT / "inventories/yichun/divisions.csv").open(encoding="utf-8", newline="") as file:
        codes = [row["code"] for row in csv.DictReader(file) if row["code"].startswith("3609")]
    assert demo.figures["divisions"] == len(codes) == 3024


def test_second_deploy_changed_nothing(demo: DemoRun) -> None:
    assert demo.figures["first_deploy_changed"] > 21 * 10
    assert demo.figures["second_deploy_changed"] == 0


def test_both_families_have_the_same_targets_and_all_are_up(demo: DemoRun) -> None:
    total = demo.figures["targets_total"]
    assert total["ipv4"] == total["ipv6"] >= demo.figures["hosts"]
    assert demo.figures["targets_up"] == total


def test_drill_met_its_objectives(demo: DemoRun) -> None:
    drill = demo.figures["drill"]
    assert 0 < drill["rto_seconds"] <= drill["rto_objective_seconds"]
    assert 0 <= drill["rpo_seconds"] <= drill["rpo_objective_seconds"]


def test_table_fits_a_terminal(demo: DemoRun) -> None:
    assert max(len(line) for line in demo.output.splitlines()) <= 80


def test_backups_and_restores_were_counted(demo: DemoRun) -> None:
    assert demo.figures["backups_fresh"] == demo.figures["backups_total"] == 2
    assert demo.figures["restores_verified"] >= 2


def test_prometheus_knows_what_the_demo_says(demo: DemoRun) -> None:
    address = demo.lab.record.hosts["ops-1"][1]
    # Hosts that other tests killed a moment ago are scraped again within an interval.
    deadline = time.monotonic() + 60
    while True:
        answer = read(demo.lab, f"https://[{address}]:9090/api/v1/query?query=up")
        up = [sample["value"][1] for sample in json.loads(answer)["data"]["result"]]
        if set(up) == {"1"} or time.monotonic() > deadline:
            break
        time.sleep(2)
    assert len(up) == demo.figures["prometheus_targets_total"] > demo.figures["hosts"]
    assert set(up) == {"1"}


def test_status_page_names_the_city_over_both_families(demo: DemoRun) -> None:
    ipv4, ipv6 = demo.lab.record.hosts["ops-1"]
    for host in (ipv4, f"[{ipv6}]"):
        assert "宜春市" in read(demo.lab, f"https://{host}:9910/").decode()


def test_no_host_can_reach_beyond_the_lab(demo: DemoRun, on: Execute) -> None:
    """What is not the city's leads to the border at most, never to management, and the border has no way on."""
    for family, outside in ((Family.IPV4, "100.64.0.1"), (Family.IPV6, "3fff:fff::1")):
        flag = "-6" if family is Family.IPV6 else "-4"
        for host in demo.lab.city.nodes:
            done = on(host, "ip", flag, "route", "get", outside, check=False)
            assert "mgmt0" not in done.stdout, f"{host} has a way to {outside}: {done.stdout}"
            if host in ("border-1", "province-1"):
                assert done.returncode != 0, f"{host} has a way to {outside}: {done.stdout}"


def test_no_secret_in_clear(demo: DemoRun, on: Execute) -> None:
    """No secret of the controller stands in a log, a process list or a world-readable file of a host."""
    secrets = demo.lab.places.state / "secrets"
    values = [
        path.read_bytes().strip() for path in secrets.iterdir() if b"\n" not in path.read_bytes().strip()
    ]
    passwords = [value.decode() for value in values if 20 <= len(value) <= 100]
    assert passwords, "there are no passwords to look for"
    for log in demo.lab.places.state.rglob("*.log"):
        text = log.read_text(errors="replace")
        assert not any(password in text for password in passwords), log
    for host in ("cloud-1", "backup-1", "ops-1"):
        found = on(
            host,
            "sh",
            "-c",
            "ps -eo args; journalctl --no-pager; find /etc /srv /var/lib -xdev -type f "
            "-perm -o=r -size -200k -exec cat {} + 2>/dev/null",
        ).stdout
        assert not any(password in found for password in passwords), host


def test_plain_pyinfra_works_as_it_stands(demo: DemoRun) -> None:
    """An engineer who knows pyinfra needs nothing else; a dry run finds nothing to change."""
    done = subprocess.run(
        [
            PYINFRA,
            "inventories/lab/inventory.py",
            "deploy/site.py",
            "--dry",
            "--json",
            "--limit",
            "cihua",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        env={**__import__("os").environ, "JIZUO_STATE": str(demo.lab.places.state)},
    )
    plan = json.loads(done.stdout)["plan"]
    assert len(plan) >= 10
    assert [item["name"] for item in plan if item["hosts_with_change"]] == []


def test_dry_run_tells_of_a_change_with_exit_code_2(demo: DemoRun, on: Execute) -> None:
    on("client-1", "sh", "-c", "echo tampered >>/etc/ssh/sshd_config")
    inventory = str(ROOT / "inventories/lab")
    dry = jizuo("deploy", inventory, "base", "--limit", "client-1", "--dry", "--json")
    assert dry.returncode == 2
    assert json.loads(dry.stdout)["hosts"]["client-1"]["changed"] == ["base | SSH server"]
    assert "tampered" in on("client-1", "cat", "/etc/ssh/sshd_config").stdout, "a dry run changed something"
    assert jizuo("deploy", inventory, "base", "--limit", "client-1").returncode == 0
    assert "tampered" not in on("client-1", "cat", "/etc/ssh/sshd_config").stdout
    assert jizuo("deploy", inventory, "base", "--limit", "client-1", "--dry").returncode == 0
