"""What did the last deploy do? The record that `jizuo deploy` leaves, and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from exporters.readings import epoch_seconds
from exporters.sources import Parsed


class HostResult(msgspec.Struct, frozen=True):
    """What a run did on one host: the operations that changed something, and why it failed."""

    changed: tuple[str, ...] = ()
    unchanged: int = 0
    failed: str = ""


class DeployRecord(msgspec.Struct, frozen=True):
    """A run of `jizuo deploy`; unknown fields are let pass."""

    at: str
    seconds: float
    hosts: dict[str, HostResult]
    error: str = ""

    @property
    def success(self) -> bool:
        """Whether it went well on every host."""
        return not self.error and not any(host.failed for host in self.hosts.values())


def parse_deploy(files: Sequence[Path]) -> Parsed[DeployRecord | None]:
    """The newest record among files; None where there is none.

    Raises:
        OSError: A file cannot be read.
        msgspec.DecodeError: A file is no such record.
        ValueError: Its time has no offset from UTC.
    """
    records = [msgspec.json.decode(file.read_bytes(), type=DeployRecord) for file in files]
    newest = max(records, key=lambda record: epoch_seconds(record.at), default=None)
    return Parsed(newest, epoch_seconds(newest.at) if newest else None)


def deploy_metrics(record: DeployRecord) -> list[Metric]:
    """The families of the last run."""
    operations = GaugeMetricFamily(
        "jizuo_deploy_operations", "Operations of the last deploy on a host.", labels=["subject", "state"]
    )
    failed = GaugeMetricFamily(
        "jizuo_deploy_host_success", "Whether the last deploy went well on a host.", labels=["subject"]
    )
    for name, host in record.hosts.items():
        operations.add_metric([name, "changed"], len(host.changed))
        operations.add_metric([name, "unchanged"], host.unchanged)
        failed.add_metric([name], 0 if host.failed else 1)
    return [
        GaugeMetricFamily(
            "jizuo_deploy_last_timestamp_seconds",
            "When the last deploy began.",
            value=epoch_seconds(record.at),
        ),
        GaugeMetricFamily(
            "jizuo_deploy_duration_seconds", "How long the last deploy took.", value=record.seconds
        ),
        GaugeMetricFamily(
            "jizuo_deploy_success", "Whether the last deploy went well.", value=1 if record.success else 0
        ),
        operations,
        failed,
    ]
