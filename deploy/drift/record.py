"""What does a check of drift leave? Pending operations by host and role, and the hosts that could not be read."""

from __future__ import annotations

import msgspec

from deploy.cli import DeployResult
from deploy.roles import ROLES
from inventories.records import City

#: What the record is called, on the controller and on the operations nodes.
FILE = "drift.json"


class HostDrift(msgspec.Struct, frozen=True):
    """A host: of each of its roles, the operations that a deploy would do.

    `unread` says why the host could not be read; then nothing is known, and `pending` is empty.
    """

    pending: dict[str, list[str]] = {}
    unread: str = ""


class DriftRecord(msgspec.Struct, frozen=True):
    """A check of drift; `at` is when it began: nothing in it is older."""

    at: str
    seconds: float
    hosts: dict[str, HostDrift]
    error: str = ""

    @property
    def pending(self) -> int:
        """Operations that a deploy would do, over all hosts that were read."""
        return sum(len(names) for host in self.hosts.values() for names in host.pending.values())

    @property
    def unread(self) -> list[str]:
        """The hosts that could not be read."""
        return [name for name, host in self.hosts.items() if host.unread]

    @property
    def exit_code(self) -> int:
        """0 every host is as the inventory says, 2 operations are pending, 1 a host could not be read."""
        if self.error or self.unread:
            return 1
        return 2 if self.pending else 0


def record_of(city: City, result: DeployResult, at: str) -> DriftRecord:
    """The record of a dry run that began at `at`.

    A run that ended before its end has not looked at every host, and does not say at which: none counts as read.
    """
    hosts = {}
    for name, host in result.hosts.items():
        unread = f"{host.failed}: {host.detail}" if host.failed else result.error
        pending: dict[str, list[str]] = {} if unread else by_role(city, name, host.changed)
        hosts[name] = HostDrift(pending, unread)
    return DriftRecord(at, result.seconds, hosts, result.error)


def by_role(city: City, host: str, operations: list[str]) -> dict[str, list[str]]:
    """Operations such as `base | SSH server` by role; a role of the host with none stays, empty."""
    found: dict[str, list[str]] = {
        role: [] for role, nodes in ROLES.items() if city.nodes[host].role in nodes
    }
    for operation in operations:
        found.setdefault(operation.partition(" | ")[0], []).append(operation)
    return found
