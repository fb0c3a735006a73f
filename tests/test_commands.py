"""The commands `jizuo test` and `jizuo bench`: which steps they run, and how they end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests import commands

ROOT = Path(__file__).parents[1]


def step(name: str, code: str) -> commands.Step:
    return commands.Step(name, [sys.executable, "-c", code])


def run_test(monkeypatch: pytest.MonkeyPatch, *steps: commands.Step) -> Result:
    monkeypatch.setattr(commands, "steps", lambda arguments, *, fast: list(steps))
    return CliRunner().invoke(commands.test, [])


def test_the_steps_are_lint_types_contract_and_tests_in_this_order() -> None:
    steps = commands.steps(["-k", "plan"], fast=True)
    assert [step.name for step in steps] == ["ruff check", "ruff format", "mypy", "lint-imports", "pytest"]
    assert list(steps[-1].command[-4:]) == ["-m", "not lab and not chromium and not slow", "-k", "plan"]
    assert "-m" not in commands.steps()[-1].command[3:]


def test_all_steps_run_and_the_failed_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_test(
        monkeypatch,
        step("first", "import sys; print('ruled out'); sys.exit(3)"),
        step("second", "print('fine')"),
        step("third", "import os; os.kill(os.getpid(), 9)"),
        step("pytest", "print('2 failed, 7 passed, 1 error in 0.01s')"),
    )
    assert result.exit_code == 1
    assert "ruled out" in result.stdout
    lines = result.stdout.splitlines()
    assert lines[-2:] == ["failed: first, third", "28 passed, 12 failed"]
    assert any(line.split()[:3] == ["first", "exit", "3"] for line in lines)
    assert any(line.split()[:2] == ["second", "ok"] for line in lines)


def test_the_last_line_counts_all_parts_of_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    halves = """
import sys
print("x" * 100_000)
print("== %d passed in 1.00s ==" % (4 if "not lab and not slow" in sys.argv else 3))
"""
    result = run_test(monkeypatch, step("ruff", "print('well')"), step("pytest", halves))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "15 passed, 0 failed"


def test_the_lab_s_half_counts_and_is_shown_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    halves = "import sys; lab = 'tests/lab' in sys.argv; print('lab broke' if lab else 'fine'); sys.exit(lab)"
    result = run_test(monkeypatch, step("pytest", halves))
    assert result.exit_code == 1
    assert "lab broke" in result.stdout
    assert "failed: pytest lab" in result.stdout


def test_what_waits_long_is_asked_for() -> None:
    *static, whole = commands.steps()
    for long, chosen in ((False, "not lab and not slow"), (True, "not lab")):
        lanes = commands.lanes(static, whole, long=long)
        without_lab = [one for lane in lanes for one in lane if "not lab" in " ".join(one.command)]
        assert len(without_lab) == 3
        assert all(chosen in one.command for one in without_lab)
        assert any(one.name == "pytest long" for lane in lanes for one in lane) == long


def test_a_step_that_cannot_start_is_a_failed_step(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_test(monkeypatch, commands.Step("gone", ["/nonexistent/tool"]))
    assert result.exit_code == 1
    assert "failed: gone" in result.stdout


def test_bench_lists_and_refuses() -> None:
    listed = CliRunner().invoke(commands.bench, [])
    assert "plan" in listed.stdout.split()
    refused = CliRunner().invoke(commands.bench, ["nothing"])
    assert refused.exit_code == 1
    assert "there is no benchmark nothing; the benchmarks are: " in refused.stderr


@pytest.mark.parametrize("name", ["plan", "sizing"])
def test_bench_hands_its_arguments_on(name: str) -> None:
    command = [sys.executable, "jizuo.py", "bench", name, "--", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"jizuo bench {name}" in done.stdout
