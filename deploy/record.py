"""What a run changed, or would change, kept on the controller and handed to the operations nodes, for the exporters."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.lab.keys import private_write
from inventories.records import City, NodeRole

#: Where the exporters look for records.
REMOTE = "/var/lib/jizuo/deploy"
#: What the record of the last deploy is called.
LAST = "last.json"


def leave_record(city: City, state: Path, content: bytes, name: str = LAST) -> list[str]:
    """Keep the record under `state` and hand it to every operations node; returns those that did not take it."""
    private_write(state / "deploy" / name, content, 0o644)
    missed = []
    for node in city.nodes.values():
        if node.role is not NodeRole.OPERATIONS:
            continue
        command = ["ssh", "-F", str(state / "ssh_config"), node.id, receive(name)]
        try:
            done = subprocess.run(command, input=content, capture_output=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            missed.append(node.id)
            continue
        if done.returncode:
            missed.append(node.id)
    return missed


def receive(name: str) -> str:
    """The command that takes a record; written beside its place and renamed, so that no reader finds half of one."""
    target = f"{REMOTE}/{name}"
    return f"sudo sh -c 'umask 022; mkdir -p {REMOTE}; cat >{target}.new && mv {target}.new {target}'"
