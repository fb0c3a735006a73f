"""Zones on the host: a serial stays while the records stay, and grows when they change."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from deploy.operations.names import ZONES, ZoneState, ZoneStates, zone_texts
from inventories.load import load_city
from inventories.plan import AddressPlan, build_plan

LAB = Path(__file__).resolve().parents[2] / "inventories" / "lab"
ZONE = "yichun.example.zone"


@pytest.fixture(scope="module")
def plan() -> AddressPlan:
    return build_plan(load_city(LAB))


def serial(text: str) -> int:
    match = re.search(r"^ +([0-9]+) ; serial$", text, re.MULTILINE)
    assert match
    return int(match[1])


def look(folder: Path) -> dict[str, ZoneState]:
    fact = ZoneStates()
    command = fact.command().replace(ZONES, str(folder))
    output = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout
    return fact.process(output.splitlines())


def write(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)


def test_zones_that_are_there_stay_as_they_are(plan: AddressPlan, tmp_path: Path) -> None:
    assert look(tmp_path / "none") == {}
    texts = zone_texts(plan, {})
    raised = {
        name: text.replace(f"    {serial(text)} ; serial", "    4711 ; serial")
        for name, text in texts.items()
    }
    write(tmp_path / "zones", raised)
    assert zone_texts(plan, look(tmp_path / "zones")) == raised


def test_a_zone_whose_records_changed_gets_the_next_serial(plan: AddressPlan, tmp_path: Path) -> None:
    texts = zone_texts(plan, {})
    older = texts[ZONE].replace(f"    {serial(texts[ZONE])} ; serial", "    4711 ; serial")
    write(tmp_path / "zones", {**texts, ZONE: older + "gone IN A 198.18.0.77\n"})
    following = zone_texts(plan, look(tmp_path / "zones"))
    assert serial(following[ZONE]) == 4712
    assert "gone" not in following[ZONE]
    assert {name for name in texts if following[name] != texts[name]} == {ZONE}
