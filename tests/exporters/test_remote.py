"""The way of samples from a county to the city: promtool takes what the agent is given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporters.access import Access
from exporters.prometheus import Settings
from exporters.remote import agent_files
from inventories.load import load_city
from inventories.plan import build_plan

ROOT = Path(__file__).parents[2]
CITY = load_city(ROOT / "inventories" / "lab")


def promtool(folder: Path, config: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = ["promtool", "check", "config", *options, str(folder / "prometheus.yml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


URLS = {
    "ops-1": "https://ops-1.yichun.example:8427/api/v1/write",
    "ops-2": "https://ops-2.yichun.example:8427/w",
}


def test_an_agents_configuration_is_one_for_agents(tmp_path: Path) -> None:
    authority, certificate, key = (str(tmp_path / name) for name in ("ca.pem", "agent.pem", "agent-key.pem"))
    for file in (authority, certificate, key):
        Path(file).touch()
    settings = Settings(access=Access(ca=authority, certificate=certificate, key=key))
    made = agent_files(CITY, build_plan(CITY), "agent-1", URLS, settings, "web.yml")
    config = yaml.safe_load(made["prometheus.yml"])
    done = promtool(tmp_path, config, "--agent")
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = promtool(tmp_path, config | {"rule_files": ["x.yml"]}, "--agent")
    assert wrong.returncode != 0
    assert b"&id" not in made["prometheus.yml"], "YAML's references are not what an engineer expects to read"
    shown = {"ca_file": authority, "cert_file": certificate, "key_file": key}
    assert {one["name"]: one["url"] for one in config["remote_write"]} == URLS
    assert all(one["tls_config"] == shown for one in config["remote_write"])
    # What changes the number of its queues while the way is cut loses what they held.
    assert {
        (one["queue_config"]["min_shards"], one["queue_config"]["max_shards"])
        for one in config["remote_write"]
    } == {(4, 4)}
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    beside = jobs.pop("availability")
    assert "tls_config" not in beside, "it listens on the loopback, without TLS"
    assert {"node", "agent"} == set(jobs)
    assert all(job["scheme"] == "https" and job["tls_config"] == shown for job in jobs.values())
    labels = {"province": "36", "city": "3609", "replica": "agent-1", "shard": "360902"}
    assert config["global"]["external_labels"] == labels
    assert config["global"]["scrape_interval"] == "3s"


def test_an_agent_scrapes_its_own_county_and_itself() -> None:
    made = agent_files(CITY, build_plan(CITY), "agent-1", URLS, Settings())
    groups = json.loads(made["targets/node.json"])
    assert {group["labels"]["county"] for group in groups} == {"360902"}
    below = {node.id for node in CITY.nodes.values() if node.site.startswith("360902")}
    assert {group["labels"]["instance"] for group in groups} == below
    (itself,) = json.loads(made["targets/agent.json"])
    assert itself["targets"] == ["[::1]:9090"]
    assert itself["labels"]["instance"] == "agent-1"
    (probes,) = json.loads(made["targets/availability.json"])
    assert probes == {"targets": ["[::1]:9910"], "labels": {"instance": "agent-1"}}, (
        "its series say their places"
    )
    arguments = made["prometheus.arguments"].decode().splitlines()
    assert "--enable-feature=agent" in arguments
    assert "--storage.agent.retention.max-time=24h" in arguments
    assert not any("web.config" in one for one in arguments)


@pytest.mark.parametrize("node", ["client-1", "nobody"])
def test_only_an_agent_node_has_an_agents_files(node: str) -> None:
    with pytest.raises(ValueError, match=f"{node} with the role agent"):
        agent_files(CITY, build_plan(CITY), node, URLS, Settings())


def test_the_command_says_what_it_would_write(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "jizuo.py"),
        "exporter",
        "agent-config",
        str(ROOT / "inventories" / "lab"),
    ]
    command += [
        "--node",
        "agent-1",
        "--out",
        str(tmp_path / "out"),
        "--write",
        "ops-1=http://[::1]:8428/api/v1/write",
    ]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, timeout=300, check=False)

    assert run("--dry").returncode == 2
    assert not (tmp_path / "out").exists()
    assert run().returncode == 0
    assert run("--dry").returncode == 0
    lonely = run("--certificate", "x")
    assert lonely.returncode == 1
    assert "go together" in lonely.stderr
    twice = run("--write", "ops-1=http://[::1]:1")
    assert twice.returncode == 1
    assert "each NAME once" in twice.stderr
