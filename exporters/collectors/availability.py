"""Probe records as metrics: what answers, how fast, and why not, in each address family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from checks.record import Record, Status
from exporters.places import UNKNOWN_PLACE, Place

#: What names a target: subject, check, family.
TargetKey = tuple[str, str, str]
_LABELS = ["subject", "check", "family", "level", "county"]


class Cycle(NamedTuple):
    """A finished round of probes.

    Attributes:
        records: A record for each target.
        attempts: How often each target was probed since the exporter started.
        failures: How often it did not answer since then.
        finished_at: When the round ended, in seconds since the epoch.
        seconds: How long it took.
        interval: How often a round begins, in seconds; 0 where the rounds are not made here.
    """

    records: Sequence[Record]
    attempts: Mapping[TargetKey, int]
    failures: Mapping[TargetKey, int]
    finished_at: float
    seconds: float
    interval: float


def key_of(record: Record) -> TargetKey:
    """The target that a record speaks of."""
    return record.subject, record.check, record.family


def answered(record: Record) -> bool:
    """Whether a probe was answered; one that could not be made was not."""
    return record.status is Status.PASS


def availability_metrics(cycle: Cycle, where: Mapping[str, Place]) -> list[Metric]:
    """The families of one round: a target that does not answer is 0, and stays.

    The reason of a failure stands on a metric of its own, which exists only while it fails, so that no
    series of `jizuo_probe_success` ends when the reason changes.
    """
    success = GaugeMetricFamily(
        "jizuo_probe_success", "Whether the target answered in the last cycle.", labels=_LABELS
    )
    duration = GaugeMetricFamily(
        "jizuo_probe_duration_seconds",
        "How long the target took to answer in the last cycle.",
        labels=_LABELS,
    )
    failure = InfoMetricFamily(
        "jizuo_probe_failure", "Why a target did not answer; only while it does not.", labels=[]
    )
    attempts = CounterMetricFamily(
        "jizuo_probe_attempts", "Cycles in which the target was probed.", labels=_LABELS
    )
    failures = CounterMetricFamily(
        "jizuo_probe_failures", "Cycles in which the target did not answer.", labels=_LABELS
    )
    for record in cycle.records:
        key = key_of(record)
        place = where.get(record.subject, UNKNOWN_PLACE)
        labels = [*key, place.level, place.county]
        success.add_metric(labels, 1 if answered(record) else 0)
        if isinstance(record.value, (int, float)):
            duration.add_metric(labels, record.value)
        if not answered(record):
            named = {"subject": key[0], "check": key[1], "family": key[2]}
            failure.add_metric([], {**named, "reason": record.reason or "unknown"})
        if key in cycle.attempts:
            attempts.add_metric(labels, cycle.attempts[key])
            failures.add_metric(labels, cycle.failures.get(key, 0))
    return [success, duration, failure, attempts, failures, *_cycle_metrics(cycle)]


def _cycle_metrics(cycle: Cycle) -> list[Metric]:
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
    ]
