"""What is a drill to do? Reads `drill.toml`; every key is described here, and an unknown one is refused.

`jizuo drill show --schema` prints this as a reference; checks/drills/authoring.md says how a drill is written.
"""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from checks.drills.record import Kind, Participant, PlanReference
from inventories.cells import seconds

#: Where the drills of the kit stand, a folder each, and what all of them share.
FOLDER = Path(__file__).parent
SHARED = FOLDER / "shared"
#: The stages in their order; each is a playbook. The last two run always, whatever came before.
STAGES = ("prepare", "inject", "detect", "decide", "recover", "verify")
FALLBACK, RESTORE = "fallback", "restore"
ALL_STAGES = (*STAGES, FALLBACK, RESTORE)
#: Those that a drill may leave out: the kit detects by Prometheus, a person decides, there is nothing to restore.
OPTIONAL = frozenset({"detect", "decide", RESTORE})
#: Those that may be begun again after the tool died in them. What a half-made fault or recovery is, nobody knows.
REPEATABLE = frozenset({"detect", "decide", "verify"})

Text = Annotated[str, msgspec.Meta(min_length=1)]
Duration = Annotated[
    str, msgspec.Meta(pattern=r"^(0|[0-9]{1,9}[smhd])$", examples=["30s", "15m", "4h", "180d"])
]


class DrillError(Exception):
    """The drill cannot be held; the message names file and way out. Nothing was touched."""


class Notice(StrEnum):
    """Whether those who have to act know of it before."""

    PLANNED = "planned"
    NO_NOTICE = "no-notice"


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file."""


class Objectives(_Table, frozen=True):
    """What is to be reached: either that of a system's backup policy, or the drill's own where none applies."""

    system: Annotated[
        str,
        msgspec.Meta(
            description="The system whose RTO and RPO count (systems.csv).", examples=["gov-portal"]
        ),
    ] = ""
    policy: Annotated[
        str,
        msgspec.Meta(
            description="Its backup policy, where it has more than one; RTO and RPO are the policy's.",
            examples=["gov-service"],
        ),
    ] = ""
    rto: Annotated[
        Duration | None,
        msgspec.Meta(description="From the fault to service, where no policy applies.", examples=["1m"]),
    ] = None
    rpo: Annotated[
        Duration | None,
        msgspec.Meta(
            description="How much time's data may be lost, where no policy applies; leave it out where none can be.",
            examples=["15m"],
        ),
    ] = None


class DetectionRule(_Table, frozen=True):
    """The alert that has to fire in Prometheus; a drill with a detect.yml of its own has no such table."""

    alert: Annotated[
        Text,
        msgspec.Meta(
            description="The alert's name, as exporters/rules has it.", examples=["SystemEndpointDown"]
        ),
    ]
    labels: Annotated[
        dict[str, str],
        msgspec.Meta(
            description="Labels that it must have; others do not matter.",
            examples=[{"subject": "gov-portal"}],
        ),
    ] = {}
    at: Annotated[
        str,
        msgspec.Meta(
            description="The node whose Prometheus is asked, where the operations node may be what is lost.",
            examples=["offsite-1"],
        ),
    ] = ""
    within: Annotated[
        Duration,
        msgspec.Meta(description="How long after the fault it has to fire; else the drill has failed."),
    ] = "10m"


class Definition(_Table, frozen=True):
    """A drill as its file has it; the folder's name is the drill's."""

    title: Annotated[
        Text, msgspec.Meta(description="In Chinese, for the record.", examples=["异地副本恢复演练"])
    ]
    scope: Annotated[Text, msgspec.Meta(description="What is affected, in Chinese.")]
    kind: Annotated[
        Kind,
        msgspec.Meta(
            description="live: a real fault; simulated: the fault is said, not made, and detection not measured, "
            "the rest is for real; tabletop: on paper, no playbooks.",
            examples=["live"],
        ),
    ]
    notice: Annotated[
        Notice, msgspec.Meta(description="Do those who act know of it before?", examples=["planned"])
    ]
    every: Annotated[
        Duration,
        msgspec.Meta(
            description="How often it is to be held; `drill overdue` counts by it.", examples=["180d"]
        ),
    ]
    plan: Annotated[
        PlanReference, msgspec.Meta(description="The contingency plan exercised: id and version.")
    ]
    objectives: Annotated[
        Objectives, msgspec.Meta(description="RTO and RPO: a system's, or the drill's own.")
    ]
    participants: Annotated[
        tuple[Participant, ...],
        msgspec.Meta(min_length=1, description="Roles in Chinese: role, unit, duty; they sign the record."),
    ]
    stop_conditions: Annotated[
        tuple[Text, ...],
        msgspec.Meta(min_length=1, description="When to stop and fall back at once, in Chinese."),
    ]
    nodes: Annotated[
        dict[str, str | tuple[str, ...]],
        msgspec.Meta(
            description="Host groups for the playbooks: a name, and a node's id or a list of them.",
            examples=[{"lost": "cloud-1", "clients": ["client-1", "client-2"]}],
        ),
    ] = {}
    detection: Annotated[
        DetectionRule | None, msgspec.Meta(description="What monitoring has to see: alert and labels.")
    ] = None
    variables: Annotated[
        dict[str, Any],
        msgspec.Meta(
            description="What the playbooks read; texts may use other variables as Ansible does.",
            examples=[{"folder": "/srv/systems/{{ system }}"}],
        ),
    ] = {}
    steps: Annotated[
        dict[str, tuple[Text, ...]],
        msgspec.Meta(
            description="What people do in a stage, in Chinese, for the drill on paper; without it, the tasks' names.",
            examples=[{"recover": ["通知异地节点值守人员", "执行恢复"]}],
        ),
    ] = {}
    resume: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Further stages that can be begun again after the tool died in them: inject, recover.",
            examples=[["recover"]],
        ),
    ] = ()
    stage_seconds: Annotated[
        int, msgspec.Meta(gt=0, description="How long any stage may take, in seconds.", examples=[300])
    ] = 300
    due_days: Annotated[
        int, msgspec.Meta(gt=0, description="Until when an issue is to be put right, in days.", examples=[30])
    ] = 30

    @property
    def every_seconds(self) -> int:
        """How often it is to be held, in seconds."""
        return seconds("every", self.every)


def drill_names(folder: Path = FOLDER) -> list[str]:
    """The names of the drills that there are."""
    return sorted(path.parent.name for path in folder.glob("*/drill.toml"))


def playbook(name: str, stage: str, folder: Path = FOLDER) -> Path | None:
    """The playbook of a drill's stage: its own, or the shared one; None where there is nothing to play."""
    own = folder / name / "playbooks" / f"{stage}.yml"
    shared = SHARED / "playbooks" / f"{stage}.yml"
    return own if own.exists() else shared if shared.exists() else None


