"""The firewall of a host: no lock-out lasts, and what the kernel lost comes back. What it opens: test_zones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy.base.firewall import keep_script, try_script
from deploy.hoststate.reach import PATIENCE
from deploy.lab import lab as labs
from deploy.lab.lab import Lab

from .conftest import NAME, PYINFRA, ROOT, Execute, jizuo


def test_rules_that_nft_refuses_change_nothing(lab: Lab, on: Execute) -> None:
    before = on("client-1", "nft", "list", "ruleset").stdout
    done = on(
        "client-1",
        "sh",
        "-s",
        check=False,
        input=try_script("table inet jizuo { chain x { no such thing } }\n"),
    )
    assert done.returncode == 1
    assert "nothing was changed" in done.stderr
    assert on("client-1", "nft", "list", "ruleset").stdout == before


def test_a_lock_out_is_undone_by_the_host_itself(lab: Lab, on: Execute, tmp_path: Any) -> None:
    """Rules that leave no SSH: the deploy says so, and the host is back by itself."""
    site = tmp_path / "lockout.py"
    site.write_text(
        "from deploy.base.firewall import firewall\n"
        "from deploy.here import here\n"
        "rules = 'table inet jizuo\\ndelete table inet jizuo\\ntable inet jizuo { chain input { "
        "type filter hook input priority filter; policy drop; ct state established accept; }; }\\n'\n"
        "firewall(name='lock-out', rules=rules, reach=list(here().management.values()))\n"
    )
    import subprocess

    addresses = lab.record.hosts["client-2"]
    before = on("client-2", "nft", "list", "ruleset").stdout
    done = subprocess.run(
        [
            PYINFRA,
            "-y",
            str(ROOT / "inventories/lab/inventory.py"),
            str(site),
            "--limit",
            "client-2",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=labs.environment(NAME),
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "is lost after the change" in done.stderr + done.stdout
    assert not any(labs._banner(address) for address in addresses), "the rules did not lock anybody out"
    deadline = time.monotonic() + PATIENCE + 10
    while not all(labs._banner(address) for address in addresses):
        assert time.monotonic() < deadline, "the host did not come back"
        time.sleep(0.5)
    assert without_counts(on("client-2", "nft", "list", "ruleset").stdout) == without_counts(before)
    assert jizuo("deploy", str(ROOT / "inventories/lab"), "base", "--limit", "client-2").returncode == 0


@pytest.mark.slow
def test_bad_rules_twice_in_a_row_do_not_become_the_way_back(lab: Lab, on: Execute) -> None:
    """The second trial falls into the patience of the first one: its way back is the rules before both."""
    before = without_counts(on("client-2", "nft", "list", "ruleset").stdout)
    lockout = (
        "table inet jizuo\ndelete table inet jizuo\ntable inet jizuo { chain input { "
        "type filter hook input priority filter; policy drop; }; }\n"
    )
    for rules in (lockout, f"{lockout}# again\n"):
        on("client-2", "sh", "-s", input=try_script(rules))
        assert without_counts(on("client-2", "nft", "list", "ruleset").stdout) != before
    late = on("client-2", "sh", "-s", check=False, input=keep_script(lockout))
    assert late.returncode == 1, "the first run kept the rules of the second"
    assert "other rules on trial" in late.stderr
    deadline = time.monotonic() + PATIENCE + 10
    while without_counts(on("client-2", "nft", "list", "ruleset").stdout) != before:
        assert time.monotonic() < deadline, "the host did not come back"
        time.sleep(0.5)
    assert all(labs._banner(address) for address in lab.record.hosts["client-2"])


def test_rules_flushed_in_the_kernel_are_seen_and_healed(
    lab: Lab, on: Execute, deploy_json: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    before = without_counts(on("client-2", "nft", "list", "ruleset").stdout)
    on("client-2", "nft", "flush", "ruleset")
    code, _ = deploy_json("base", "--limit", "client-2", "--dry")
    assert code == 2, "a host without rules counts as right"
    code, result = deploy_json("base", "--limit", "client-2")
    assert code == 0, result
    assert without_counts(on("client-2", "nft", "list", "ruleset").stdout) == before
    code, result = deploy_json("base", "--limit", "client-2")
    assert (code, result["hosts"]["client-2"]["changed"]) == (0, [])


def without_counts(rules: str) -> str:
    import re

    return re.sub(r"packets \d+ bytes \d+", "", rules)


def test_rules_survive_a_reboot(
    lab: Lab, on: Execute, deploy_json: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    before = without_counts(on("client-2", "nft", "list", "table", "inet", "jizuo").stdout)
    labs.kill(lab, "client-2")
    labs.start(lab, "client-2")
    assert without_counts(on("client-2", "nft", "list", "table", "inet", "jizuo").stdout) == before
    code, result = deploy_json("base", "extranet", "--limit", "client-2")
    assert code == 0
    assert result["hosts"]["client-2"]["changed"] == [], "a reboot undid part of a deploy"


def test_interfaces_that_exist_take_no_redirects_and_no_router_advertisements(
    on: Execute, deploy_json: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    """Loosened on an interface that is up, and the settings' file altered: the deploy brings both back."""
    names = [
        f"net/{name}"
        for interface in ("mgmt0", "default", "all")
        for name in (
            f"ipv4/conf/{interface}/accept_redirects",
            f"ipv4/conf/{interface}/send_redirects",
            f"ipv6/conf/{interface}/accept_redirects",
            f"ipv6/conf/{interface}/accept_ra",
            f"ipv6/conf/{interface}/autoconf",
        )
    ]
    on("client-2", "sysctl", "-qw", *(f"{name}=1" for name in names if "mgmt0" in name))
    on("client-2", "sh", "-c", "echo changed >>/etc/sysctl.d/60-jizuo.conf")
    code, result = deploy_json("base", "--limit", "client-2")
    assert code == 0, result
    values = on("client-2", "sysctl", "-n", *names).stdout.split()
    assert dict(zip(names, values, strict=True)) == dict.fromkeys(names, "0")
