"""What is a drill in this city? The objectives that count, the hosts, and all that its playbooks may read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from checks.drills.definition import ALL_STAGES, SHARED, Definition, DrillError, playbook
from checks.drills.record import Kind
from inventories.backups.records import BackupPolicy, Engine, Method
from inventories.cells import seconds
from inventories.hosts import clients_of
from inventories.monitoring import PROMETHEUS_PORT
from inventories.plan import build_plan
from inventories.records import City, Family, NodeRole, System

ROOT = Path(__file__).resolve().parents[2]
#: The groups that the kit adds for its own stages: where the city's Prometheus is, and where the alert is waited for.
OPERATIONS, MONITORING = "operations", "monitoring"
#: Prometheus as its own host reaches it; alert.py knows where a host keeps the login.
PROMETHEUS = f"https://[::1]:{PROMETHEUS_PORT}"
#: What the kit gives the playbooks; a drill's own variables have other names. authoring.md explains each.
GIVEN = (
    "addresses", "backups_lost", "databases_lost", "detection", "drill", "inventory", "jizuo", "kit", "moments",
    "node_addresses", "nodes", "policy", "policy_systems", "prometheus", "pyinfra", "shared_files",
    "stage_seconds", "state", "system",
)  # fmt: skip


class Held(NamedTuple):
    """What is held, where, and for which objectives (in seconds; an RPO of None: none was set)."""

    name: str
    definition: Definition
    city: City
    system: System | None
    policy: BackupPolicy | None
    rto: float
    rpo: float | None
    owner: str

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.city.layout.time_zone)

    def now(self) -> datetime:
        return datetime.now(self.zone)

    @property
    def nodes(self) -> dict[str, tuple[str, ...]]:
        """The drill's host groups."""
        return {
            group: (given,) if isinstance(given, str) else given
            for group, given in self.definition.nodes.items()
        }

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The host groups that its playbooks know: the drill's, and those with a Prometheus."""
        found = operations(self.city)
        rule = self.definition.detection
        watching = (rule.at,) if rule and rule.at else found
        return {**self.nodes, **({OPERATIONS: found, MONITORING: watching} if found else {})}

    @property
    def playbooks(self) -> dict[str, Path]:
        """The playbook of every stage that has one, and of the look at the city's health."""
        found = {stage: playbook(self.name, stage) for stage in (*ALL_STAGES, "health")}
        if self.definition.kind is Kind.SIMULATED:
            # The fault is not made, and the kit's own detect waits for what only a real one shows.
            found["inject"] = None
            if found["detect"] and found["detect"].is_relative_to(SHARED):
                found["detect"] = None
        return {stage: path for stage, path in found.items() if path is not None}


def hold_against(name: str, definition: Definition, city: City) -> Held:
    """The drill in this city.

    Raises:
        DrillError: the city does not have what the drill speaks of.
    """
    wrong = [
        f"nodes.{group} = {node!r} is no node of the inventory"
        for group, given in definition.nodes.items()
        for node in ((given,) if isinstance(given, str) else given)
        if node not in city.nodes
    ]
    taken = [variable for variable in definition.variables if variable in GIVEN]
    wrong += [f"variables.{variable} is what the kit gives; call it otherwise" for variable in taken]
    wrong += [
        f"nodes.{group} is what the kit gives"
        for group in (OPERATIONS, MONITORING)
        if group in definition.nodes
    ]
    rule = definition.detection
    if rule and rule.at and rule.at not in city.nodes:
        wrong.append(f"detection.at = {rule.at!r} is no node of the inventory")
    wrong += [f"nodes.{group} names no node" for group, given in definition.nodes.items() if not given]
    objectives = definition.objectives
    system = city.systems.get(objectives.system) if objectives.system else None
    policy = None
    if objectives.system and system is None:
        wrong.append(f"objectives.system = {objectives.system!r} is no system of the inventory")
    elif system is not None:
        policy, why = _policy(system, objectives.policy, city)
        wrong += [why] if why else []
    if wrong:
        raise DrillError(f"the drill {name} cannot be held in this city: {'; '.join(wrong)}")
    rto, rpo = _seconds(definition, system, policy)
    return Held(name, definition, city, system, policy, rto, rpo, _owner(definition, system, policy, city))


