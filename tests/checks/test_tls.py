"""Do TLS probes say what real servers show: OpenSSL's of TLS 1.3, Tongsuo's of TLCP and RFC 8998, and none at all?"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.availability import chinese, tls
from checks.availability.hello import Answer, NotTls, client_hello, read_answer
from inventories.records import Family

from . import tongsuo
from .servers import LOOPBACK, closed_port, resetter, tarpit, web_server

ROOT = Path(__file__).parents[2]
FAMILIES = pytest.mark.parametrize("family", list(Family))
TONGSUO = pytest.mark.skipif(
    not tongsuo.is_there(), reason="tongsuopy-crayon is not installed: no product of TLCP to ask"
)


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority; certificates for localhost, for another name, and one that has ended."""
    where = tmp_path_factory.mktemp("tls")
    key = ("ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out")
    openssl(*key, str(where / "ca.key"))
    openssl(
        *("req", "-x509", "-new", "-key", str(where / "ca.key"), "-days", "400", "-subj", "/CN=Test CA"),
        *("-addext", "basicConstraints=critical,CA:TRUE", "-out", str(where / "ca.crt")),
    )
    for name, host, days in (
        ("good", "localhost", 30),
        ("other", "elsewhere.example", 30),
        ("old", "localhost", -1),
    ):
        openssl(*key, str(where / f"{name}.key"))
        request = where / f"{name}.csr"
        openssl(
            "req", "-new", "-key", str(where / f"{name}.key"), "-subj", f"/CN={host}", "-out", str(request)
        )
        extensions = where / f"{name}.cnf"
        extensions.write_text(f"subjectAltName=DNS:{host}\n")
        openssl(
            *(
                "x509",
                "-req",
                "-in",
                str(request),
                "-CA",
                str(where / "ca.crt"),
                "-CAkey",
                str(where / "ca.key"),
            ),
            *(
                "-CAcreateserial",
                "-days",
                str(days),
                "-extfile",
                str(extensions),
                "-out",
                str(where / f"{name}.crt"),
            ),
        )
    tongsuo.make_certificates(where)
    return where


@pytest.fixture(autouse=True)
def trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.crt"))
    for cached in (tls._verifying, tls._unnamed):
        cached.cache_clear()
    yield
    for cached in (tls._verifying, tls._unnamed):
        cached.cache_clear()


