"""What reaches a province: two real Prometheus of a city, one that reads them, and one that they write to."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml

from exporters.access import Access
from exporters.prometheus import NodeError, Settings, files_of, prometheus_config
from exporters.province import access_to, province_files, targets_of
from exporters.remote_write import province_names, read_remote_write
from inventories import records
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import City, Monitoring
from tests.exporters.conftest import COMMAND, LAB, ROOT, Authority
from tests.exporters.daemons import free_port

PAIR = ("ops-1", "offsite-1")
#: What both Prometheus of the city scrape: sums, which a province takes, and what it does not take.
SERVED = """\
city:jizuo_probe_success:ratio{family="ipv4"} 0.75
county:jizuo_probe_success:ratio{county="360902",family="ipv6"} 0.5
jizuo_coverage_sites{level="village",state="in_service"} 4
jizuo_probe_success{subject="yufang",check="icmp",family="ipv4"} 1
target:jizuo_probe_success:max{subject="yufang",check="icmp",family="ipv4"} 1
node_load1 0.5
"""
SUMS = {"city:jizuo_probe_success:ratio", "county:jizuo_probe_success:ratio", "jizuo_coverage_sites"}


def lab(url: str = "", division: str = "3609") -> City:
    """The lab's city; it writes to a province where one is named."""
    city = load_city(LAB)
    province = records.Province(url=url, user="province") if url else None
    monitoring = Monitoring(interval=1, province=province)
    layout = msgspec.structs.replace(city.layout, monitoring=monitoring, division=division)
    return msgspec.structs.replace(city, layout=layout)


class Daemon(NamedTuple):
    """A Prometheus that wants a login over TLS."""

    port: int
    access: Access
    log: Path

    def get(self, path: str) -> str:
        request = urllib.request.Request(
            f"https://localhost:{self.port}/{path}", headers=self.access.headers()
        )
        with urllib.request.urlopen(request, timeout=10, context=self.access.context()) as answer:
            content: bytes = answer.read()
        return content.decode()

    def ask(self, query: str) -> list[dict[str, Any]]:
        answer = json.loads(self.get(f"api/v1/query?{urllib.parse.urlencode({'query': query})}"))
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, query: str) -> float:
        (found,) = self.ask(query)
        return float(found["value"][1])


class Province(NamedTuple):
    """The city's pair, the Prometheus that reads it, and the one that it writes to."""

    pair: dict[str, Daemon]
    reading: Daemon
    written: Daemon


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 180
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)


class Host:
    """Starts a Prometheus in a folder of its own, and waits until it answers."""

    def __init__(self, folder: Path, access: Access, stack: ExitStack) -> None:
        self._folder, self._access, self._stack = folder, access, stack

    def start(self, name: str, config: dict[str, Any], *options: str) -> Daemon:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        daemon = Daemon(free_port(), self._access, folder / "log")
        command = [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{daemon.port}",
            f"--web.config.file={self._folder}/web.yml",
            *options,
        ]
        process = self._stack.enter_context(
            subprocess.Popen(command, stderr=self._stack.enter_context(daemon.log.open("w")))
        )
        self._stack.callback(process.terminate)
        until(lambda: process.poll() is not None or _answers(daemon))
        assert process.poll() is None, daemon.log.read_text()
        return daemon

    def aim(self, name: str, job: str, *groups: dict[str, Any]) -> None:
        file = self._folder / name / "targets" / f"{job}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(groups))


def _answers(daemon: Daemon) -> bool:
    try:
        return bool(daemon.ask("vector(1)"))
    except (OSError, ssl.SSLError):
        return False


