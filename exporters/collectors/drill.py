"""Drill records as metrics: when each was last held, and how quick recovery was against its objective."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from checks.drills.record import DrillRecord
from exporters.drills import due_at, held_at, last_of_each


def drill_metrics(records: Iterable[DrillRecord]) -> list[Metric]:
    """The families of the newest record of every drill; no series at all where none was ever held."""
    families = {
        "last_timestamp_seconds": "When the drill was last held.",
        "due_timestamp_seconds": "Until when the drill is to be held again.",
        "issues": "Things to put right that the last one found.",
        "success": "Whether the last one recovered, with the right data and within its objectives.",
        "rto_seconds": "How long recovery took, from the fault to service as a client sees it.",
        "rto_objective_seconds": "How long it may take.",
        "detected_seconds": "How long after the fault monitoring raised the alarm.",
        "rpo_seconds": "How much time's data was lost.",
        "rpo_objective_seconds": "How much may be lost.",
    }
    found = {
        name: GaugeMetricFamily(f"jizuo_drill_{name}", text, labels=["drill"])
        for name, text in families.items()
    }
    records = list(records)
    due = due_at(records)
    for record in last_of_each(records):
        values = {
            "last_timestamp_seconds": held_at(record),
            "due_timestamp_seconds": due[record.drill],
            "issues": float(len(record.issues)),
            "success": 1.0 if record.success else 0.0,
            "rto_seconds": record.measured.rto_seconds,
            "rto_objective_seconds": record.measured.rto_objective_seconds,
            "detected_seconds": record.measured.detected_seconds,
            "rpo_seconds": record.measured.rpo_seconds,
            "rpo_objective_seconds": record.measured.rpo_objective_seconds,
        }
        for name, value in values.items():
            if value is not None:
                found[name].add_metric([record.drill], value)
    return list(found.values())
