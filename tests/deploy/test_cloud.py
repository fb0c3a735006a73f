"""The cloud role: what a new node is sent, nothing twice, and first content that never replaces data."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.cloud import role, seeding
from deploy.cloud.content import first_content
from deploy.cloud.seeding import UnseededSystems, seed_script
from inventories.hosts import HostedSystem
from tests.deploy.fake_hosts import LAB, FakeCity

CLOUD = "@fake/cloud-1"
SYSTEMS = ("yichun-gov-service-net", "gov-data-portal")


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCity:
    city = FakeCity(tmp_path / "state", monkeypatch)
    city.answers.append(lambda command: _unseeded(city, command))
    return city


def _unseeded(city: FakeCity, command: str) -> list[str] | None:
    match = re.match(r"for system in (.*?); do ", command)
    if match is None:
        return None
    return shlex.split(match[1]) if city.new else []


def test_a_new_node_serves_its_systems_on_both_families(city: FakeCity) -> None:
    sent = city.run(role.cloud, "cloud-1")[CLOUD]
    served = city.files[CLOUD]["/etc/nginx/nginx.conf"].data.decode()
    assert "listen 198.18.136.130:80;" in served
    assert "listen [2001:db8:302::2]:80 ipv6only=on;" in served
    for system in SYSTEMS:
        assert f"location ^~ /{system}/" in served
    assert "collab-office" not in served  # it stands on the other node
    script = next(command for command in sent if "seed-yichun-gov-service-net" in command)
    assert script.startswith("/bin/sh -s\n")
    order = [
        next(number for number, command in enumerate(sent) if word in command)
        for word in ("apt-get", "seed-", "nginx -q -t", "systemctl enable")
    ]
    assert order == sorted(order)


def test_a_node_that_has_everything_is_sent_nothing(city: FakeCity) -> None:
    city.run(role.cloud, "cloud-1", "xinchuang-1")
    assert city.run(role.cloud, "cloud-1", "xinchuang-1") == {}
    # Four operations, each asked for its facts once to plan and once to carry out.
    assert city.asked[CLOUD] <= 8


def test_first_content_holds_the_real_names(tmp_path: Path) -> None:
    system = HostedSystem(id="yichun-gov-service-net", name="宜春<政务>服务网", owners=("approval-bureau",))
    content = first_content(system, LAB)
    assert "宜春&lt;政务&gt;服务网" in content["index.html"]
    assert "市行政审批局" in content["index.html"]
    assert "360902105,慈化镇,township,360902" in content["data/divisions.csv"]
    assert "360902105201" not in content["data/divisions.csv"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine, with the systems' folders in a scratch folder and a group that it has."""
    monkeypatch.setattr(seeding, "FOLDER", str(tmp_path / "srv/systems"))
    monkeypatch.setattr(seeding, "MARKS", str(tmp_path / "var/seeded"))
    monkeypatch.setattr(seeding, "GROUP", str(os.getgid()))
    return tmp_path


def unseeded() -> list[str]:
    command = UnseededSystems().command(SYSTEMS)
    done = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True)
    return UnseededSystems().process(done.stdout.splitlines())


def seed(contents: dict[str, dict[str, str]]) -> None:
    subprocess.run(["sh", "-s"], input=seed_script(contents), check=True, text=True)


def test_a_system_is_seeded_once_and_what_is_there_stays(machine: Path) -> None:
    folder = machine / "srv/systems"
    (folder / "gov-data-portal").mkdir(parents=True)
    (folder / "gov-data-portal/own.txt").write_text("its own data")
    assert unseeded() == ["yichun-gov-service-net"]
    seed({"yichun-gov-service-net": {"index.html": "<p>宜春 'quoted' $HOME</p>", "data/x.csv": "a\n"}})
    assert unseeded() == []
    page = folder / "yichun-gov-service-net/index.html"
    assert page.read_text() == "<p>宜春 'quoted' $HOME</p>"
    assert page.stat().st_mode & 0o777 == 0o640
    assert (folder / "gov-data-portal/own.txt").read_text() == "its own data"
    assert not list(folder.glob(".seed-*"))


def test_data_that_were_lost_are_not_made_up(machine: Path) -> None:
    seed({"yichun-gov-service-net": {"index.html": "x"}})
    shutil.rmtree(machine / "srv/systems/yichun-gov-service-net")
    assert unseeded() == ["gov-data-portal"]


def test_a_seeding_that_died_half_way_leaves_no_half_system(machine: Path) -> None:
    script = seed_script({"yichun-gov-service-net": {"index.html": "x", "data/x.csv": "y"}})
    half = script[: script.index("chgrp")]
    subprocess.run(["sh", "-s"], input=half, check=True, text=True)
    assert not (machine / "srv/systems/yichun-gov-service-net").exists()
    assert "yichun-gov-service-net" in unseeded()
    seed({"yichun-gov-service-net": {"index.html": "x", "data/x.csv": "y"}})
    assert "yichun-gov-service-net" not in unseeded()
