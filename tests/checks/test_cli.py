"""Does `jizuo check` print, write and exit as people and programs rely on, whatever is the matter?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from checks.availability.targets import targets_of
from checks.record import Record, Status, encode, read_records
from inventories.load import load_city
from inventories.plan import build_plan

from .ssh_server import make_key, ssh_server
from .test_collect import COLLECTOR, NO_LISTS, QUICK

ROOT = Path(__file__).parents[2]
LAB = ROOT / "inventories" / "lab"


def jizuo(*arguments: str, state: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a person types it, in a process of its own without a terminal."""
    environment = {**os.environ, "JIZUO_STATE": str(state or "/nonexistent"), "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, str(ROOT / "jizuo.py"), "check", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
        cwd=ROOT,
    )


@contextmanager
def controller(folder: Path, forced: list[str], nodes: list[str]) -> Iterator[Path]:
    """A state folder whose ssh_config leads some nodes to one real SSH server, and the others to nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ssh").mkdir(exist_ok=True)
    audit, host = make_key(folder / "ssh" / "audit"), make_key(folder / "host")
    with ssh_server(host, audit, forced) as port:
        known = folder / "known_hosts"
        known.write_text("".join(f"{node} {host.public}\n" for node in nodes), encoding="ascii")
        blocks = [f"Host {node}\n HostName 127.0.0.1\n Port {port}\n HostKeyAlias {node}\n" for node in nodes]
        rest = (
            f"Host *\n HostName 127.0.0.1\n Port 1\n User audit\n UserKnownHostsFile {known}\n"
            f" IdentityFile {audit.path}\n"
        )
        (folder / "ssh_config").write_text("".join([*blocks, rest]), encoding="ascii")
        yield folder


def records_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_help_has_examples_and_exit_codes() -> None:
    done = jizuo("--help")
    assert done.returncode == 0
    for text in ("jizuo check inventories/lab availability --format json", "Exit codes:", "--from NODE"):
        assert text in done.stdout


def test_a_broken_inventory_stops_before_a_host_is_touched(tmp_path: Path) -> None:
    city = tmp_path / "city"
    shutil.copytree(LAB, city)
    with (city / "nodes.csv").open("a", encoding="utf-8") as file:
        file.write("ghost,nowhere,cloud,x,debian,x86_64,none\n")
    done = jizuo(str(city), "availability", "--from", "local")
    assert done.returncode == 1
    assert "nodes.csv:" in done.stderr
    assert "nowhere" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["security"], "ssh_config is not there, so no host can be reached; start the lab (jizuo lab up)"),
        (["availability", "--from", "nobody"], "no such node in"),
        (["availability", "--from", "ops-1"], "ssh_config is not there"),
    ],
)
def test_what_cannot_work_is_one_line(arguments: list[str], complaint: str) -> None:
    done = jizuo(str(LAB), *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("file", ["waivers.toml", "security-profile.toml"])
def test_a_file_beside_the_inventory_that_cannot_be_used_is_named(file: str, tmp_path: Path) -> None:
    city = tmp_path / "city"
    shutil.copytree(LAB, city)
    (city / file).write_text("[[waiver]]\ncontrol = 3\n", encoding="utf-8")
    done = jizuo(str(city), "security", state=tmp_path)
    assert done.returncode == 1
    assert file in done.stderr


def passing(city: Path) -> list[Record]:
    """The records of a city that is all well."""
    loaded = load_city(city)
    return [
        Record(
            subject=target.subject,
            check=target.check,
            family=target.family.value,
            status=Status.PASS,
            value=0.001,
            at="2026-03-01T12:00:00.000+08:00",
            evidence="answered",
        )
        for target in targets_of(loaded, build_plan(loaded))
    ]


def test_availability_runs_on_the_operations_node(tmp_path: Path) -> None:
    """What the node's kit prints is what is shown; the command that was sent is the one documented."""
    answer, asked = tmp_path / "answer.json", tmp_path / "asked"
    records = passing(LAB)
    failed = Record(
        **{f: getattr(records[1], f) for f in Record.__struct_fields__}
        | {
            "status": Status.FAIL,
            "value": None,
            "reason": "timeout",
            "evidence": "no answer",
        }
    )
    script = f'printf %s "$1" > "{asked}"; cat "{answer}"; exit 2'
    with controller(tmp_path / "state", ["sh", "-c", script, "sh", "COMMAND"], ["ops-1"]) as state:
        answer.write_bytes(encode(records))
        well = jizuo(str(LAB), "availability", "--format", "json", state=state)
        assert (well.returncode, well.stderr) == (0, "")
        assert len(records_of(well)) == len(records)
        answer.write_bytes(encode([records[0], failed, *records[2:]]))
        out = tmp_path / "records"
        ill = jizuo(str(LAB), "availability", "--out", str(out), state=state)
        assert ill.returncode == 2
        assert f"availability: {len(records) - 1} pass, 1 fail" in ill.stdout
        assert "no answer" in ill.stdout
        assert max(map(len, ill.stdout.splitlines())) <= 80
        assert read_records(out / "availability.json")[1] == failed
        answer.write_bytes(encode(records[:-2]))
        stale = jizuo(str(LAB), "availability", state=state)
        assert stale.returncode == 1
        assert "ops-1: its inventory is not the one here: 2 targets are missing there" in stale.stderr
        answer.write_text("Traceback: no such thing", encoding="utf-8")
        broken = jizuo(str(LAB), "availability", "--format", "json", state=state)
        assert (broken.returncode, broken.stdout) == (1, "[]\n")
        assert "ops-1: jizuo check gave no records" in broken.stderr
        unreachable = jizuo(str(LAB), "availability", "--from", "cloud-1", state=state)
        assert unreachable.returncode == 1
        assert "cloud-1: " in unreachable.stderr
        assert "--from local" in unreachable.stderr
    expected = (
        "sudo -n /opt/jizuo/bin/jizuo check /etc/jizuo/inventory availability --from local --format json"
    )
    assert asked.read_text(encoding="ascii") == expected


