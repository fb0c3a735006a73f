"""Whose is an alert? From the inventory over a real exporter, Prometheus and Alertmanager to the owner's webhook."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from checks.record import write_records
from exporters.alerting.owners import network_owner, owner_relabeling
from exporters.prometheus import Settings, files_of
from exporters.write_files import write_files
from inventories.contacts import Contact, Contacts
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import City
from tests.exporters.alertmanagers import Alertmanager, Receiver, free_port, wait_until
from tests.exporters.status_data import probes

ROOT = Path(__file__).parents[2]
LAB = ROOT / "inventories" / "lab"
#: `$1` in a name stands for nothing but itself.
UNITS = "cihua-government,慈化镇人民政府,360902105\nyufang-committee,余坊村委会($1),360902105201\n"
#: What does not answer, (subject, family): all that stands in two villages, a county's own site in one family.
DEAD = {
    *((name, "ipv4") for name in ("yufang", "client-1", "health-1", "civil-1", "cihua-juwei", "client-2")),
    *((name, "ipv6") for name in ("yuanzhou", "agent-1")),
    ("fengcheng", "ipv4"),
    ("core-a", "ipv4"),
    ("yichun-gov-service-net", "ipv4"),
    ("collab-office", "ipv6"),
}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """The lab's, in which a township and a village have units of their own beside the county's."""
    folder = copytree(LAB, tmp_path / "inventory")
    with (folder / "units.csv").open("a", encoding="utf-8") as units:
        units.write(UNITS)
    return folder


def settings_for_test(city: City, folder: Path, exporter: str, alertmanager: str) -> None:
    """As the kit writes them; alerts wait for nothing, and of all targets only these two are there."""
    files = files_of(city, build_plan(city), Settings(interval=1, replica="ops-1"))
    for name, content in files.items():
        if name.startswith("rules/"):
            document = yaml.safe_load(content)
            for group in document["groups"]:
                for rule in group["rules"]:
                    rule.pop("for", None)
            files[name] = yaml.safe_dump(document, allow_unicode=True).encode()
        if name.startswith("targets/"):
            address = {"targets/jizuo.json": exporter, "targets/alertmanager.json": alertmanager}
            targets = json.loads(content)
            for group in targets:
                group["targets"] = [address.get(name, "127.0.0.1:1")]
            files[name] = json.dumps(targets).encode()
    write_files(folder, files)


@pytest.fixture
def alertmanager(inventory: Path, tmp_path: Path, receiver: Receiver) -> Iterator[Alertmanager]:
    """Told by a Prometheus that scrapes an exporter of records in which some do not answer."""
    city = load_city(inventory)
    write_records(tmp_path / "records/availability.json", probes(city, DEAD))
    contacts = Contacts(
        operations=Contact(webhook=f"{receiver.url}/operations"),
        owner={"yufang-committee": Contact(webhook=f"{receiver.url}/village")},
    )
    started = Alertmanager(tmp_path, contacts)
    exporter, prometheus = (f"127.0.0.1:{free_port()}" for _ in range(2))
    settings_for_test(city, tmp_path / "prometheus", exporter, started.url.removeprefix("http://"))
    commands = [
        [
            *(sys.executable, str(ROOT / "jizuo.py"), "exporter", "all", "--no-probe", f"--inventory={inventory}"),
            *(f"--records={tmp_path}/records", f"--web.listen-address={exporter}"),
        ],
        [
            *("prometheus", f"--config.file={tmp_path}/prometheus/prometheus.yml", "--log.level=error"),
            # What held before it knew of its Alertmanager is told again soon.
            "--rules.alert.resend-delay=2s",
            *(f"--storage.tsdb.path={tmp_path}/samples", f"--web.listen-address={prometheus}"),
        ],
    ]  # fmt: skip
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands]
    try:
        yield started
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)
        started.stop()


def alerts_of(alertmanager: Alertmanager) -> list[dict[str, str]]:
    with urlopen(f"{alertmanager.url}/api/v2/alerts", timeout=20) as answer:
        return [alert["labels"] for alert in json.loads(answer.read())]


def test_an_alert_bears_its_owner_from_the_inventory_to_the_webhook(
    alertmanager: Alertmanager, receiver: Receiver
) -> None:
    wanted = {
        ("VillageUnreachable", "ipv4", "360902105201"): "yufang-committee 余坊村委会($1)",
        ("VillageUnreachable", "ipv4", "360902105001"): "cihua-government 慈化镇人民政府",
        ("CountyAvailabilityLow", "ipv6", "360902"): "yuanzhou-data-bureau 袁州区数据局",
        ("CountyUnreachable", "ipv4", "360981"): "data-bureau 市数据局",
        ("CityNodeDown", "ipv4", "core-a"): "data-bureau 市数据局",
        ("SystemEndpointDown", "ipv4", "yichun-gov-service-net"): "approval-bureau 市行政审批局",
        ("SystemEndpointDown", "ipv6", "collab-office"): "data-bureau 市数据局",
        # Hosts say where they stand by their targets: no exporter of theirs answers here.
        ("NodeExporterDown", "-", "360902105201"): "yufang-committee 余坊村委会($1)",
        ("NodeExporterDown", "-", "360902105"): "cihua-government 慈化镇人民政府",
        ("NodeExporterDown", "-", "360902"): "yuanzhou-data-bureau 袁州区数据局",
        ("NodeExporterDown", "-", "360981"): "data-bureau 市数据局",
        ("Watchdog", "-", "-"): "data-bureau 市数据局",
    }

    def found() -> dict[tuple[str, str, str], str]:
        return {
            (
                labels["alertname"],
                labels.get("family", "-"),
                place(labels),
            ): f"{labels['owner']} {labels['owner_name']}"
            for labels in alerts_of(alertmanager)
        }

    wait_until(lambda: wanted.keys() <= found().keys())
    assert {key: owner for key, owner in found().items() if key in wanted} == wanted
    assert not [labels for labels in alerts_of(alertmanager) if not labels.get("owner_name")]
    wait_until(lambda: "/village" in {path for path, _ in receiver.told})
    told = [labels for path, labels in receiver.told if path == "/village"]
    assert {labels["owner_name"] for labels in told} == {"余坊村委会($1)"}


def place(labels: dict[str, str]) -> str:
    if labels["alertname"].startswith("System"):
        return labels["subject"]
    return next((labels[name] for name in ("site", "subject", "township", "county") if name in labels), "-")


def test_the_city_s_own_unit_has_what_is_nobody_else_s(inventory: Path) -> None:
    assert network_owner(load_city(inventory)) == "data-bureau"
    with (inventory / "units.csv").open("a", encoding="utf-8") as units:
        units.write("city-network-office,市政务网络中心,3609\n")
    city = load_city(inventory)
    assert network_owner(city) == "city-network-office"
    last: list[dict[str, Any]] = [rule for rule in owner_relabeling(city) if rule["target_label"] == "owner"]
    assert last[-1]["replacement"] == "city-network-office"
