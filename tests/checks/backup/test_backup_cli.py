"""Do `jizuo backup grade` and `jizuo backup list` print what people and programs need, and exit as they say?"""

from __future__ import annotations

import json
import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click import Command
from click.testing import CliRunner, Result
from rich.cells import cell_len

from checks.backup.coverage import coverage
from checks.backup.grade_cli import grade
from checks.backup.limits import load_limits
from checks.backup.list_cli import as_data, list_policies
from checks.record import Record, Status, write_records
from inventories.load import load_city
from inventories.records import HostedBy

ROOT = Path(__file__).parents[3] / "inventories"
LAB, YICHUN = ROOT / "lab", ROOT / "yichun"
#: A policy that lacks nothing: both planes' databases flow on, and the off-site copy is on tape.
COMPLETE = """
[policy.all]
systems = ["yichun-gov-service-net", "gov-data-portal", "collab-office"]
schedule = "*-*-* *:00/15"
repository = "backup-1"
copies = ["offsite-1"]
rpo = "30m"
rto = "15m"
owner = "data-bureau"

[[policy.all.database]]
engine = "postgresql"
name = "all"
method = "continuous"

[repository.offsite-1]
medium = "tape"
protection = "offline"

[without.egov-extranet]
reason = "不存业务数据"
owner = "data-bureau"

[without.ops-central-monitoring]
reason = "可重建"
owner = "data-bureau"
"""


def run(command: Command, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def graded(path: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
    result = run(grade, path, "--json", *arguments)
    data = json.loads(result.stdout)
    return result.exit_code, {row["system"]: row for row in data["systems"]} | {"": data}


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(LAB, tmp_path / "lab"))
    (folder / "backups.toml").write_text(COMPLETE, encoding="utf-8")
    return folder


def assert_fits(output: str) -> None:
    assert max(map(cell_len, output.splitlines())) <= 80
    assert "\x1b" not in output


@pytest.mark.parametrize("command", [grade, list_policies], ids=lambda command: command.name)
def test_tables_fit_in_80_columns(command: Command) -> None:
    assert_fits(run(command, LAB).stdout)


def test_every_system_of_the_city_is_graded() -> None:
    code, rows = graded(YICHUN)
    assert code == 2
    hosted = {row.id for row in load_city(YICHUN).systems.values() if row.hosted_by is HostedBy.CITY}
    assert set(rows) - {""} == hosted
    assert rows["gov-data-portal"]["required"] == rows["gov-data-portal"]["had"] == 4
    assert rows["gov-data-portal"]["because"] == ["等保 3"]
    assert [one["element"] for one in rows["city-brain"]["missing"]] == ["transfer", "media"]
    assert rows["city-brain"]["rule"]["errors"]["state"] == "unknown"
    assert rows["data-center"]["without"]["owner"] == "data-bureau"
    assert (rows["data-center"]["required"], rows["data-center"]["missing"]) == (None, [])
    assert "灾难恢复预案" in rows[""]["by_person"]
    # The worst first, those with a reason last.
    order = [row["system"] for row in rows[""]["systems"]]
    assert order[0] == "municipal-gov-cloud" and rows[order[-1]]["without"]


def test_the_table_names_what_is_missing_and_why_there_is_no_backup() -> None:
    printed = run(grade, YICHUN).stdout
    assert_fits(printed)
    output = " ".join(re.sub("[│─┼]", " ", printed).split())
    assert output.startswith("GB/T 20988-2007") and "replaced by GB/T 20988-2025" in output
    assert "no real-time replication" in output and "hotline-12345" in output
    assert "Missing of every system: all on disk: no second medium" in output
    assert "No backup, for a stated reason: 6 systems egov-extranet 网络设备的配置由本清单生成" in output
    assert "(市数据局)" in output
    assert "see --records" in output
    assert output.endswith("113 systems: 10 below the grade, 107 with something missing.")


def test_nothing_missing_is_exit_0(complete: Path) -> None:
    code, rows = graded(complete)
    assert code == 0, rows
    assert all(row["missing"] == [] for row in rows[""]["systems"])
    assert rows["yichun-gov-service-net"]["had"] == 5
    assert run(grade, complete).exit_code == 0


def test_a_system_without_policy_or_reason_is_the_worst(complete: Path) -> None:
    text = COMPLETE.replace('[without.egov-extranet]\nreason = "不存业务数据"\nowner = "data-bureau"\n', "")
    (complete / "backups.toml").write_text(text, encoding="utf-8")
    code, rows = graded(complete)
    assert code == 2
    assert rows[""]["systems"][0]["system"] == "egov-extranet"
    assert rows["egov-extranet"]["missing"] == [
        {"element": "policy", "what": "no policy, and no reason in [without.egov-extranet]"}
    ]
    city = load_city(complete)
    found = {r.subject: r.status for r in coverage(city, load_limits(), datetime.now().astimezone())}
    assert found["egov-extranet"] is Status.FAIL
    assert found["ops-central-monitoring"] is Status.NOT_APPLICABLE


def test_records_say_whether_verification_had_errors(complete: Path, tmp_path: Path) -> None:
    def record(node: str, check: str, status: Status) -> Record:
        return Record(
            subject=f"all@{node}",
            check=check,
            family="none",
            status=status,
            value=1.0,
            at="2026-03-01T12:00:00+08:00",
            evidence="",
            reason="" if status is Status.PASS else "content_differs",
        )

    records = [
        record(node, f"{check}:{place}", Status.PASS)
        for node in ("cloud-1", "xinchuang-1")
        for place in ("backup-1", "offsite-1")
        for check in ("repository-check", "restore-test")
    ]
    file = tmp_path / "records" / "backup.json"
    write_records(file, records)
    code, rows = graded(complete, "--records", file)
    assert (code, rows["collab-office"]["rule"]["errors"]["state"]) == (0, "met")
    assert "see --records" not in run(grade, complete, "--records", file).stdout
    write_records(file, [*records[:-1], record("xinchuang-1", "restore-test:offsite-1", Status.FAIL)])
    code, rows = graded(complete, "--records", file)
    assert code == 2
    assert rows["collab-office"]["had"] == 0
    assert (
        rows["collab-office"]["missing"][0]["what"]
        == "restore-test:offsite-1 of all@xinchuang-1: content_differs"
    )


def test_the_edition_in_force_has_no_figures_here() -> None:
    result = run(grade, LAB, "--edition", "2025")
    assert result.exit_code == 1
    assert "GB/T 20988-2025" in result.stdout and "grades not known" in result.stdout
    assert "its figures are not known here" in result.stderr
    assert f"edition.2025 into {LAB}/recovery-grades.toml" in result.stderr
    code, rows = graded(LAB, "--edition", "2025")
    assert code == 1 and rows[""]["known"] is False
    assert {(row["required"], row["had"]) for row in rows[""]["systems"]} == {(None, None)}
    assert rows["collab-office"]["rule"]["offsite"]["state"] == "met"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--edition", "2007x"], "'2007x' is none of 2007, 2025"),
        (["--records", "/nowhere/backup.json"], "jizuo check PATH backup --out /nowhere"),
        (["--records", LAB / "city.toml"], "these are no records"),
    ],
)
def test_what_cannot_be_read_says_the_way_out(arguments: list[object], words: str) -> None:
    result = run(grade, LAB, *arguments)
    assert result.exit_code != 0
    assert words in " ".join(result.stderr.split())


