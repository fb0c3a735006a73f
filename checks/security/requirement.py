"""What does a control ask of a host, one requirement at a time, and what do they come to? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """The results that an assessment of GB/T 22239 knows; a manual one is never a pass."""

    COMPLIANT = "compliant"
    PARTLY = "partly"  # 部分符合: some requirements are met, others not
    NONCOMPLIANT = "noncompliant"
    NOT_APPLICABLE = "not_applicable"
    MANUAL = "manual"


class Requirement(NamedTuple):
    """One thing that a control asks for: met, not met, or (None) nothing that this host has."""

    id: str
    met: bool | None
    evidence: str


class Manual(NamedTuple):
    """A person has to judge; the evidence says what the host shows of it."""

    evidence: str


class Verdict(NamedTuple):
    """What a control came to."""

    state: State
    evidence: str
    unmet: tuple[str, ...] = ()


def verdict_of(findings: Sequence[Requirement] | Manual) -> Verdict:
    """The state that requirements come to, with the evidence of those that are not met first."""
    if isinstance(findings, Manual):
        return Verdict(State.MANUAL, findings.evidence)
    unmet = [requirement for requirement in findings if requirement.met is False]
    met = [requirement for requirement in findings if requirement.met]
    rest = [requirement for requirement in findings if requirement.met is None]
    states = {
        (True, True): State.PARTLY,
        (True, False): State.NONCOMPLIANT,
        (False, True): State.COMPLIANT,
        (False, False): State.NOT_APPLICABLE,
    }
    state = states[bool(unmet), bool(met)]
    text = "; ".join(
        [f"NOT MET {requirement.id}: {requirement.evidence}" for requirement in unmet]
        + [f"{requirement.id}: {requirement.evidence}" for requirement in met]
        + [f"{requirement.id}: not applicable, {requirement.evidence}" for requirement in rest]
    )
    return Verdict(state, text, tuple(requirement.id for requirement in unmet))