@pytest.fixture(scope="module")
def province(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, password_hash: str
) -> Iterator[Province]:
    folder = tmp_path_factory.mktemp("province")
    certificate, key = authority.issue(folder, "daemon", "localhost")
    tls = {"cert_file": str(certificate), "key_file": str(key)}
    login = {"tls_server_config": tls, "basic_auth_users": {"province": password_hash}}
    (folder / "web.yml").write_text(yaml.safe_dump(login))
    for code, password in (("3609", "right"), ("3603", "wrong")):
        (folder / f"{code}.password").write_text(f"{password}\n")
        (folder / f"{code}.pem").write_bytes(authority.file.read_bytes())
    access = access_to("3609", str(folder))
    (folder / "served").mkdir()
    (folder / "served" / "metrics").write_text(SERVED)
    with ExitStack() as stack:
        host = Host(folder, access, stack)
        served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=f"{folder}/served"))
        stack.callback(served.shutdown)
        Thread(target=served.serve_forever, daemon=True).start()
        written = host.start("written", {}, "--web.enable-remote-write-receiver")
        city = lab(f"https://localhost:{written.port}/api/v1/write")
        exporter = {"targets": [f"127.0.0.1:{served.server_port}"], "labels": {"instance": "ops-1"}}
        pair = {}
        for name in PAIR:
            settings = Settings(interval=1, replica=name, province=access)
            host.aim(name, "jizuo", exporter)
            pair[name] = host.start(name, prometheus_config(city, settings, ["jizuo"]))
        made = province_files([city, lab(division="3603")], str(folder))
        config = yaml.safe_load(made["prometheus.yml"])
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        rules = yaml.safe_load(made["rules/jizuo-province.yml"])
        for rule in rules["groups"][0]["rules"]:
            rule["for"] = "3s"  # in place of minutes
        (folder / "reading" / "rules").mkdir(parents=True)
        (folder / "reading" / "rules" / "province.yml").write_text(yaml.safe_dump(rules))
        for job in ("jizuo-3609", "jizuo-3603"):
            groups = json.loads(made[f"targets/{job}.json"])
            for group in groups:  # their names lead nowhere on this machine
                group["targets"] = [f"localhost:{pair[group['labels']['instance']].port}"]
            host.aim("reading", job, *groups)
        yield Province(pair, host.start("reading", config), written)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_province_reads_sums_under_the_standard_labels(province: Province) -> None:
    reading = province.reading
    until(lambda: reading.ask("count(city:jizuo_probe_success:ratio) == 2"))
    until(lambda: reading.ask('count(up{job="jizuo-3609"} == 1) == 2'))
    found = [one["metric"] for one in reading.ask('{__name__=~".+",__name__!~"up|scrape_.+|ALERTS.*"}')]
    assert {one["__name__"] for one in found} == SUMS
    assert {(one["province"], one["city"]) for one in found} == {("36", "3609")}
    assert {one["replica"] for one in found} == set(PAIR)
    (merged,) = reading.ask("max without (replica, instance) (city:jizuo_probe_success:ratio)")
    assert float(merged["value"][1]) == 0.75
    # `up` says the city too: so a city that nobody answers for is seen.
    (up,) = reading.ask('min by (province, city) (up{job="jizuo-3609"})')
    assert up["metric"] == {"province": "36", "city": "3609"}


def test_a_wrong_password_reads_nothing(province: Province) -> None:
    until(lambda: len(province.reading.ask('up{job="jizuo-3603"}')) == 2)
    assert province.reading.value('max(up{job="jizuo-3603"})') == 0


def test_a_city_that_is_not_heard_of_is_told_apart_from_one_that_is(province: Province) -> None:
    reading = province.reading
    until(lambda: reading.ask('ALERTS{alertname="CitySilent",alertstate="firing"}'))
    found = [one["metric"] for one in reading.ask('ALERTS{alertname=~"City.+"}')]
    assert {(one["alertname"], one["city"]) for one in found} == {
        ("CitySilent", "3603"),
        ("CityPrometheusSilent", "3603"),
    }
    # Both of the other city's were asked as often, and it is the one whose sums came.
    assert reading.value('min(min_over_time(up{job="jizuo-3609"}[10s]))') == 1


