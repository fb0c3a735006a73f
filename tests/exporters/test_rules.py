"""The rules: lint, unit tests, and whether the unit tests would see a wrong rule."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
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
#: Wrong rules that say the same as the right one, each whole, by alert: no series tells the two apart.
EQUIVALENT = {
    # an endpoint has two families: where IPv6 is down, what is up is IPv4, and the other way round
    "IPv6DownIPv4Up": {
        'target:jizuo_probe_success:max{family="ipv6"} == 0 '
        "and on (subject, check) target:jizuo_probe_success:max{} == 1",
        "target:jizuo_probe_success:max{} == 0 "
        'and on (subject, check) target:jizuo_probe_success:max{family="ipv4"} == 1',
    },
    # the pattern takes the whole name
    "LogStreamStale": {
        "label_replace( time() - max by (host) (jizuo_log_stream_newest_timestamp_seconds) > 900, "
        '"subject", "$0", "host", "(.+)" ) or absent(jizuo_log_stream_newest_timestamp_seconds)',
    },
    # whatever its value, it holds
    "Watchdog": {"vector(0)"},
}


@cache
def rules() -> tuple[tuple[str, dict[str, Any]], ...]:
    """Every rule with its group."""
    return tuple(
        (group["name"], rule)
        for file in sorted(RULES.rglob("*.yml"))
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
    """An alert, right or wrong, with a name of its own, so that many are tried on the same series at once."""

    alert: str
    name: str
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


def trials_of(alert: str, rule: dict[str, Any]) -> Iterator[Trial]:
    yield Trial(alert, f"{alert}__right", rule, right=True)
    step = 1 if cases_of(alert)["evaluation_interval"] == "1m" else 60
    for number, wrong in enumerate(mutated(rule, step)):
        yield Trial(alert, f"{alert}__{number}", wrong, right=False)


def renamed(content: Any, alert: str, name: str) -> Any:
    """What a unit test says of an alert, said of the one with another name."""
    if isinstance(content, str):
        return re.sub(rf"\b{alert}\b", name, content)
    if isinstance(content, list):
        return [renamed(one, alert, name) for one in content]
    if isinstance(content, dict):
        return {key: renamed(value, alert, name) for key, value in content.items()}
    return content


def write(alert: str, tried: Sequence[Trial], folder: Path) -> str:
    """Writes an alert's two files: all trials as rules, and its cases with what is expected of each of them.

    Loading series and evaluating recording rules is most of the work; here it is done once a case for all trials.
    """
    document = cases_of(alert)
    for_each = ("promql_expr_test", "alert_rule_test")
    cases = [
        case
        | {
            kind: [one for trial in tried for one in renamed(case[kind], alert, trial.name)]
            for kind in for_each
            if kind in case
        }
        for case in document["tests"]
    ]
    records = [*needed(ALERTS[alert]["expr"]).values()]
    rules = [{**trial.rule, "alert": trial.name} for trial in tried]
    groups = [{"name": "records", "rules": records}, {"name": "alert", "rules": rules}]
    rule_file, test_file = f"{alert}.rules.yml", f"{alert}.test.yml"
    test = {**document, "rule_files": [rule_file], "group_eval_order": ["records", "alert"], "tests": cases}
    for name, content in ((rule_file, {"groups": groups}), (test_file, test)):
        text = yaml.dump(content, Dumper=_Dumper, allow_unicode=True, sort_keys=False)
        (folder / name).write_text(text, encoding="utf-8")
    return test_file


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True  # promtool's YAML counts aliases, and has a limit


def failing(alert: str, tried: Sequence[Trial], folder: Path) -> set[str]:
    """The trials that fail a case or cannot be evaluated."""
    found: set[str] = set()
    while rest := [trial for trial in tried if trial.name not in found or trial.right]:
        done = promtool("test", "rules", write(alert, rest, folder), cwd=folder)
        said = done.stdout + done.stderr
        ended_early = set(re.findall(rf"^    rule: ({alert}__\w+), time", said, re.M))
        assert done.returncode in (0, 1) and (done.returncode == 0) == ("SUCCESS" in said), said
        failed = set(re.findall(rf'alertname(?:=\\"|: ?)({alert}__\w+)\b.*, time: ', said))
        assert done.returncode == 0 or failed or ended_early, said
        found |= failed | ended_early
        # A rule that cannot be evaluated ends its case, for the others too: they are tried again without it.
        if not ended_early or any(trial.right for trial in rest if trial.name in ended_early):
            break
    return found


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Trial, bool]]]:
    """Of each alert every trial, and whether its unit tests passed."""
    folder = tmp_path_factory.mktemp("trials")
    tried = {alert: [*trials_of(alert, rule)] for alert, rule in ALERTS.items()}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        failed = [*pool.map(lambda alert: failing(alert, tried[alert], folder), tried)]
    return {
        alert: [(trial, trial.name not in bad) for trial in tried[alert]]
        for alert, bad in zip(tried, failed, strict=True)
    }


def test_promtool_finds_nothing_to_remark() -> None:
    files = [str(file) for file in sorted(RULES.rglob("*.yml"))]
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
    named: str, passed: dict[str, list[tuple[Trial, bool]]]
) -> None:
    own = passed[named]
    assert [fine for trial, fine in own if trial.right] == [True]
    wrong = [trial.rule for trial, fine in own if fine and not trial.right]
    survivors = {(" ".join(rule["expr"].split()), rule.get("for")) for rule in wrong}
    assert survivors == {(expr, ALERTS[named].get("for")) for expr in EQUIVALENT.get(named, ())}
    assert len(own) > 2


def test_burn_rates_are_as_the_data_say() -> None:
    assert (RULES / "jizuo-slo.yml").read_text(encoding="utf-8") == slo_file(read_objectives())
