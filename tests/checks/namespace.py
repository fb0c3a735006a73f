"""Runs Python in a network namespace of its own, where packets to the dead never leave the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

#: A link whose far end answers nothing (192.0.2.0/24, 2001:db8:1::/64), and prefixes without a way.
DEAD_NETWORK = """
ip link set lo up
ip link add silent0 type veth peer name silent1
ip link set silent0 arp off up
ip link set silent1 arp off up
ip addr add 192.0.2.1/24 dev silent0
ip addr add 2001:db8:1::1/64 dev silent0 nodad
ip route add blackhole 203.0.113.0/24
ip route add unreachable 198.51.100.0/24
ip -6 route add unreachable 2001:db8:2::/48
ip -6 route add prohibit 2001:db8:3::/48
"""

#: Before the program: an account that may open raw sockets, ping sockets, or neither.
RAW = ""
PING_SOCKETS = """sysctl -qw net.ipv4.ping_group_range='0 0'
exec setpriv --inh-caps=-all --bounding-set=-all """
NEITHER = "exec setpriv --inh-caps=-all --bounding-set=-all "


def run(
    *arguments: str,
    setup: str = DEAD_NETWORK,
    privileges: str = RAW,
    timeout: float = 60,
    standard_input: str | None = None,
) -> Any:
    """Run Python with arguments; return the JSON that it printed."""
    script = f'set -e\n{setup}\n{privileges or "exec "}"$@"'
    command = ["unshare", "--map-root-user", "--net", "sh", "-c", script, "sh", sys.executable, *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        input=standard_input or "",
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
