"""Records of continuously kept databases as metrics: the moment that would come back, rather than its age."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from checks.backup_databases import BASE_BACKUP, ELSEWHERE, LOG, RESTORABLE, RESTORE_TEST, RETENTION
from checks.record import Record, Status
from exporters.readings import epoch_seconds

#: The moments of a repository, each with what its metric is called and says.
_MOMENTS = {
    RESTORABLE: ("restorable", "The newest moment that a repository gives back; 0 for none."),
    BASE_BACKUP: ("base_backup", "When the newest base backup in a repository ended; 0 for none."),
    RESTORE_TEST: ("restore_test_success", "When a restore last answered what it must; 0 for never."),
    ELSEWHERE: (
        "restore_elsewhere",
        "When a restore on another host last answered what it must; 0 for never.",
    ),
}


def database_metrics(records: Sequence[Record]) -> list[Metric]:
    """The families of all clusters. What could not be asked has no series."""
    sending = GaugeMetricFamily(
        "jizuo_database_log_sending",
        "Whether a cluster's log is on its way to its repositories.",
        labels=["cluster"],
    )
    families = {
        check: GaugeMetricFamily(
            f"jizuo_database_{name}_timestamp_seconds", text, labels=["cluster", "repository"]
        )
        for check, (name, text) in _MOMENTS.items()
    }
    well = GaugeMetricFamily(
        "jizuo_database_repository_ok",
        "Whether one of a repository's checks passes.",
        labels=["cluster", "repository", "check"],
    )
    backups = GaugeMetricFamily(
        "jizuo_database_base_backups",
        "How many base backups a repository has.",
        labels=["cluster", "repository"],
    )
    for record in records:
        check, _, node = record.check.partition(":")
        if record.status is Status.ERROR:
            continue
        passed = 1.0 if record.status is Status.PASS else 0.0
        if check == LOG:
            sending.add_metric([record.subject], passed)
        elif check == RETENTION:
            backups.add_metric([record.subject, node], float(record.value or 0))
            well.add_metric([record.subject, node, check], passed)
        elif check in families:
            known = isinstance(record.value, (int, float))
            at = epoch_seconds(record.at) - float(record.value or 0) if known else 0.0
            families[check].add_metric([record.subject, node], at)
            well.add_metric([record.subject, node, check], passed)
    return [sending, *families.values(), backups, well]
