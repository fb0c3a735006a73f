"""Do the targets answer when asked from inside the extranet? Runs the probes on one of its nodes, over SSH."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from checks.availability.targets import Target
from checks.record import Record, decode
from checks.ssh import SecureShell, SshError
from inventories.records import City, NodeRole

#: What runs on the node: its own kit, on its own copy of the inventory. Raw sockets need root.
REMOTE_COMMAND = (
    "sudo -n /opt/jizuo/bin/jizuo check /etc/jizuo/inventory availability --from local --format json"
)
#: Names and pages need no right of root.
REMOTE_IPV6_COMMAND = "/opt/jizuo/bin/jizuo check /etc/jizuo/inventory ipv6 --from local --format json"


class VantageError(Exception):
    """The probes could not be run where they were to; the message names host and way out."""


def default_vantage(city: City) -> str | None:
    """The first node whose work is operations; None where a city has none."""
    return next((node.id for node in city.nodes.values() if node.role is NodeRole.OPERATIONS), None)


async def probe_from(node: str, shell: SecureShell, targets: Sequence[Target]) -> list[Record]:
    """The records of an availability check that ran on a node.

    Args:
        node: The node's id, which the shell's configuration knows.
        shell: How it is reached.
        targets: What the inventory here says is to be probed.

    Raises:
        VantageError: The node cannot be reached, has no kit, answers with no list of records, or probed by
            another inventory than the one here.
    """
    records = await _records_from(node, shell, REMOTE_COMMAND)
    _require_same_targets(node, records, targets)
    return records


async def assess_from(node: str, shell: SecureShell) -> list[Record]:
    """The records of an assessment of IPv6 that ran on a node; raises as :func:`probe_from`."""
    return await _records_from(node, shell, REMOTE_IPV6_COMMAND)


async def _records_from(node: str, shell: SecureShell, command: str) -> list[Record]:
    elsewhere = "probe from another node with --from NODE, or from here with --from local"
    try:
        done = await shell.run(node, command)
    except SshError as error:
        raise VantageError(f"{error}; or {elsewhere}") from None
    try:
        return decode(done.stdout)
    except msgspec.DecodeError as error:
        said = (done.stderr or done.stdout).strip().splitlines()
        detail = f"exit status {done.status}: {said[-1]}" if said else f"exit status {done.status}, {error}"
        raise VantageError(
            f"{node}: jizuo check gave no records ({detail}); deploy the operations role to it, or {elsewhere}"
        ) from None


def _require_same_targets(node: str, records: Sequence[Record], targets: Sequence[Target]) -> None:
    """A node with another city's inventory, or an older one of this city, answers another question."""
    probed = {(record.subject, record.check, record.family) for record in records}
    wanted = {(target.subject, target.check, target.family.value) for target in targets}
    if probed != wanted:
        only_there, only_here = probed - wanted, wanted - probed
        example = " ".join(min(only_here or only_there))
        raise VantageError(
            f"{node}: its inventory is not the one here: {len(only_here)} targets are missing there, "
            f"{len(only_there)} are not of this inventory (as {example}); deploy the operations role to it"
        )
