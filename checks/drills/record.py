"""What is kept of a drill: the fields of a drill record, one JSON file each; exporters read it, scripts may.

Field names are stable. Times are ISO 8601 with an offset; durations are seconds. A field that could not be
measured is null, never a number that looks well. Records are appended and never changed: checks/drills/chain.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec

#: The version of the form of the file. Those of version 1 stand before the chain: they name no record before them.
VERSION = 2


class Kind(StrEnum):
    """How a drill is held."""

    TABLETOP = "tabletop"
    SIMULATED = "simulated"
    LIVE = "live"


class Outcome(StrEnum):
    """How a stage, a data check or a fall back ended."""

    DONE = "done"
    FAILED = "failed"
    NOT_REACHED = "not_reached"
    #: Of a simulated drill: the fault, which is only said to have happened, and what could only be seen of a real one.
    SKIPPED = "skipped"

    @property
    def well(self) -> bool:
        """Whether the next stage may follow."""
        return self in (Outcome.DONE, Outcome.SKIPPED)


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a record."""


class PlanReference(_Part, frozen=True):
    """Which contingency plan was exercised."""

    id: Annotated[str, msgspec.Meta(description="The plan's number.", examples=["YC-DR-001"])]
    version: Annotated[str, msgspec.Meta(description="Which edition of it was exercised.", examples=["1.0"])]


class Participant(_Part, frozen=True):
    """A role in the drill, and who has it."""

    role: Annotated[
        str, msgspec.Meta(description="What they are in the drill, in Chinese.", examples=["演练指挥"])
    ]
    unit: Annotated[str, msgspec.Meta(description="Whose they are, in Chinese.", examples=["市数据局"])]
    duty: Annotated[
        str, msgspec.Meta(description="What they do in it, in Chinese.", examples=["批准开始、宣布结束"])
    ] = ""


class Timeline(_Part, frozen=True):
    """The moments that are measured; null where it did not come to that.

    Attributes:
        fault: The system was lost; in a simulated drill, when it was said to be.
        noticed: Monitoring saw it: the alert became pending in Prometheus.
        detected: Monitoring raised the alarm: the alert fired, or what else the drill calls detected.
        decided: It was decided to recover.
        started: Recovery began.
        serving: A client got the right content again, in both families.
    """

    fault: str | None = None
    noticed: str | None = None
    detected: str | None = None
    decided: str | None = None
    started: str | None = None
    serving: str | None = None


class Stage(_Part, frozen=True):
    """One stage as it went."""

    name: str
    started_at: str
    seconds: float
    outcome: Outcome
    detail: str = ""


class Measured(_Part, frozen=True):
    """Measured against the objective; RTO is fault to serving, RPO the time whose data are lost.

    An objective that is null was not set for this drill. `noticed_seconds` and `detected_seconds` are how long after
    the fault monitoring saw it, and raised the alarm.
    """

    rto_seconds: float | None
    rto_objective_seconds: float | None
    rpo_seconds: float | None
    rpo_objective_seconds: float | None
    noticed_seconds: float | None = None
    detected_seconds: float | None = None


class Detection(_Part, frozen=True):
    """What monitoring had to see.

    Attributes:
        alert: The alert's name in Prometheus.
        labels: The labels that it had to have.
        decided_on: In which of its states the drill went on to the decision: `firing` or `pending`.
    """

    alert: str
    labels: dict[str, str]
    decided_on: str


class DataCheck(_Part, frozen=True):
    """The recovered data against the data that were lost, by SHA-256 of every file.

    Attributes:
        outcome: `done` when all that is older than the copy came back with the same content.
        files: Files that came back.
        same: Those whose content is the same.
        differing: Paths of those whose content is another one, at most 20.
        missing: Paths that should have come back and did not, at most 20.
        lost: Files that did not come back because they are newer than the copy.
        newest_recovered_at: Moment of the newest record that came back; what is newer is lost.
    """

    outcome: Outcome
    files: int = 0
    same: int = 0
    differing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    lost: int = 0
    newest_recovered_at: str | None = None


