"""A whole city as its hosts described themselves, and ways to make one thing worse."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import msgspec
from msgspec import structs

from checks.extranet.policy import Case
from checks.extranet.run import Expectation, evaluate, expectation
from checks.record import Record, Status
from checks.security.stream import Capture, Section, parse
from inventories.load import load_city

CAPTURES = Path(__file__).parent / "captures"

Captures = dict[str, Capture]
#: What names a finding: subject, check, family, reason.
Finding = tuple[str, str, str, str]


@cache
def planned() -> Expectation:
    """What the inventory of the captures says, on the day when they were taken."""
    return expectation(load_city(CAPTURES / "inventory"), taken())


def taken() -> date:
    """The day when the captures were taken."""
    pairs = dict(line.split("=", 1) for line in _parsed()["core-a"]["identity"].lines)
    return datetime.fromtimestamp(int(pairs["time"]), UTC).date()


@cache
def streams() -> dict[str, str]:
    """What every host of the lab said, when all was well."""
    return msgspec.json.decode(
        gzip.decompress((CAPTURES / "hosts.json.gz").read_bytes()), type=dict[str, str]
    )


def captures() -> Captures:
    """The same, read."""
    return {node: dict(capture) for node, capture in _parsed().items()}


@cache
def _parsed() -> Captures:
    return {node: parse(stream) for node, stream in streams().items()}


def replaced(city: Captures, node: str, section: str, pattern: str, text: str) -> Captures:
    """The captures with the first match of a pattern in a section of a node replaced; it has to be there."""
    found = city[node][section]
    changed, count = re.subn(pattern, text, "\n".join(found.lines), count=1, flags=re.MULTILINE)
    assert count, f"section {section} of {node} has no {pattern}"
    city[node][section] = Section(tuple(line for line in changed.split("\n") if line), found.status)
    return city


def said(city: Captures, node: str, section: str, text: str, status: int = 0) -> Captures:
    """The captures with another section of a node."""
    city[node][section] = Section(tuple(text.splitlines()), status)
    return city


def findings(city: Captures, cases: Sequence[Case] = ()) -> list[Finding]:
    """What the audit finds, errors among it."""
    return [
        (record.subject, record.check, record.family, record.reason)
        for record in records(city, cases)
        if record.status in (Status.FAIL, Status.ERROR)
    ]


def records(city: Captures, cases: Sequence[Case] = ()) -> list[Record]:
    """What the audit says of the captures; of the policy's cases those that are given."""
    return evaluate(structs.replace(planned(), cases=tuple(cases)), city)