@contextlib.contextmanager
def openssl_server(folder: Path, name: str, family: Family, *options: str) -> Iterator[int]:
    """`openssl s_server` with a certificate; yields its port once it listens."""
    port = closed_port(family)
    address = LOOPBACK[family]
    command = [
        "openssl",
        "s_server",
        "-accept",
        f"[{address}]:{port}" if ":" in address else f"{address}:{port}",
    ]
    command += ["-cert", str(folder / f"{name}.crt"), "-key", str(folder / f"{name}.key"), "-quiet", *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            end = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection((address, port), timeout=5).close()
                    break
                except OSError:
                    assert time.monotonic() < end
                    time.sleep(0.05)
            yield port
        finally:
            server.kill()


@contextlib.contextmanager
def tongsuo_server(folder: Path, protocol: str, family: Family, ciphers: str) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.checks.tongsuo", protocol, LOOPBACK[family], ciphers, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline())
        finally:
            server.kill()


def certificate(port: int, family: Family) -> tls.Certificate:
    return asyncio.run(tls.certificate_of(LOOPBACK[family], port, family, "localhost", 5))


def offered(port: int, family: Family) -> dict[str, chinese.Offered]:
    return asyncio.run(chinese.offered(LOOPBACK[family], port, family, "localhost", 5))


def days_left(end: float) -> float:
    return (datetime.datetime.fromtimestamp(end) - datetime.datetime.now()) / datetime.timedelta(days=1)


@FAMILIES
def test_a_good_certificate(folder: Path, family: Family) -> None:
    with openssl_server(folder, "good", family, "-cert_chain", str(folder / "ca.crt")) as port:
        shown = certificate(port, family)
        assert (shown.is_trusted, shown.is_named, shown.problem) == (True, True, "")
        assert (shown.version, shown.suite) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
        assert 29 < days_left(shown.not_after) <= 30
        assert shown.chain_end == shown.not_after
        outcome = asyncio.run(tls.connect(LOOPBACK[family], port, family, "localhost", 5))
        assert outcome.reason is None
        assert outcome.evidence == "TLSv1.3 TLS_AES_256_GCM_SHA384"


@pytest.mark.parametrize(
    ("name", "is_trusted", "is_named", "problem"),
    [
        ("other", True, False, ""),
        ("old", False, True, "certificate has expired"),
        ("ca", False, False, ""),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told_apart(
    folder: Path, name: str, is_trusted: bool, is_named: bool, problem: str
) -> None:
    with openssl_server(folder, name, Family.IPV4) as port:
        shown = certificate(port, Family.IPV4)
        if name != "ca":  # the authority's own is in the store, and trusted so
            assert shown.is_trusted is is_trusted
        assert shown.is_named is is_named
        assert problem in shown.problem
        outcome = asyncio.run(tls.connect("127.0.0.1", port, Family.IPV4, "localhost", 5))
        assert outcome.reason == "certificate"


def test_a_stranger_s_certificate_is_not_trusted_but_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    with openssl_server(folder, "good", Family.IPV6) as port:
        shown = certificate(port, Family.IPV6)
        assert (shown.is_trusted, shown.is_named) == (False, True)
        assert "unable to get local issuer certificate" in shown.problem


@FAMILIES
def test_openssl_offers_no_chinese_suite(folder: Path, family: Family) -> None:
    for options in ((), ("-tls1_3",), ("-tls1_2",)):
        with openssl_server(folder, "good", family, *options) as port:
            found = offered(port, family)
            assert {name for one in found.values() for name in one.suites} == {
                "ECDHE_SM4_CBC_SM3",
                "ECC_SM4_CBC_SM3",
                "ECDHE_SM4_GCM_SM3",
                "ECC_SM4_GCM_SM3",
                "TLS_SM4_GCM_SM3",
                "TLS_SM4_CCM_SM3",
            }
            assert not any(taken for one in found.values() for taken in one.suites.values())


def test_our_tls_13_hello_is_one_that_openssl_takes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With suites that OpenSSL has: it would refuse ours for a fault of its form as well as for its suites."""
    known = dict(chinese._known())
    known["tls13"] = known["tls13"] | {"suites": {"AES_128": 0x1301, "CHACHA": 0x1303, "none": 0x13FF}}
    monkeypatch.setattr(chinese, "_known", lambda: known)
    with openssl_server(folder, "good", Family.IPV4, "-ciphersuites", "TLS_AES_128_GCM_SHA256") as port:
        assert offered(port, Family.IPV4)["tls13"].suites == {"AES_128": True, "CHACHA": False, "none": False}


@TONGSUO
@FAMILIES
@pytest.mark.parametrize(
    ("ciphers", "expected"),
    [
        ("ECC-SM2-SM4-GCM-SM3:ECC-SM2-SM4-CBC-SM3", {"ECC_SM4_GCM_SM3", "ECC_SM4_CBC_SM3"}),
        ("ECC-SM2-SM4-CBC-SM3", {"ECC_SM4_CBC_SM3"}),
    ],
)
def test_tongsuo_offers_tlcp(folder: Path, family: Family, ciphers: str, expected: set[str]) -> None:
    with tongsuo_server(folder, "tlcp", family, ciphers) as port:
        found = offered(port, family)
    assert {name for name, taken in found["tlcp"].suites.items() if taken} == expected
    assert not any(found["tls13"].suites.values())
    assert len(found["tlcp"].certificates) == 2, "one to sign, one to encrypt"
    ends = [tls.end_of(one) for one in found["tlcp"].certificates]
    assert all(end is not None and 89 < days_left(end) <= 90 for end in ends)


@TONGSUO
@FAMILIES
def test_tongsuo_offers_rfc_8998(folder: Path, family: Family) -> None:
    with tongsuo_server(folder, "tls13", family, "TLS_SM4_GCM_SM3:TLS_AES_128_GCM_SHA256") as port:
        found = offered(port, family)
    assert found["tls13"].suites == {"TLS_SM4_GCM_SM3": True, "TLS_SM4_CCM_SM3": False}
    assert not any(found["tlcp"].suites.values())


@FAMILIES
def test_servers_that_speak_no_tls_offer_nothing_and_the_silent_are_unknown(family: Family) -> None:
    async def test() -> None:
        async with web_server(family, {}) as port, resetter(family) as resets, tarpit(family) as silent:
            for place in (port, resets):
                found = await chinese.offered(LOOPBACK[family], place, family, "localhost", 5)
                assert not any(taken for one in found.values() for taken in one.suites.values())
                with pytest.raises(OSError):
                    await tls.certificate_of(LOOPBACK[family], place, family, "localhost", 5)
            with pytest.raises(TimeoutError):
                await chinese.offered(LOOPBACK[family], silent, family, "localhost", 0.3)
            with pytest.raises(TimeoutError):
                await tls.certificate_of(LOOPBACK[family], silent, family, "localhost", 0.3)
            outcome = await tls.connect(LOOPBACK[family], silent, family, "localhost", 0.3)
            assert outcome.reason == "timeout"
            outcome = await tls.connect(LOOPBACK[family], port, family, "localhost", 5)
            assert outcome.reason == "certificate"
        with pytest.raises(ConnectionRefusedError):
            await chinese.offered(LOOPBACK[family], closed_port(family), family, "localhost", 5)

    asyncio.run(test())


@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_no_answer_and_never_breaks_the_reader(data: bytes, certificates: bool) -> None:
    with contextlib.suppress(NotTls):
        answer = read_answer(data, certificates=certificates)
        assert answer is None or answer.suite is None or len(data) > 40


def test_an_answer_may_come_byte_by_byte() -> None:
    hello = client_hello(0x0101, [0xE013], bytes(32))
    assert hello[:3] == b"\x16\x01\x01"
    body = b"\x01\x01" + bytes(32) + b"\x00" + b"\xe0\x13" + b"\x00"
    record = (
        b"\x16\x01\x01" + (len(body) + 4).to_bytes(2, "big") + b"\x02" + len(body).to_bytes(3, "big") + body
    )
    for length in range(len(record)):
        assert read_answer(record[:length], certificates=False) is None
    assert read_answer(record, certificates=False) == Answer(0xE013)
    assert read_answer(b"\x15\x03\x03\x00\x02\x02\x28", certificates=True) == Answer(None, alert=40)
