"""The commands `jizuo test` and `jizuo bench`: is the project well, and how fast is it?"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click

from deploy.lab.machine import prepare_tests
from deploy.lab.run import LabError

ROOT = Path(__file__).resolve().parent.parent
#: Of the tests without a lab, those of the deploys wait more than they compute (for devices that say nothing, for full
#: disks and databases) and take as long as all others: they run beside these.
BESIDE_OTHERS, AFTER_OTHERS = "tests/deploy", "tests/exporters"
#: How much sooner the lab's hosts get the processor than what runs beside them (nice(1)): their clocks are real.
BESIDE = 10
#: What --fast leaves out: tests that boot hosts or start a browser.
SLOW = "not lab and not chromium and not slow"


class Step(NamedTuple):
    """A step of `jizuo test`: its name and the command, run in the project's root."""

    name: str
    command: Sequence[str]


class Outcome(NamedTuple):
    """How a step ended, after how many seconds, and the last line that it printed."""

    name: str
    code: int
    seconds: float
    last_line: str


def steps(arguments: Sequence[str] = (), *, fast: bool = False) -> list[Step]:
    """Answer the steps in their order; `arguments` are pytest's."""
    python = sys.executable
    tools = Path(python).parent
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    chosen = ["-m", SLOW] if fast else []
    return [
        Step("ruff check", [python, "-m", "ruff", "check", "."]),
        Step("ruff format", [python, "-m", "ruff", "format", "--check", "."]),
        Step("mypy", [python, "-m", "mypy"]),
        Step("lint-imports", [str(tools / "lint-imports")]),
        Step("pytest", [python, "-m", "pytest", *colour, *chosen, *arguments]),
    ]


def lanes(static: Sequence[Step], step: Step, *, long: bool = False) -> tuple[tuple[Step, ...], ...]:
    """Answer what runs side by side, each lane's steps in their order; the first lane is shown as it goes.

    The lab's tests take longest and begin at once. On two cores there is room for two lanes beside them, if those wait
    for the processor where the lab wants it.

    Backups, databases, live drills and faults of routing have a lab of their own: they wait long and end hosts that
    other tests need. Two cores do not hold both labs within a quarter of an hour, so that one comes after the others,
    if asked for.
    """
    command = step.command
    later = ["nice", "-n", str(BESIDE)]

    def without_lab(name: str, *arguments: str) -> Step:
        chosen = "not lab" if long else "not lab and not slow"
        return Step(name, [*later, *command, "-m", chosen, *arguments])

    here = "lab and not backups" if long else "lab and not backups and not slow"
    lab = [Step("pytest lab", [*command, "-m", here, "tests/lab"])]
    if long:
        lab.append(Step("pytest long", [*command, "-m", "backups", "tests/lab"]))
    return (
        (
            *(one._replace(command=[*later, *one.command]) for one in static),
            without_lab("pytest", "tests", f"--ignore={BESIDE_OTHERS}", f"--ignore={AFTER_OTHERS}"),
            without_lab("pytest exporters", AFTER_OTHERS),
        ),
        tuple(lab),
        (without_lab("pytest deploy", BESIDE_OTHERS),),
    )


def run_lanes(shown: Sequence[Step], *held: Sequence[Step]) -> list[Outcome]:
    """Run lanes side by side: what the first prints appears at once, what the others print when the first has ended."""
    outcomes = []
    with ThreadPoolExecutor(len(held)) as pool:
        running = [pool.submit(lambda lane: [run_held(step) for step in lane], lane) for lane in held]
        for step in shown:
            click.secho(f"== {step.name}", bold=True)
            outcomes.append(run(step))
            click.echo(f"== {step.name}: {_result(outcomes[-1])}")
        for ended in running[::-1]:  # the lab's takes longest
            for outcome, text in ended.result():
                click.secho(f"== {outcome.name}", bold=True)
                sys.stdout.buffer.write(text)
                sys.stdout.buffer.flush()
                click.echo(f"== {outcome.name}: {_result(outcome)}")
                outcomes.append(outcome)
    return outcomes


