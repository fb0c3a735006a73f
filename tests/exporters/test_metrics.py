"""Records as metrics: what a scrape says of targets, jobs, controls, drills and deploys that are well and not."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from checks.availability.icmp import Tally
from checks.availability.outcome import Outcome, Reason
from checks.availability.run import Probed
from checks.availability.targets import Kind, Target, unprobed_of
from checks.record import Status, timestamp, write_records
from exporters.collectors.availability import Cycle, Totals, availability_metrics, unprobed_metrics
from exporters.collectors.backup import backup_metrics
from exporters.collectors.health import health_metrics
from exporters.collectors.inventory import coverage_metrics, inventory_metrics
from exporters.deploys import deploy_metrics, parse_deploy
from exporters.drift import drift_metrics, parse_drift
from exporters.places import places
from exporters.probing import ProbeLoop
from exporters.readings import Reading, Trouble, epoch_seconds
from exporters.status.protection import backups_view
from exporters.web.server import ReloadState
from inventories.load import load_city
from inventories.records import City
from inventories.records import Family as AddressFamily
from tests.exporters.families import AT, names, record, samples, value

LAB = Path(__file__).parents[2] / "inventories" / "lab"


@pytest.fixture(scope="module")
def city() -> City:
    return load_city(LAB)


# Availability: real probes of real servers on loopback.


async def _rounds(targets: list[Target], rounds: int) -> Cycle:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(answer, ["127.0.0.1"], 0)
    port = server.sockets[0].getsockname()[1]
    loop = ProbeLoop(20, 1.0, lambda: None)
    loop.targets = [
        Target(**{name: getattr(target, name) for name in target.__struct_fields__} | {"port": port})
        for target in targets
    ]
    async with server:
        for _ in range(rounds):
            await loop.round()
    assert loop.reading.value is not None
    return loop.reading.value


def http(subject: str, family: AddressFamily, address: str) -> Target:
    return Target(
        subject=subject,
        check="http://cloud-1/gov-data-portal/",
        kind=Kind.HTTP,
        family=family,
        address=address,
        host="cloud-1.yichun.example",
    )


def test_a_dead_target_is_0_and_not_absent_and_says_why_only_while_it_fails(city: City) -> None:
    targets = [
        http("gov-data-portal", AddressFamily.IPV4, "127.0.0.1"),
        http("gov-data-portal", AddressFamily.IPV6, "::1"),  # nothing listens there
    ]
    cycle = asyncio.run(_rounds(targets, 3))
    found = samples(availability_metrics(cycle, places(city)))
    about = {"subject": "gov-data-portal", "check": "http://cloud-1/gov-data-portal/"}
    assert value(found, "jizuo_probe_success", family="ipv4", **about) == 1
    assert value(found, "jizuo_probe_success", family="ipv6", **about) == 0
    assert 0 < value(found, "jizuo_probe_duration_seconds", family="ipv4", **about) < 1
    assert names(found, "jizuo_probe_failure_info") == [{**about, "family": "ipv6", "reason": "refused"}]
    assert value(found, "jizuo_probe_attempts_total", family="ipv4", **about) == 3
    assert value(found, "jizuo_probe_failures_total", family="ipv4", **about) == 0
    assert value(found, "jizuo_probe_failures_total", family="ipv6", **about) == 3
    assert value(found, "jizuo_probe_cycle_interval_seconds") == 20
    assert value(found, "jizuo_probe_cycles_total") == 3
    assert value(found, "jizuo_probe_cycle_targets", family="ipv6", status="fail") == 1
    assert value(found, "jizuo_probe_cycle_targets", family="ipv6", status="pass") == 0
    assert 0 < value(found, "jizuo_probe_answer_seconds_total", family="ipv4", **about) < 3
    assert value(found, "jizuo_probe_answer_seconds_total", family="ipv6", **about) == 0
    assert not names(found, "jizuo_probe_packets_sent_total")  # those are of ICMP alone


def test_loss_is_counted_in_packets_and_what_could_not_be_probed_not_at_all() -> None:
    rounds = [
        Probed(Outcome(0.25, ""), Tally(3, 2, 0.5)),
        Probed(Outcome(None, "", Reason.TIMEOUT), Tally(3, 0, 0.0)),
        Probed(Outcome(None, "", Reason.NOT_PERMITTED)),
    ]
    loop = ProbeLoop(30, 1.0, lambda: None)
    ping = Target(subject="a", check="icmp", kind=Kind.ICMP, family=AddressFamily.IPV4, address="127.0.0.1")
    for one in rounds:
        loop._count([ping], [one])
    (total,) = loop._totals.values()
    assert total == Totals(attempts=2, failures=1, answer_seconds=0.25, packets=6, lost=4)


def test_what_is_not_probed_is_listed_with_its_reason(city: City) -> None:
    found = samples(unprobed_metrics(unprobed_of(city)))
    about = {"subject": "health-1", "check": "icmp", "reason": "private_network"}
    assert value(found, "jizuo_probe_excluded_info", family="ipv6", **about) == 1


def test_a_probe_that_could_not_be_made_is_no_success(city: City) -> None:
    records = [record("core-a", "icmp", Status.ERROR, family="ipv6", reason="not_permitted")]
    found = samples(availability_metrics(Cycle(records, {}, AT, 1, 30), places(city)))
    assert value(found, "jizuo_probe_success", subject="core-a", family="ipv6") == 0
    assert value(found, "jizuo_probe_failure_info", reason="not_permitted") == 1


def test_targets_carry_level_and_county(city: City) -> None:
    records = [
        record("yufang", "icmp", Status.PASS, 0.001, family="ipv4"),
        record("core-a", "icmp", Status.PASS, 0.001, family="ipv4"),
        record("gone", "icmp", Status.PASS, 0.001, family="ipv4"),
    ]
    found = samples(availability_metrics(Cycle(records, {}, AT, 1, 30), places(city)))
    assert value(found, "jizuo_probe_success", subject="yufang", level="village", county="360902") == 1
    assert value(found, "jizuo_probe_success", subject="core-a", level="city", county="") == 1
    assert value(found, "jizuo_probe_success", subject="gone", level="", county="") == 1


def test_the_five_levels_are_counted_in_each_family(city: City) -> None:
    up = {"core-a", "yuanzhou", "fengcheng", "cihua", "yufang"}
    records = [
        record(node, "icmp", Status.PASS if node in answering else Status.FAIL, 0.001, family=family)
        for node in city.nodes
        for family, answering in (("ipv4", up), ("ipv6", {"core-a"}))
    ]
    found = samples(coverage_metrics(city, records))
    expected = {
        "province": (1, 1, 0, 0),
        "city": (1, 1, 1, 1),
        "county": (2, 2, 2, 0),
        "township": (1, 1, 1, 0),
        "village": (2, 2, 1, 0),
    }
    for level, counts in expected.items():
        for state, number in zip(
            ("planned", "built", "reachable_ipv4", "reachable_ipv6"), counts, strict=True
        ):
            assert value(found, "jizuo_coverage_sites", level=level, state=state) == number
    one_family = samples(coverage_metrics(city, [one for one in records if one.family == "ipv4"]))
    assert value(one_family, "jizuo_coverage_sites", level="village", state="reachable_ipv4") == 1
    states = {labels["state"] for labels in names(one_family, "jizuo_coverage_sites")}
    assert "reachable_ipv6" not in states  # nobody asked: that is not 0
    before = samples(coverage_metrics(city, None))
    assert {labels["state"] for labels in names(before, "jizuo_coverage_sites")} == {"planned", "built"}


def test_the_inventory_shows(city: City) -> None:
    found = samples(inventory_metrics(city, places(city)))
    assert value(found, "jizuo_inventory_info", name="宜春市", division="3609") == 1
    assert value(found, "jizuo_inventory_records", kind="nodes") == len(city.nodes)
    assert value(found, "jizuo_target_info", subject="yufang", township="360902105", level="village") == 1
    assert value(found, "jizuo_target_info", subject="gov-data-portal", unit="data-bureau") == 1
    assert value(found, "jizuo_county_info", county="360981", name="丰城市") == 1


# Backups.


def test_backup_ages_become_timestamps_and_never_is_0(city: City) -> None:
    records = [
        record("gov-service@cloud-1", "backup", Status.PASS, 600.0),
        record("gov-service@cloud-1", "backup-last-run", Status.PASS, 580.0),
        record("gov-service@cloud-1", "backup-copy:offsite-1", Status.FAIL, 9000.0, reason="stale"),
        record("gov-service@cloud-1", "repository-check:backup-1", Status.PASS, 100.0),
        record("gov-service@cloud-1", "restore-test:backup-1", Status.PASS, 50.0),
        record("gov-service@cloud-1", "restore-test:offsite-1", Status.FAIL, None, reason="never"),
        record("collab-office@xinchuang-1", "backup", Status.FAIL, None, reason="missing_state"),
        record("collab-office@xinchuang-1", "backup-last-run", Status.FAIL, None, reason="missing_state"),
        record("gov-data-portal", "backup-policy", Status.PASS, 3600.0),
        record("gov-service@cloud-1", "backup-duration", Status.PASS, 12.5),
        record("gov-service@cloud-1", "backup-size", Status.PASS, 4_000_000_001),
        record("gov-service@cloud-1", "backup-lag:offsite-1", Status.PASS, 8400.0),
    ]
    found = samples(backup_metrics(city, records))
    job = {"policy": "gov-service", "node": "cloud-1"}
    assert value(found, "jizuo_backup_last_success_timestamp_seconds", **job) == AT - 600
    assert value(found, "jizuo_backup_last_run_timestamp_seconds", **job) == AT - 580
    assert value(found, "jizuo_backup_copy_timestamp_seconds", repository="offsite-1", **job) == AT - 9000
    assert value(found, "jizuo_backup_repository_check_success", repository="backup-1", **job) == 1
    restored = "jizuo_restore_verified_timestamp_seconds"
    assert value(found, restored, repository="backup-1", **job) == AT - 50
    assert value(found, restored, repository="offsite-1", **job) == 0
    assert value(found, "jizuo_restore_test_success", repository="offsite-1", **job) == 0
    assert value(found, "jizuo_backup_rpo_seconds", policy="gov-service") == 3600
    assert value(found, "jizuo_backup_last_success_timestamp_seconds", policy="collab-office") == 0
    assert value(found, "jizuo_backup_result", policy="collab-office", result="never") == 1
    assert value(found, "jizuo_backup_covered", subject="gov-data-portal") == 1
    assert value(found, "jizuo_backup_duration_seconds", **job) == 12.5
    assert value(found, "jizuo_backup_snapshot_size_bytes", **job) == 4_000_000_001
    assert value(found, "jizuo_backup_copy_lag_seconds", repository="offsite-1", **job) == 8400
    assert not names(found, "jizuo_backup_snapshot_files")


def test_a_stated_reason_is_no_system_that_nothing_covers(city: City) -> None:
    """A series of 0 would raise the alert on a system without backup; the status page names none either."""
    records = [
        record("egov-extranet", "backup-policy", Status.NOT_APPLICABLE, None, reason="stated_reason"),
        record("ops-central-monitoring", "backup-policy", Status.FAIL, None, reason="no_policy"),
    ]
    found = samples(backup_metrics(city, records))
    assert names(found, "jizuo_backup_covered") == [{"subject": "ops-central-monitoring"}]
    assert backups_view(city, {}, records, AT).uncovered == ["ops-central-monitoring"]


@pytest.mark.parametrize(
    ("status", "reason", "result"),
    [
        (Status.PASS, "", "success"),
        (Status.FAIL, "partial", "partial"),
        (Status.FAIL, "failure", "failure"),
        (Status.FAIL, "stuck", "stuck"),
        (Status.FAIL, "future", "failure"),
        (Status.FAIL, "never", "never"),
        (Status.ERROR, "timeout", "unknown"),
    ],
)
def test_a_job_is_in_one_state_and_partial_is_no_success(
    city: City, status: Status, reason: str, result: str
) -> None:
    records = [record("gov-service@cloud-1", "backup-last-run", status, None, reason=reason)]
    found = samples(backup_metrics(city, records))
    states = {
        labels["result"]: value(found, "jizuo_backup_result", **labels)
        for labels in names(found, "jizuo_backup_result")
    }
    assert states == {name: float(name == result) for name in states}
    assert len(states) == 6


def test_a_job_that_could_not_be_asked_has_no_age_that_looks_well(city: City) -> None:
    checks = ("backup", "backup-last-run", "repository-check:backup-1", "restore-test:backup-1")
    records = [record("gov-service@cloud-1", check, Status.ERROR, None, reason="timeout") for check in checks]
    found = samples(backup_metrics(city, records))
    assert not names(found, "jizuo_backup_last_success_timestamp_seconds")
    assert not names(found, "jizuo_restore_test_success")
    assert value(found, "jizuo_backup_result", result="unknown") == 1


def test_offsets_of_time_zones_count() -> None:
    assert epoch_seconds("2026-11-23T08:00:00+08:00") == epoch_seconds("2026-11-23T00:00:00+00:00")
    with pytest.raises(ValueError, match="no offset"):
        epoch_seconds("2026-11-23T08:00:00")


# Deploys.


def test_the_last_deploy_shows(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    hosts = {"cloud-1": {"changed": ["a", "b"], "unchanged": 40}, "ops-1": {"failed": "apt: no space"}}
    said = {"at": "2026-11-23T08:00:00+08:00", "dry": False, "roles": [], "seconds": 12.5, "hosts": hosts}
    path.write_text(json.dumps(said))
    parsed = parse_deploy([path])
    assert parsed.value is not None
    found = samples(deploy_metrics(parsed.value))
    assert value(found, "jizuo_deploy_operations", subject="cloud-1", state="changed") == 2
    assert value(found, "jizuo_deploy_host_success", subject="ops-1") == 0
    assert value(found, "jizuo_deploy_success") == 0
    assert value(found, "jizuo_deploy_last_timestamp_seconds") == AT
    assert parse_deploy([]).value is None


def test_drift_shows_by_host_and_role_and_nothing_of_a_host_that_was_not_read(tmp_path: Path) -> None:
    path = tmp_path / "drift.json"
    hosts = {
        "cloud-1": {"pending": {"base": ["base | logs", "base | logs"], "cloud": []}, "unread": ""},
        "core-a": {"pending": {"base": []}},
        "ops-1": {"pending": {}, "unread": "connect: no route"},
    }
    path.write_text(json.dumps({"at": "2026-11-23T08:00:00+08:00", "seconds": 12.5, "hosts": hosts}))
    parsed = parse_drift([path])
    assert parsed.value is not None
    assert (parsed.at, parsed.value.drifted, parsed.value.unread) == (AT, ["cloud-1"], ["ops-1"])
    found = samples(drift_metrics(parsed.value))
    pending = "jizuo_drift_pending_operations"
    assert value(found, pending, subject="cloud-1", role="base") == 2
    assert value(found, pending, subject="cloud-1", role="cloud") == 0
    assert not [labels for labels in names(found, pending) if labels["subject"] == "ops-1"]
    assert [labels["operation"] for labels in names(found, "jizuo_drift_operation_info")] == ["base | logs"]
    assert value(found, "jizuo_drift_host_read", subject="ops-1") == 0
    assert value(found, "jizuo_drift_host_read", subject="core-a") == 1
    states = {
        state: value(found, "jizuo_drift_hosts", state=state) for state in ("well", "drifted", "unread")
    }
    assert states == {"well": 1, "drifted": 1, "unread": 1}
    assert value(found, "jizuo_drift_check_timestamp_seconds") == AT
    assert parse_drift([]).value is None


def test_a_collector_in_trouble_says_which(tmp_path: Path) -> None:
    readings = {"backup": Reading[object](None, AT, AT, 0, Trouble.STALE, "x")}
    found = samples(health_metrics(readings, ReloadState(False, AT)))
    assert value(found, "jizuo_collector_success", collector="backup") == 0
    assert value(found, "jizuo_collector_failure_info", collector="backup", reason="stale") == 1
    assert value(found, "jizuo_collector_last_read_timestamp_seconds", collector="backup") == AT
    assert value(found, "jizuo_web_config_last_reload_successful") == 0


def test_records_that_checks_write_are_read(tmp_path: Path) -> None:
    from exporters.parsing import parse_cycle, parse_records

    path = tmp_path / "availability.json"
    now = datetime.now().astimezone()
    moments = [timestamp(now - timedelta(seconds=delay)) for delay in (30, 10, 20)]
    write_records(path, [record("a", "icmp", Status.PASS, 0.1, at=moment) for moment in moments])
    assert parse_records([path]).at == pytest.approx(now.timestamp() - 10, abs=0.01)
    assert parse_cycle([path]).value.finished_at == pytest.approx(now.timestamp() - 10, abs=0.01)
