"""Records for a collector's tests, and what a collector exposes as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Metric, generate_latest

from checks.record import Record, Status

AT = "2026-11-25T12:00:00+00:00"
#: A sample's name and labels.
Sample = tuple[str, frozenset[tuple[str, str]]]


def record(subject: str, check: str, status: Status, value: float | str | None, **more: Any) -> Record:
    fields = {"family": "none", "at": AT, "evidence": "", "reason": ""}
    return Record(subject=subject, check=check, status=status, value=value, **{**fields, **more})


class _Collected:
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self.metrics = list(metrics)

    def collect(self) -> list[Metric]:
        return self.metrics


def exposed(metrics: Iterable[Metric]) -> bytes:
    """What Prometheus is given of these."""
    registry = CollectorRegistry()
    registry.register(_Collected(metrics))  # type: ignore[arg-type]
    return generate_latest(registry)


def samples(metrics: Iterable[Metric]) -> list[str]:
    """The lines of it that are values."""
    return [line for line in exposed(metrics).decode().splitlines() if not line.startswith("#")]


def values(metrics: Iterable[Metric]) -> dict[Sample, float]:
    """The values by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def labels_of(found: dict[Sample, float], name: str) -> list[dict[str, str]]:
    """The labels of every sample of a name."""
    return [dict(held) for sample, held in found if sample == name]


def value(found: dict[Sample, float], name: str, /, **labels: str) -> float:
    """The one value of a name that has these labels, and perhaps others."""
    wanted = frozenset(labels.items())
    hits = [number for (sample, held), number in found.items() if sample == name and wanted <= held]
    assert len(hits) == 1, f"{name}{labels}: {hits}"
    return hits[0]
