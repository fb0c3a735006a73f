"""The exposition: byte by byte what prometheus-client says, of every family; compressed; in the format asked for."""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from checks.availability.chinese import Offered
from checks.availability.targets import Unprobed
from checks.availability.tls import Certificate
from checks.backup.figures import JOB_FIGURES, REPOSITORY_FIGURES
from checks.drills.record import DrillRecord
from checks.record import Status
from exporters.backups import COVERED
from exporters.collectors.availability import Cycle, Totals
from exporters.collectors.health import health_metrics, process_metrics
from exporters.collectors.inspection import Inspection, Shown
from exporters.deploys import parse_deploy
from exporters.drift import parse_drift
from exporters.exposition import (
    CONTENT_TYPE_OPENMETRICS,
    CONTENT_TYPE_TEXT,
    Exposition,
    Family,
    Part,
    Series,
    label_text,
)
from exporters.parts import PARTS
from exporters.places import places
from exporters.readings import Reading
from exporters.snapshot import Inventory, Snapshot
from exporters.web.server import ReloadState
from inventories.load import load_city
from inventories.records import City
from tests.exporters.families import AT, as_metrics, record, samples, value
from tests.exporters.test_database_metrics import RECORDS as DATABASE_RECORDS
from tests.exporters.test_repository_metrics import RECORDS as REPOSITORY_RECORDS

LAB = Path(__file__).parents[2] / "inventories" / "lab"


@pytest.fixture(scope="module")
def city() -> City:
    return load_city(LAB)


def all_families(city: City, tmp_path: Path, drill: DrillRecord) -> dict[str, list[Family]]:
    """Every family that is exposed, by the exporter's own list of parts, with awkward values in it."""

    def read(value: Any) -> Reading[Any]:
        return Reading(value, AT, AT, 0.1, None)

    awkward = 'a"b\\c\nd'
    records = [
        record("core-a", "icmp", Status.PASS, 0.00123, family="ipv4"),
        record("core-a", "icmp", Status.FAIL, None, family="ipv6", reason="timeout"),
        record(awkward, "http://[::1]/?q=中文", Status.FAIL, None, family="ipv6", reason="reset"),
    ]
    totals = {("core-a", "icmp", "ipv4"): Totals(3, 1, 1234567.5, 9, 4)}
    jobs = [
        record("gov-service@cloud-1", check, Status.PASS, 600.0)
        for check in (
            "backup",
            "backup-last-run",
            "backup-copy:x",
            "repository-check:x",
            "restore-test:x",
            *JOB_FIGURES,
            *(f"{figure}:x" for figure in REPOSITORY_FIGURES),
        )
    ]
    jobs += [
        record("portal-main", "database-restore-test:backup-1", Status.PASS, 60.0),
        record("portal-main", "database-restore-elsewhere:offsite-1", Status.PASS, 60.0),
        record("collab-office", COVERED, Status.PASS),
    ]
    shown = Shown(
        (awkward, "https://x/", "ipv4"),
        Certificate(
            AT + 0.5,
            AT,
            is_trusted=True,
            is_named=False,
            problem="",
            version="TLSv1.3",
            suite="TLS_SM4_GCM_SM3",
        ),
        {"tlcp": Offered({"ECC_SM4_CBC_SM3": True}), "tls13": Offered({"TLS_SM4_GCM_SM3": False})},
        (AT, AT + 1),
    )
    ready = ("ipv6-aaaa", "ipv6-tcp", "ipv6-page", "ipv6-score")
    readiness = [record("collab-office", check, Status.PASS, -0.25) for check in ready]
    deploy, drift = tmp_path / "last.json", tmp_path / "drift.json"
    at = "2026-11-23T08:00:00+08:00"
    hosts = {"cloud-1": {"changed": ["a"], "unchanged": 40}, awkward: {"failed": "apt: 无空间"}}
    deploy.write_text(json.dumps({"at": at, "dry": False, "roles": [], "seconds": 12.5, "hosts": hosts}))
    pending = {"pending": {"base": ["base | logs", awkward]}, "unread": ""}
    drift.write_text(json.dumps({"at": at, "seconds": 12.5, "hosts": {"cloud-1": pending}}))
    snapshot = Snapshot(
        inventory=read(Inventory(city, (), places(city), [Unprobed(awkward, "", "ipv6", "police")])),
        availability=read(Cycle(records, totals, AT, 1.5, 30, 7)),
        inspection=read(Inspection([shown], readiness)),
        backup=read([*jobs, *REPOSITORY_RECORDS, *DATABASE_RECORDS]),
        security=read([record("cloud-1", "L3-CES1-01", Status.PASS, "compliant")]),
        drill=read([drill]),
        deploy=read(parse_deploy([deploy]).value),
        drift=read(parse_drift([drift]).value),
    )
    inventory = snapshot.inventory.value
    assert inventory is not None
    readings = {"backup": Reading[object](), "security": Reading[object]({}, AT, AT, 0.1, None)}
    return {
        **{name: list(part.families(snapshot, inventory)) for name, part in PARTS.items()},
        "health": list(health_metrics(readings, ReloadState(True, AT))),
        "process": list(process_metrics()),
    }


@pytest.fixture
def everything(city: City, tmp_path: Path, drill: Callable[..., DrillRecord]) -> dict[str, list[Family]]:
    held = drill()
    measured = msgspec.structs.replace(held.measured, detected_seconds=4.5)
    return all_families(city, tmp_path, drill(measured=measured))


