"""Records of repositories as metrics: how they are kept, and what of them came back on another host."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from checks.backup.elsewhere import CHECK as ELSEWHERE
from checks.backup.repositories import (
    CLIENT_CHECKS,
    CLOCK,
    DAMAGE,
    FOREIGN,
    HELD_CHECKS,
    LOCK,
    MAINTENANCE,
    READ,
    SIZE,
)
from checks.record import Record, Status
from exporters.readings import epoch_seconds

_LABELS = ["policy", "node", "repository"]
#: The moments, each with what its metric is called and says; a value is an age.
_MOMENTS = {
    MAINTENANCE: (
        "jizuo_repository_maintenance_timestamp_seconds",
        "When a repository's node last removed old snapshots; 0 for never.",
    ),
    READ: (
        "jizuo_repository_data_read_timestamp_seconds",
        "When the part of a repository's data was read that has waited longest; 0 for never.",
    ),
    ELSEWHERE: (
        "jizuo_restore_elsewhere_timestamp_seconds",
        "When data of a repository last came back well on another host than the client; 0 for never.",
    ),
}
#: What is as it is.
_VALUES = {
    DAMAGE: ("jizuo_repository_damaged_files", "Files of a repository that are known to be damaged."),
    LOCK: ("jizuo_repository_oldest_lock_seconds", "How old the oldest lock was when its node looked."),
    FOREIGN: ("jizuo_repository_foreign_snapshots", "Snapshots in a repository that are not its job's."),
    SIZE: ("jizuo_repository_size_bytes", "What a repository takes of its node's disk."),
    CLOCK: (
        "jizuo_repository_clock_offset_seconds",
        "By how much the client's clock is ahead of the repository's node.",
    ),
}


def repository_metrics(records: Sequence[Record]) -> list[Metric]:
    """The families of all repositories; `node` is the client. What could not be asked has no series."""
    families = {
        check: GaugeMetricFamily(name, text, labels=_LABELS)
        for check, (name, text) in {**_MOMENTS, **_VALUES}.items()
    }
    well = GaugeMetricFamily(
        "jizuo_repository_ok",
        "Whether one of the checks of a repository passes: its keeping, and restores on other hosts.",
        labels=[*_LABELS, "check"],
    )
    for record in records:
        check, _, repository = record.check.partition(":")
        if check not in (*HELD_CHECKS, *CLIENT_CHECKS, ELSEWHERE):
            continue
        if record.status not in (Status.PASS, Status.FAIL):
            continue
        policy, _, node = record.subject.partition("@")
        labels = [policy, node, repository]
        well.add_metric([*labels, check], 1 if record.status is Status.PASS else 0)
        known = isinstance(record.value, (int, float))
        if check in _VALUES and known:
            families[check].add_metric(labels, float(record.value or 0))
        elif check in _MOMENTS and known:
            families[check].add_metric(labels, epoch_seconds(record.at) - float(record.value or 0))
        elif check in _MOMENTS and record.status is Status.FAIL:
            families[check].add_metric(labels, 0)
    return [*families.values(), well]
