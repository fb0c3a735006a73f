"""What is a drill to do? Reads `drill.toml` and holds it against the city that it is to be held in."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from checks.drills.record import Kind, Participant, PlanReference
from inventories.backups.records import BackupPolicy
from inventories.records import City, System

#: Where the drills of the kit stand, a folder each.
FOLDER = Path(__file__).parent
#: The stages in their order; each is a playbook. `fallback` runs always, whatever came before.
STAGES = ("prepare", "inject", "detect", "decide", "recover", "verify")
FALLBACK = "fallback"


class DrillError(Exception):
    """The drill cannot be held; the message names file and way out. Nothing was touched."""


class Nodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which node has which part: the one that loses the system, the one that takes it over, where the copy is
    restored from, and who looks on as a user does."""

    lost: str
    recovery: str
    source: str
    client: str


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A drill as its file has it; the folder's name is the drill's.

    Attributes:
        plan: The contingency plan that is exercised.
        title: In Chinese, for the record.
        scope: What is affected, in Chinese.
        kind: How it is held.
        planned: False for a drill without notice.
        system: The system that is lost.
        policy: The backup policy whose RTO and RPO are the objectives.
        nodes: Who plays which part.
        participants: Roles, and the units that have them.
        stop_conditions: When to stop and fall back at once, in Chinese.
        stage_seconds: How long any stage may take.
        due_days: Until when an issue is to be put right, in days.
    """

    plan: PlanReference
    title: str
    scope: str
    kind: Kind
    planned: bool
    system: str
    policy: str
    nodes: Nodes
    participants: tuple[Participant, ...]
    stop_conditions: tuple[str, ...]
    stage_seconds: int = 300
    due_days: int = 30


def drill_names(folder: Path = FOLDER) -> list[str]:
    """The names of the drills that there are."""
    return sorted(path.parent.name for path in folder.glob("*/drill.toml"))


def read_definition(name: str, folder: Path = FOLDER) -> Definition:
    """Read a drill's file.

    Raises:
        DrillError: there is no such drill, or its file has an error.
    """
    path = folder / name / "drill.toml"
    if name not in drill_names(folder):
        raise DrillError(f"no drill {name}; the drills are: {', '.join(drill_names(folder))}")
    try:
        definition = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Definition)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise DrillError(f"{path}: {error}") from error
    missing = [
        stage for stage in (*STAGES, FALLBACK) if not (path.parent / "playbooks" / f"{stage}.yml").exists()
    ]
    if missing:
        raise DrillError(f"{path.parent}/playbooks has no {', '.join(f'{stage}.yml' for stage in missing)}")
    return definition


def hold_against(name: str, definition: Definition, city: City) -> tuple[System, BackupPolicy]:
    """The system and the policy of the drill in this city.

    Raises:
        DrillError: the city does not have what the drill speaks of.
    """
    wrong = [
        f"nodes.{part} = {node!r} is no node of the inventory"
        for part, node in msgspec.structs.asdict(definition.nodes).items()
        if node not in city.nodes
    ]
    system = city.systems.get(definition.system)
    policy = city.backups.get(definition.policy)
    if system is None:
        wrong.append(f"system = {definition.system!r} is no system of the inventory")
    elif definition.nodes.lost not in system.nodes:
        wrong.append(f"{definition.system} does not stand on {definition.nodes.lost}")
    if policy is None:
        wrong.append(f"policy = {definition.policy!r} is no backup policy of the inventory")
    else:
        if definition.system not in policy.systems:
            wrong.append(f"the policy {definition.policy} does not back {definition.system} up")
        if definition.nodes.source not in (policy.repository, *policy.copies):
            wrong.append(f"the policy {definition.policy} keeps nothing on {definition.nodes.source}")
    if wrong or system is None or policy is None:
        raise DrillError(f"the drill {name} cannot be held in this city: {'; '.join(wrong)}")
    return system, policy