class Issue(_Part, frozen=True):
    """Something to put right: what, who, until when (a date)."""

    what: str
    owner: str
    due: str


class DrillRecord(_Part, frozen=True):
    """A drill as a whole; `drill` is its name, `id` this one time that it was held.

    Attributes:
        sequence: Its place in the chain of records, from 1; 0 for one of version 1.
        previous: The SHA-256 of the canonical JSON of the record before it.
        kind: How it was held this time; a drill on paper is `tabletop` whatever it could be.
        planned: False for a drill without notice.
        system: The system whose objectives count; empty where they are the drill's own. Likewise `policy`.
        nodes: The hosts by the part that they had; lists, in version 1 a text each.
        success: All was done, in time, with the right data, and put back.
        aborted: Somebody stopped it, or its tool died.
        resumed: It went on after its tool had died.
        serving_by_family: When each family was served again, `ipv4` and `ipv6`, or `SYSTEM-ipv4` ... of several.
        fallback: Undoing the fault.
        restore: Bringing normal operation back; null where the drill has no such stage.
        tolerated_alerts: Critical alerts that fired before the drill began, and were said to be no obstacle.
        notes: What the drill's steps said beside the figures, in Chinese: what is lost without being data of a system.
        next_due_at: Until when the drill is to be held again.
        artifacts: The folder of what ansible-runner kept, beside the record; empty when nothing was run.
    """

    version: int
    id: str
    drill: str
    title: str
    plan: PlanReference
    scope: str
    kind: Kind
    planned: bool
    city: str
    system: str
    system_name: str
    policy: str
    nodes: Mapping[str, Sequence[str] | str]
    participants: tuple[Participant, ...]
    stop_conditions: tuple[str, ...]
    started_at: str
    ended_at: str
    success: bool
    aborted: bool
    timeline: Timeline
    serving_by_family: dict[str, str]
    stages: tuple[Stage, ...]
    measured: Measured
    data_check: DataCheck
    fallback: Stage
    issues: tuple[Issue, ...] = ()
    sequence: int = 0
    previous: str = ""
    resumed: bool = False
    restore: Stage | None = None
    detection: Detection | None = None
    tolerated_alerts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    next_due_at: str | None = None
    artifacts: str = ""


class Signature(_Part, frozen=True):
    """Who signed a record: a link of the chain of its own, for a record is never changed.

    Attributes:
        sequence: Its place in the chain, as a record's; likewise `previous`.
        record: The id of the record that was signed.
        record_sha256: Its digest, as on its page.
        name: Who signed.
        role: In which of the record's roles.
        signed_at: When.
    """

    version: int
    id: str
    record: str
    record_sha256: str
    name: str
    role: str
    signed_at: str
    sequence: int = 0
    previous: str = ""


def read_record(path: Path) -> DrillRecord:
    """Read a record.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: it is no record; the message names the field.
    """
    return decode_record(path.read_bytes())


def decode_record(content: bytes) -> DrillRecord:
    """A record from its file's content.

    Raises:
        msgspec.DecodeError: it is no record; the message names the field.
    """
    return msgspec.json.decode(content, type=DrillRecord)


#: What stands between a record's id and the number of a signature, in the signature's id.
SIGNED = ".signature-"


def signature_paths(folder: Path) -> list[Path]:
    """The signatures of a folder."""
    return sorted(path for path in folder.glob(f"*{SIGNED}*.json") if not path.name.startswith("."))


def record_paths(folder: Path) -> list[Path]:
    """The records of a folder, the oldest first (their names hold the time); signatures are no records."""
    found = [
        path for path in folder.glob("*.json") if not path.name.startswith(".") and SIGNED not in path.name
    ]
    return sorted(found, key=lambda path: path.stem.rsplit("-", 1)[-1])
