"""Which controls does a host meet? From its facts to a record a control and family; pure but for the time."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from checks.record import Record, RecordFamily, Status, timestamp
from inventories.records import Family, Node

from .controls import Control, load_controls
from .facts import FactMissing, Facts
from .profile import Profile
from .requirement import State, Verdict, verdict_of
from .stream import Capture, CollectorAltered, collector_of

_STATUSES = {
    State.COMPLIANT: Status.PASS,
    State.PARTLY: Status.FAIL,
    State.NONCOMPLIANT: Status.FAIL,
    State.NOT_APPLICABLE: Status.NOT_APPLICABLE,
    State.MANUAL: Status.MANUAL,
}


def evaluate_node(node: Node, capture: Capture, profile: Profile) -> list[Record]:
    """Every control of a host, from what its collector printed."""
    facts = Facts(capture, node.role)
    return [
        evaluate_control(control, node, facts, profile, family)
        for control in load_controls()
        for family in families_of(control)
    ]


def families_of(control: Control) -> list[Family | None]:
    """The families that a control is evaluated for; None is both at once."""
    return list(Family) if control.families else [None]


def evaluate_control(
    control: Control, node: Node, facts: Facts, profile: Profile, family: Family | None
) -> Record:
    """One control of a host. A fact that is missing or unreadable is an `error`, never a pass."""
    try:
        verdict = judge(control, facts, profile, family)
    except FactMissing as error:
        return error_record(node.id, control, family, "fact_missing", str(error))
    except (ValueError, KeyError, IndexError, TypeError) as error:  # a line of a form that no host had so far
        text = f"a fact cannot be read: {type(error).__name__}: {error}"
        return error_record(node.id, control, family, "fact_unreadable", text)
    return Record(
        subject=node.id,
        check=control.id,
        family=_family_name(family),
        status=_STATUSES[verdict.state],
        value=verdict.state.value,
        at=timestamp(),
        evidence=verdict.evidence,
        reason=",".join(verdict.unmet),
    )


def judge(control: Control, facts: Facts, profile: Profile, family: Family | None) -> Verdict:
    """The verdict of a control's function.

    Raises:
        FactMissing: The host did not say what the function asks for.
    """
    module, _, name = control.evaluate.partition(".")
    function: Callable[..., Any] = getattr(import_module(f".{module}", __package__), name)
    arguments = [facts, profile] if family is None else [facts, profile, family]
    return verdict_of(function(*arguments))


def error_record(subject: str, control: Control, family: Family | None, reason: str, evidence: str) -> Record:
    """The record of a control that could not be checked."""
    return Record(
        subject=subject,
        check=control.id,
        family=_family_name(family),
        status=Status.ERROR,
        value=None,
        at=timestamp(),
        evidence=evidence,
        reason=reason,
    )


def error_records(subject: str, reason: str, evidence: str) -> list[Record]:
    """The records of a host of which nothing could be checked: one a control, so that none goes missing."""
    return [
        error_record(subject, control, family, reason, evidence)
        for control in load_controls()
        for family in families_of(control)
    ]


def require_own_collector(capture: Capture, digest: str) -> None:
    """Hold the collector on a host against the auditor's own copy.

    Raises:
        CollectorAltered: They differ: what it printed proves nothing.
    """
    found = collector_of(capture)
    if found != digest:
        raise CollectorAltered(
            f"the host's collector is not this auditor's (SHA-256 {found[:12]}, not {digest[:12]}); "
            "deploy the base role again, and find out who changed it"
        )


def _family_name(family: Family | None) -> RecordFamily:
    return family.value if family else "none"
