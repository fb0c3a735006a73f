"""The disk under a Prometheus is full: who tells, what is lost, and what comes back. Two real ones on loopback.

A Prometheus that cannot write keeps nothing of what it scrapes, so that its own rules see nothing wrong: the alert is
the other one's. It goes on by itself once there is space. A restart soon after may lose what was kept since: where a
record in the log on the disk was torn, Prometheus repairs it by leaving out what follows (its runbook says so).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from exporters.prometheus import RULES, paced

INTERVAL = 1


class Prometheus:
    """A Prometheus with a folder of its own."""

    def __init__(self, folder: Path, data: Path, targets: list[int], rules: Path | None = None) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = int(taken.getsockname()[1])
        self._data = data
        self._file = folder / "prometheus.yml"
        every = f"{INTERVAL}s"
        config: dict[str, Any] = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [str(rules)] if rules else [],
            "scrape_configs": [
                {
                    "job_name": "prometheus",
                    "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in targets or [self.port]]}],
                }
            ],
        }
        self._file.write_text(yaml.safe_dump(config))
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self._file}",
                f"--storage.tsdb.path={self._data}",
                "--log.level=error",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def values(self, expression: str) -> list[float]:
        url = f"http://127.0.0.1:{self.port}/api/v1/query?query={quote(expression)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except (OSError, urllib.error.URLError):
            return []  # it is still starting
        return [float(one["value"][1]) for one in found]

    def kept(self, begin: float, end: float) -> int:
        """Samples of its own `up` between two moments."""
        found = self.values(f"count_over_time(up[{max(1, round(end - begin))}s] @ {end:.3f})")
        return int(found[0]) if found else 0

    def failed_writes(self) -> float:
        """Writes to the log on the disk that failed."""
        found = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5).read().decode()
        return float(found.split("\nprometheus_tsdb_wal_writes_failed_total ")[1].split()[0])


def wait_until(condition: Callable[[], object], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.fail("a small file system needs root; leave it out with --deselect or run as root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "jizuo-test", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """Takes every block that there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    return ballast


@pytest.mark.slow
def test_the_other_one_tells_and_what_was_lost_is_counted(tmp_path: Path, small_disk: Path) -> None:
    rules = tmp_path / "rules.yml"
    document = yaml.safe_load((RULES / "jizuo-prometheus.yml").read_text(encoding="utf-8"))
    rules.write_text(yaml.safe_dump(paced(document, INTERVAL), allow_unicode=True))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    full = Prometheus(tmp_path / "a", small_disk / "data", [], rules)
    other = Prometheus(tmp_path / "b", tmp_path / "b" / "data", [full.port], rules)
    firing = 'ALERTS{alertname="PrometheusCannotWrite", alertstate="firing"}'
    try:
        wait_until(lambda: full.kept(time.time() - 10, time.time()) >= 3)
        assert other.values(firing) == []
        ballast, filled = fill(small_disk), time.time()
        wait_until(lambda: other.values(firing))
        assert full.values(firing) == [], "it kept the alert on a disk that is full"
        assert other.values(f'up{{instance="127.0.0.1:{full.port}"}}') == [1], "it does not even look ill"
        freed = time.time()
        ballast.unlink()
        # It goes on by itself; what was lost is what was scraped in between, and no more.
        wait_until(lambda: full.kept(freed + INTERVAL, time.time()) >= 3)
        assert full.failed_writes() >= (freed - filled) / INTERVAL / 2
        kept = full.kept(filled + INTERVAL, freed)
        assert kept <= 1 < round((freed - filled) / INTERVAL) - kept
        before = full.kept(filled - 60, filled)
        assert before >= 3
        full.stop()
        full.start()
        wait_until(lambda: full.kept(time.time() - 5, time.time()) >= 2)
        assert full.kept(filled - 60, filled) >= before - 1, "what was written before was lost too"
    finally:
        full.stop()
        other.stop()
