"""What the operations node's script makes of a real Prometheus: alerts that are pending, fire, or were there before."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checks.drills.definition import SHARED

ALERT = SHARED / "files/alert.py"
#: It fires two seconds after the moment at which its file says so. The other two always do.
RULES = """
groups:
  - name: test
    interval: 1s
    rules:
      - {alert: Broken, expr: "vector(time()) > %d", for: 2s, labels: {severity: critical, subject: "a \\"system\\""}}
      - {alert: Never, expr: "vector(0) > 1", for: 2s, labels: {severity: critical}}
      - {alert: Mild, expr: "vector(1)", labels: {severity: warning}}
      - {record: up, expr: "vector(1)"}
"""


class Prometheus:
    """A real one, with no target: its rules look at the clock alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.set(2**40)
        (folder / "prometheus.yml").write_text(
            f"global: {{evaluation_interval: 1s}}\nrule_files: ['{folder}/rules.yml']\n"
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.process = subprocess.Popen(
            [
                "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={self.url.removeprefix('http://')}", "--web.enable-lifecycle",
            ],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.until(lambda: b"Mild" in self.get("/api/v1/alerts"))

    def set(self, when: float) -> None:
        (self.folder / "rules.yml").write_text(RULES % when)

    def get(self, path: str, method: str = "GET") -> bytes:
        with urllib.request.urlopen(
            urllib.request.Request(self.url + path, method=method), timeout=5
        ) as answer:
            content: bytes = answer.read()
        return content

    def breaks(self, when: float) -> None:
        """The alert's condition is true from a moment on (Unix time)."""
        self.set(when)
        self.get("/-/reload", "POST")

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            with suppress(OSError):
                if is_so():
                    return
            time.sleep(0.1)
        pytest.fail("Prometheus did not come to that")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        pytest.fail("this test asks a real Prometheus; run: apt-get install prometheus", pytrace=False)
    server = Prometheus(tmp_path_factory.mktemp("prometheus"))
    yield server
    server.process.terminate()
    server.process.wait(20)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-", *arguments],
        input=ALERT.read_text(),
        capture_output=True,
        text=True,
        check=False,
    )


def moments(text: str) -> dict[str, datetime]:
    lines = [line.split(" ") for line in text.splitlines() if line.startswith("drill-moment ")]
    return {name: datetime.fromisoformat(moment) for _, name, moment in lines}


LABELS = json.dumps({"subject": 'a "system"'})


def test_a_healthy_city(prometheus: Prometheus) -> None:
    done = run("healthy", prometheus.url, "0", "[]", "Broken")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_drill_whose_alert_nobody_wrote_cannot_be_detected(prometheus: Prometheus) -> None:
    done = run("healthy", prometheus.url, "0", "[]", "Borken")
    assert done.returncode == 1
    assert "no rule Borken" in done.stderr


def test_a_prometheus_that_does_not_answer_is_not_healthy() -> None:
    done = run("healthy", "http://127.0.0.1:1", "0", "[]")
    assert done.returncode == 1
    assert "does not answer" in done.stderr


def test_the_record_is_told_whether_the_time_before_the_fault_is_known(prometheus: Prometheus) -> None:
    prometheus.until(lambda: b'"1"]' in prometheus.get("/api/v1/query?query=up"))
    told = run(
        "history", prometheus.url, (datetime.now(UTC) + timedelta(seconds=60)).isoformat(), "本地监测库"
    )
    assert told.stdout == "drill-note 本地监测库：故障前1分钟有1个监测目标的数据\n", told.stderr
    told = run("history", prometheus.url, "2026-01-01T00:00:00+08:00", "本地监测库")
    assert "没有数据，故障前的历史已丢失" in told.stdout


def test_an_alert_from_its_fault_to_its_end(prometheus: Prometheus) -> None:
    """Noticed and detected by Prometheus's own clock; the wait ends at once, and the same alert counts once."""
    fault = datetime.now(UTC)
    none_yet = run("wait", prometheus.url, "0", "firing", fault.isoformat(), "Broken", LABELS)
    assert none_yet.returncode == 1
    assert "not even pending" in none_yet.stderr
    prometheus.breaks(fault.timestamp())
    pending = run("wait", prometheus.url, "20", "pending", fault.isoformat(), "Broken", LABELS)
    assert pending.returncode == 0, pending.stderr
    done = run("wait", prometheus.url, "20", "firing", fault.isoformat(), "Broken", LABELS)
    assert done.returncode == 0, done.stderr
    found = moments(done.stdout)
    assert moments(pending.stdout)["noticed"] == found["noticed"]
    assert fault <= found["noticed"]
    assert found["detected"] - found["noticed"] >= timedelta(seconds=2), "its `for`"
    again = run("wait", prometheus.url, "0", "firing", fault.isoformat(), "Broken", LABELS)
    assert moments(again.stdout) == found, "a moment is the alert's own, not that at which it was asked for"

    other = run("wait", prometheus.url, "0", "firing", fault.isoformat(), "Broken", '{"subject": "another"}')
    assert other.returncode == 1
    later = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    before = run("wait", prometheus.url, "0", "firing", later, "Broken", LABELS)
    assert before.returncode == 1, "an alert that was there before the fault is not the fault's"

    sick = run("healthy", prometheus.url, "0", "[]", "Broken")
    assert sick.returncode == 1
    assert "the city is not healthy: Broken" in sick.stderr
    assert "Mild" not in sick.stderr
    tolerated = run("healthy", prometheus.url, "0", '["Broken"]')
    assert (tolerated.returncode, tolerated.stdout) == (0, "drill-tolerated Broken\n")
    prometheus.breaks(2**40)
    well = run("healthy", prometheus.url, "20", "[]")
    assert well.returncode == 0, well.stderr
