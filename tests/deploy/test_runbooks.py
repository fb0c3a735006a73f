"""Is there a page behind every runbook link? Followed over HTTPS, at the exporter and at the second watch alone."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from deploy.login import files as login_files
from deploy.login.asking import ask
from deploy.login.keys import Login, login
from deploy.operations.monitoring import daemon_files, settings_options
from deploy.secrets import SecretStore
from deploy.watch import role as watch_role
from exporters.prometheus import read_rules
from exporters.province import PROVINCE_RULES
from exporters.runbooks.pages import sources
from inventories.hosts import HostData, host_data
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family
from tests.deploy.fake_hosts import LAB, FakeCity

HOSTS = host_data(load_city(LAB), build_plan(load_city(LAB)))
COMMAND = [sys.executable, str(Path(__file__).parents[2] / "jizuo.py"), "exporter"]


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as free:
        free.bind(("::1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(command: list[str], ready: Callable[[], Any]) -> Iterator[None]:
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                ready()
                break
            except urllib.error.HTTPError as error:
                assert error.code == 503, error
            except OSError:
                assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=300)


#: Those of a province's own Prometheus, which no city has.
PROVINCE_ALERTS = {rule["alert"] for group in read_rules(PROVINCE_RULES)["groups"] for rule in group["rules"]}


def must_be_the_pages(links: dict[str, str], prefix: str, served: str, people: Login) -> None:
    """Every alert has a link below `prefix`; behind it, looked up at `served`, is its page in Chinese."""
    assert set(links) == set(sources()) - PROVINCE_ALERTS
    for alert, link in links.items():
        assert link.startswith(prefix), link
        page = ask(link.replace(prefix, served), people).decode()
        assert page.startswith("<!doctype html>") and f"<title>{alert} 处置手册</title>" in page
        title = sources()[alert].splitlines()[0].removeprefix("# ")
        assert f"<h1>{title}</h1>" in page
        assert '<html lang="zh-CN">' in page and "<h2>处置</h2>" in page


def test_the_exporter_has_the_page_behind_each_link(tmp_path: Path) -> None:
    """As `prometheus-config` writes links without being told where runbooks are."""
    store = SecretStore(tmp_path / "secrets")
    for file in login_files.exporter_files(store, HOSTS["ops-1"], "jizuo"):
        place = tmp_path / file.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.data)
    out = tmp_path / "out"
    written = [*COMMAND, "prometheus-config", str(LAB), "--out", str(out), "--ca=/ca", "--replica=ops-1"]
    subprocess.run(written, check=True, stdout=subprocess.DEVNULL, timeout=300)
    links = {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for file in (out / "rules").iterdir()
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    served = f"https://[::1]:{free_port()}"
    command = [*COMMAND, "all", f"--inventory={LAB}", f"--records={tmp_path}", "--no-probe"]
    command += [f"--web.listen-address={served.removeprefix('https://')}"]
    command += [f"--web.config.file={tmp_path}{login_files.EXPORTER_WEB}"]
    people = login(store)
    address = HOSTS["ops-1"].management[Family.IPV6]
    with running(command, lambda: ask(f"{served}/healthz", people)):
        must_be_the_pages(links, f"https://[{address}]:9910/", f"{served}/", people)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(f"{served}/runbooks/NoSuchAlert", people)
        wrong = tmp_path / "wrong"
        wrong.write_text("wrong")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{served}/runbooks/BackupFailed", people._replace(password_file=wrong))


@pytest.fixture
def second_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Login]]:
    """The Prometheus of offsite-1 with all that the deploy brings there, and nothing else of the city."""
    city = FakeCity(tmp_path / "state", monkeypatch)
    city.run(watch_role.watch, "offsite-1")
    root = tmp_path / "root"
    for path, file in city.files["@fake/offsite-1"].items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.data.decode().replace("/etc/", f"{root}/etc/"))
    defaults = (root / "etc/default/prometheus").read_text()
    arguments = shlex.split(defaults.removeprefix('ARGS="').rstrip().rstrip('"'))
    port = free_port()
    changed = [f"--config.file={root}/etc/prometheus/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    changed += [f"--web.listen-address=[::1]:{port}"]
    command = ["prometheus", *(one for one in arguments if "listen-address" not in one), *changed]
    url, people = f"https://[::1]:{port}", login(SecretStore(tmp_path / "state/secrets"))
    with running(command, lambda: ask(f"{url}/-/ready", people)):
        yield url, people


def test_the_second_watch_has_the_pages_when_the_data_centre_is_gone(second_watch: tuple[str, Login]) -> None:
    url, people = second_watch
    rules = msgspec.json.decode(ask(f"{url}/api/v1/rules?type=alert", people))["data"]["groups"]
    links = {rule["name"]: rule["annotations"]["runbook_url"] for group in rules for rule in group["rules"]}
    assert "CityDataCentreDown" in links
    address = HOSTS["offsite-1"].management[Family.IPV6]
    must_be_the_pages(links, f"https://[{address}]:9090/", f"{url}/", people)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(f"{url}/user/NoSuchAlert.html", people)


@pytest.mark.parametrize("name", ["ops-1", "offsite-1"])
def test_each_prometheus_serves_what_its_own_links_say(name: str, tmp_path: Path) -> None:
    """Of the first one too: an alert that its exporter is down is of no use with a link to that exporter."""
    data: HostData = HOSTS[name]
    address = data.management[Family.IPV6]
    assert f"--runbook-url=https://[{address}]:9090/user/{{alert}}.html" in settings_options(data)
    found = daemon_files(SecretStore(tmp_path), data, HOSTS, days=1, gigabytes=1)
    arguments = next(file.data.decode() for file in found if file.path == "/etc/default/prometheus")
    assert "--web.user-assets=/etc/prometheus/runbooks " in arguments
