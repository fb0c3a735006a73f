"""Control records as metrics: the state of every control on every host, by severity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from checks.record import Record, Status
from checks.security.controls import Control
from exporters.readings import epoch_seconds

#: Every state that a control can be in, so that a count of 0 shows as 0.
STATES = ("compliant", "partly", "noncompliant", "not_applicable", "manual", "waived", "unknown")
_STATE_OF_STATUS = {
    Status.PASS: "compliant",
    Status.FAIL: "noncompliant",
    Status.MANUAL: "manual",
    Status.NOT_APPLICABLE: "not_applicable",
    Status.WAIVED: "waived",
    Status.ERROR: "unknown",
}


#: How the record of a waiver that has run out names itself, before the control's id.
_WAIVER = "waiver-"


class Severities(dict[str, str]):
    """The severity of every control by id; that of an expired waiver is its control's."""

    def __missing__(self, check: str) -> str:
        return self.get(check.removeprefix(_WAIVER), "unknown")


def severities(controls: Iterable[Control]) -> Severities:
    """The severities of a catalogue of controls."""
    return Severities({control.id: control.severity for control in controls})


def state_of(record: Record) -> str:
    """The state that a record stands for. What could not be read is unknown, never compliant."""
    if record.status is Status.FAIL and record.value == "partly":
        return "partly"
    return _STATE_OF_STATUS[record.status]


def security_metrics(records: Sequence[Record], controls: Sequence[Control]) -> list[Metric]:
    """One series for each host, control and family, in the state it is in; sums by severity and state."""
    severity_of = severities(controls)
    control = GaugeMetricFamily(
        "jizuo_security_control",
        "1 for the state that a control is in on a host.",
        labels=["subject", "control", "family", "severity", "state"],
    )
    counted: Counter[tuple[str, str]] = Counter()
    for record in records:
        severity, state = severity_of[record.check], state_of(record)
        control.add_metric([record.subject, record.check, record.family, severity, state], 1)
        counted[severity, state] += 1
    sums = GaugeMetricFamily(
        "jizuo_security_controls", "Controls of all hosts in each state.", labels=["severity", "state"]
    )
    for severity in sorted({*severity_of.values(), *(named for named, _ in counted)}):
        for state in STATES:
            sums.add_metric([severity, state], counted[severity, state])
    about = InfoMetricFamily("jizuo_control", "The clause of GB/T 22239-2019 and the title of a control.")
    for known in controls:
        about.add_metric([], {"control": known.id, "clause": known.clause, "title": known.title})
    return [control, sums, _scans(records), about]


def _scans(records: Sequence[Record]) -> Metric:
    scan = GaugeMetricFamily(
        "jizuo_security_scan_timestamp_seconds",
        "When a host's controls were last read; 0 where they could not be.",
        labels=["subject"],
    )
    scanned: dict[str, float] = {}
    for record in records:
        if record.check.startswith(_WAIVER):
            continue  # speaks of a waiver, not of a host
        seen = 0.0 if record.status is Status.ERROR else epoch_seconds(record.at)
        scanned[record.subject] = max(seen, scanned.get(record.subject, 0.0))
    for subject, seen in scanned.items():
        scan.add_metric([subject], seen)
    return scan
