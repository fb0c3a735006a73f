"""The way of samples upward: promtool takes it, and only what a province may have goes there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporters.prometheus import Settings
from exporters.remote import (
    agent_arguments,
    agent_config,
    federation_job,
    province_remote_write,
    read_remote_write,
    victoria_metrics_arguments,
)
from inventories.load import load_city

ROOT = Path(__file__).parents[2]
CITY = load_city(ROOT / "inventories" / "lab")


def promtool(folder: Path, config: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = ["promtool", "check", "config", *options, str(folder / "prometheus.yml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_agents_configuration_is_one_for_agents(tmp_path: Path) -> None:
    config = agent_config(CITY, "360902", "yuanzhou", "http://[2001:db8::1]:8428/api/v1/write", Settings())
    done = promtool(tmp_path, config, "--agent")
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = promtool(tmp_path, config | {"rule_files": ["x.yml"]}, "--agent")
    assert wrong.returncode != 0
    assert config["global"]["external_labels"]["shard"] == "360902"
    with pytest.raises(ValueError, match="360999"):
        agent_config(CITY, "360999", "x", "http://x", Settings())
    assert "--enable-feature=agent" in agent_arguments("/var/lib/prometheus")


def test_a_province_gets_sums_and_no_single_target(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("")
    write = province_remote_write("https://province.example/write", str(password), "yichun")
    config = {"remote_write": [write], "scrape_configs": [federation_job(["[2001:db8::1]:9090"])]}
    done = promtool(tmp_path, config)
    assert done.returncode == 0, done.stdout + done.stderr
    names = write["write_relabel_configs"][0]["regex"]
    for name in (
        "city:jizuo_probe_success:ratio",
        "jizuo_coverage_sites",
        "county:jizuo_probe_errors:ratio6h",
    ):
        assert re.fullmatch(names, name)
    for name in ("jizuo_probe_success", "target:jizuo_probe_success:max", "jizuo_target_info", "node_load1"):
        assert not re.fullmatch(names, name)
    recorded = "".join(file.read_text() for file in (ROOT / "exporters" / "rules").glob("*.yml"))
    known = re.findall(r"record: (\S+)", recorded)
    for pattern in read_remote_write().province.series:
        if re.match(r"[a-z_(|]+\)?:", pattern):
            assert any(re.fullmatch(pattern, name) for name in known), pattern


def test_storage_keeps_one_sample_of_a_pair() -> None:
    assert "-dedup.minScrapeInterval=15s" in victoria_metrics_arguments("/srv/metrics", 12, 15)
