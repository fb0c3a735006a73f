"""The clock of the operations node is set while the exporter runs: it serves on, counts on, and judges ages anew."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from checks.record import Record, Status, timestamp, write_records

#: libfaketime of the package faketime, for programs with threads. Only the wall clock is set, as settimeofday(2) does:
#: the monotonic clock goes on, and the times of files stay.
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
if not LIBRARIES:
    pytest.fail("these tests need faketime; run: apt-get install faketime", pytrace=False)
URL = "http://[::1]:9970"
#: What may only grow while a process lives.
COUNTERS = re.compile(r"jizuo_probe_(attempts|failures|packets_(sent|lost)|answer_seconds|cycles)_total")
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(namespace: Any) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(namespace.get(f"{URL}/metrics"))
        for sample in family.samples
    }


def of(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def rounds_until(namespace: Any, before: Samples, holds: Callable[[Samples], bool]) -> Samples:
    """Scrapes until two more rounds have ended and something holds; counters never go down meanwhile."""
    last, end = before, time.monotonic() + 180
    enough = of(before, "jizuo_probe_cycles_total") + 2
    while of(last, "jizuo_probe_cycles_total") < enough or not holds(last):
        assert time.monotonic() < end
        time.sleep(0.3)
        found = scrape(namespace)
        for key, value in last.items():
            if COUNTERS.fullmatch(key[0]):
                assert found[key] >= value, key
        last = found
    return last


def is_stale(found: Samples) -> bool:
    return of(found, "jizuo_collector_success", collector="backup") == 0


@pytest.mark.slow
def test_an_hour_ahead_and_back_and_an_hour_behind(
    namespace: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0s\n")
    record = Record(
        subject="gov-service@cloud-1", check="backup", family="none", status=Status.PASS, value=60.0,
        at=timestamp(), evidence="",
    )  # fmt: skip
    write_records(tmp_path / "records" / "backup.json", [record])
    running = start(
        "all", "--web.listen-address=[::1]:9970", "--interval=1s", "--timeout=300ms", "--max-age=backup=30m",
        environment={
            "LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
        },
    )  # fmt: skip
    found = wait_for_first_round(namespace)
    assert not is_stale(found)
    began = of(found, "process_start_time_seconds")
    for offset, stale in ((3600, True), (0, False), (-3600, False), (0, False)):
        clock.write_text(f"{offset:+d}s\n")

        def holds(now: Samples, offset: int = offset, stale: bool = stale) -> bool:
            ended = of(now, "jizuo_probe_cycle_timestamp_seconds")
            return is_stale(now) is stale and abs(ended - time.time() - offset) < 600

        found = rounds_until(namespace, found, holds)
        assert running.poll() is None
        # Records that are too old are said to be, and stay: an alert on them must not end.
        last = of(found, "jizuo_backup_last_success_timestamp_seconds", policy="gov-service", node="cloud-1")
        assert abs(last - time.time()) < 600
        took = [value for (name, _), value in found.items() if name == "jizuo_probe_duration_seconds"]
        assert took
        assert 0 <= min(took) <= max(took) < 1
        assert 0 < of(found, "jizuo_probe_cycle_duration_seconds") < 10
        assert of(found, "jizuo_collector_success", collector="availability") == 1
        assert of(found, "process_start_time_seconds") == began
        assert json.loads(namespace.get(f"{URL}/status.json"))
        assert "宜春市" in namespace.get(f"{URL}/")


def wait_for_first_round(namespace: Any) -> Samples:
    end = time.monotonic() + 180
    while ("jizuo_probe_cycles_total", frozenset()) not in (found := scrape(namespace)):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found