def run_held(step: Step) -> tuple[Outcome, bytes]:
    """Run a step; what it prints is the answer's second part."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        code = subprocess.run(
            step.command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
        output.seek(0)
        text = output.read()
    lines = text.decode(errors="replace").rstrip().splitlines()
    return Outcome(step.name, code, time.monotonic() - begun, lines[-1] if lines else ""), text


def count(outcomes: Sequence[Outcome]) -> str:
    """Answer how many tests passed and failed in all, in one line that programs read."""
    said = " ".join(outcome.last_line for outcome in outcomes if outcome.name.startswith("pytest"))
    passed, failed = (
        sum(int(number) for number in re.findall(rf"(\d+) (?:{words})\b", said))
        for words in ("passed", "failed|errors?")
    )
    return f"{passed} passed, {failed} failed"


def run(step: Step) -> Outcome:
    """Run a step; what it prints appears at once."""
    begun = time.monotonic()
    try:
        process = subprocess.Popen(step.command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        message = f"{step.command[0]} cannot be started: {error.strerror or error}"
        click.echo(message)
        return Outcome(step.name, 127, time.monotonic() - begun, message)
    assert process.stdout is not None
    tail = b""
    with process.stdout:
        while chunk := os.read(process.stdout.fileno(), 65536):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            tail = (tail + chunk)[-4096:]
    code = process.wait()
    lines = tail.decode(errors="replace").rstrip().splitlines()
    return Outcome(step.name, code, time.monotonic() - begun, lines[-1] if lines else "")


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  sudo ./jizuo test
  sudo ./jizuo test --long
  ./jizuo test --fast
  ./jizuo test --fast tests/inventories -k merge""",
)
@click.option("--fast", is_flag=True, help="Leave out the tests that boot hosts or start a browser.")
@click.option(
    "--long", is_flag=True, help="Also what waits long, and the second lab: backups, databases, drills."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST_ARGUMENTS]...")
def test(fast: bool, long: bool, arguments: tuple[str, ...]) -> None:
    """Lint, types, import contract and all tests; exit code 1 when a step failed.

    Further arguments are pytest's.
    """
    try:
        folders = prepare_tests(lambda text: click.echo(f"set-up: {text}"))
    except LabError as error:
        click.secho(f"jizuo test: {error}", fg="red", err=True)
        sys.exit(1)
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, folders)])
    outcomes: list[Outcome] = []
    *static, tests = steps(arguments, fast=fast)
    if tests.name == "pytest" and not fast and not arguments:
        outcomes += run_lanes(*lanes(static, tests, long=long))
    else:
        for step in (*static, tests):
            click.secho(f"== {step.name}", bold=True)
            outcomes.append(run(step))
            click.echo(f"== {step.name}: {_result(outcomes[-1])}")
    click.echo()
    for outcome in outcomes:
        click.echo(f"{outcome.name:14}{_result(outcome)}")
    failed = [outcome.name for outcome in outcomes if outcome.code]
    if failed:
        click.secho(f"failed: {', '.join(failed)}", fg="red")
    click.echo(count(outcomes))
    if failed:
        sys.exit(1)


def _result(outcome: Outcome) -> str:
    return f"{'ok' if outcome.code == 0 else f'exit {outcome.code}':8}{outcome.seconds:6.1f} s"


def benchmarks() -> list[str]:
    """Answer the names of the benchmarks: the modules of tests/bench with a `main`."""
    files = (ROOT / "tests" / "bench").glob("*.py")
    return sorted(file.stem for file in files if not file.stem.startswith(("_", "test_", "conftest")))


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  ./jizuo bench
  ./jizuo bench plan
  ./jizuo bench plan --json""",
)
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(name: str | None, arguments: tuple[str, ...]) -> None:
    """Run the benchmark NAME; without a name, list them. Further arguments are the benchmark's."""
    names = benchmarks()
    if name is None:
        click.echo("\n".join(names))
        return
    if name not in names:
        raise click.ClickException(f"there is no benchmark {name}; the benchmarks are: {', '.join(names)}")
    sys.exit(importlib.import_module(f"tests.bench.{name}").main(list(arguments)))
