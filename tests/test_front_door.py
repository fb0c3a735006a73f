"""The front door: help without a room imported, and one clear line where something cannot work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

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
        timeout=60,
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


@pytest.mark.parametrize("name", list(jizuo.COMMANDS))
def test_every_command_has_help_with_examples(name: str) -> None:
    shown = CliRunner().invoke(jizuo.main, [name, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Examples:" in shown.output


def test_an_unknown_command_is_answered_with_the_known_ones() -> None:
    shown = CliRunner().invoke(jizuo.main, ["depoly"])
    assert shown.exit_code == 1
    assert "deploy" in shown.output


def test_another_system_than_linux(tmp_path: Path) -> None:
    done = front_door("--help", path=programs(tmp_path, uname="echo Darwin"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "jizuo: this is Darwin; jizuo needs Linux (Debian 12 is what it is tested on)"
    ]


def test_no_python_that_is_new_enough(tmp_path: Path) -> None:
    old = dict.fromkeys(("python3", "python3.11", "python3.12", "python3.13"), "exit 1")
    done = front_door("--help", path=programs(tmp_path, **old))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "no Python 3.11 or newer was found; install it" in done.stderr


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
