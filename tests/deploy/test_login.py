"""Who may ask monitoring: files as deploys write them, under real daemons, asked by the right and the wrong."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

import pytest

from checks.drills.definition import SHARED
from checks.drills.shared.files import alert
from deploy.login import files
from deploy.login.asking import ask
from deploy.login.keys import Login, login, password, server
from deploy.operations.monitoring import daemon_files
from deploy.secrets import SecretStore
from exporters.access import Access
from exporters.history import HistoryLoop
from exporters.web.configuration import read_web_config
from exporters.web.tls import server_context
from inventories import monitoring
from inventories.hosts import host_data
from inventories.load import load_city
from inventories.plan import build_plan
from tests.deploy.fake_hosts import LAB

HOSTS = host_data(load_city(LAB), build_plan(load_city(LAB)))
OPS, OFFSITE, VILLAGE = HOSTS["ops-1"], HOSTS["offsite-1"], HOSTS["yufang"]
WEB = (files.PROMETHEUS_WEB, files.ALERTMANAGER_WEB, files.NODE_EXPORTER_WEB, files.EXPORTER_WEB)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the operations node has of these files, below a folder; the controller's secrets beside it."""
    folder = tmp_path_factory.mktemp("login")
    store = SecretStore(folder / "secrets")
    for file in (
        *files.node_exporter_files(store, OPS),
        *files.watching_files(store, OPS),
        *files.exporter_files(store, OPS, "jizuo"),
    ):
        place = folder / file.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.data)
    return folder


@pytest.fixture(scope="module")
def store(root: Path) -> SecretStore:
    return SecretStore(root / "secrets")


