"""Where do hosts differ from the inventory? The record that `jizuo drift` leaves, and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from exporters.readings import epoch_seconds
from exporters.sources import Parsed


class HostDrift(msgspec.Struct, frozen=True):
    """What a deploy would do on a host, by role; or why the host could not be read, and nothing is known."""

    pending: dict[str, tuple[str, ...]] = {}
    unread: str = ""


class DriftRecord(msgspec.Struct, frozen=True):
    """A check of drift that began at `at`; unknown fields are let pass."""

    at: str
    seconds: float
    hosts: dict[str, HostDrift]
    error: str = ""

    @property
    def drifted(self) -> list[str]:
        """The hosts on which something is pending."""
        return [name for name, host in self.hosts.items() if any(host.pending.values())]

    @property
    def unread(self) -> list[str]:
        """The hosts that could not be read."""
        return [name for name, host in self.hosts.items() if host.unread]


def parse_drift(files: Sequence[Path]) -> Parsed[DriftRecord | None]:
    """The newest record among files; None where there is none.

    Raises:
        OSError: A file cannot be read.
        msgspec.DecodeError: A file is no such record.
        ValueError: Its time has no offset from UTC.
    """
    records = [msgspec.json.decode(file.read_bytes(), type=DriftRecord) for file in files]
    newest = max(records, key=lambda record: epoch_seconds(record.at), default=None)
    return Parsed(newest, epoch_seconds(newest.at) if newest else None)


def drift_metrics(record: DriftRecord) -> list[Metric]:
    """The families of the last check; a host that was not read has no series of operations, never old ones."""
    pending = GaugeMetricFamily(
        "jizuo_drift_pending_operations",
        "Operations that a deploy of a role would do on a host; none where the host was not read.",
        labels=["subject", "role"],
    )
    operations = InfoMetricFamily(
        "jizuo_drift_operation", "An operation that a deploy would do on a host; only while it is pending."
    )
    read = GaugeMetricFamily(
        "jizuo_drift_host_read", "Whether the last check of drift could read a host.", labels=["subject"]
    )
    for name, host in record.hosts.items():
        read.add_metric([name], 0 if host.unread else 1)
        for role, names in host.pending.items():
            pending.add_metric([name, role], len(names))
            for operation in dict.fromkeys(names):  # a role may have two of a name
                operations.add_metric([], {"subject": name, "role": role, "operation": operation})
    hosts = GaugeMetricFamily(
        "jizuo_drift_hosts", "Hosts of the last check of drift by what it found.", labels=["state"]
    )
    drifted, unread = len(record.drifted), len(record.unread)
    hosts.add_metric(["drifted"], drifted)
    hosts.add_metric(["unread"], unread)
    hosts.add_metric(["well"], len(record.hosts) - drifted - unread)
    return [
        GaugeMetricFamily(
            "jizuo_drift_check_timestamp_seconds",
            "When the last check of drift began.",
            value=epoch_seconds(record.at),
        ),
        GaugeMetricFamily(
            "jizuo_drift_check_duration_seconds", "How long the last check took.", value=record.seconds
        ),
        pending,
        operations,
        read,
        hosts,
    ]