def test_nothing_that_is_exposed_is_left_out_here(everything: dict[str, list[Family]]) -> None:
    """Of every family there is a sample: what is compared and checked below is all that the exporter can say."""
    empty = {
        (name, family.name)
        for name, families in everything.items()
        for family in as_metrics(families)
        if not family.samples
    }
    assert empty == set()
    assert all(everything.values())


class Whole:
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def test_the_body_is_what_prometheus_client_itself_would_say(everything: dict[str, list[Family]]) -> None:
    parts = everything
    exposition = Exposition()
    for name, families in parts.items():
        exposition.replace(name, families)
    exposition.publish()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Whole(as_metrics(family for families in parts.values() for family in families)))  # type: ignore[arg-type]
    text = exposition.body("text/plain;version=0.0.4")
    assert text.plain == generate_latest(registry)
    assert text.content_type == CONTENT_TYPE_TEXT
    assert gzip.decompress(text.gzipped) == text.plain
    opened = exposition.body("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert opened.plain == generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    assert opened.content_type == CONTENT_TYPE_OPENMETRICS
    assert gzip.decompress(opened.gzipped) == opened.plain
    assert b"_created" not in opened.plain + text.plain
    parsed = samples(text_string_to_metric_families(text.plain.decode()))
    assert parsed == samples(parse_openmetrics(opened.plain.decode()))
    assert value(parsed, "jizuo_probe_success", subject='a"b\\c\nd') == 0


NUMBERS = [0.0, -0.0, 1, 0.1, 123456, 999999.5, 1e6, 1234567, 1.5e21, 1e-9, -1234567.25, math.inf, -math.inf]


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(["a", "b", "zone", "subject"]), st.text(max_size=12), max_size=3),
            st.sampled_from([*NUMBERS, math.nan]) | st.floats(),
        ),
        max_size=6,
    ),
    st.text(max_size=20),
)
def test_many_series_are_written_as_prometheus_client_writes_them(
    rows: list[tuple[dict[str, str], float]], documentation: str
) -> None:
    for kind, family in (
        ("gauge", Metric("jizuo_x", documentation, "gauge")),
        ("counter", Metric("jizuo_x", documentation, "counter")),
        ("info", Metric("jizuo_x", documentation, "info")),
    ):
        suffix = {"gauge": "", "counter": "_total", "info": "_info"}[kind]
        for labels, number in rows:
            family.add_sample("jizuo_x" + suffix, labels, number)
        ours = Part(
            [Series(kind, "jizuo_x", documentation, [(label_text(held), number) for held, number in rows])]
        )  # type: ignore[arg-type]
        registry = Whole([family])
        assert ours.plain[CONTENT_TYPE_TEXT] == generate_latest(registry)  # type: ignore[arg-type]
        assert ours.plain[CONTENT_TYPE_OPENMETRICS] + b"# EOF\n" == generate_openmetrics(registry)  # type: ignore[no-untyped-call]


def test_the_compressed_parts_are_one_gzip_file() -> None:
    exposition = Exposition()
    for number in range(5):
        rows = [(label_text({"row": f"{row}"}), row * 0.7) for row in range(number * 3000)]
        exposition.replace(f"{number}", [Series("gauge", f"jizuo_{number}", "x", rows)])
    exposition.publish()
    for accept in ("text/plain", "application/openmetrics-text"):
        body = exposition.body(accept)
        done = subprocess.run(["gzip", "-dc"], input=body.gzipped, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), "gzip itself warns of what follows a file's end"
        assert done.stdout == body.plain
        inflator = zlib.decompressobj(31)  # one member, as a reader without support for several reads it
        assert inflator.decompress(body.gzipped) == body.plain
        assert inflator.eof and not inflator.unused_data
        assert len(body.gzipped) < len(body.plain) / 4


def test_promtool_has_nothing_to_remark(everything: dict[str, list[Family]]) -> None:
    exposition = Exposition()
    for name, families in everything.items():
        exposition.replace(name, families)
    exposition.publish()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition.body("").plain, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=2.0.0", False),
        ("text/plain;q=0.9,application/openmetrics-text;version=1.0.0;q=0.4", False),
        ("application/openmetrics-text;version=1.0.0;q=0", False),
        # Prometheus 2.42's own header
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
        ),
    ],
)
def test_the_format_is_what_the_scraper_asks_for(accept: str, openmetrics: bool) -> None:
    exposition = Exposition()
    exposition.replace("one", [GaugeMetricFamily("jizuo_one", "One.", value=1)])
    exposition.publish()
    assert exposition.body(accept).plain.endswith(b"# EOF\n") is openmetrics


def test_two_collectors_cannot_expose_one_family() -> None:
    exposition = Exposition()
    exposition.replace("one", [GaugeMetricFamily("jizuo_one", "One.", value=1)])
    with pytest.raises(ValueError, match="two and one both expose jizuo_one"):
        exposition.replace("two", [InfoMetricFamily("jizuo_one", "One.", value={"a": "b"})])
    with pytest.raises(ValueError, match="two families are called jizuo_two"):
        exposition.replace("two", [CounterMetricFamily("jizuo_two", "x", value=1)] * 2)


def test_what_is_not_published_is_not_served() -> None:
    exposition = Exposition()
    exposition.replace("one", [GaugeMetricFamily("jizuo_one", "One.", value=1)])
    assert exposition.body("").plain == b""
    exposition.publish()
    assert b"jizuo_one 1.0" in exposition.body("").plain