@contextmanager
def prometheus(root: Path, web: str) -> Iterator[str]:
    """A real Prometheus under one of the web.yml files; gives its URL over IPv6."""
    with socket.socket(socket.AF_INET6) as free:
        free.bind(("::1", 0))
        port = free.getsockname()[1]
    (root / "prometheus.yml").write_text("{}\n")
    command = [
        "prometheus", f"--config.file={root}/prometheus.yml", f"--storage.tsdb.path={root}/data-{port}",
        f"--web.listen-address=:{port}", f"--web.config.file={root}{web}",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 180
        while socket.socket(socket.AF_INET6).connect_ex(("::1", port)):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        yield f"https://[::1]:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("path", WEB, ids=lambda path: Path(path).name)
def test_prometheus_s_tool_and_the_kit_take_every_web_yml(root: Path, path: str) -> None:
    command = [*files.CHECK.split(), f"{root}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    tls = read_web_config(Path(f"{root}{path}")).tls_server_config
    assert server_context(tls) is not None


def test_the_tool_finds_a_key_that_belongs_to_another_certificate(root: Path, tmp_path: Path) -> None:
    """That is what the deploy relies on: this never takes effect."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("prometheus.yml", "certificate.pem"):
        (folder / name).write_bytes(Path(f"{root}{monitoring.FOLDER}/{name}").read_bytes())
    (folder / "key.pem").write_bytes(Path(f"{root}{monitoring.CLIENT_KEY}").read_bytes())
    command = [*files.CHECK.split(), str(folder / "prometheus.yml")]
    assert subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == 1


def test_people_and_programs_log_in_and_nobody_else(root: Path, store: SecretStore, tmp_path: Path) -> None:
    people = login(store)
    assert people.ca.read_text() == Path(f"{root}{monitoring.AUTHORITY}").read_text()
    assert "PRIVATE" not in people.ca.read_text()
    with prometheus(root, files.PROMETHEUS_WEB) as url:
        over_ipv4 = url.replace("[::1]", "127.0.0.1")
        for address in (url, over_ipv4):
            assert b"prometheus_build_info" in ask(f"{address}/metrics", people)
        programs = Login(people.ca, monitoring.PROGRAMS, Path(f"{root}{monitoring.PASSWORD}"))
        assert b"Ready" in ask(f"{url}/-/ready", programs)
        wrong = tmp_path / "wrong"
        wrong.write_text(password(store, monitoring.PEOPLE)[:-1])
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{url}/-/ready", people._replace(password_file=wrong))
        other = login(SecretStore(tmp_path / "other"))
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(f"{url}/-/ready", people._replace(ca=other.ca))
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(url.replace("https", "http"), timeout=5)
        # The drills' script, as it runs on the node itself.
        environment = {
            **os.environ,
            "JIZUO_MONITORING_CA": f"{root}{monitoring.AUTHORITY}",
            "JIZUO_MONITORING_PASSWORD_FILE": f"{root}{monitoring.PASSWORD}",
        }
        script = [sys.executable, str(SHARED / "files/alert.py"), "targets", url, "0"]
        done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "Prometheus has no targets\n")
        watched = watch(tmp_path, url, people.ca)
        assert "serving" in watched and "failing" not in watched, watched
        assert "CERTIFICATE_VERIFY_FAILED" in watch(tmp_path / "other", url, other.ca)


def test_the_kit_s_own_readers_log_in(root: Path) -> None:
    """A status page that asks a Prometheus for its history: by files, and no password in its settings."""
    reached = Access(f"{root}{monitoring.AUTHORITY}", monitoring.PROGRAMS, f"{root}{monitoring.PASSWORD}")
    with prometheus(root, files.PROMETHEUS_WEB) as url:
        for access, said in (
            (reached, "尚无可用率历史"),
            (reached._replace(user=""), "wants a login"),
            (reached._replace(ca=""), "CERTIFICATE_VERIFY_FAILED"),
            (reached._replace(password_file="/nowhere"), "/nowhere: no password"),
        ):
            history = HistoryLoop(url, lambda: UTC, access)
            asyncio.run(history.ask())
            assert said in history.reading.message, history.reading.message
            assert (history.reading.trouble is None) == (access is reached)


def watch(folder: Path, url: str, authority: Path) -> str:
    """What a drill's client without a login sees in both families."""
    folder.mkdir(exist_ok=True)
    seen = folder / "seen"
    port = url.rpartition(":")[2]
    digest = "401:14577b0ba3d3049e7cfa98820033cedd2d0c3b897ef5451d0cc7a985963e7aa9"
    target = f"lost=ops-1:{port}/=127.0.0.1,::1={authority}"
    command = [sys.executable, str(SHARED / "files/watch.py"), "poll", str(seen), "1", digest, target]
    subprocess.run(command, check=True, timeout=300)
    return seen.read_text()


def test_a_node_exporter_answers_the_certificate_of_prometheus_alone(root: Path, store: SecretStore) -> None:
    """Another host's certificate for its own daemons, of the same authority, opens nothing."""
    pair = server(store, VILLAGE, "monitoring")
    village = root / "village.pem"
    village.write_text(pair.certificate + pair.key)
    with prometheus(root, files.NODE_EXPORTER_WEB) as url:

        def get(*certificate: str) -> int:
            trusted = ssl.create_default_context(cafile=f"{root}{monitoring.AUTHORITY}")
            if certificate:
                trusted.load_cert_chain(*certificate)
            with urllib.request.urlopen(f"{url}/metrics", timeout=5, context=trusted) as answer:
                return int(answer.status)

        assert get(f"{root}{monitoring.CLIENT_CERTIFICATE}", f"{root}{monitoring.CLIENT_KEY}") == 200
        for refused in ((), (str(village),)):
            with pytest.raises((OSError, urllib.error.URLError)):
                get(*refused)


def test_no_secret_stands_where_everybody_reads_or_on_a_command_line(store: SecretStore) -> None:
    found = [
        *files.node_exporter_files(store, OPS),
        *daemon_files(store, OPS, HOSTS, days=31, gigabytes=5),
        *files.exporter_files(store, OPS, "jizuo"),
    ]
    readable = {file.path for file in found if file.mode == "644"}
    assert readable == {
        monitoring.AUTHORITY,
        "/etc/default/prometheus",
        "/etc/default/prometheus-alertmanager",
    }
    secrets = [password(store, user) for user in (monitoring.PEOPLE, monitoring.PROGRAMS)]
    holding = {file.path for file in found if any(secret in file.data.decode() for secret in secrets)}
    assert holding == {monitoring.PASSWORD}
    # People's password is on no host at all.
    assert not [file for file in found if password(store, monitoring.PEOPLE) in file.data.decode()]


def test_nothing_is_made_anew_and_another_password_has_another_hash(tmp_path: Path) -> None:
    store = SecretStore(tmp_path)
    first = files.watching_files(store, OPS)
    assert files.watching_files(store, OPS) == first
    (tmp_path / f"monitoring-login-{monitoring.PEOPLE}").unlink()
    changed = {file.path for file in first} - {
        file.path for file in files.watching_files(store, OPS) if file in first
    }
    assert changed == {files.PROMETHEUS_WEB, files.ALERTMANAGER_WEB}


def test_the_alertmanagers_are_one_cluster_by_their_certificates(store: SecretStore) -> None:
    arguments = {
        data.name: next(
            file.data.decode()
            for file in daemon_files(store, data, HOSTS, days=31, gigabytes=5)
            if file.path.endswith("-alertmanager")
        )
        for data in (OPS, OFFSITE)
    }
    for data, other in ((OPS, OFFSITE), (OFFSITE, OPS)):
        text = arguments[data.name]
        address = {one.name: list(one.management.values())[1] for one in (data, other)}
        assert f"--cluster.advertise-address=[{address[data.name]}]:9094" in text
        assert f"--cluster.peer=[{address[other.name]}]:9094" in text
        assert f"--cluster.tls-config={files.CLUSTER_TLS}" in text
        assert f"--web.config.file={files.ALERTMANAGER_WEB}" in text


def test_the_drills_script_looks_where_the_deploy_writes() -> None:
    assert (alert.AUTHORITY, alert.USER, alert.PASSWORD) == (
        monitoring.AUTHORITY,
        monitoring.PROGRAMS,
        monitoring.PASSWORD,
    )
