"""What Prometheus and Alertmanager read: checked by their own tools, then by a real Prometheus that scrapes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from exporters.access import Access
from exporters.prometheus import RULES, NodeError, Settings, files_of, paced
from exporters.write_files import differing, write_files
from inventories.contacts import Contact, Contacts
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family, NodeRole

ROOT = Path(__file__).parents[2]
LAB = ROOT / "inventories" / "lab"
YICHUN = ROOT / "inventories" / "yichun"
COMMAND = [sys.executable, str(ROOT / "jizuo.py"), "exporter", "prometheus-config"]


def files(inventory: Path = LAB, **settings: Any) -> dict[str, bytes]:
    city = load_city(inventory)
    return files_of(city, build_plan(city), Settings(**{"replica": "ops-1", **settings}))


def tool(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("inventory", [LAB, YICHUN], ids=lambda path: path.name)
def test_the_tools_of_prometheus_take_the_files(inventory: Path, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    authority = tmp_path / "ca.crt"
    for name in ("ca.crt", "client.crt", "client.key"):
        (tmp_path / name).write_text("")
    client = (f"{tmp_path}/client.crt", f"{tmp_path}/client.key")
    made = files(
        inventory,
        access=Access(str(authority), "prometheus", str(password), *client),
        cluster_tls="/etc/cluster.yml",
        contacts=Contacts(operations=Contact(webhook="http://[2001:db8::1]:8080/alerts")),
    )
    write_files(tmp_path / "prometheus", made)
    tool("promtool", "check", "config", "--lint-fatal", str(tmp_path / "prometheus" / "prometheus.yml"))
    tool("amtool", "check-config", str(tmp_path / "prometheus" / "alertmanager.yml"))
    assert not any(b"secret" in content for content in made.values())
    config = yaml.safe_load(made["prometheus.yml"])
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    has_agents = any(node.role is NodeRole.AGENT for node in load_city(inventory).nodes.values())
    assert len(jobs) == 4 + has_agents
    for name, job in {**jobs, "alerts": config["alerting"]["alertmanagers"][0]}.items():
        assert job["scheme"] == "https", name
        assert job["tls_config"]["ca_file"] == str(authority), name
        certified = name in ("node", "agent")
        assert ("cert_file" in job["tls_config"]) == certified, "people have no certificate"
        login = None if certified else {"username": "prometheus", "password_file": str(password)}
        assert job.get("basic_auth") == login, name


@pytest.mark.parametrize("family", list(Family))
def test_every_node_is_a_target_at_its_management_address(family: Family) -> None:
    city = load_city(LAB)
    plan = build_plan(city)
    groups = json.loads(files(family=family)["targets/node.json"])
    assert {group["labels"]["instance"] for group in groups} == set(city.nodes)
    for group in groups:
        address = str(plan.management(group["labels"]["instance"], family))
        expected = f"[{address}]:9100" if family == Family.IPV6 else f"{address}:9100"
        assert group["targets"] == [expected]
    yufang = next(group["labels"] for group in groups if group["labels"]["instance"] == "yufang")
    assert yufang == {
        "instance": "yufang",
        "subject": "yufang",
        "role": "router",
        "level": "village",
        "county": "360902",
        "site": "360902105201",
    }


def test_only_what_differs_is_written_and_by_rename(tmp_path: Path) -> None:
    made = files()
    assert write_files(tmp_path, made) == list(made)
    before = {name: (tmp_path / name).stat() for name in made}
    (tmp_path / "prometheus.yml").write_text("# by hand")
    assert differing(tmp_path, made) == ["prometheus.yml"]
    assert write_files(tmp_path, made) == ["prometheus.yml"]
    for name, content in made.items():
        assert (tmp_path / name).read_bytes() == content
        assert ((tmp_path / name).stat().st_ino == before[name].st_ino) is (name != "prometheus.yml")
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_two_operations_nodes_are_a_pair(tmp_path: Path) -> None:
    first, second = files(YICHUN), files(YICHUN, replica="ops-2")
    labels = [yaml.safe_load(made["prometheus.yml"])["global"]["external_labels"] for made in (first, second)]
    assert labels[0] == {"province": "36", "city": "3609", "replica": "ops-1"}
    assert labels[1] == labels[0] | {"replica": "ops-2"}
    alerting = yaml.safe_load(first["prometheus.yml"])["alerting"]
    assert alerting == yaml.safe_load(second["prometheus.yml"])["alerting"]
    assert {"action": "labeldrop", "regex": "replica"} in alerting["alert_relabel_configs"]
    # The third watches from the other city; the exporter, which says what is, runs on the operations nodes.
    watching = [group["labels"]["instance"] for group in json.loads(first["targets/alertmanager.json"])]
    assert watching == ["ops-1", "ops-2", "offsite-1"]
    assert len(json.loads(first["targets/prometheus.json"])) == 3
    assert len(json.loads(first["targets/jizuo.json"])) == 2
    assert first["alertmanager.yml"] == second["alertmanager.yml"]
    arguments = [
        files(YICHUN, replica=node)["alertmanager.arguments"].decode().splitlines() for node in watching
    ]
    own = [lines[1].removeprefix("--cluster.advertise-address=") for lines in arguments]
    for node, lines in zip(own, arguments, strict=True):
        assert {line.removeprefix("--cluster.peer=") for line in lines[2:]} == {*own} - {node}
    with pytest.raises(NodeError, match="ops-1, ops-2"):
        files(YICHUN, replica="")


def test_the_same_city_gives_the_same_bytes() -> None:
    assert files() == files()


def test_the_command_says_what_it_does(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    out = ("--out", str(tmp_path / "out"))
    dry = run(str(LAB), *out, "--dry")
    assert dry.returncode == 2
    assert "would change" in dry.stdout
    assert not (tmp_path / "out").exists()
    assert run("--inventory", str(LAB), *out).returncode == 0
    again = run(str(LAB), *out, "--json")
    assert json.loads(again.stdout)["changed"] == []
    assert run(str(LAB), *out, "--dry").returncode == 0
    (tmp_path / "file").write_text("")
    failed = run(str(LAB), "--out", str(tmp_path / "file" / "out"))
    assert (failed.returncode, "Traceback" in failed.stderr) == (1, False)
    assert str(tmp_path / "file") in failed.stderr
    assert "name the city's folder once" in run(*out).stderr
    assert "go together" in run(str(LAB), *out, "--user", "x").stderr
    assert "go together" in run(str(LAB), *out, "--certificate", "x", "--key", "y").stderr
    assert max(map(len, dry.stdout.splitlines())) <= 80


class Prometheus:
    """A real Prometheus in the namespace, asked over its HTTP interface."""

    def __init__(self, namespace: Any, port: int) -> None:
        self._namespace = namespace
        self._url = f"http://[::1]:{port}/api/v1"

    def query(self, expression: str) -> dict[str, str]:
        answer = json.loads(self._namespace.get(f"{self._url}/query?query={quote(expression)}"))
        assert answer["status"] == "success", answer
        return {
            json.dumps(result["metric"], sort_keys=True): result["value"][1]
            for result in answer["data"]["result"]
        }

    def wait_for(
        self, expression: str, wanted: Callable[[dict[str, str]], bool], seconds: float = 40
    ) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                found = self.query(expression)
            except (subprocess.CalledProcessError, json.JSONDecodeError):
                found = {}  # it is still starting
            if wanted(found):
                return
            assert time.monotonic() < end, f"{expression}: {found}"
            time.sleep(0.3)


def test_a_real_prometheus_scrapes_and_alerts(
    namespace: Any, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    start("all", "--interval", "4s", "--timeout", "1s")
    write_files(tmp_path / "prometheus", files(interval=1))
    command = [
        "prometheus",
        f"--config.file={tmp_path}/prometheus/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        "--web.listen-address=:9090",
        "--log.level=error",
    ]
    with subprocess.Popen([*namespace.enter, *command], stderr=subprocess.PIPE) as process:
        try:
            prometheus = Prometheus(namespace, 9090)
            prometheus.wait_for('up{job="jizuo"}', lambda found: list(found.values()) == ["1"])
            prometheus.wait_for("count(jizuo_probe_success)", bool)
            # The exporter's labels stay its own: none was renamed because the target has the same one.
            clashing = (
                '{__name__=~"jizuo_.*", exported_level=~".+"} or {job="jizuo", exported_instance=~".+"}'
            )
            assert prometheus.query(clashing) == {}
            # every probe of the one county that is down, in the family that is down
            prometheus.wait_for(
                'ALERTS{alertname="CountyUnreachable", alertstate="pending"}',
                lambda found: {json.loads(one)["county"] for one in found} == {"360981"},
            )
            prometheus.wait_for(
                'county:jizuo_probe_success:ratio{county="360902", family="ipv4"}',
                lambda found: list(found.values()) == [str(2 / 7)],
            )
            # nothing exports a host's metrics here but the rule waits before it says so
            prometheus.wait_for(
                'count(ALERTS{alertname="NodeExporterDown", alertstate="pending"})',
                lambda found: list(found.values()) == ["22"],
            )
            rules = json.loads(namespace.get("http://[::1]:9090/api/v1/rules"))
            groups = rules["data"]["groups"]
            unhealthy = [
                (rule["name"], rule.get("lastError"))
                for group in groups
                for rule in group["rules"]
                if rule["health"] == "err"
            ]
            assert not unhealthy
            assert len(groups) == len({group["name"] for group in groups}) >= 8
        finally:
            process.terminate()
            process.communicate(timeout=300)


def test_alerts_wait_in_proportion_to_the_interval_and_only_those_of_minutes() -> None:
    source = (RULES / "jizuo-availability.yml").read_bytes()
    assert paced(yaml.safe_load(source), 15) == yaml.safe_load(source)
    waits = {rule["alert"]: rule["for"] for rule in rules_of(yaml.safe_load(source))}
    closer = {rule["alert"]: rule["for"] for rule in rules_of(paced(yaml.safe_load(source), 3))}
    assert (waits["CityNodeDown"], closer["CityNodeDown"]) == ("2m", "24s")
    assert [rule["expr"] for rule in rules_of(yaml.safe_load(source))] == [
        rule["expr"] for rule in rules_of(paced(yaml.safe_load(source), 3))
    ]
    day = {"groups": [{"name": "a", "rules": [{"alert": "A", "expr": "1", "for": "1d"}]}]}
    assert rules_of(paced(day, 3))[0]["for"] == "1d"


def rules_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in document["groups"] for rule in group["rules"] if "alert" in rule]
