"""What does watching a whole city cost? The exporter beside blackbox_exporter, fping and prometheus-client's encoder.

Run by `jizuo bench monitoring`, as root, with Prometheus on the PATH for what scraping costs it: the bench makes a
network namespace in which every address of Yichun's plan answers, and for the dead ones a wire with nobody at its end.
All are measured in one run on the same targets; ratios hold better than absolute figures on a machine that does other
things besides.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from checks.availability.targets import Kind, Target, targets_of
from exporters.exposition import Exposition, Series, label_text
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family
from tests.bench._monitoring_network import NETWORK, SERVER, kill, pave
from tests.bench._monitoring_scraped import (
    SECONDS,
    prometheus_of_blackbox,
    prometheus_of_jizuo,
    prometheus_of_nothing,
    scrape_milliseconds,
)

ROOT = Path(__file__).parents[2]
CITY = ROOT / "inventories" / "yichun"
INTERVAL = 30
PORT, BLACKBOX_PORT = 19910, 19115
#: What blackbox_exporter and fping are asked of: enough to measure, few enough to wait for.
SAMPLE = 1000
SERIES = 60_000
#: What the project holds itself to: the share of a core for the whole city, the milliseconds of a large scrape.
CORE_PERCENT, SCRAPE_MILLISECONDS = 5.0, 10.0
#: What counts as not moved, and as flat: the medians of equal cycles differ by less on a quiet machine.
MOVED, FLAT = 1.1, 1.1


class Cycle(NamedTuple):
    """What one cycle of the exporter took."""

    cpu_seconds: float
    seconds: float
    p99_seconds: float


class Measured(NamedTuple):
    """What cycles of the exporter took, in the median: one cycle says little on a machine that does other things."""

    cycles: Sequence[Cycle]
    packets: int

    @property
    def cpu_per_cycle(self) -> float:
        return statistics.median(cycle.cpu_seconds for cycle in self.cycles)

    @property
    def percent(self) -> float:
        return statistics.median(cycle.cpu_seconds / cycle.seconds for cycle in self.cycles) * 100

    @property
    def p99(self) -> float:
        return statistics.median(cycle.p99_seconds for cycle in self.cycles)


#: Each target of the project by name, and whether this run met it.
TARGETS: dict[str, bool] = {}


def main(arguments: Sequence[str] = ()) -> int:
    """Print what each costs, and the ratios; exit 1 where a target of the project is missed."""
    if os.geteuid() != 0:
        sys.exit("jizuo bench monitoring makes a network namespace: run it as root (sudo)")
    if "--inside" not in arguments:
        command = [sys.executable, str(Path(__file__)), "--inside", *arguments]
        network = f'set -e\n{NETWORK}\nexec "$@"'
        inside = ["unshare", "--net", "sh", "-c", network, "sh", *command]
        return subprocess.run(
            inside, check=False, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
        ).returncode
    cycles = next((int(text.partition("=")[2]) for text in arguments if text.startswith("--cycles=")), 5)
    _rendering()
    city = load_city(CITY)
    targets = targets_of(city, build_plan(city))
    ports = sorted({target.port for target in targets if target.port})
    with _running([sys.executable, "-c", SERVER, *map(str, ports)], "ready"):
        peers = _probing(targets)
        under_scrapes = "scraped ten times a second"
        calm, scraped = _exporter({"all alive": _as_it_is, under_scrapes: _as_it_is}, cycles, under_scrapes)
        for peer, cost in peers.items():
            each = calm.cpu_per_cycle / calm.packets
            _say(f"CPU of {peer} to jizuo, a probe", f"{cost / 1000 / each:8.1f}")
        _scraping(targets)
        pave()
        alive, some, every = _exporter(
            {f"{part:.0%} dead, in turn": partial(kill, targets, part) for part in (0.0, 0.3, 1.0)},
            cycles,
        )
    moved = scraped.p99 / calm.p99
    _say("p99 of round-trip times, scraped to not", f"{moved:8.2f}")
    flat = {
        "30%": some.cpu_per_cycle / alive.cpu_per_cycle,
        "100%": every.cpu_per_cycle / alive.cpu_per_cycle,
    }
    for part, ratio in flat.items():
        _say(f"CPU, {part} dead to all alive", f"{ratio:8.2f}")
    TARGETS[f"the whole city in under {CORE_PERCENT:.0f}% of a core"] = calm.percent < CORE_PERCENT
    TARGETS[f"p99 of round-trip times moved less than {MOVED - 1:.0%} by scrapes"] = moved < MOVED
    TARGETS[f"CPU grows less than {FLAT - 1:.0%} when targets die"] = max(flat.values()) < FLAT
    for name, met in TARGETS.items():
        print(f"target {'met   ' if met else 'missed'} {name}")
    return 0 if all(TARGETS.values()) else 1


def _say(what: str, figure: str) -> None:
    print(f"{what:<52} {figure}", flush=True)


@contextlib.contextmanager
def _running(command: Sequence[str], ready: str) -> Iterator[int]:
    """A program while it runs; its id, once it has said that it is ready."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                errors.write(line)
                if ready in line:
                    break
            else:
                errors.seek(0)
                sys.exit(f"{command[0]} ended: {errors.read()}")
            yield process.pid
        finally:
            process.kill()
            process.wait()


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has taken (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# The encoders.


def _rendering() -> None:
    random.seed(1)
    about = {"check": "icmp", "family": "ipv6", "level": "village", "county": "360902"}
    rows = [({**about, "subject": f"node-{n}"}, random.random()) for n in range(SERIES)]
    metric = Metric("jizuo_probe_duration_seconds", "x", "gauge")
    for labels, number in rows:
        metric.add_sample(metric.name, labels, number)

    class Registry:
        def collect(self) -> Iterator[Metric]:
            yield metric

    theirs = _cpu_of(lambda: openmetrics.generate_latest(Registry()))  # type: ignore[no-untyped-call]
    plain = _cpu_of(lambda: generate_latest(Registry()))  # type: ignore[arg-type]
    texts = [(label_text(labels), number) for labels, number in rows]
    exposition = Exposition()

    def render() -> None:
        exposition.replace("x", [Series("gauge", metric.name, "x", texts)])

    ours = _cpu_of(render)
    published = _cpu_of(lambda: (render(), exposition.publish()))
    same = exposition.body("application/openmetrics-text").plain == openmetrics.generate_latest(Registry())  # type: ignore[no-untyped-call]
    _say(f"prometheus-client, {SERIES:,} series, text", f"{plain * 1000:8.1f} ms")
    _say(f"prometheus-client, {SERIES:,} series, OpenMetrics", f"{theirs * 1000:8.1f} ms")
    _say(f"jizuo, {SERIES:,} series, both formats", f"{ours * 1000:8.1f} ms, the same bytes: {same}")
    _say("jizuo, with compression", f"{published * 1000:8.1f} ms")
    _say("prometheus-client's two formats to jizuo's", f"{(plain + theirs) / ours:8.1f}")
    median, series = scrape_milliseconds(exposition)
    _say(f"jizuo, {series:,} series scraped over HTTP, median", f"{median:8.2f} ms")
    TARGETS["the same bytes as prometheus-client's"] = same
    TARGETS[f"{SERIES:,} series answered in under {SCRAPE_MILLISECONDS:.0f} ms"] = (
        median < SCRAPE_MILLISECONDS
    )


def _cpu_of(work: object) -> float:
    assert callable(work)
    taken = []
    for _ in range(3):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


# Probes.


def _probing(targets: Sequence[Target]) -> dict[str, float]:
    """CPU-seconds for 1,000 probes of fping and blackbox_exporter, on some of the city's addresses."""
    costs: dict[str, float] = {}
    pinged = [target for target in targets if target.kind is Kind.ICMP]
    fping = os.environ.get("FPING") or shutil.which("fping")
    if fping:
        for family in Family:
            names = "".join(f"{t.address}\n" for t in pinged if t.family is family)
            count = names.count("\n")
            used, begun = _children(), time.monotonic()
            option = "-6" if family is Family.IPV6 else "-4"
            subprocess.run(
                [fping, option, "-q", "-r0", "-t1000", "-i1"],
                input=names,
                text=True,
                capture_output=True,
                check=False,
            )
            cost = costs[f"fping {family}"] = (_children() - used) / count * 1000
            _say(
                f"fping {family}",
                f"{cost:8.3f} CPU-s per 1,000 probes, {count / (time.monotonic() - begun):.0f} a second",
            )
    if not _blackbox_program():
        print("prometheus-blackbox-exporter is not installed (Debian package of that name): no comparison")
        return costs
    with _blackbox_exporter() as pid:
        for kind in (Kind.ICMP, Kind.TCP):
            chosen = [t for t in targets if t.kind is kind]
            chosen = (chosen * (SAMPLE // len(chosen) + 1))[:SAMPLE]
            cost, series = _blackbox(pid, kind, chosen)
            costs[f"blackbox_exporter {kind}"] = cost
            _say(f"blackbox_exporter {kind}", f"{cost:8.3f} CPU-s per 1,000 probes, {series} series each")
    return costs


def _blackbox_program() -> str | None:
    return os.environ.get("BLACKBOX") or shutil.which("prometheus-blackbox-exporter")


@contextlib.contextmanager
def _blackbox_exporter() -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "blackbox.yml"
        config.write_text(
            "modules:\n"
            + "".join(
                f"  {name}{version}:\n    prober: {name}\n    timeout: 3s\n    {name}:\n"
                f"      preferred_ip_protocol: ip{version}\n      ip_protocol_fallback: false\n"
                for name in ("icmp", "tcp")
                for version in (4, 6)
            )
        )
        program = _blackbox_program()
        assert program
        command = [program, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{BLACKBOX_PORT}"]
        with _running(command, "Listening on") as pid:
            yield pid


def _children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _blackbox(pid: int, kind: Kind, targets: Sequence[Target]) -> tuple[float, int]:
    connection = http.client.HTTPConnection("127.0.0.1", BLACKBOX_PORT, timeout=10)
    used, well, series = _cpu(pid), 0, 0
    for target in targets:
        host = f"[{target.address}]" if target.port and ":" in target.address else target.address
        named = f"{host}:{target.port}" if target.port else host
        version = 6 if target.family is Family.IPV6 else 4
        connection.request("GET", f"/probe?module={kind}{version}&target={quote(named)}")
        body = connection.getresponse().read().decode()
        well += "\nprobe_success 1" in body
        series = sum(not line.startswith("#") for line in body.splitlines())
    cost = (_cpu(pid) - used) / len(targets) * 1000
    if well != len(targets):
        print(f"blackbox_exporter {kind}: {well} of {len(targets)} answered")
    return cost, series


# Prometheus.


def _scraping(targets: Sequence[Target]) -> None:
    """What a Prometheus takes for a thousand targets, of jizuo's exporter and of blackbox_exporter."""
    if not shutil.which("prometheus") or not _blackbox_program():
        print(
            "prometheus or prometheus-blackbox-exporter is not on the PATH: what Prometheus takes is not measured"
        )
        return
    idle = prometheus_of_nothing()
    with _running(_command(), "metrics at"):
        _wait_for_cycle(0.0)
        ours, probed = prometheus_of_jizuo(PORT), len(targets)
    chosen = [t for t in targets if t.kind is Kind.ICMP][:SAMPLE]
    with _blackbox_exporter():
        theirs, asked = prometheus_of_blackbox(BLACKBOX_PORT, chosen), len(chosen)
    each = {}
    for name, found, number in (("jizuo", ours, probed), ("blackbox_exporter", theirs, asked)):
        memory = (found.resident_bytes - idle.resident_bytes) / number * 1000 / 1e6
        cpu = (found.cpu_seconds - idle.cpu_seconds) / number * 1000
        series = (found.series - idle.series) / number
        each[name] = (memory, cpu, series)
        _say(
            f"Prometheus of {name}, per 1,000 targets",
            f"{memory:8.1f} MB, {cpu:.2f} CPU-s in {SECONDS} s, {series:.1f} series a target",
        )
    for index, what in enumerate(("memory", "CPU", "series")):
        _say(
            f"Prometheus, {what}, of blackbox_exporter to jizuo",
            f"{each['blackbox_exporter'][index] / each['jizuo'][index]:8.1f}",
        )


# The exporter.


def _command() -> list[str]:
    command = [sys.executable, str(ROOT / "jizuo.py"), "exporter", "availability", "--inventory", str(CITY)]
    return [*command, "--interval", f"{INTERVAL}s", f"--web.listen-address=127.0.0.1:{PORT}"]


def _as_it_is() -> None:
    """Nothing changes before a cycle."""


def _exporter(phases: Mapping[str, Callable[[], None]], cycles: int, scraped: str = "") -> Sequence[Measured]:
    """What the exporter takes in each phase, a cycle of each in turn in one process; `scraped` is that under scrapes.

    In turn, since two processes of the same program differ by more than what is looked for. What is called before a
    phase's cycle brings its world about; the rounds leave a third of the interval for that.
    """
    taken: dict[str, list[Cycle]] = {phase: [] for phase in phases}
    *_, name = phases
    with _running(_command(), "metrics at") as pid:
        first = _wait_for_cycle(0.0)  # the first cycle is not spread over the interval
        stamp = _wait_for_cycle(first)
        for _ in range(cycles):
            for phase, found in taken.items():
                phases[phase]()
                used, begun = _cpu(pid), time.monotonic()
                stamp = _wait_for_cycle(stamp, scrape=phase == scraped)
                used, seconds = _cpu(pid) - used, time.monotonic() - begun
                found.append(Cycle(used, seconds, _p99(_get("/metrics").decode())))
        text = _get("/metrics").decode()
        scrapes = []
        for _ in range(30):
            at = time.monotonic()
            _get("/metrics", compressed=True)
            scrapes.append(time.monotonic() - at)
        rss = next(
            line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
        )
    series = sum(not line.startswith("#") for line in text.splitlines())
    up = len(re.findall(r"^jizuo_probe_success\{.*\} 1\.0$", text, re.M))
    probed = len(re.findall(r"^jizuo_probe_success\{", text, re.M))
    pinged = len(re.findall(r'^jizuo_probe_success\{check="icmp"', text, re.M))
    packets = probed + 2 * pinged  # three packets to each address that is pinged
    _say(
        f"jizuo, {name}: targets up, series",
        f"{up:,} of {probed:,}, {series:,} series, {rss.split()[1]} kB resident",
    )
    _say(
        f"jizuo, {name}: scrape, median and worst of 30",
        f"{statistics.median(scrapes) * 1000:8.2f} ms, {max(scrapes) * 1000:.2f} ms",
    )
    measured = [Measured(found, packets) for found in taken.values()]
    for phase, one in zip(taken, measured, strict=True):
        _say(
            f"jizuo, {phase}: CPU of one core",
            f"{one.percent:8.2f} %, {_spread([cycle.cpu_seconds for cycle in one.cycles], 's')} a cycle",
        )
        _say(
            f"jizuo, {phase}: per 1,000 probes",
            f"{one.cpu_per_cycle / packets * 1000:8.3f} CPU-s, all included",
        )
        p99s = [cycle.p99_seconds * 1e6 for cycle in one.cycles]
        _say(f"jizuo, {phase}: p99 of round-trip times", _spread(p99s, "µs"))
    return measured


def _spread(numbers: Sequence[float], unit: str) -> str:
    return f"{statistics.median(numbers):8.2f} {unit} ({min(numbers):.2f} to {max(numbers):.2f})"


def _p99(text: str) -> float:
    """Seconds under which 99 of 100 targets answered in the last cycle; not a number where none did."""
    found = re.findall(r'^jizuo_probe_duration_seconds\{check="icmp".*\} (.*)$', text, re.M)
    durations = sorted(map(float, found))
    return durations[int(len(durations) * 0.99)] if durations else float("nan")


def _get(path: str, compressed: bool = False) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    headers = {"Accept": "application/openmetrics-text;version=1.0.0"}
    connection.request("GET", path, headers=headers | ({"Accept-Encoding": "gzip"} if compressed else {}))
    body = connection.getresponse().read()
    connection.close()
    return body


def _stamp() -> float:
    found = re.search(r"^jizuo_probe_cycle_timestamp_seconds (\S+)$", _get("/metrics").decode(), re.M)
    return float(found.group(1)) if found else 0.0


def _wait_for_cycle(last: float, scrape: bool = False) -> float:
    end = time.monotonic() + 5 * INTERVAL
    while time.monotonic() < end:
        if (stamp := _stamp()) > last:
            return stamp
        for _ in range(20):
            if scrape:
                _get("/metrics", compressed=True)
            time.sleep(0.1)
    sys.exit("the exporter's cycle does not end")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
