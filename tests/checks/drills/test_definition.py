"""What drill.toml may say, and what this city makes of it; every wrong key and value is named with its file."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from checks.drills.definition import FOLDER, DrillError, drill_names, read_definition
from checks.drills.held import GIVEN, Held, hold_against, variables
from checks.drills.reference import SCHEMAS, keys
from inventories.load import load_city

LAB = Path(__file__).resolve().parents[3] / "inventories/lab"
NAME = "restore-system-offsite"


#: The example, simulated.
SIMULATED = (
    ('kind = "live"', 'kind = "simulated"'),
    (
        '[detection]\nalert = "SystemEndpointDown"\nlabels = { subject = "yichun-gov-service-net" }\nwithin = "10m"\n',
        "",
    ),
)


def written(tmp_path: Path, *changes: tuple[str, str]) -> Held:
    """The example with some of its text replaced, held in the lab."""
    shutil.copytree(FOLDER / NAME, tmp_path / NAME)
    path = tmp_path / NAME / "drill.toml"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return hold_against(NAME, read_definition(NAME, tmp_path), load_city(LAB))


def test_every_drill_of_the_kit_fits_the_lab() -> None:
    city = load_city(LAB)
    assert NAME in drill_names()
    for name in drill_names():
        held = hold_against(name, read_definition(name), city)
        assert variables(held, LAB, Path("/state")).keys() >= set(GIVEN)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('lost = "cloud-1"', 'lost = "cloud-9"', "nodes.lost = 'cloud-9' is no node"),
        ('lost = "cloud-1"', 'lost = ["cloud-1", "cloud-9"]', "nodes.lost = 'cloud-9' is no node"),
        ('lost = "cloud-1"', "lost = []", "nodes.lost names no node"),
        ('policy = "gov-service"', 'policy = "collab-office"', "does not back yichun-gov-service-net up"),
        ('policy = "gov-service"', 'policy = "none-such"', "'none-such' is no backup policy"),
        ('policy = "gov-service"', 'rto = "5m"', "not both"),
        ('system = "yichun-gov-service-net"\npolicy', "policy", "name a system, or an rto"),
        (
            '[objectives]\nsystem = "yichun-gov-service-net"',
            '[objectives]\nsystem = "portal"',
            "'portal' is no system",
        ),
        ('kind = "live"', 'kind = "alive"', r"drill.toml: Invalid enum value 'alive' - at `\$.kind`"),
        ('notice = "planned"', 'notice = "tomorrow"', r"\$.notice"),
        ('notice = "planned"', 'noti_ce = "planned"', r"drill.toml: .*unknown field `noti_ce`"),
        ('every = "180d"', 'every = "180"', r"\$.every"),
        (
            'alert = "SystemEndpointDown"',
            'alert = "SystemEndpointDown"\nfor = "1m"',
            r"unknown field `for` - at `\$.detection`",
        ),
        ('within = "10m"', 'at = "ops-9"', "detection.at = 'ops-9' is no node"),
        (
            'client = "client-1"',
            'client = "client-1"\nmonitoring = "ops-1"',
            "nodes.monitoring is what the kit gives",
        ),
        ('duty = "批准', 'duties = "批准', r"unknown field `duties` - at `\$.participants\[0\]`"),
        ('folder = "', 'kit = "', "variables.kit is what the kit gives"),
        ("[steps]\ndetect", "[steps]\ndiscover", "steps: discover is none of prepare"),
    ],
)
def test_a_definition_that_is_wrong_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(DrillError, match=complaint):
        written(tmp_path, (old, new))


def test_a_simulated_drill_waits_for_no_alert_and_needs_no_fault(tmp_path: Path) -> None:
    assert "inject" not in written(tmp_path, *SIMULATED).playbooks
    (tmp_path / NAME / "playbooks/inject.yml").unlink()
    assert read_definition(NAME, tmp_path).kind == "simulated"
    text = (FOLDER / NAME / "drill.toml").read_text().replace(*SIMULATED[0])
    (tmp_path / NAME / "drill.toml").write_text(text)
    with pytest.raises(DrillError, match=r"no alert can fire: leave \[detection\] out"):
        read_definition(NAME, tmp_path)


def test_a_stage_without_its_playbook_is_named(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / NAME, tmp_path / NAME)
    (tmp_path / NAME / "playbooks/recover.yml").unlink()
    (tmp_path / NAME / "playbooks/detect.yml").touch()
    with pytest.raises(DrillError, match=r"has no recover\.yml; write either \[detection\]"):
        read_definition(NAME, tmp_path)


def test_objectives_are_those_of_the_systems_policy(tmp_path: Path) -> None:
    held = written(tmp_path, ('policy = "gov-service"\n', ""))
    assert (held.rto, held.rpo, held.owner) == (900, 3600, "市行政审批局")


def test_objectives_of_a_system_without_a_policy_are_its_own(tmp_path: Path) -> None:
    held = written(
        tmp_path,
        ('system = "yichun-gov-service-net"\npolicy = "gov-service"', 'system = "ops-central-monitoring"'),
    )
    assert (held.rto, held.rpo, held.policy) == (4 * 3600, None, None)


def test_objectives_may_be_the_drills_own(tmp_path: Path) -> None:
    held = written(
        tmp_path, ('system = "yichun-gov-service-net"\npolicy = "gov-service"', 'rto = "1m"\nrpo = "0"')
    )
    assert (held.rto, held.rpo, held.system, held.owner) == (60, 0, None, "市数据局")


def test_the_alert_is_waited_for_where_the_drill_says(tmp_path: Path) -> None:
    held = written(tmp_path, ('within = "10m"', 'at = "offsite-1"'))
    assert (held.groups["operations"], held.groups["monitoring"]) == (("ops-1",), ("offsite-1",))
    assert held.definition.detection is not None
    assert held.definition.detection.within == "10m"


def test_what_playbooks_read(tmp_path: Path) -> None:
    found = variables(written(tmp_path), LAB, Path("/state"))
    assert found["nodes"]["lost"] == ["cloud-1"]
    ipv4, ipv6 = found["addresses"]["lost"]
    assert (":" in ipv4, ":" in ipv6) == (False, True)
    assert found["node_addresses"]["cloud-1"] == [ipv4, ipv6]
    assert found["pyinfra"][0] == "flock", "the way back waits for a command of a stage that was stopped"
    assert found["detection"]["alert"] == "SystemEndpointDown"
    assert found["policy_systems"] == ["yichun-gov-service-net", "gov-data-portal"]


def test_the_data_centre_lost_brings_up_every_system_that_the_policy_backs_up() -> None:
    """Each is asked for, hashed, restored and taken back: no step names one alone."""
    found = variables(
        hold_against("data-centre-lost", read_definition("data-centre-lost"), load_city(LAB)), LAB, Path("/s")
    )
    assert found["critical"] == "{{ policy_systems }}"
    for stage in ("prepare", "inject", "recover", "verify", "fallback"):
        text = (FOLDER / "data-centre-lost/playbooks" / f"{stage}.yml").read_text()
        assert "critical" in text or "list_records" in text
        assert not re.search(r"\{\{[^}]*\bsystem\b(?!=)[^}]*\}\}", text), stage


def test_the_backup_node_lost_rebuilds_all_that_the_inventory_keeps_on_it() -> None:
    held = hold_against("backup-node-lost", read_definition("backup-node-lost"), load_city(LAB))
    found = variables(held, LAB, Path("/s"))
    assert found["backups_lost"] == {"cloud-1": ["gov-service"], "xinchuang-1": ["collab-office"]}
    assert found["databases_lost"] == {"cloud-1": ["cloud-1-main"]}
    assert set(found["backups_lost"]) == set(held.nodes["writer"]), "a client of the lost node has no part"


def test_every_key_is_described() -> None:
    found = {key.name: key for key in keys()}
    assert found["detection.alert"].description
    assert found["objectives.rto"].example == '"1m"'
    assert [key.name for key in found.values() if not key.description] == []
    assert found["participants.role"].example == '"演练指挥"'
    assert found["plan.version"].example == '"1.0"'
    assert SCHEMAS["$defs"]["Definition"]["additionalProperties"] is False
    assert "previous" in SCHEMAS["$defs"]["DrillRecord"]["properties"]
