"""The rules: lint, unit tests, and whether the unit tests would see a wrong rule."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from exporters.alerting.burn_rate import read_objectives, slo_file
from tests.exporters.mutations import mutated

RULES = Path(__file__).parents[2] / "exporters" / "rules"
UNIT_TESTS = Path(__file__).parent / "rules"
KINDS = ("firing", "boundary", "absent", "two instances")
#: Wrong rules that say the same as the right one: an alert and a part of its expression.
EQUIVALENT = {
    # an endpoint has two families: where IPv6 is down, what is up is IPv4, and the other way round
    ("IPv6DownIPv4Up", "and on (subject, check) target:jizuo_probe_success:max{} == 1"),
    ("IPv6DownIPv4Up", "target:jizuo_probe_success:max{} == 0"),
    # an evaluation every six hours does not see a second
    ("DrillOverdue", "(jizuo_drill_due_timestamp_seconds) > 1"),
    # whatever its value, it holds
    ("Watchdog", "vector(0)"),
}


@cache
def rules() -> tuple[tuple[str, dict[str, Any]], ...]:
    """Every rule with its group."""
    return tuple(
        (group["name"], rule)
        for file in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    )


ALERTS = {rule["alert"]: rule for _, rule in rules() if "alert" in rule}
RECORDS = {rule["record"]: rule for _, rule in rules() if "record" in rule}


@cache
def unit_tests(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return document


def promtool(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """One thread each: several run at once."""
    alone = os.environ | {"GOMAXPROCS": "1"}
    command = ["promtool", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=alone)


def needed(expression: str) -> dict[str, dict[str, Any]]:
    """The recording rules that an expression follows from, in the order in which they must be evaluated."""
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(re.findall(r"[a-z_]+:[a-z_]+:[a-z0-9]+", expression)):
        rule = RECORDS[name]
        found |= {**needed(rule["expr"]), name: rule}
    return found


class Trial(NamedTuple):
    """An alert, right or wrong, with the recording rules that it needs, before its unit tests."""

    alert: str
    rule: dict[str, Any]
    right: bool


def cases_of(alert: str) -> dict[str, Any]:
    """The unit tests of one alert as a document of their own."""
    for source in sorted(UNIT_TESTS.glob("*.yml")):
        whole = unit_tests(source)
        cases = [case for case in whole["tests"] if case.get("name", "").startswith(f"{alert}: ")]
        if cases:
            return {"evaluation_interval": whole["evaluation_interval"], "tests": cases}
    raise AssertionError(f"no unit tests for {alert}")


def trials() -> Iterator[Trial]:
    for alert, rule in ALERTS.items():
        interval = cases_of(alert)["evaluation_interval"]
        yield Trial(alert, rule, right=True)
        for wrong in mutated(rule, 1 if interval == "1m" else 60):
            yield Trial(alert, wrong, right=False)


def write(trial: Trial, folder: Path, number: int) -> str:
    """Writes a trial's two files; returns the name of the one that promtool is to run."""
    groups = [
        {"name": "records", "rules": [*needed(trial.rule["expr"]).values()]},
        {"name": "alert", "rules": [trial.rule]},
    ]
    rule_file, test_file = f"{number}.rules.yml", f"{number}.test.yml"
    document = {"rule_files": [rule_file], "group_eval_order": ["records", "alert"], **cases_of(trial.alert)}
    for name, content in ((rule_file, {"groups": groups}), (test_file, document)):
        text = yaml.dump(content, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
        (folder / name).write_text(text, encoding="utf-8")
    return test_file


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Trial, bool]]:
    """Every trial, and whether its unit tests passed; few promtool processes run them all."""
    folder = tmp_path_factory.mktemp("trials")
    tried = list(trials())
    names = [write(trial, folder, number) for number, trial in enumerate(tried)]
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        # many parts: a process keeps the memory of all its cases
        parts = [names[start :: workers * 12] for start in range(workers * 12)]
        answers = pool.map(lambda part: promtool("test", "rules", *part, cwd=folder), parts)
        said = "\n".join(answer.stdout for answer in answers)
    # what failed is said on stderr
    assert set(re.findall(r"Unit Testing:  (\S+)", said)) == set(names)
    fine = set(re.findall(r"Unit Testing:  (\S+)\n  SUCCESS", said))
    return [(trial, name in fine) for trial, name in zip(tried, names, strict=True)]


def test_promtool_finds_nothing_to_remark() -> None:
    files = [str(file) for file in sorted(RULES.glob("*.yml"))]
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *files)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted(UNIT_TESTS.glob("*.yml")), ids=lambda file: file.name)
def test_what_is_no_single_alerts_case_passes(file: Path, tmp_path: Path) -> None:
    whole = unit_tests(file)
    assert all((file.parent / name).resolve().is_file() for name in whole["rule_files"])
    others = [case for case in whole["tests"] if case["name"].partition(": ")[0] not in ALERTS]
    if not others:
        return  # the cases of each alert are run with the mutations
    document = {
        **whole,
        "rule_files": [str((file.parent / name).resolve()) for name in whole["rule_files"]],
        "tests": others,
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    done = promtool("test", "rules", str(tmp_path / "test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("named", ALERTS, ids=str)
def test_every_alert_has_its_four_cases_and_says_what_to_do(named: str) -> None:
    rule = ALERTS[named]
    names = [case["name"] for case in cases_of(named)["tests"]]
    kinds = ("always firing",) if named == "Watchdog" else KINDS
    assert [f"{named}: {kind}" for kind in kinds] == names
    severities = {"none"} if named == "Watchdog" else {"critical", "warning"}
    assert rule["labels"]["severity"] in severities
    assert set(rule["annotations"]) == {"summary", "description", "action"}
    for text in rule["annotations"].values():
        assert any("\u4e00" <= character <= "\u9fff" for character in text), text


@pytest.mark.parametrize("named", ALERTS, ids=str)
def test_an_alerts_unit_tests_pass_and_see_every_wrong_rule(
    named: str, passed: list[tuple[Trial, bool]]
) -> None:
    own = [(trial, fine) for trial, fine in passed if trial.alert == named]
    assert [fine for trial, fine in own if trial.right] == [True]
    wrong = [trial.rule for trial, fine in own if fine and not trial.right]
    survivors = [
        (rule["expr"], rule.get("for"))
        for rule in wrong
        if not any(named == alert and part in rule["expr"] for alert, part in EQUIVALENT)
    ]
    assert not survivors
    assert len(own) > 2 or named == "Watchdog"


def test_burn_rates_are_as_the_data_say() -> None:
    assert (RULES / "jizuo-slo.yml").read_text(encoding="utf-8") == slo_file(read_objectives())
