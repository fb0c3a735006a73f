"""Real servers on loopback, certificates, and what else the tests of the exporters share."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import bcrypt
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from checks.drills.record import (
    VERSION,
    DataCheck,
    DrillRecord,
    Kind,
    Measured,
    Outcome,
    PlanReference,
    Stage,
    Timeline,
)
from exporters.web.server import WebServer
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family
from tests.exporters.alertmanagers import Receiver
from tests.exporters.chromium import Browser

#: Nodes whose addresses exist in the test's network, by family; all others are dead.
ALIVE = {
    Family.IPV4: ("core-a", "core-b", "yuanzhou", "cihua", "cloud-1", "xinchuang-1"),
    Family.IPV6: ("core-a", "core-b", "yuanzhou", "cloud-1"),
}
ROOT = Path(__file__).parents[2]
LAB = ROOT / "inventories" / "lab"
COMMAND = [sys.executable, str(ROOT / "jizuo.py"), "exporter"]


class Loop:
    """An event loop in a thread of its own, so that a test's own code may block as real clients do."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any], timeout: float = 20) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.close()


async def _hello(request: web.Request) -> web.StreamResponse:
    return web.Response(text="hello\n")


@pytest.fixture
def serve(loop: Loop) -> Iterator[Callable[..., WebServer]]:
    """Starts web servers with the paths `/metrics`, `/-/healthy` and `/`, and stops them at the end."""
    started: list[WebServer] = []

    def start(config: Path | None = None, *addresses: str, routes: dict[str, Any] | None = None) -> WebServer:
        async def begin() -> WebServer:
            served = routes or dict.fromkeys(("/metrics", "/healthz", "/-/healthy", "/"), _hello)
            server = WebServer(served, list(addresses) or ["127.0.0.1:0"], config)
            await server.start()
            return server

        server = loop.run(begin())
        assert isinstance(server, WebServer)
        started.append(server)
        return server

    yield start
    for server in started:
        loop.run(server.stop())


class Authority(NamedTuple):
    """A certificate authority of the test's own."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    file: Path

    def issue(self, folder: Path, name: str, common_name: str) -> tuple[Path, Path]:
        """Writes a certificate for the loopback addresses and its key; returns both files."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(common_name, key, self.certificate.subject, self.key, authority=False)
        files = folder / f"{name}.crt", folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(_pem(key))
        return files


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(
    common_name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name | None,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [
        x509.DNSName("localhost"),
        x509.DNSName(common_name),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA256())
    )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate("test-authority", key, None, key, authority=True)
    file = tmp_path_factory.mktemp("authority") / "authority.crt"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(certificate, key, file)


@pytest.fixture(scope="session")
def password_hash() -> str:
    """The bcrypt hash of `right`, at the lowest cost."""
    return bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()


@pytest.fixture
def drill() -> Callable[..., DrillRecord]:
    """Makes a drill's record; any of its fields may be given."""

    def make(**given: Any) -> DrillRecord:
        began = "2026-11-20T09:00:00.000+08:00"
        fields: dict[str, Any] = {
            "version": VERSION,
            "id": f"restore-system-offsite-{len(given)}-20261120T010000Z",
            "drill": "restore-system-offsite",
            "title": "政务系统异地副本恢复演练",
            "plan": PlanReference(id="YA-01", version="1.0"),
            "scope": "宜春政务服务网",
            "kind": Kind.LIVE,
            "planned": True,
            "city": "宜春市",
            "system": "yichun-gov-service-net",
            "system_name": "宜春政务服务网",
            "policy": "gov-service",
            "nodes": {"lost": "cloud-1", "recovery": "xinchuang-1"},
            "participants": (),
            "stop_conditions": (),
            "started_at": began,
            "ended_at": "2026-11-20T09:02:00.000+08:00",
            "success": True,
            "aborted": False,
            "timeline": Timeline(fault=began, serving="2026-11-20T09:00:42.000+08:00"),
            "serving_by_family": {"ipv4": began, "ipv6": began},
            "stages": (),
            "measured": Measured(
                rto_seconds=42.0, rto_objective_seconds=900, rpo_seconds=310.0, rpo_objective_seconds=3600
            ),
            "data_check": DataCheck(outcome=Outcome.DONE, files=3, same=3),
            "fallback": Stage(name="fallback", started_at=began, seconds=3.0, outcome=Outcome.DONE),
        }
        return DrillRecord(**fields | given)

    return make


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Namespace:
    """A network namespace with the addresses of some of the lab's nodes on its loopback interface."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = ALIVE
        self.enter = ["nsenter", f"--net=/run/netns/{name}", "--"]

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [*self.enter, *command], capture_output=True, text=True, timeout=300, check=True
        )
        return done.stdout

    def get(self, path: str, *options: str) -> str:
        return self.run("curl", "--silent", "--show-error", "--globoff", "--max-time", "10", *options, path)


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    if os.geteuid() != 0:
        pytest.skip("a network namespace of its own needs root")
    name = f"jizuo-test-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        made = Namespace(name)
        made.run("ip", "link", "set", "lo", "up")
        # A wire with nobody at its end: what is sent to dead nodes vanishes there, and probes run into their limit.
        made.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "end")
        for interface in ("wire", "end"):
            made.run("ip", "link", "set", interface, "up")
        made.run("ip", "route", "add", "198.18.0.0/15", "dev", "wire")
        made.run("ip", "route", "add", "2001:db8::/32", "dev", "wire")
        plan = build_plan(load_city(LAB))
        for family in Family:  # Prometheus scrapes the operations node over its management address
            made.run("ip", "address", "add", str(plan.management("ops-1", family)), "dev", "lo")
        for family, nodes in ALIVE.items():
            for node in nodes:  # without a prefix length, ip adds a host's address: /32 and /128
                made.run("ip", "address", "add", str(plan.host(node, family)), "dev", "lo")
        yield made
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.fixture
def start(namespace: Namespace, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def begin(
        *arguments: str, inventory: Path = LAB, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        command = [*namespace.enter, *COMMAND, *arguments, "--inventory", str(inventory)]
        command += ["--records", str(tmp_path / "records")]
        given = {**os.environ, **(environment or {})}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=given)
        running.append(process)
        _wait_until_ready(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        if process.stderr:
            process.stderr.close()


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "metrics at" in line:
            return
    raise AssertionError(f"it ended with {process.wait(5)} and said: {said}")


@pytest.fixture
def browser(namespace: Any, tmp_path: Path) -> Iterator[Browser]:
    started = Browser(tmp_path / "profile", namespace.enter)
    yield started
    started.close()
