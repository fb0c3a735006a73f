"""What do `jizuo policy show`, `lint` and `explain` print, and how do they exit?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from inventories.policy.cli import policy

LAB = Path(__file__).parents[2] / "inventories" / "lab"
POLICY = """\
[service.web]
tcp = [80]

[[rule]]
id = "clinic"
from = ["site:360902105201"]
to = ["system:gov-data-portal"]
service = ["web"]
owner = "data-bureau"
reason = "村级窗口"
until = 2027-12-31

[[rule]]
id = "health"
from = ["network:health"]
to = ["node:cloud-1"]
service = ["web"]
owner = "health-commission"
reason = "卫生健康专网"

[[rule]]
id = "again"
from = ["node:client-1"]
to = ["node:cloud-1"]
service = ["web"]
owner = "data-bureau"
reason = "x"
until = 2027-01-01
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    city = Path(shutil.copytree(LAB, tmp_path / "city"))
    (city / "policy.toml").write_text(POLICY, encoding="utf-8")
    return city


def run(*arguments: object) -> Result:
    return CliRunner().invoke(policy, [str(argument) for argument in arguments], catch_exceptions=False)


def explain(folder: Path, *arguments: object) -> tuple[int, list[tuple[str, bool, str, int]], list[str]]:
    """Exit code, the decisions by family, and the notes."""
    result = run("explain", folder, *arguments, "--at", "2026-12-31", "--format", "json")
    data = json.loads(result.stdout)
    decisions = [(d["family"], d["allowed"], d["decider"], d["line"]) for d in data["decisions"]]
    return result.exit_code, decisions, data["notes"]


def test_the_rules_are_shown_in_their_order(folder: Path) -> None:
    output = run("show", folder).stdout
    assert max(map(cell_len, output.splitlines())) <= max(80, cell_len(str(folder / "policy.toml")))
    assert output.index("clinic") < output.index("health") < output.index("again")
    data = json.loads(run("show", folder, "--format", "json").stdout)
    first = data["rules"][0]
    assert (first["id"], first["line"], first["until"]) == ("clinic", 5, "2027-12-31")
    assert first["destinations"] == {"ipv4": ["198.18.136.130/32"], "ipv6": ["2001:db8:302::2/128"]}


def test_findings_exit_with_2_and_name_the_line(folder: Path) -> None:
    result = run("lint", folder, "--at", "2026-12-31")
    assert result.exit_code == 2
    assert f"{folder / 'policy.toml'}:22: notice: expiring: again" in result.stdout
    assert f"{folder / 'policy.toml'}:22: warning: shadowed: again" in result.stdout
    found = json.loads(run("lint", folder, "--at", "2027-01-02", "--format", "json").stdout)["findings"]
    assert [(f["check"], f["rule"], f["line"]) for f in found] == [("expired", "again", 22)]
    text = POLICY[: POLICY.index('[[rule]]\nid = "again"')]
    (folder / "policy.toml").write_text(text, encoding="utf-8")
    assert run("lint", folder, "--at", "2026-12-31").exit_code == 0


@pytest.mark.parametrize(
    ("ends", "exit_code", "decider", "line"),
    [
        (("client-1", "gov-data-portal", 80), 0, "clinic", 5),
        (("client-1", "cloud-1", 81), 2, "default", 0),
        (("client-2", "cloud-1", 80), 2, "default", 0),
        (("network:health", "cloud-1", 80), 0, "health", 14),
        (("health-1", "cloud-1", 80), 0, "health", 14),
        (("civil-1", "cloud-1", 80), 2, "default", 0),
        (("internet", "cloud-1", 80), 2, "default", 0),
        (("health-1", "health-2", 5432), 0, "built in: private-network", 0),
        (("client-1", "health-1", 80), 2, "built in: private-network", 0),
        (("health-1", "civil-1", 80), 2, "built in: private-network", 0),
        (("management", "cloud-1", 22), 0, "built in: ssh", 0),
        (("management", "cloud-1", 80), 2, "built in: management", 0),
        (("client-1", "management", 22), 2, "built in: management", 0),
    ],
)
def test_the_decider_is_named_for_both_families(
    folder: Path, ends: tuple[str, str, int], exit_code: int, decider: str, line: int
) -> None:
    code, decisions, _ = explain(folder, *ends)
    allowed = exit_code == 0
    assert decisions == [("ipv4", allowed, decider, line), ("ipv6", allowed, decider, line)]
    assert code == exit_code


def test_a_zone_of_which_a_part_passes_is_denied_and_both_parts_are_named(folder: Path) -> None:
    code, decisions, _ = explain(folder, "public", "cloud-1", 80, "--family", "ipv6")
    assert code == 2
    assert decisions == [("ipv6", True, "clinic", 5), ("ipv6", False, "default", 0)]


def test_addresses_and_protocols(folder: Path) -> None:
    assert explain(folder, "2001:db8:102:200::2", "2001:db8:302::2", 80)[:2] == (
        0,
        [("ipv6", True, "clinic", 5)],
    )
    assert explain(folder, "198.18.16.98", "cloud-1", 80)[:2] == (0, [("ipv4", True, "clinic", 5)])
    assert explain(folder, "client-1", "cloud-1", 80, "--protocol", "udp")[0] == 2
    assert run("explain", folder, "198.18.16.98", "2001:db8:302::2", 80).exit_code == 1


def test_what_the_kit_opens_besides_is_noted(folder: Path) -> None:
    _, _, notes = explain(folder, "core-a", "yuanzhou", 179)
    assert notes == ["built in: bgp opens tcp 179 on yuanzhou to its neighbours, on their links only"]
    output = run("explain", folder, "client-1", "cloud-1", 22).stdout
    assert "Note: built in: ssh opens tcp 22 on cloud-1 to the management network." in output


def test_people_read_zones_and_lines(folder: Path) -> None:
    output = run("explain", folder, "network:health", "cloud-1", 80).stdout
    assert f"ipv6: allowed by rule health ({folder / 'policy.toml'}:14): 卫生健康专网" in output
    assert "network:health → 2001:db8:302::2/128" in output


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("clod-1", "did you mean 'cloud-1'?"),
        ("198.51.100.18", "network:health, network:civil"),
        ("x", "a zone (public, internet, management"),
    ],
)
def test_an_end_that_is_none_is_explained(folder: Path, word: str, hint: str) -> None:
    result = run("explain", folder, word, "cloud-1", 80)
    assert result.exit_code != 0
    assert hint in result.stderr


def test_families_that_differ_are_said_to_differ(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No policy file can do it; a crossing that lacks a family can."""
    from inventories.plan import build_plan
    from inventories.policy import cli
    from inventories.policy.resolve import resolve
    from inventories.records import Family

    def lame(city, plan):  # type: ignore[no-untyped-def]
        return resolve(
            city, plan, {"health": {Family.IPV4: f"{build_plan(city).crossing('health', 'ipv4')[1]}/32"}}
        )

    monkeypatch.setattr(cli, "resolve", lame)
    code, decisions, notes = explain(folder, "network:health", "cloud-1", 80)
    assert code == 2
    assert decisions[0] == ("ipv4", True, "health", 14)
    assert notes[0].startswith("IPv4 and IPv6 differ")


def test_a_city_without_policy_says_so(folder: Path) -> None:
    (folder / "policy.toml").unlink()
    result = run("explain", folder, "client-1", "cloud-1", 80)
    assert result.exit_code == 2
    assert "only what is built into the kit is open" in result.stderr
