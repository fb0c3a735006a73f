"""What a run changed, kept on the controller and handed to the operations nodes, where the exporters read it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.lab.keys import private_write
from inventories.records import City, NodeRole

#: Where the exporters look for it.
REMOTE = "/var/lib/jizuo/deploy/last.json"
#: Written beside its place and renamed: a reader finds the old record or the new one.
RECEIVE = f"sudo sh -c 'umask 022; mkdir -p {REMOTE.rpartition('/')[0]}; cat >{REMOTE}.new && mv {REMOTE}.new {REMOTE}'"


def leave_record(city: City, state: Path, content: bytes) -> list[str]:
    """Keep the record under `state` and hand it to every operations node; returns those that did not take it."""
    private_write(state / "deploy" / "last.json", content, 0o644)
    missed = []
    for node in city.nodes.values():
        if node.role is not NodeRole.OPERATIONS:
            continue
        command = ["ssh", "-F", str(state / "ssh_config"), node.id, RECEIVE]
        try:
            done = subprocess.run(command, input=content, capture_output=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            missed.append(node.id)
            continue
        if done.returncode:
            missed.append(node.id)
    return missed
