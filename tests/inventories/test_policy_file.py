"""Is a policy.toml read as it is meant, and each thing that is wrong with it found where it stands?"""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from inventories.cells import columns
from inventories.cli import inventory
from inventories.column_guide import TABLES, column_guide
from inventories.load import load_city
from inventories.policy.records import Action

from .breaking import MARK, positions, problems_of

LAB = Path(__file__).parents[2] / "inventories" / "lab"

GOOD = """\
[service.web]
tcp = [80, 443, "8000-8099"]
[service.dns]
tcp = [53]
udp = [53]

[[rule]]
id = "village-web"
from = ["public"]
to = ["system:gov-data-portal", "role:cloud"]
service = ["web"]
owner = "data-bureau"
reason = "村级窗口，访问数据门户"
until = 2027-12-31

[[rule]]
id = "no-names"
from = ["internet", "network:health", "unit:civil-affairs-bureau", "below:360902", "site:360981"]
to = ["node:ops-1"]
service = ["dns", "web"]
action = "deny"
owner = "approval-bureau"
reason = "x"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the lab's inventory with the policy above."""
    city = Path(shutil.copytree(LAB, tmp_path / "city"))
    (city / "policy.toml").write_text(GOOD, encoding="utf-8")
    return city


def test_a_policy_is_read_as_it_stands(folder: Path) -> None:
    policy = load_city(folder).policy
    assert policy is not None
    assert policy.services["web"].tcp == (80, 443, "8000-8099")
    assert policy.services["dns"].udp == (53,)
    assert list(policy.rules) == ["village-web", "no-names"]
    first, second = policy.rules.values()
    assert first.sources == ("public",)
    assert first.destinations == ("system:gov-data-portal", "role:cloud")
    assert (first.action, second.action) == (Action.ALLOW, Action.DENY)
    assert (first.until, second.until) == (date(2027, 12, 31), None)
    lines = GOOD.splitlines()
    assert {key: lines[line - 1] for key, line in policy.lines.items()} == {
        "village-web": 'id = "village-web"',
        "no-names": 'id = "no-names"',
    }
    assert [lines[line - 1] for line in policy.service_lines.values()] == ["[service.web]", "[service.dns]"]


def test_a_city_without_the_file_has_no_policy(folder: Path) -> None:
    (folder / "policy.toml").unlink()
    assert load_city(folder).policy is None


CASES = [
    ("tcp = [80,", "tcp = [▸0,", ("from 1 to 65535",)),
    ("tcp = [80,", "tcp = [▸true,", ("true or false",)),
    ('"8000-8099"', '▸"8099-8000"', ("no range of ports", "lower port first")),
    ('"8000-8099"', '▸"8000-80990"', ("no range of ports", "65535")),
    ('"8000-8099"', "▸443", ("443 twice",)),
    ("tcp = [53]\nudp = [53]\n", "", ("service dns has no port",)),
    ("udp = [53]", "▸sctp = [53]", ("'sctp' is unknown in [service.dns]", "tcp, udp")),
    ('from = ["public"]', 'from = [▸"pubic"]', ("no selector", "did you mean 'public'?")),
    ('from = ["public"]', 'from = [▸"netwrk:health"]', ("did you mean 'network:health'?",)),
    ('from = ["public"]', 'from = [▸"public:x"]', ("no selector",)),
    ('from = ["public"]', 'from = [▸"management"]', ("built into the kit", "jizuo policy explain")),
    ('from = ["public"]', 'from = ["public", ▸"public"]', ("'public' twice",)),
    ('from = ["public"]', "from = ▸[]", ("from is empty",)),
    ('from = ["public"]\n', "", ("'from' is missing in [[rule]]",)),
    ("until = 2027", "▸untill = 2027", ("did you mean 'until'?", "id, from, to, service")),
    ('"role:cloud"', '▸"role:clod"', ("unknown role", "'cloud'")),
    ('"network:health"', '▸"network:healht"', ("unknown network", "'health'")),
    ('"unit:civil', '▸"unit:cvil', ("unknown unit", "civil-affairs-bureau")),
    ('"system:gov-data-portal"', '▸"system:gov-data-portl"', ("unknown system", "'gov-data-portal'")),
    ('"below:360902"', '▸"below:360909"', ("unknown below", "'360902'")),
    ('"site:360981"', '▸"site:360982"', ("unknown site", "'360981'")),
    ('"node:ops-1"', '▸"node:ops-2"', ("unknown node", "'ops-1'")),
    ('"node:ops-1"', '▸"network:health"', ("is no destination from another zone", "may exist twice")),
    ('"node:ops-1"', '▸"node:health-1"', ("stands in the private network health", "public zone")),
    ('"internet"', '▸"node:health-1"', ("its IPv4 address is not its own", "write network:health")),
    ('service = ["web"]', 'service = [▸"wbe"]', ("unknown service", "'web'")),
    ('owner = "data-bureau"', 'owner = ▸"data-burau"', ("unknown unit", "'data-bureau'")),
    ('owner = "data-bureau"\n', "", ("'owner' is missing",)),
    ('reason = "x"', 'reason = ▸""', ("reason is empty",)),
    ("until = 2027-12-31", 'until = ▸"soon"', ("2027-12-31",)),
    ("until = 2027-12-31", "until = ▸2027-12-31T10:00:00", ("a date or time",)),
    ('action = "deny"', 'action = ▸"denny"', ("allow, deny", "deny?")),
    ('id = "no-names"', 'id = ▸"village-web"', ("stands twice", "line 8")),
    ('id = "no-names"', 'id = ▸"No names"', ("'no-names'",)),
    ("[[rule]]\nid = \"no", "[[▸rules]]\nid = \"no", ("none of a policy's tables", "[[rule]]")),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words"), CASES)
def test_what_is_wrong_is_found_where_it_stands(
    folder: Path, old: str, new: str, words: tuple[str, ...]
) -> None:
    assert old in GOOD
    marked = GOOD.replace(old, new, 1)
    (folder / "policy.toml").write_text(marked.replace(MARK, ""), encoding="utf-8")
    [problem] = problems_of(folder)
    assert problem.file == str(folder / "policy.toml")
    for place in positions(marked):
        assert (problem.line, problem.column) == place
    for word in words:
        assert word in str(problem)


def test_all_is_said_at_once(folder: Path) -> None:
    text = GOOD.replace('["public"]', '["pubic"]').replace('"data-bureau"', '"x"').replace("node:ops-1", "z")
    (folder / "policy.toml").write_text(text, encoding="utf-8")
    assert len(problems_of(folder)) == 3


def test_a_mistyped_file_name_is_found(folder: Path) -> None:
    (folder / "policy.toml").rename(folder / "polcy.toml")
    [problem] = problems_of(folder)
    assert "rename it to policy.toml" in problem.fix


def test_every_key_is_explained() -> None:
    rows = {row.column: row for row in column_guide() if row.file == "policy.toml"}
    tables = TABLES["policy.toml"]
    assert list(rows) == [f"{name}.{key}" for name, record in tables.items() for key in columns(record)]
    output = CliRunner().invoke(inventory, ["columns", "policy.toml", "--json"]).stdout
    assert {row["column"] for row in json.loads(output)} == set(rows)
    assert rows["rule.from"].required
    assert not rows["rule.until"].required