def test_both_of_a_pair_write_and_none_is_refused(province: Province) -> None:
    written = province.written
    for name in PAIR:
        until(
            lambda name=name: written.ask(
                f'count_over_time(city:jizuo_probe_success:ratio{{replica="{name}"}}[10m]) > 4'
            )
        )
    found = [one["metric"] for one in written.ask('{__name__=~".+"}')]
    assert {one["__name__"] for one in found} == SUMS
    assert {(one["province"], one["city"]) for one in found} == {("36", "3609")}
    refused = re.findall(r"(?i).*(?:out of order|duplicate).*", written.log.read_text())
    assert not refused, refused[0]
    for name in PAIR:
        lost = r"^prometheus_remote_storage_samples_failed_total\{.*\} (\S+)$"
        assert re.findall(lost, province.pair[name].get("metrics"), re.M) == ["0"]


def test_only_a_node_that_holds_the_files_writes() -> None:
    city = lab("https://province.example/api/v1/write")
    with pytest.raises(NodeError, match="--province-ca"):
        files_of(city, build_plan(city), Settings(replica="ops-1"))
    for files in (Settings(replica="ops-1", province=Access("ca.pem", password_file="p"), storage_url="s"),):
        config = yaml.safe_load(files_of(city, build_plan(city), files)["prometheus.yml"])
        assert [one["name"] for one in config["remote_write"]] == ["storage", "province"]
        for queue in (one["queue_config"] for one in config["remote_write"]):
            assert queue["min_shards"] == queue["max_shards"], "a change of their number loses samples"


@pytest.mark.parametrize("url", ["http://province.example/w", "https:///w", "province.example/w"])
def test_sums_are_written_over_tls_alone(url: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"url": url, "user": "yichun"}, type=records.Province)


def test_a_city_is_named_once_and_has_somebody_to_ask() -> None:
    with pytest.raises(ValueError, match="3609"):
        province_files([lab(), lab()], "/etc/prometheus/cities")
    with pytest.raises(ValueError, match="no Prometheus to ask"):
        targets_of(msgspec.structs.replace(lab(), nodes={}))
    assert [group["targets"] for group in targets_of(lab())] == [
        ["ops-1.yichun.example:9090"],
        ["offsite-1.yichun.example:9090"],
    ]


def test_the_names_are_those_of_recorded_sums() -> None:
    for name in ("jizuo_probe_success", "target:jizuo_probe_success:max", "jizuo_target_info", "node_load1"):
        assert not re.fullmatch(province_names(), name)
    recorded = "".join(file.read_text() for file in (ROOT / "exporters" / "rules").glob("*.yml"))
    known = re.findall(r"record: (\S+)", recorded)
    for pattern in read_remote_write().province.series:
        if re.match(r"[a-z_(|]+\)?:", pattern):
            assert any(re.fullmatch(pattern, name) for name in known), pattern


def test_the_command_writes_what_promtool_takes(tmp_path: Path) -> None:
    for ending in ("pem", "password"):
        (tmp_path / f"3609.{ending}").touch()
    command = [*COMMAND, "province-config", str(LAB), "--out", str(tmp_path / "out")]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        whole = [*command, "--credentials", f"{tmp_path}/", *more]
        return subprocess.run(whole, capture_output=True, text=True, timeout=300, check=False)

    alerting = ("--alertmanager", "[::1]:9093", "--runbook-url", "https://province.example/runbooks")
    assert run("--dry").returncode == 2
    assert run(*alerting).returncode == 0
    assert run(*alerting, "--dry").returncode == 0
    (group,) = yaml.safe_load((tmp_path / "out" / "rules" / "jizuo-province.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert rule["annotations"]["runbook_url"] == f"https://province.example/runbooks/{rule['alert']}"
        assert rule["annotations"]["summary"].startswith("市 ")
        assert (tmp_path / "out" / "runbooks" / f"{rule['alert']}.html").stat().st_size > 1000
    check = ["promtool", "check", "config", str(tmp_path / "out" / "prometheus.yml")]
    done = subprocess.run(check, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    twice = run(str(LAB))
    assert twice.returncode == 1
    assert "two cities have the division code 3609" in twice.stderr
