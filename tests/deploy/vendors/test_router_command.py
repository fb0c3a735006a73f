"""`jizuo router` as a person meets it: what it prints, what it refuses, and what it says then."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from deploy.vendors.cli import router
from deploy.vendors.dialogue import _as_seen
from tests.deploy.vendors.city import CABLES, LAB, city_with_routers, write_cables

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JIZUO_STATE", str(tmp_path / "state"))
    # As the front door has it.
    monkeypatch.setattr(click.UsageError, "exit_code", 1)
    return tmp_path / "state"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(router, arguments, prog_name="jizuo router")


@pytest.mark.parametrize("dialect", ["vrp", "comware"])
def test_show_is_the_rendered_configuration_without_secrets(state: Path, dialect: str) -> None:
    """It needs no state folder and makes none; the ports of a router without rows are numbered, and that is said."""
    done = run("show", str(LAB), "cihua", "--dialect", dialect)
    golden = (GOLDEN / f"lab-cihua.{dialect}.cfg").read_text(encoding="utf-8")
    assert done.exit_code == 0
    assert done.stdout.rstrip("\n") == re.sub(r"PASSWORD-\S+", "******", golden).rstrip("\n")
    assert "no port for cihua-up, juwei-up, yufang-up, lan0, mgmt0" in done.stderr
    assert not state.exists()


def test_show_with_ports_and_secrets(state: Path, tmp_path: Path) -> None:
    cables = {**CABLES, ("yuanzhou", "yz-a"): "100GE0/3/0"}
    path = city_with_routers(tmp_path, cables)
    first, second = (run("show", str(path), "yuanzhou", "--secrets") for _ in range(2))
    assert (first.exit_code, first.stdout) == (0, second.stdout)
    assert "interface 100GE0/3/0\n description core-a over yz-a\n" in first.stdout
    words = re.findall(r"password cipher (\S+)", first.stdout)
    assert len(words) == 6 and len(set(words)) == 3 and all(len(word) == 32 for word in words)
    assert "no port" not in first.stderr


def test_private_networks_that_are_left_out_are_said(state: Path) -> None:
    done = run("show", str(LAB), "yufang", "--dialect", "vrp")
    assert done.exit_code == 0
    assert "yufang: private networks are rendered for Linux only; without health, civil" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", str(LAB), "cihua"), "cihua is Linux; say --dialect vrp or --dialect comware"),
        (("show", str(LAB), "yuanzou"), "did you mean yuanzhou?"),
        (("show", str(LAB), "cloud-1"), "no router cloud-1"),
        (("show", str(LAB), "border-1", "--dialect", "vrp"), "border-1 is the border"),
        (("diff", str(LAB), "cihua"), "use jizuo deploy --limit cihua"),
        (("push", str(LAB), "cihua"), "write vrp or comware as its os_family in nodes.csv"),
    ],
)
def test_refused_with_the_way_out(state: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 1
    assert says in " ".join(done.stderr.split())


@pytest.mark.parametrize("command", ["diff", "push"])
def test_city_without_such_routers(state: Path, command: str) -> None:
    done = run(command, str(LAB))
    assert done.exit_code == 0
    assert "every router of" in done.stderr and "is Linux" in done.stderr


@pytest.mark.parametrize("command", ["diff", "push"])
def test_controller_without_keys(state: Path, tmp_path: Path, command: str) -> None:
    done = run(command, str(city_with_routers(tmp_path)))
    assert done.exit_code == 1
    assert "ssh/deploy" in done.stderr and "JIZUO_STATE" in done.stderr


def test_everything_wrong_with_the_ports_at_once(state: Path, tmp_path: Path) -> None:
    path = city_with_routers(tmp_path)
    write_cables(
        path,
        {
            ("yuanzhuo", "yz-a"): "GigabitEthernet0/1/0",
            ("yuanzhou", "yz-c"): "GigabitEthernet0/1/0",
            ("cihua", "cihua-up"): "GigabitEthernet0/1",
            ("cihua", "juwei-up"): "GigabitEthernet0/1",
            ("cihua", "lan0"): "Gigabit Ethernet",
        },
    )
    done = run("show", str(path), "yuanzhou")
    assert done.exit_code == 1
    found = [line.removeprefix(f"{path}/") for line in done.stderr.splitlines()]
    assert found[0].startswith(
        "vendor-ports.csv:2:1: node is 'yuanzhuo', no router of this city; did you mean 'yuanzhou'?"
    )
    assert found[1].startswith("vendor-ports.csv:3:10: yuanzhou has no interface 'yz-c'; did you mean 'yz-")
    assert found[2].startswith(
        "vendor-ports.csv:5:16: two interfaces of cihua have the port GigabitEthernet0/1"
    )
    assert found[3].startswith("vendor-ports.csv:6:12: port is 'Gigabit Ethernet'")
    assert found[4] == "4 problems in 1 file"


@pytest.mark.parametrize("command", [(), ("show",), ("diff",), ("push",)])
def test_help_has_examples_within_80_columns(command: tuple[str, ...]) -> None:
    done = run(*command, "--help")
    assert done.exit_code == 0 and "Examples:" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "..." not in done.stdout.split("Commands:")[-1].split("Examples:")[0].replace("[NODE]...", "")


def test_page_ends_are_wiped_as_a_terminal_does() -> None:
    """The wiped mark, the blanks that wipe it, and the indentation of the line that follows."""
    said = "bgp 1\r\n  ---- More ----\x1b[16D                \x1b[16D  peer ::1 enable\r\n#\r\n"
    assert _as_seen(said) == "bgp 1\n  peer ::1 enable\n#\n"
    assert _as_seen("a\x1b[0m b\x08c") == "a c"
