"""Real servers on loopback, certificates, and what else the tests of the exporters share."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import threading
from collections.abc import Callable, Coroutine, Iterator
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
            served = routes or {"/metrics": _hello, "/-/healthy": _hello, "/": _hello}
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