def read_definition(name: str, folder: Path = FOLDER) -> Definition:
    """Read a drill's file.

    Raises:
        DrillError: there is no such drill, or its file has an error; file and key are named.
    """
    path = folder / name / "drill.toml"
    if name not in drill_names(folder):
        raise DrillError(f"no drill {name}; the drills are: {', '.join(drill_names(folder))}")
    try:
        definition = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Definition)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise DrillError(f"{path}: {error}; jizuo drill show --schema lists the keys") from error
    wrong = _contradictions(definition, path.parent / "playbooks")
    if wrong:
        raise DrillError(f"{path}: {'; '.join(wrong)}")
    return definition


def _contradictions(definition: Definition, playbooks: Path) -> list[str]:
    """What each key allows, and all of them together do not."""
    wrong = []
    objectives = definition.objectives
    if objectives.system and (objectives.rto or objectives.rpo):
        wrong.append("objectives: name a system, or rto and rpo, not both")
    if not objectives.system and not objectives.rto:
        wrong.append("objectives: name a system, or an rto")
    if objectives.policy and not objectives.system:
        wrong.append("objectives.policy needs objectives.system")
    for key, given, known in (("steps", definition.steps, ALL_STAGES), ("resume", definition.resume, STAGES)):
        unknown = [stage for stage in given if stage not in known]
        wrong += [f"{key}: {stage} is none of {', '.join(known)}" for stage in unknown]
    if definition.kind is Kind.TABLETOP:
        return wrong if definition.steps else [*wrong, "a tabletop drill needs [steps]"]
    has = {stage for stage in ALL_STAGES if (playbooks / f"{stage}.yml").exists()}
    optional = OPTIONAL | ({"inject"} if definition.kind is Kind.SIMULATED else set())
    missing = [f"{stage}.yml" for stage in ALL_STAGES if stage not in has and stage not in optional]
    if missing:
        wrong.append(f"{playbooks} has no {', '.join(missing)}")
    if definition.kind is Kind.SIMULATED:
        if definition.detection is not None:
            wrong.append(
                "nothing is broken in a simulated drill, and no alert can fire: leave [detection] out"
            )
    elif ("detect" in has) == (definition.detection is not None):
        wrong.append("write either [detection], and Prometheus is asked, or playbooks/detect.yml")
    return wrong
