"""Probe records as metrics: what answers, how fast, how much is lost, and why not, in each address family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from checks.availability.targets import Unprobed
from checks.record import Record, Status
from exporters.exposition import Family, Series, label_text
from exporters.places import UNKNOWN_PLACE, Place

#: What names a target: subject, check, family.
TargetKey = tuple[str, str, str]
#: More targets than the province's largest city has.
_REMEMBERED = 100_000


class Totals(NamedTuple):
    """What has come of a target's probes since the exporter started.

    Attributes:
        attempts: Cycles in which it was probed; those in which no probe could be made do not count.
        failures: Cycles in which it did not answer.
        answer_seconds: Seconds that its answers took, of all cycles in which it answered.
        packets: Echo requests sent to it; 0 for other kinds of probe.
        lost: Echo requests that it did not answer.
    """

    attempts: int = 0
    failures: int = 0
    answer_seconds: float = 0.0
    packets: int = 0
    lost: int = 0


class Cycle(NamedTuple):
    """A finished round of probes.

    Attributes:
        records: A record for each target.
        totals: What has come of each target's probes since the exporter started; empty where the rounds are
            made elsewhere.
        finished_at: When the round ended, in seconds since the epoch.
        seconds: How long it took.
        interval: How often a round begins, in seconds; 0 where the rounds are not made here.
        finished: How many rounds have ended since the exporter started.
    """

    records: Sequence[Record]
    totals: Mapping[TargetKey, Totals]
    finished_at: float
    seconds: float
    interval: float
    finished: int = 0


def key_of(record: Record) -> TargetKey:
    """The target that a record speaks of."""
    return record.subject, record.check, record.family


def answered(record: Record) -> bool:
    """Whether a probe was answered; one that could not be made was not."""
    return record.status is Status.PASS


@lru_cache(_REMEMBERED)
def _labels(subject: str, check: str, family: str, level: str, county: str) -> str:
    return label_text(
        {"subject": subject, "check": check, "family": family, "level": level, "county": county}
    )


@lru_cache(_REMEMBERED)
def _failure_labels(subject: str, check: str, family: str, reason: str) -> str:
    return label_text({"subject": subject, "check": check, "family": family, "reason": reason})


def availability_metrics(cycle: Cycle, where: Mapping[str, Place]) -> list[Family]:
    """The families of one round: a target that does not answer is 0, and stays.

    The reason of a failure stands on a metric of its own, which exists only while it fails, so that no
    series of `jizuo_probe_success` ends when the reason changes.
    """
    success: list[tuple[str, float]] = []
    duration: list[tuple[str, float]] = []
    failing: list[tuple[str, float]] = []
    counted: list[tuple[str, Totals]] = []
    for record in cycle.records:
        place = where.get(record.subject, UNKNOWN_PLACE)
        labels = _labels(record.subject, record.check, record.family, place.level, place.county)
        if answered(record):
            success.append((labels, 1))
        else:
            success.append((labels, 0))
            why = record.reason or "unknown"
            failing.append((_failure_labels(record.subject, record.check, record.family, why), 1))
        if isinstance(record.value, (int, float)):
            duration.append((labels, record.value))
        if total := cycle.totals.get(key_of(record)):
            counted.append((labels, total))
    return [
        Series("gauge", "jizuo_probe_success", "Whether the target answered in the last cycle.", success),
        Series(
            "gauge",
            "jizuo_probe_duration_seconds",
            "How long the target took to answer in the last cycle; the mean of an ICMP target's packets.",
            duration,
        ),
        Series(
            "info", "jizuo_probe_failure", "Why a target did not answer; only while it does not.", failing
        ),
        *_counters(counted),
        *_cycle_metrics(cycle),
    ]


def _counters(counted: Sequence[tuple[str, Totals]]) -> list[Family]:
    """What only grows; loss and its like are rates of these."""
    pinged = [(labels, total) for labels, total in counted if total.packets]
    return [
        Series(
            "counter",
            "jizuo_probe_attempts",
            "Cycles in which the target was probed.",
            [(labels, total.attempts) for labels, total in counted],
        ),
        Series(
            "counter",
            "jizuo_probe_failures",
            "Cycles in which the target did not answer.",
            [(labels, total.failures) for labels, total in counted],
        ),
        Series(
            "counter",
            "jizuo_probe_answer_seconds",
            "Seconds that the target took to answer, of all cycles in which it did.",
            [(labels, total.answer_seconds) for labels, total in counted],
        ),
        Series(
            "counter",
            "jizuo_probe_packets_sent",
            "Echo requests sent to the target.",
            [(labels, total.packets) for labels, total in pinged],
        ),
        Series(
            "counter",
            "jizuo_probe_packets_lost",
            "Echo requests that the target did not answer.",
            [(labels, total.lost) for labels, total in pinged],
        ),
    ]


def _cycle_metrics(cycle: Cycle) -> list[Metric]:
    outcomes = GaugeMetricFamily(
        "jizuo_probe_cycle_targets",
        "Targets of the last cycle by what came of them; error: this machine could not probe.",
        labels=["family", "status"],
    )
    numbers = Counter((record.family, record.status) for record in cycle.records)
    for family in sorted({family for family, _ in numbers}):
        for status in (Status.PASS, Status.FAIL, Status.ERROR):
            outcomes.add_metric([family, status], numbers[family, status])
    return [
        GaugeMetricFamily(
            "jizuo_probe_cycle_timestamp_seconds",
            "When the last cycle of probes ended.",
            value=cycle.finished_at,
        ),
        GaugeMetricFamily(
            "jizuo_probe_cycle_duration_seconds", "How long the last cycle took.", value=cycle.seconds
        ),
        GaugeMetricFamily(
            "jizuo_probe_cycle_interval_seconds",
            "How often a cycle begins; 0 where the records are made elsewhere.",
            value=cycle.interval,
        ),
        CounterMetricFamily(
            "jizuo_probe_cycles", "Cycles that have ended since the exporter started.", value=cycle.finished
        ),
        outcomes,
    ]


def unprobed_metrics(unprobed: Iterable[Unprobed]) -> list[Family]:
    """What is not probed, and why: not deployed is not broken, and not forgotten either."""
    rows = [(label_text(dict(zip(Unprobed._fields, one, strict=True))), 1.0) for one in unprobed]
    said = "What is not probed, in which family, and why."
    return [Series("info", "jizuo_probe_excluded", said, rows)]
