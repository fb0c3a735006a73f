"""Control records as metrics: what is not met on every host, and all states in sums by severity and clause."""

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
#: The states that have a series for each host however many there are: somebody has to act, or answers for them.
ALWAYS_SINGLE = frozenset({"partly", "noncompliant", "waived", "unknown"})
#: Up to how many rows (host, control, address family) the other states have one too: some 400 hosts with the 23 rows
#: of level 3. All probes of the whole city are 18,000 series; passing rows would then be a second city for a
#: Prometheus, 4 kB each (unit-costs.toml), of which no rule and no panel reads more than the sum.
SINGLE_ROWS = 10_000

#: How the record of a waiver that has run out names itself, before the control's id.
_WAIVER = "waiver-"


class Severities(dict[str, str]):
    """The severity of every control by id; that of an expired waiver is its control's."""

    def __missing__(self, check: str) -> str:
        return self.get(check.removeprefix(_WAIVER), "unknown")


class _Clauses(dict[str, str]):
    """The clause of every control by id, in the same manner; empty for a control that the catalogue lacks."""

    def __missing__(self, check: str) -> str:
        return self.get(check.removeprefix(_WAIVER), "")


def severities(controls: Iterable[Control]) -> Severities:
    """The severities of a catalogue of controls."""
    return Severities({control.id: control.severity for control in controls})


def state_of(record: Record) -> str:
    """The state that a record stands for. What could not be read is unknown, never compliant."""
    if record.status is Status.FAIL and record.value == "partly":
        return "partly"
    return _STATE_OF_STATUS[record.status]


def security_metrics(
    records: Sequence[Record], controls: Sequence[Control], single_rows: int = SINGLE_ROWS
) -> list[Metric]:
    """A series for each host, control and family that is not met; sums of all states by severity and by clause.

    Up to `single_rows` records the other states have a series for each, too; above, they are in the sums alone.
    """
    severity_of = severities(controls)
    control = GaugeMetricFamily(
        "jizuo_security_control",
        f"1 for the state that a control is in on a host; of more than {single_rows} rows those that are not met, "
        "waived or unknown, the others in the sums.",
        labels=["subject", "control", "family", "severity", "state"],
    )
    all_single = len(records) <= single_rows
    for record in records:
        if all_single or state_of(record) in ALWAYS_SINGLE:
            severity, state = severity_of[record.check], state_of(record)
            control.add_metric([record.subject, record.check, record.family, severity, state], 1)
    about = InfoMetricFamily("jizuo_control", "The clause of GB/T 22239-2019 and the title of a control.")
    for known in controls:
        about.add_metric([], {"control": known.id, "clause": known.clause, "title": known.title})
    return [control, *_sums(records, controls), _scans(records), about]


def _sums(records: Iterable[Record], controls: Sequence[Control]) -> list[Metric]:
    """How many there are in each state: a number of series that the catalogue bounds, not the city."""
    severity_of, clause_of = severities(controls), _Clauses({one.id: one.clause for one in controls})
    counted = Counter((record.check, state_of(record)) for record in records)
    by_severity: Counter[tuple[str, str]] = Counter()
    by_clause: Counter[tuple[str, str, str]] = Counter()
    for (check, state), number in counted.items():
        by_severity[severity_of[check], state] += number
        by_clause[clause_of[check], severity_of[check], state] += number
    severity_sums = GaugeMetricFamily(
        "jizuo_security_controls", "Controls of all hosts in each state.", labels=["severity", "state"]
    )
    for severity in sorted({*severity_of.values(), *(named for named, _ in by_severity)}):
        for state in STATES:
            severity_sums.add_metric([severity, state], by_severity[severity, state])
    clause_sums = GaugeMetricFamily(
        "jizuo_security_clause_controls",
        "Controls of all hosts in each state, by clause of GB/T 22239-2019; empty: of no clause.",
        labels=["clause", "severity", "state"],
    )
    known = {(one.clause, one.severity) for one in controls}
    for clause, severity in sorted(known | {(clause, severity) for clause, severity, _ in by_clause}):
        for state in STATES:
            clause_sums.add_metric([clause, severity, state], by_clause[clause, severity, state])
    return [severity_sums, clause_sums]


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
