"""Faults in a deploy: host and operation are named, others finish, nothing is half-written, the next run heals."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import run_deploy
from deploy.lab import lab as labs
from deploy.lab.lab import Lab

from .conftest import NAME, ROOT, Execute

Deploy = Callable[..., tuple[int, dict[str, Any]]]
PAIR = ("--limit", "client-1", "--limit", "client-2")


def disturb(on: Execute, *hosts: str) -> None:
    """Give a run something to do on these hosts, in the first and in a later operation."""
    for host in hosts:
        on(host, "sh", "-c", "echo changed >>/etc/hosts; echo changed >>/etc/chrony/chrony.conf")


def healed(deploy_json: Deploy) -> None:
    """The next run brings both clients right, and the one after finds nothing to do."""
    code, result = deploy_json("base", *PAIR)
    assert code == 0, result
    code, result = deploy_json("base", *PAIR)
    assert code == 0
    assert [host["changed"] for host in result["hosts"].values()] == [[], []]


def test_a_host_that_is_down(lab: Lab, on: Execute, deploy_json: Deploy) -> None:
    disturb(on, "client-1")
    labs.kill(lab, "client-2")
    try:
        code, result = deploy_json("base", *PAIR)
    finally:
        labs.start(lab, "client-2")
    assert code == 1
    assert result["hosts"]["client-2"]["failed"] == "connect"
    assert result["hosts"]["client-1"]["failed"] == ""
    assert len(result["hosts"]["client-1"]["changed"]) == 2, "the other host did not finish"
    healed(deploy_json)


def test_a_key_that_is_refused(lab: Lab, on: Execute, deploy_json: Deploy) -> None:
    disturb(on, "client-1")
    on("client-2", "mv", "/etc/ssh/authorized_keys/deploy", "/etc/ssh/authorized_keys/deploy.away")
    try:
        code, result = deploy_json("base", *PAIR)
    finally:
        on("client-2", "mv", "/etc/ssh/authorized_keys/deploy.away", "/etc/ssh/authorized_keys/deploy")
    assert code == 1
    assert result["hosts"]["client-2"]["failed"] == "connect"
    assert "uthenticat" in result["hosts"]["client-2"]["detail"]
    assert len(result["hosts"]["client-1"]["changed"]) == 2
    healed(deploy_json)


def test_a_full_disk(lab: Lab, on: Execute, deploy_json: Deploy) -> None:
    """/etc/chrony becomes a file system without a free block: the operation says so and leaves the old file whole."""
    disturb(on, "client-1", "client-2")
    on(
        "client-2",
        "sh",
        "-c",
        "cp -a /etc/chrony /tmp/chrony; mount -t tmpfs -o size=16k tmpfs /etc/chrony; "
        "cp -a /tmp/chrony/chrony.conf /etc/chrony/; dd if=/dev/zero of=/etc/chrony/fill bs=4k 2>/dev/null; true",
    )
    before = on("client-2", "cat", "/etc/chrony/chrony.conf").stdout
    try:
        code, result = deploy_json("base", *PAIR)
        assert code == 1
        assert result["hosts"]["client-2"]["failed"] == "base | time"
        assert "cannot write /etc/chrony/chrony.conf" in result["hosts"]["client-2"]["detail"]
        assert result["hosts"]["client-1"]["failed"] == ""
        assert on("client-2", "cat", "/etc/chrony/chrony.conf").stdout == before
        assert ".jizuo" not in on("client-2", "ls", "-a", "/etc/chrony").stdout
    finally:
        on("client-2", "umount", "-l", "/etc/chrony")
    healed(deploy_json)


@pytest.mark.slow
def test_a_mirror_that_cannot_be_reached(lab: Lab, on: Execute, deploy_json: Deploy) -> None:
    disturb(on, "client-1")
    on(
        "client-2",
        "sh",
        "-c",
        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge chrony >/dev/null 2>&1; apt-get clean",
    )
    on("ops-1", "systemctl", "stop", "nginx")
    try:
        code, result = deploy_json("base", *PAIR)
    finally:
        on("ops-1", "systemctl", "start", "nginx")
    assert code == 1
    assert result["hosts"]["client-2"]["failed"] == "base | packages"
    assert (
        "chrony" in result["hosts"]["client-2"]["detail"] or "8081" in result["hosts"]["client-2"]["detail"]
    )
    assert result["hosts"]["client-1"]["failed"] == ""
    healed(deploy_json)


def test_a_host_that_dies_between_two_operations(lab: Lab, on: Execute, deploy_json: Deploy) -> None:
    disturb(on, "client-1", "client-2")
    killed = []

    def kill_after_first(kind: str, event: dict[str, Any]) -> None:
        if kind == "done" and event["host"] == "client-2" and not killed:
            killed.append(event["operation"])
            labs.kill(lab, "client-2")

    import os

    os.environ["JIZUO_STATE"] = str(lab.places.state)
    try:
        result = run_deploy(
            ROOT / "inventories/lab",
            lab.city,
            ["base"],
            ["client-1", "client-2"],
            dry=False,
            log=lab.places.state / "deploy/pyinfra.log",
            progress=kill_after_first,
        )
    finally:
        del os.environ["JIZUO_STATE"]
        labs.start(lab, "client-2")
    assert killed
    assert result.exit_code == 1
    assert result.hosts["client-2"].failed
    assert result.hosts["client-1"].failed == ""
    assert len(result.hosts["client-1"].changed) == 2
    assert result.seconds < 60, "the run waited for a dead host"
    healed(deploy_json)


def test_a_broken_template(lab: Lab, tmp_path: Path) -> None:
    """An undefined name in a template, for clients alone: they fail, and the run names file and line."""
    copy = tmp_path / "project"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "tests", "__pycache__", ".*_cache")
    )
    template = copy / "deploy/base/templates/chrony.conf.j2"
    lines = template.read_text().splitlines()
    lines.insert(1, '{% if data.role == "client" %}{{ data.no_such_thing }}{% endif %}')
    template.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [
            sys.executable,
            str(copy / "jizuo.py"),
            "deploy",
            str(copy / "inventories/lab"),
            "base",
            "--limit",
            "client-1",
            "--limit",
            "yufang",
        ],
        capture_output=True,
        text=True,
        cwd=copy,
        env=labs.environment(NAME),
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    words = " ".join(done.stdout.split())
    assert "client-1: prepare:" in words
    assert "chrony.conf.j2:2" in words
    assert "no_such_thing" in words
    assert "yufang" in words
    assert "yufang: prepare" not in words