def test_an_own_edition_that_is_broken_stops_the_command(complete: Path) -> None:
    (complete / "recovery-grades.toml").write_text("[edition.2030]\n", encoding="utf-8")
    result = run(grade, complete)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{complete}/recovery-grades.toml: ")


def test_policies_are_listed(complete: Path) -> None:
    data = json.loads(run(list_policies, complete, "--json").stdout)
    [policy] = data["policies"]
    assert policy["databases"] == [
        {"engine": "postgresql", "instance": "main", "name": "all", "method": "continuous"}
    ]
    assert policy["copies"] == [{"node": "offsite-1", "medium": "tape", "protection": "offline"}]
    assert (policy["rpo_seconds"], policy["rto_seconds"], policy["nodes"]) == (
        1800,
        900,
        ["cloud-1", "xinchuang-1"],
    )
    assert policy["owner_name"] == "市数据局"
    assert [one["system"] for one in data["without"]] == ["egov-extranet", "ops-central-monitoring"]
    output = " ".join(re.sub("[│─┼]", " ", run(list_policies, complete).stdout).split())
    assert "all 市数据局" in output and "postgresql:all" in output and "(continuous)" in output
    assert "backup-1 +" in output and "offsite-1" in output and "keeps all" in output
    assert "1 policy; 2 systems without, for a stated reason" in output


def test_the_next_run_is_in_the_city_s_time() -> None:
    city = load_city(LAB)
    now = datetime.fromisoformat("2026-03-01T20:01:00+00:00")
    assert as_data(city, city.backups["gov-service"], now)["next_run"] == "2026-03-02T04:15:00+08:00"
    assert as_data(city, city.backups["collab-office"], now)["next_run"] == "2026-03-02T04:05:00+08:00"
