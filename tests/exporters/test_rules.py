"""The rules: lint, unit tests, and whether the unit tests would see a wrong rule."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

RULES = Path(__file__).parents[2] / "exporters" / "rules"
UNIT_TESTS = Path(__file__).parent / "rules"
KINDS = ("firing", "boundary", "absent", "two instances")


def _alerts() -> Iterator[tuple[Path, dict[str, Any]]]:
    for file in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    yield file, rule


#: Every alert by name: its file and the rule.
ALERTS = {rule["alert"]: (file, rule) for file, rule in _alerts()}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def test_promtool_finds_nothing_to_remark() -> None:
    files = [str(file) for file in sorted(RULES.glob("*.yml"))]
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *files)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted(UNIT_TESTS.glob("*.yml")), ids=lambda file: file.name)
def test_the_unit_tests_pass(file: Path) -> None:
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("named", ALERTS, ids=str)
def test_every_alert_has_its_four_cases_and_says_what_to_do(named: str) -> None:
    rule = ALERTS[named][1]
    names = {
        case.get("name", "")
        for test_file in UNIT_TESTS.glob("*.yml")
        for case in yaml.safe_load(test_file.read_text(encoding="utf-8"))["tests"]
    }
    assert {f"{rule['alert']}: {kind}" for kind in KINDS} <= names
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "action"}
    for text in rule["annotations"].values():
        assert any("\u4e00" <= character <= "\u9fff" for character in text), text


def mutations(rule: dict[str, Any], step: str) -> Iterator[dict[str, Any]]:
    """The rule with one thing wrong at a time."""
    expression = rule["expr"]
    for old, new in (
        (" == 0", " == 2"),
        (" == 1", " == 0"),
        (" > ", " >= "),
        (" > ", " < "),
        (" < 0.9", " <= 0.9"),
        ("max by (", "sum by ("),
        ("min by (", "max by ("),
        ("absent(", "present_over_time("),
        ('state=~"noncompliant|partly"', 'state="noncompliant"'),
        ('result=~"failure|stuck"', 'result="failure"'),
        (', severity="high"', ""),
        ('check="icmp", ', ""),
        ('level="city"', 'level!=""'),
        ('role="router", ', ""),
        ('role=~"cloud|backup|operations"', 'role!=""'),
        (', device!~"lo|lan.*"', ""),
        ('job="node"', 'job!=""'),
        ('job="jizuo"', 'job!=""'),
        ("on (subject, check) ", "on (subject) "),
    ):
        if old in expression:
            yield {**rule, "expr": expression.replace(old, new, 1)}
    if step != "1m":  # too coarse to see a minute
        return
    minutes = int(rule["for"].removesuffix("m"))
    yield {**rule, "for": f"{minutes + 1}m"}
    if minutes > 1:
        yield {**rule, "for": f"{minutes - 1}m"}


@pytest.mark.parametrize("named", ALERTS, ids=str)
def test_a_wrong_rule_is_seen(tmp_path: Path, named: str) -> None:
    file, rule = ALERTS[named]
    step, test_file = _write_cases(tmp_path, named)
    shutil.copy(RULES / "jizuo-recording.yml", tmp_path / "recording.yml")
    survivors = []
    for mutation in mutations(rule, step):
        groups = {"groups": [{"name": file.stem, "rules": [mutation]}]}
        (tmp_path / "alert.yml").write_text(yaml.safe_dump(groups, allow_unicode=True), encoding="utf-8")
        if promtool("test", "rules", str(test_file)).returncode == 0:
            survivors.append((mutation["expr"], mutation["for"]))
    assert not survivors


def _write_cases(folder: Path, alert: str) -> tuple[str, Path]:
    """Writes the unit tests of one alert as a file of their own; returns its evaluation interval too."""
    for source in UNIT_TESTS.glob("*.yml"):
        whole = yaml.safe_load(source.read_text(encoding="utf-8"))
        cases = [case for case in whole["tests"] if case.get("name", "").startswith(f"{alert}: ")]
        if cases:
            target = folder / "cases.test.yml"
            whole |= {"tests": cases, "rule_files": ["recording.yml", "alert.yml"]}
            target.write_text(yaml.safe_dump(whole, allow_unicode=True), encoding="utf-8")
            return whole["evaluation_interval"], target
    raise AssertionError(f"no unit tests for {alert}")
