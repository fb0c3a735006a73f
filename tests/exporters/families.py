"""What families of metrics say: their samples by name and labels, and records to make them of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from checks.record import Record, Status
from exporters.exposition import CONTENT_TYPE_OPENMETRICS, Family, Part
from exporters.readings import epoch_seconds

Sample = tuple[str, frozenset[tuple[str, str]]]


def as_metrics(families: Iterable[Family]) -> list[Metric]:
    """The families as prometheus-client has them; what is rendered here is read by its own parser."""
    return [
        parsed
        for family in families
        for parsed in (
            [family]
            if isinstance(family, Metric)
            else parse_openmetrics((Part([family]).plain[CONTENT_TYPE_OPENMETRICS] + b"# EOF\n").decode())
        )
    ]


def samples(families: Iterable[Family]) -> dict[Sample, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in as_metrics(families)
        for sample in family.samples
    }


def value(found: dict[Sample, float], name: str, /, **labels: str) -> float:
    wanted = frozenset(labels.items())
    hits = [number for (sample, held), number in found.items() if sample == name and wanted <= held]
    assert len(hits) == 1, f"{name}{labels}: {hits}"
    return hits[0]


def names(found: dict[Sample, float], name: str) -> list[dict[str, str]]:
    return [dict(held) for sample, held in found if sample == name]


def record(subject: str, check: str, status: Status, value: float | str | None = None, **more: Any) -> Record:
    fields = {"family": "none", "at": "2026-11-23T08:00:00.000+08:00", "evidence": "", "reason": ""}
    return Record(subject=subject, check=check, status=status, value=value, **{**fields, **more})


#: When all of :func:`record` happened.
AT = epoch_seconds("2026-11-23T08:00:00.000+08:00")
