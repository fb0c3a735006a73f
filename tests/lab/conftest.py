"""The lab that the tests share: the demo brings it up once and leaves it; every test heals what it breaks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import lab as labs
from deploy.login.asking import ask
from deploy.login.keys import login
from deploy.secrets import SecretStore
from inventories.records import Management

ROOT = Path(__file__).resolve().parents[2]
#: A developer may lend the tests a lab that is up and deployed: JIZUO_TEST_LAB=lab pytest tests/lab/test_extranet.py
#: pyinfra as an engineer calls it.
PYINFRA = str(Path(sys.executable).parent / "pyinfra")

LENT = os.environ.get("JIZUO_TEST_LAB", "")
NAME = LENT or "test"
#: Apart from the prefixes of a lab that a person may have up on the same machine.
MANAGEMENT = Management(ipv4="198.19.250.0/24", ipv6="2001:db8:ff00:a::/64")
#: The lab whose life and death are tested while the other one runs.
SIDE = Management(ipv4="198.19.251.0/24", ipv6="2001:db8:ff00:b::/64")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)
        if here / "backups" in item.path.parents:
            item.add_marker(pytest.mark.backups)


def jizuo(*arguments: str, timeout: float = 600, lab: str = NAME) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would."""
    return subprocess.run(
        [sys.executable, str(ROOT / "jizuo.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=labs.environment(lab),
    )


@dataclass
class DemoRun:
    """What the demo left: its exit code, its figures, what it printed, and the lab."""

    code: int
    figures: dict[str, Any]
    output: str
    lab: labs.Lab


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRun]:
    """The demo, run once, with its lab kept."""
    if LENT:
        pytest.fail("what the demo says can only be tested on the demo's own lab; unset JIZUO_TEST_LAB")
    if os.geteuid() != 0:
        pytest.fail("the lab's tests boot hosts: run them as root, or leave them out with --fast")
    labs.down(NAME)
    file = tmp_path_factory.mktemp("demo") / "figures.json"
    done = jizuo(
        "demo",
        "--keep",
        "--name",
        NAME,
        "--json",
        str(file),
        "--management",
        f"{MANAGEMENT.ipv4},{MANAGEMENT.ipv6}",
        timeout=900,
    )
    print(done.stderr, done.stdout)
    try:
        yield DemoRun(done.returncode, json.loads(file.read_bytes()), done.stdout, labs.open_lab(NAME))
    finally:
        labs.down(NAME)


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> labs.Lab:
    """The lab that the demo left, or the one that was lent."""
    if LENT:
        return labs.open_lab(LENT)
    demo: DemoRun = request.getfixturevalue("demo")
    return demo.lab


def read(lab: labs.Lab, url: str) -> bytes:
    """What a daemon of monitoring answers to the login of people."""
    return ask(url, login(SecretStore(lab.places.state / "secrets")))


Execute = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def on(lab: labs.Lab) -> Execute:
    """Run a command on a host as root, not over the network: `on("cloud-1", "ip", "route")`."""
    return executing_on(lab)


def executing_on(lab: labs.Lab) -> Execute:
    """What :func:`on` gives, of any lab."""

    def execute(
        host: str, *command: str, check: bool = True, input: str | None = None, timeout: float = 60
    ) -> Any:
        return subprocess.run(
            [*labs.enter(lab, host), *command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=check,
            input=input,
        )

    return execute


@pytest.fixture
def deploy_json() -> Callable[..., tuple[int, dict[str, Any]]]:
    """Deploy the test lab and return exit code and result."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        done = jizuo("deploy", str(ROOT / "inventories/lab"), *arguments, "--json", timeout=300)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


@pytest.fixture
def small_inventory(tmp_path: Path) -> Path:
    """A city of two routers and a server that boots in a moment: the lab's inventory without the rest."""
    target = tmp_path / "small"
    shutil.copytree(ROOT / "inventories/lab", target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for unwanted in (
        "systems.csv",
        "backups.toml",
        "units.csv",
        "waivers.toml",
        "policy.toml",
        "private-networks.csv",
    ):
        (target / unwanted).unlink(missing_ok=True)
    keep(target / "nodes.csv", lambda row: row[0] in ("core-a", "core-b", "cloud-1"))
    keep(target / "links.csv", lambda row: row[0] in ("core-ab", "cl1-a", "cl1-b"))
    keep(target / "sites.csv", lambda row: row[0] in ("core-a", "core-b", "cloud"))
    keep(target / "divisions.csv", lambda row: row[0] in ("36", "3609", "3603"))
    text = (target / "city.toml").read_text(encoding="utf-8")
    (target / "city.toml").write_text(text.replace('"360902" = 18\n"360981" = 18\n', ""), encoding="utf-8")
    return target


def keep(file: Path, wanted: Callable[[list[str]], bool]) -> None:
    """Leave the header and the wanted rows in a CSV file."""
    header, *rows = file.read_text(encoding="utf-8").splitlines()
    file.write_text(
        "\n".join([header, *(row for row in rows if wanted(row.split(",")))]) + "\n", encoding="utf-8"
    )
