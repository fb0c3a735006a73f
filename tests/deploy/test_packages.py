"""Services held back while packages are installed: for as long as the shell lives, and not a moment longer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.hoststate.packages import HOLD_SERVICES

ALLOWED, DENIED = 0, 101
OWN = "#!/bin/sh\necho the administrator decides: $1 >&2\nexit 104\n"


class Host:
    """The real script in a folder that stands for the host's /usr/sbin and /run."""

    def __init__(self, root: Path) -> None:
        self.policy = root / "policy-rc.d"
        script = HOLD_SERVICES.replace("/usr/sbin/", f"{root}/").replace("/run/", f"{root}/")
        assert "/usr/sbin" not in script
        self.script = f"set -eu\n{script}"

    def install(self) -> subprocess.Popen[str]:
        """Start an installation that goes on until its standard input ends."""
        script = self.script + "echo ready; read -r line || true\n"
        shell = subprocess.Popen(
            ["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert shell.stdout is not None
        assert shell.stdout.readline() == "ready\n"
        return shell

    def answer(self) -> int:
        return subprocess.run([str(self.policy), "ssh", "start"], check=False).returncode


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_services_are_held_back_until_the_end(host: Host) -> None:
    shell = host.install()
    assert host.answer() == DENIED
    shell.communicate("")
    assert shell.returncode == 0
    assert not host.policy.exists()


def test_a_killed_shell_holds_nothing_back(host: Host) -> None:
    shell = host.install()
    shell.kill()
    shell.communicate()
    assert host.answer() == ALLOWED
    host.install().communicate("")
    assert not host.policy.exists(), "the next run tidies up"


def test_a_shell_that_is_told_to_end_tidies_up(host: Host) -> None:
    shell = host.install()
    shell.terminate()
    shell.communicate()
    assert shell.returncode != 0
    assert not host.policy.exists()


@pytest.mark.parametrize("killed", [False, True])
def test_the_administrator_s_own_policy_stays(host: Host, *, killed: bool) -> None:
    host.policy.write_text(OWN)
    host.policy.chmod(0o755)
    shell = host.install()
    assert host.answer() == DENIED
    if killed:
        shell.kill()
        shell.communicate()
        assert host.answer() == 104, "the policy is asked even after a kill"
        shell = host.install()
        assert host.answer() == DENIED
    shell.communicate("")
    assert host.policy.read_text() == OWN
    assert host.answer() == 104
    assert [path.name for path in host.policy.parent.glob("policy*")] == ["policy-rc.d"]