def test_security_and_backups_ask_each_host_once_and_survive_dead_hosts(tmp_path: Path) -> None:
    count = tmp_path / "count"
    forced = [*QUICK[:-1], f"echo x >> {count}; {NO_LISTS}"]
    out = tmp_path / "records"
    with controller(tmp_path / "state", forced, ["cloud-1", "xinchuang-1", "core-a"]) as state:
        started = time.monotonic()
        done = jizuo(str(LAB), "--format", "json", "--out", str(out), state=state)
        assert time.monotonic() - started < 50
    assert count.read_text(encoding="ascii").count("x") == 3, "one round trip a host for all that is asked"
    assert done.returncode == 1, "hosts could not be asked"
    assert "ops-1: " in done.stderr, "the vantage is dead, and the other checks went on"
    security, backups = read_records(out / "security.json"), read_records(out / "backup.json")
    assert {path.name for path in out.iterdir()} == {"security.json", "backup.json", "extranet.json"}
    extranet = read_records(out / "extranet.json")
    assert {r.subject for r in extranet} >= set(load_city(LAB).nodes)
    assert {r.reason for r in extranet if r.subject == "yufang" and "@" not in r.check} == {"refused"}
    here = [r for r in extranet if r.subject == "core-a" and r.check == "bgp-sessions"]
    assert {(r.status, r.reason) for r in here} == {(Status.FAIL, "not_running")}, "this machine has no bgpd"
    assert {record.subject for record in security} == set(load_city(LAB).nodes)
    assert {r.reason for r in security if r.subject == "yufang"} == {"refused"}
    assert {r.status for r in security if r.subject == "cloud-1"} >= {Status.FAIL, Status.MANUAL}
    reasons = {(r.subject, r.reason) for r in backups if r.check == "backup"}
    assert reasons == {
        ("gov-service@cloud-1", "missing_state"),
        ("collab-office@xinchuang-1", "missing_state"),
    }


def test_the_table_is_short_and_fits(tmp_path: Path) -> None:
    """A whole city of dead hosts is one row, not hundreds."""
    with controller(tmp_path / "state", ["true"], []) as state:
        done = jizuo(str(LAB), "security", state=state)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert len(lines) < 15
    assert max(map(len, lines)) <= 80
    nodes = list(load_city(LAB).nodes)
    assert f"{len(nodes)}: {nodes[0]}" in done.stdout
    assert "refused" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_disk_that_is_full_is_said(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="ascii")
    with controller(tmp_path / "state", ["true"], []) as state:
        done = jizuo(str(LAB), "backup", "--out", str(blocked / "records"), state=state)
    assert done.returncode == 1
    assert "the records were not written" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_collector_of_these_tests_is_the_real_one() -> None:
    assert COLLECTOR.is_file()


def test_ipv6_is_assessed_when_asked_for() -> None:
    """In a network of its own: nobody answers there, and nobody outside is asked."""
    command = [
        "unshare",
        "--map-root-user",
        "--net",
        sys.executable,
        str(ROOT / "jizuo.py"),
        "check",
        str(LAB),
    ]
    done = subprocess.run(
        [*command, "ipv6", "--from", "local", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
        env={**os.environ, "JIZUO_STATE": "/nonexistent"},
    )
    found = records_of(done)
    assert {record["subject"] for record in found} == {
        "yichun-gov-service-net",
        "gov-data-portal",
        "collab-office",
    }
    parts = {record["check"]: record for record in found}
    assert (parts["ipv6-reachable"]["status"], parts["ipv6-reachable"]["reason"]) == ("error", "no_family")
    assert (parts["ipv6-aaaa"]["status"], parts["ipv6-aaaa"]["reason"]) == ("error", "unresolved")
    assert done.returncode == 1