def _policy(system: System, named: str, city: City) -> tuple[BackupPolicy | None, str]:
    """The backup policy of a system, or why there is none."""
    backing = [policy for policy in city.backups.values() if system.id in policy.systems]
    if named:
        found = city.backups.get(named)
        if found is None:
            return None, f"objectives.policy = {named!r} is no backup policy of the inventory"
        return found, "" if found in backing else f"the policy {named} does not back {system.id} up"
    if len(backing) > 1:
        names = ", ".join(policy.id for policy in backing)
        return None, f"objectives.policy is to name one of the policies of {system.id}: {names}"
    if backing:
        return backing[0], ""
    return (
        None,
        ""
        if system.rto
        else f"objectives.system: {system.id} has no backup policy and no rto in systems.csv",
    )


def _seconds(
    definition: Definition, system: System | None, policy: BackupPolicy | None
) -> tuple[float, float | None]:
    """RTO and RPO: the policy's, else the system's own (where 0 is none), else the drill's."""
    if policy is not None:
        return policy.rto, policy.rpo
    if system is not None:
        return system.rto, system.rpo or None
    rpo = definition.objectives.rpo
    return seconds("rto", definition.objectives.rto), None if rpo is None else seconds("rpo", rpo)


def _owner(definition: Definition, system: System | None, policy: BackupPolicy | None, city: City) -> str:
    """Who puts right what the drill finds."""
    owner = policy.owner if policy else system.owners[0] if system and system.owners else ""
    unit = city.units.get(owner)
    return unit.name if unit else owner or definition.participants[0].unit


def operations(city: City) -> tuple[str, ...]:
    """The operations nodes."""
    return tuple(node.id for node in city.nodes.values() if node.role is NodeRole.OPERATIONS)


def urgent_first(held: Held) -> list[str]:
    """The systems that the policy backs up: the drill's own first, then by their RTO (systems.csv; 0 is none)."""
    found = [held.city.systems[name] for name in held.policy.systems] if held.policy else []
    own = held.system.id if held.system else ""
    return [one.id for one in sorted(found, key=lambda one: (one.id != own, one.rto or float("inf")))]


def backups_on(city: City, nodes: Sequence[str]) -> dict[str, list[str]]:
    """Which policies each client keeps, or copies, on one of these nodes."""
    found: dict[str, list[str]] = {}
    for policy in city.backups.values():
        if {policy.repository, *policy.copies} & set(nodes):
            for client in clients_of(city, policy):
                found.setdefault(client, []).append(policy.id)
    return found


def databases_on(city: City, nodes: Sequence[str]) -> dict[str, list[str]]:
    """Which of each client's PostgreSQL clusters are kept continuously on one of these nodes, by pgBackRest's names."""
    found: dict[str, list[str]] = {}
    for client, policies in backups_on(city, nodes).items():
        instances = [
            database.instance
            for policy in policies
            for database in city.backups[policy].database
            if database.engine is Engine.POSTGRESQL and database.method is Method.CONTINUOUS
        ]
        if instances:
            found[client] = [f"{client}-{instance}" for instance in dict.fromkeys(instances)]
    return found


def variables(held: Held, inventory: Path, state: Path) -> dict[str, Any]:
    """What the playbooks of a drill read: :data:`GIVEN`, and the drill's own."""
    plan = build_plan(held.city)
    # Should a stage be stopped while its command goes on, the one that takes all back waits for it.
    waiting = ["flock", str(state / ".drill-command.lock")]
    addresses = {
        node: [str(plan.host(node, family)) for family in Family]
        for nodes in held.groups.values()
        for node in nodes
    }
    rule = held.definition.detection
    return {
        "drill": held.name,
        "system": held.system.id if held.system else "",
        "policy": held.policy.id if held.policy else "",
        "policy_systems": urgent_first(held),
        "backups_lost": backups_on(held.city, held.nodes.get("lost", ())),
        "databases_lost": databases_on(held.city, held.nodes.get("lost", ())),
        "nodes": {group: list(nodes) for group, nodes in held.nodes.items()},
        "addresses": {group: addresses[nodes[0]] for group, nodes in held.nodes.items()},
        "node_addresses": addresses,
        "stage_seconds": held.definition.stage_seconds,
        "kit": str(ROOT),
        "shared_files": str(SHARED / "files"),
        "inventory": str(inventory.resolve()),
        "state": str(state),
        "pyinfra": [
            *waiting,
            str(Path(sys.executable).with_name("pyinfra")),
            str(inventory.resolve() / "inventory.py"),
        ],
        "jizuo": [*waiting, sys.executable, str(ROOT / "jizuo.py")],
        "prometheus": PROMETHEUS,
        "moments": {},
        "detection": {"alert": rule.alert, "labels": rule.labels} if rule else {},
        **held.definition.variables,
    }
