"""The front door: help without a room imported, and one clear line where something cannot work."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.cells import cell_len

import jizuo
from deploy.lab import image, lab
from deploy.lab.demo import demo
from deploy.lab.run import LabError

ROOT = Path(__file__).resolve().parents[1]


def front_door(
    *arguments: str, path: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the bootstrap itself, in the environment that these tests run in unless another is given."""
    settings = {**os.environ, "JIZUO_ENVIRONMENT": str(Path(sys.executable).parents[1]), **environment}
    if path is not None:
        settings["PATH"] = path
    return subprocess.run(
        [str(ROOT / "jizuo"), *arguments],
        capture_output=True,
        text=True,
        env=settings,
        timeout=300,
        check=False,
    )


def programs(folder: Path, **scripts: str) -> str:
    """A search path that begins with stand-ins for the named programs."""
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_help_lists_every_command_and_imports_no_room() -> None:
    script = (
        "import sys, jizuo\n"
        "try: jizuo.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('inventories', 'deploy', 'checks', 'exporters')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.rstrip().endswith("[]")
    for name in jizuo.COMMANDS:
        assert f"  {name} " in done.stdout
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80


def every_command(command: click.Command, *names: str) -> Iterator[tuple[str, ...]]:
    """The names that lead to a command and to each below it, the command itself first."""
    yield names
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from every_command(below, *names, name)


@pytest.mark.parametrize("names", list(every_command(jizuo.main)), ids=" ".join)
def test_every_command_has_help_with_examples_in_80_columns(names: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(jizuo.main, [*names, "--help"], prog_name="jizuo")
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith(" ".join(("Usage: jizuo", *names)))
    assert "Examples:" in shown.output
    wide = [line for line in shown.output.splitlines() if cell_len(line) > 80]
    assert wide == []


@pytest.mark.parametrize("start", [[str(ROOT / "jizuo.py")], ["-c", "import jizuo; jizuo.main()"]])
def test_usage_speaks_of_jizuo_whatever_started_it(start: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *start, "depoly"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Usage: jizuo [OPTIONS]")


def test_an_unknown_command_is_answered_with_the_known_ones() -> None:
    shown = CliRunner().invoke(jizuo.main, ["depoly"])
    assert shown.exit_code == 1
    assert "no such command: depoly" in shown.output
    assert ", ".join(jizuo.COMMANDS) in " ".join(shown.output.split()), (
        "all of them, however the lines are broken"
    )
    assert max(map(len, shown.output.splitlines())) <= 80


@pytest.mark.parametrize("name", ["test", "bench"])
def test_the_installed_kit_has_no_tests(name: str, tmp_path: Path) -> None:
    for part in ("jizuo.py", "inventories", "deploy", "checks", "exporters"):
        (tmp_path / part).symlink_to(ROOT / part)
    script = f"import jizuo; jizuo.main(['{name}', '--help'])"
    settings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=settings,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"Error: jizuo {name} needs the source tree; run ./jizuo {name} there\n"


def test_another_system_than_linux(tmp_path: Path) -> None:
    done = front_door("--help", path=programs(tmp_path, uname="echo Darwin"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "jizuo: this is Darwin; jizuo needs Linux (Debian 12 is what it is tested on)"
    ]


def test_no_python_that_is_new_enough(tmp_path: Path) -> None:
    old = dict.fromkeys(("python3", "python3.11", "python3.12", "python3.13"), "exit 1")
    done = front_door("--help", path=programs(tmp_path, **old), JIZUO_ENVIRONMENT=str(tmp_path / "none"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "no Python 3.11 or newer was found; install it" in done.stderr


def test_another_python_on_the_path_makes_no_environment_anew(tmp_path: Path) -> None:
    """Root and a user find different Pythons; the environment that one has made serves the other."""
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    programs(environment / "bin", python=f"exec '{sys.executable}' \"$@\"")
    version = "Python " + ".".join(map(str, sys.version_info[:3]))
    lock = (ROOT / "requirements.lock").read_bytes()
    made = hashlib.sha256(f"{version}\n".encode() + lock + f"{ROOT}\n".encode()).hexdigest()
    (environment / ".jizuo-lock").write_text(f"{made}\n")
    other = 'case "$1" in -V) echo Python 3.99.0;; -c) exit 0;; *) exit 9;; esac'
    path = programs(tmp_path, python3=other)
    done = front_door("--help", path=path, JIZUO_ENVIRONMENT=str(environment))
    assert done.stderr == ""
    assert done.returncode == 0
    assert "Usage: jizuo [OPTIONS]" in done.stdout


@pytest.mark.parametrize("there", [True, False], ids=["old", "missing"])
def test_an_environment_of_somebody_else(there: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:  # unlike tmp_path, other users may be let in
        kit = Path(folder)
        for name in ("jizuo", "requirements.lock"):
            shutil.copy(ROOT / name, kit)
        path = programs(kit, python3='[ "$1" != -V ] || echo Python 3.13.1')
        if there:
            (kit / ".venv").mkdir()
            (kit / ".venv").chmod(0o555)
        kit.chmod(0o555)
        root = os.geteuid() == 0
        done = subprocess.run(
            [str(kit / "jizuo"), "plan"],
            capture_output=True,
            text=True,
            env={"PATH": path},
            user=65534 if root else None,
            cwd="/",
            check=False,
        )
        owner = kit.owner()
        kit.chmod(0o755)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"{kit / '.venv' if there else kit} belongs to {owner}; run sudo ./jizuo --help once" in line
    assert line.endswith("or set JIZUO_ENVIRONMENT")


def test_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    shown = CliRunner().invoke(demo, [])
    assert shown.exit_code == 1
    assert "run it as root" in shown.output
    assert len(shown.output.splitlines()) == 1
    for command in (["up"], ["down"]):
        shown = CliRunner().invoke(jizuo.main, ["lab", *command])
        assert shown.exit_code == 1
        assert "run it as root" in shown.output


def test_a_program_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"run: apt-get install .*systemd-container"):
        lab.check_machine()


def test_no_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(image, "CACHE_ROOT", tmp_path)
    monkeypatch.setattr(image, "SPACE_NEEDED", 10**18)
    with pytest.raises(LabError, match="set JIZUO_CACHE to a folder on another disk"):
        image.build_image()


def test_lock_file_holds_hashes_and_no_address() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="ascii").splitlines()
    assert [line for line in lines if "://" in line or line.startswith("--")] == []
    pinned = [line for line in lines if "==" in line]
    assert len(pinned) > 30
    assert sum("--hash=sha256:" in line for line in lines) >= len(pinned)
