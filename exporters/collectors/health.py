"""Are the collectors themselves well? Success, age and trouble of each, and the exporter's own state."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.process_collector import ProcessCollector

from exporters.readings import Reading
from exporters.web.server import ReloadState


def health_metrics(readings: Mapping[str, Reading[object]], reload_state: ReloadState) -> list[Metric]:
    """One series a collector, whatever state it is in; the reason exists only while one fails."""
    success = GaugeMetricFamily(
        "jizuo_collector_success",
        "Whether the collector's data is there, readable and not too old.",
        labels=["collector"],
    )
    read = GaugeMetricFamily(
        "jizuo_collector_last_read_timestamp_seconds",
        "When the collector last read its data with success; 0 for never.",
        labels=["collector"],
    )
    data = GaugeMetricFamily(
        "jizuo_collector_data_timestamp_seconds",
        "When the newest of the collector's data was seen; 0 for none.",
        labels=["collector"],
    )
    duration = GaugeMetricFamily(
        "jizuo_collector_duration_seconds", "How long the last collection took.", labels=["collector"]
    )
    failure = InfoMetricFamily(
        "jizuo_collector_failure", "What is wrong with a collector's data; only while something is."
    )
    for collector, reading in readings.items():
        success.add_metric([collector], 1 if reading.well else 0)
        read.add_metric([collector], reading.read_at or 0)
        data.add_metric([collector], reading.at or 0)
        duration.add_metric([collector], reading.seconds)
        if reading.trouble:
            failure.add_metric([], {"collector": collector, "reason": reading.trouble.value})
    return [success, read, data, duration, failure, *_web_metrics(reload_state)]


def process_metrics() -> list[Metric]:
    """Memory, processor time and file descriptors of the exporter, and what was built with what."""
    try:
        built = version("jizuo")
    except PackageNotFoundError:  # run from a source tree that is not installed
        built = "unknown"
    about = {"version": built, "python_version": platform.python_version()}
    build = InfoMetricFamily("jizuo_build", "The version of the exporter.", value=about)
    return [build, *ProcessCollector(registry=None).collect()]


def _web_metrics(state: ReloadState) -> list[Metric]:
    return [
        GaugeMetricFamily(
            "jizuo_web_config_last_reload_successful",
            "Whether the last reading of the web configuration succeeded.",
            value=1 if state.successful else 0,
        ),
        GaugeMetricFamily(
            "jizuo_web_config_last_reload_success_timestamp_seconds",
            "When the web configuration was last read with success.",
            value=state.succeeded_at,
        ),
    ]
