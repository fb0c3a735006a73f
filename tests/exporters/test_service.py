"""The command as it runs on the operations node: real probes in a network of its own, scrapes, signals, errors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from checks.availability.targets import reachable_nodes, targets_of
from inventories.hosts import NODE_EXPORTER_PORT, linux_nodes
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family

ROOT = Path(__file__).parents[2]
LAB = ROOT / "inventories" / "lab"
COMMAND = [sys.executable, str(ROOT / "jizuo.py"), "exporter"]
Start = Callable[..., subprocess.Popen[str]]
#: Serves `ok` to every request over HTTP on port 80 of both families, for one real system.
WEB_SERVER = """
import http.server, socket
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    do_HEAD = do_GET
    def log_message(self, *arguments): pass
print("ready", flush=True)
Server(("::", 80), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def web(namespace: Any) -> Iterator[None]:
    command = [*namespace.enter, sys.executable, "-c", WEB_SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield
        server.terminate()


def samples(text: str, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name, by subject, check and family."""
    return {
        tuple(sample.labels.get(label, "") for label in ("subject", "check", "family")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def collectors(text: str) -> dict[str, float]:
    return {
        sample.labels["collector"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "jizuo_collector_success"
    }


def test_a_city_is_probed_and_served(namespace: Any, web: None, start: Start, tmp_path: Path) -> None:
    process = start("all", "--interval", "6s", "--timeout", "1s")

    begun = time.monotonic()
    first = namespace.get("http://127.0.0.1:9910/metrics")  # the first round is still under way
    assert time.monotonic() - begun < 2
    assert not samples(first, "jizuo_probe_success")
    assert collectors(first)["availability"] == 0
    assert collectors(first)["backup"] == 0  # no record was ever written
    assert collectors(first)["inventory"] == 1

    deadline = time.monotonic() + 180
    while collectors(text := namespace.get("http://[::1]:9910/metrics"))["availability"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    success = samples(text, "jizuo_probe_success")
    city = load_city(LAB)
    targets = targets_of(city, build_plan(city))
    assert set(success) == {(target.subject, target.check, target.family.value) for target in targets}
    for family, alive in namespace.alive.items():
        echoes = {key[0]: up for key, up in success.items() if key[1:] == ("icmp", family.value)}
        assert {node for node, up in echoes.items() if up} == set(alive)
        assert set(echoes) == set(reachable_nodes(city))
    portal = ("gov-data-portal", "http://cloud-1/gov-data-portal/")
    assert success[*portal, "ipv4"] == success[*portal, "ipv6"] == 1
    office = ("collab-office", "http://xinchuang-1/collab-office/")
    assert (success[*office, "ipv4"], success[*office, "ipv6"]) == (1, 0)
    failing = samples(text, "jizuo_probe_failure_info")
    assert set(failing) == {key for key, up in success.items() if not up}

    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    zipped = namespace.get(
        "http://127.0.0.1:9910/metrics", "--compressed", "--dump-header", str(tmp_path / "head")
    )
    assert "jizuo_probe_success" in zipped
    head = (tmp_path / "head").read_text().lower()
    assert "content-encoding: gzip" in head
    assert "vary: accept, accept-encoding" in head

    page = namespace.get("http://127.0.0.1:9910/")
    assert "宜春市数字基座运行状态" in page
    for path in ("/-/healthy", "/healthz"):
        assert "healthy" in namespace.get(f"http://127.0.0.1:9910{path}")
    sent = samples(text, "jizuo_probe_packets_sent_total")
    lost = samples(text, "jizuo_probe_packets_lost_total")
    rounds = samples(text, "jizuo_probe_attempts_total")
    assert sent == {key: 3 * rounds[key] for key in sent}
    assert {key for key in sent if lost[key]} == {key for key in sent if not success[key]}
    excluded = samples(text, "jizuo_probe_excluded_info")
    assert ("health-1", "icmp", "ipv6") in excluded
    assert not set(excluded) & set(success)

    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_the_targets_of_prometheus_are_served(namespace: Any, start: Start) -> None:
    start("security", "--web.listen-address=[::1]:9930")
    nodes = json.loads(namespace.get("http://[::1]:9930/sd/node"))
    city = load_city(LAB)
    plan = build_plan(city)
    assert {group["labels"]["instance"] for group in nodes} == set(linux_nodes(city))
    wanted = {f"[{plan.management(node, Family.IPV6)}]:{NODE_EXPORTER_PORT}" for node in linux_nodes(city)}
    assert {target for group in nodes for target in group["targets"]} == wanted
    assert json.loads(namespace.get("http://[::1]:9930/sd/jizuo"))
    answer = namespace.get("http://[::1]:9930/sd/nodes", "--write-out", " %{http_code} %{content_type}")
    assert "the jobs are node, jizuo" in answer
    assert " 404 " in answer
    assert namespace.get(
        "http://[::1]:9930/sd/node", "--write-out", "%{content_type}", "--output", "/dev/null"
    ).startswith("application/json")


def test_a_shard_probes_its_part(namespace: Any, start: Start) -> None:
    start("availability", "--web.listen-address=[::1]:9940", "--shard", "county=360981", "--timeout", "1s")
    wait_for_round(namespace, 9940)
    city = load_city(LAB)
    text = namespace.get("http://[::1]:9940/metrics")
    assert {key[0] for key in samples(text, "jizuo_probe_success")} == {
        node for node in reachable_nodes(city) if city.nodes[node].site.startswith("360981")
    }
    assert "reachable_ipv4" not in text  # of a part it would say that the city ends there


def test_one_that_is_killed_in_a_round_serves_again(namespace: Any, start: Start) -> None:
    options = ("availability", "--web.listen-address=[::1]:9950", "--interval", "6s", "--timeout", "1s")
    for rounds in (0, 1):  # in its first round, and in one that others came before
        killed = start(*options)
        if rounds:
            wait_for_round(namespace, 9950)
        stop_in_a_round(namespace, killed)
        killed.kill()
        assert killed.wait(10) == -signal.SIGKILL
        assert raw_sockets(namespace) == []
    start(*options)
    wait_for_round(namespace, 9950)
    text = namespace.get("http://[::1]:9950/metrics")
    assert set(samples(text, "jizuo_probe_attempts_total").values()) == {1}


def stop_in_a_round(namespace: Any, process: subprocess.Popen[str]) -> None:
    """Stops it while echo requests are under way: it has raw sockets only then."""
    deadline = time.monotonic() + 180
    while True:
        assert time.monotonic() < deadline
        process.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        if raw_sockets(namespace):
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.05)


def raw_sockets(namespace: Any) -> list[str]:
    """The raw sockets of the namespace, of both families."""
    lines = namespace.run("cat", "/proc/net/raw", "/proc/net/raw6").splitlines()
    return [line for line in lines if "local_address" not in line]


def test_an_edited_inventory_is_taken_up_by_the_process_that_runs(
    namespace: Any, start: Start, tmp_path: Path
) -> None:
    inventory = tmp_path / "inventory"
    shutil.copytree(LAB, inventory)
    running = start(
        "availability",
        "--web.listen-address=[::1]:9960",
        "--interval=2s",
        "--timeout=500ms",
        inventory=inventory,
    )
    wait_for_round(namespace, 9960)
    before = namespace.get("http://[::1]:9960/metrics")
    assert "宜春市" in namespace.get("http://[::1]:9960/")
    edits = {
        name: (inventory / name).read_text(encoding="utf-8").replace(old, new)
        for name, old, new in (
            ("nodes.csv", "client-2,", "client-9,"),  # until links.csv follows, the inventory is wrong
            ("links.csv", "client-2,", "client-9,"),
            ("city.toml", "宜春市", "宜阳市"),
        )
    }
    for name, text in edits.items():  # each is renamed into its place, as a deploy does it
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).rename(inventory / name)
        if name == "nodes.csv":
            wait_for_collector(namespace, 9960, "inventory", 0)
    deadline = time.monotonic() + 180
    while ("client-9", "icmp", "ipv4") not in samples(
        after := namespace.get("http://[::1]:9960/metrics"), "jizuo_probe_success"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)

    assert running.poll() is None
    assert process_start(after) == process_start(before)
    old, new = (samples(text, "jizuo_probe_attempts_total") for text in (before, after))
    gone, come = old.keys() - new.keys(), new.keys() - old.keys()
    assert {key[0] for key in gone} == {"client-2"}
    assert {key[0] for key in come} == {"client-9"}
    assert all(new[key] > old[key] >= 1 for key in old.keys() & new.keys())
    assert {new[key] for key in come} == {1}
    assert 'name="宜阳市"' in after
    assert {line.partition(" ")[0] for line in after.splitlines() if "宜春市" in line} == set()
    page = namespace.get("http://[::1]:9960/")
    assert "宜阳市" in page
    assert "宜春市" not in page
    told = {group["labels"]["instance"] for group in json.loads(namespace.get("http://[::1]:9960/sd/node"))}
    assert "client-9" in told
    assert "client-2" not in told


def process_start(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("process_start_time_seconds "))


def wait_for_round(namespace: Any, port: int) -> None:
    wait_for_collector(namespace, port, "availability", 1)


def wait_for_collector(namespace: Any, port: int, name: str, wanted: int) -> None:
    deadline = time.monotonic() + 180
    while collectors(namespace.get(f"http://[::1]:{port}/metrics"))[name] != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_each_exporter_shows_its_own(namespace: Any, start: Start) -> None:
    expected = {
        "backup": {"inventory", "backup", "drill"},
        "security": {"inventory", "security"},
        "availability": {"inventory", "availability", "inspection"},
    }
    for port, (name, shown) in enumerate(expected.items(), start=9920):
        start(name, f"--web.listen-address=[::1]:{port}")
        text = namespace.get(f"http://[::1]:{port}/metrics")
        assert set(collectors(text)) == shown
        assert "宜春市" in namespace.get(f"http://[::1]:{port}/")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=300, check=False)


def test_a_wrong_inventory_stops_it_before_it_listens(tmp_path: Path) -> None:
    done = run("all", "--inventory", str(tmp_path), "--web.listen-address=127.0.0.1:0")
    assert done.returncode == 1
    assert "city.toml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--web.listen-address=nonsense",), "is no listen address"),
        (
            ("--web.listen-address=127.0.0.1:0", "--web.config.file=/no/such/web.yml"),
            "/no/such/web.yml: cannot",
        ),
        (("--interval=soon",), "is no duration"),
        (("--shard=9/4",), "is no shard; write county=SITE"),
        (("--shard=county=1",), "has no such county; write one of 360902"),
        (("--interval=0s",), "not above 0"),
        (("--max-age=backups=1h",), "NAME one of availability, security, backup"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(options: tuple[str, ...], said: str) -> None:
    done = run("security", "--inventory", str(LAB), *options)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_shows_how_it_is_used() -> None:
    for command in ("all", "availability", "backup", "security", "prometheus-config"):
        assert "Examples:" in run(command, "--help").stdout
