"""Is a system ready for IPv6 as an assessment sees it? Judges what was measured; pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from checks.record import Record, Status, timestamp
from inventories.records import Family

from .outcome import UNKNOWN


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a part of the assessment is met; see ipv6.toml."""

    degradation: float
    negligible_seconds: float
    likeness: float
    links: float


class Assessment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked, and how much each part weighs."""

    limits: Limits
    weights: dict[str, float]


class Page(NamedTuple):
    """One page over one family: medians of several requests, in seconds; the reason where it failed."""

    tcp: float = 0.0
    first_byte: float = 0.0
    page: float = 0.0
    lines: frozenset[str] = frozenset()
    reason: str = ""
    evidence: str = ""


class Zone(NamedTuple):
    """A zone above a name: how many name servers it has, have AAAA records, and answered over IPv6."""

    name: str
    servers: int
    with_address: int
    answering: int


class Measured(NamedTuple):
    """What was measured of one endpoint of a system.

    Attributes:
        subject: The system.
        addresses: The name's AAAA records.
        resolution: Why there are none, where the name servers could not say.
        zones: The zones from the name up to the topmost that could be found.
        pages: The page over each family.
        links: Links of the second and third level that were tried over IPv6.
        broken: Those of them that did not work, with the reason.
    """

    subject: str
    addresses: Sequence[str]
    resolution: str
    zones: Sequence[Zone]
    pages: Mapping[Family, Page]
    links: int
    broken: Sequence[str]


class Verdict(NamedTuple):
    """One part of the assessment; `met` is None where it could not be told."""

    part: str
    met: bool | None
    value: float | None
    evidence: str
    reason: str = ""


@cache
def assessment() -> Assessment:
    """The kit's own weights and limits."""
    text = Path(__file__).with_name("ipv6.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Assessment)


def degradation(ipv6: float, ipv4: float) -> float:
    """By how much a delay is worse over IPv6: (v6 - v4) / v4; negative where it is better."""
    return (ipv6 - ipv4) / ipv4 if ipv4 > 0 else 0.0


def judge(measured: Measured, by: Assessment) -> list[Verdict]:
    """Every part of the assessment, in the order of its weights' file."""
    found = {verdict.part: verdict for verdict in _verdicts(measured, by.limits)}
    return [found[part] for part in by.weights]


def score(verdicts: Sequence[Verdict], by: Assessment) -> float:
    """The weight of what is met in the weight of all, 0 to 1; what could not be told is not met."""
    met = sum(by.weights[verdict.part] for verdict in verdicts if verdict.met)
    return met / sum(by.weights.values())


def records_of(measured: Measured, by: Assessment) -> list[Record]:
    """A record a part, `ipv6-<part>`, and the score: a pass where nothing is missing."""
    verdicts = judge(measured, by)
    points = round(score(verdicts, by), 4)
    missing = ", ".join(verdict.part for verdict in verdicts if not verdict.met)
    evidence = f"{points:.0%} of the weight" + (f"; missing: {missing}" if missing else "")
    whole = Verdict("score", not missing, points, evidence, "not_ready" if missing else "")
    return [_record(measured.subject, verdict) for verdict in (*verdicts, whole)]


def not_deployed(subject: str) -> list[Record]:
    """The records of a system that the inventory says is not deployed in IPv6: broken it is not, ready neither."""
    said = "the inventory says that it is not deployed in IPv6"
    return [_record(subject, Verdict("score", False, 0.0, said, "not_deployed"))]


def broken(subject: str, error: str) -> list[Record]:
    """The records of a system whose assessment itself failed."""
    return [_record(subject, Verdict("score", None, None, f"the assessment broke: {error}", "fault"))]


def _record(subject: str, verdict: Verdict) -> Record:
    status = Status.ERROR if verdict.met is None else Status.PASS if verdict.met else Status.FAIL
    return Record(
        subject=subject,
        check=f"ipv6-{verdict.part}",
        family="ipv6",
        status=status,
        value=verdict.value,
        at=timestamp(),
        evidence=verdict.evidence,
        reason=verdict.reason,
    )


def _verdicts(measured: Measured, limits: Limits) -> list[Verdict]:
    four, six = measured.pages[Family.IPV4], measured.pages[Family.IPV6]
    both = not four.reason and not six.reason
    verdicts = [_addresses(measured), _authority(measured.zones)]
    met = None if six.reason in UNKNOWN else not six.reason
    verdicts.append(Verdict("reachable", met, None, six.evidence, six.reason))
    for part in ("tcp", "first_byte", "page"):
        if not both:
            verdicts.append(_untold(part, four, six))
            continue
        slow, fast = getattr(six, part), getattr(four, part)
        worse = degradation(slow, fast)
        met = worse <= limits.degradation or slow - fast <= limits.negligible_seconds
        evidence = f"{slow * 1000:.1f} ms over IPv6, {fast * 1000:.1f} ms over IPv4: {worse:+.0%}"
        verdicts.append(Verdict(part, met, round(worse, 4), evidence, "" if met else "degraded"))
    if both:
        verdicts.append(_content(four, six, limits))
    else:
        verdicts.append(_untold("content", four, six))
    return [*verdicts, _links(measured, six, limits)]


def _untold(part: str, four: Page, six: Page) -> Verdict:
    """Without a page over IPv6 nothing of it is met; without one over IPv4 there is nothing to compare with."""
    if six.reason:
        met = None if six.reason in UNKNOWN else False
        return Verdict(part, met, None, f"no page over IPv6: {six.evidence}", six.reason)
    return Verdict(part, None, None, f"no page over IPv4 to compare with: {four.evidence}", four.reason)


def _addresses(measured: Measured) -> Verdict:
    if measured.addresses:
        return Verdict("aaaa", True, float(len(measured.addresses)), " ".join(measured.addresses))
    if measured.resolution:
        return Verdict("aaaa", None, None, measured.resolution, "unresolved")
    return Verdict("aaaa", False, 0.0, "no AAAA record", "no_address")


def _authority(zones: Sequence[Zone]) -> Verdict:
    """Every zone above the name has a name server with an AAAA record that answers over IPv6 itself."""
    if not zones:
        return Verdict("authority", None, None, "no zone above the name could be found", "unresolved")
    bad = [zone for zone in zones if not zone.answering]
    said = "; ".join(
        f"{zone.name}: {zone.answering} of {zone.servers} name servers answer over IPv6, {zone.with_address} have AAAA"
        for zone in (bad or zones)
    )
    share = 1 - len(bad) / len(zones)
    return Verdict("authority", not bad, round(share, 4), said, "no_ipv6_authority" if bad else "")


def _content(four: Page, six: Page, limits: Limits) -> Verdict:
    every = four.lines | six.lines
    likeness = len(four.lines & six.lines) / len(every) if every else 1.0
    met = likeness >= limits.likeness
    said = f"{likeness:.0%} of the lines are the same over both"
    return Verdict("content", met, round(likeness, 4), said, "" if met else "different")


def _links(measured: Measured, six: Page, limits: Limits) -> Verdict:
    if six.reason:
        return _untold("links", six, six)
    if not measured.links:
        return Verdict("links", True, 1.0, "the page has no inner links")
    share = 1 - len(measured.broken) / measured.links
    met = share >= limits.links
    said = f"{measured.links - len(measured.broken)} of {measured.links} inner links work over IPv6"
    if measured.broken:
        said += f"; not: {', '.join(measured.broken[:3])}"
    return Verdict("links", met, round(share, 4), said, "" if met else "broken_links")
