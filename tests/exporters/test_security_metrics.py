"""Control records as metrics: singly or in sums, and that neither hides a failure."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from checks.record import Record, Status
from checks.security.controls import load_controls
from exporters.collectors.security import ALWAYS_SINGLE, SINGLE_ROWS, STATES, security_metrics
from exporters.readings import epoch_seconds
from tests.exporters.exposition import AT, Sample, labels_of, record, value, values

ROOT = Path(__file__).parents[2]


def test_controls_have_one_state_each_and_families_stay_apart() -> None:
    records = [
        record("cloud-1", "L3-CES1-01", Status.PASS, "compliant"),
        record("cloud-1", "L3-CES1-05", Status.FAIL, "partly", reason="umask"),
        record("cloud-1", "L3-CES1-19", Status.FAIL, "noncompliant", family="ipv6", reason="any"),
        record("cloud-1", "L3-CES1-19", Status.PASS, "compliant", family="ipv4"),
        record("cloud-1", "L3-CES1-04", Status.MANUAL, "manual"),
        record("client-1", "L3-CES1-01", Status.ERROR, None, reason="timeout"),
        record("client-*", "waiver-L3-CES1-01", Status.FAIL, "2026-01-01", reason="waiver_expired"),
    ]
    found = values(security_metrics(records, load_controls()))

    def state(subject: str, control: str, family: str = "none") -> dict[str, str]:
        hits = [
            labels
            for labels in labels_of(found, "jizuo_security_control")
            if (labels["subject"], labels["control"], labels["family"]) == (subject, control, family)
        ]
        assert len(hits) == 1
        return hits[0]

    assert state("cloud-1", "L3-CES1-01")["state"] == "compliant"
    assert state("cloud-1", "L3-CES1-05")["state"] == "partly"
    assert state("cloud-1", "L3-CES1-19", "ipv6")["state"] == "noncompliant"
    assert state("cloud-1", "L3-CES1-19", "ipv4")["state"] == "compliant"
    assert state("cloud-1", "L3-CES1-04")["state"] == "manual"
    assert state("client-1", "L3-CES1-01")["state"] == "unknown"
    assert state("client-*", "waiver-L3-CES1-01")["severity"] == "high"
    assert value(found, "jizuo_security_controls", severity="high", state="waived") == 0
    assert value(found, "jizuo_security_scan_timestamp_seconds", subject="cloud-1") == epoch_seconds(AT)
    assert value(found, "jizuo_security_scan_timestamp_seconds", subject="client-1") == 0
    assert "client-*" not in str(labels_of(found, "jizuo_security_scan_timestamp_seconds"))
    sums = [
        value(found, "jizuo_security_controls", **labels)
        for labels in labels_of(found, "jizuo_security_controls")
    ]
    assert sum(sums) == len(records)
    assert len(sums) % len(STATES) == 0


def audited(hosts: int, *, failing: int, waived: int, unread: int) -> list[Record]:
    """The audit of a city: all controls of each host, of which some fail, are waived, or could not be read."""
    found = []
    for number in range(hosts):
        for place, control in enumerate(load_controls()):
            row = number * len(load_controls()) + place
            status, said = Status.PASS, "compliant"
            if number >= hosts - unread:
                status, said = Status.ERROR, ""
            elif row < failing:
                status, said = Status.FAIL, "partly" if row % 2 else "noncompliant"
            elif row < failing + waived:
                status, said = Status.WAIVED, "noncompliant"
            elif place == 3:
                status, said = Status.MANUAL, "manual"
            elif place == 4:
                status, said = Status.NOT_APPLICABLE, "not_applicable"
            found.append(record(f"host-{number}", control.id, status, said or None))
    return found


def by_state(found: dict[Sample, float], name: str) -> Counter[str]:
    states: Counter[str] = Counter()
    for (sample, held), number in found.items():
        if sample == name:
            states[dict(held)["state"]] += int(number)
    return states


def test_up_to_the_size_every_control_of_every_host_has_a_series() -> None:
    records = audited(SINGLE_ROWS // len(load_controls()), failing=40, waived=5, unread=2)
    assert len(records) <= SINGLE_ROWS < len(records) + len(load_controls())
    found = values(security_metrics(records, load_controls()))
    assert len(labels_of(found, "jizuo_security_control")) == len(records)
    single = by_state(found, "jizuo_security_control")
    assert single == +by_state(found, "jizuo_security_controls")
    assert single == +by_state(found, "jizuo_security_clause_controls")


def test_above_the_size_what_passes_is_in_the_sums_alone_and_what_fails_has_its_series() -> None:
    records = audited(3000, failing=40, waived=5, unread=2)
    found = values(security_metrics(records, load_controls()))
    controls = len(load_controls())
    single = by_state(found, "jizuo_security_control")
    assert single == {"noncompliant": 20, "partly": 20, "waived": 5, "unknown": 2 * controls}
    assert {labels["subject"] for labels in labels_of(found, "jizuo_security_control")} >= {
        "host-0",
        "host-2999",
    }
    sums = by_state(found, "jizuo_security_controls")
    assert sum(sums.values()) == len(records)
    assert sums == by_state(found, "jizuo_security_clause_controls")
    assert {state: sums[state] for state in single} == single
    assert sums["compliant"] > 50_000
    assert len(labels_of(found, "jizuo_security_clause_controls")) == controls * len(STATES)
    well = values(security_metrics(audited(3000, failing=0, waived=0, unread=0), load_controls()))
    assert not labels_of(well, "jizuo_security_control")
    beside = len(well) - len(labels_of(well, "jizuo_security_scan_timestamp_seconds"))
    twice = values(security_metrics(audited(6000, failing=0, waived=0, unread=0), load_controls()))
    assert beside == len(twice) - len(labels_of(twice, "jizuo_security_scan_timestamp_seconds"))


def test_each_clause_has_its_own_sum_and_an_expired_waiver_counts_for_its_control_s() -> None:
    records = [
        record("cloud-1", "L3-CES1-01", Status.PASS, "compliant"),
        record("cloud-2", "L3-CES1-01", Status.FAIL, "noncompliant", reason="any"),
        record("cloud-*", "waiver-L3-CES1-01", Status.FAIL, "2026-01-01", reason="waiver_expired"),
        record("cloud-1", "of-another-catalogue", Status.PASS, "compliant"),
    ]
    found = values(security_metrics(records, load_controls()))
    name = "jizuo_security_clause_controls"
    assert value(found, name, clause="8.1.4.1 a", severity="high", state="compliant") == 1
    assert value(found, name, clause="8.1.4.1 a", severity="high", state="noncompliant") == 2
    assert value(found, name, clause="8.1.4.1 b", state="noncompliant") == 0
    assert value(found, name, clause="", severity="unknown", state="compliant") == 1


def test_rules_and_dashboards_read_single_series_only_of_states_that_always_have_them() -> None:
    asked = [
        selector
        for file in (*(ROOT / "exporters/rules").glob("*.yml"), ROOT / "exporters/grafana/dashboards.toml")
        for selector in re.findall(r"jizuo_security_control\b[^s_]?[^}]*}?", file.read_text(encoding="utf-8"))
    ]
    assert len(asked) >= 2
    for selector in asked:
        states = re.search(r'state=~\\?"([a-z|]+)\\?"', selector)
        assert states, f"{selector}: which states?"
        assert set(states[1].split("|")) <= ALWAYS_SINGLE
