"""Records for a collector's tests, and what a collector exposes as text."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric, generate_latest

from checks.record import Record, Status

AT = "2026-11-25T12:00:00+00:00"


def record(subject: str, check: str, status: Status, value: float | None) -> Record:
    return Record(
        subject=subject,
        check=check,
        family="none",
        status=status,
        value=value,
        at=AT,
        evidence="",
        reason="",
    )


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
