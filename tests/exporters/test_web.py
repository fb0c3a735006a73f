"""Serving as exporter-toolkit serves: TLS, logins, reloads, both families; all over real sockets."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import resource
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from exporters.exposition import Body
from exporters.web import answers
from exporters.web import server as server_module
from exporters.web.configuration import WebConfigError, parse_duration, read_web_config
from exporters.web.listening import ListenError, listening_sockets, parse_address
from exporters.web.server import WebServer

Serve = Callable[..., WebServer]


def port_of(server: WebServer, nth: int = 0) -> int:
    return int(server.urls[nth].rpartition(":")[2])


def login(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def get(
    server: WebServer, path: str = "/metrics", headers: dict[str, str] | None = None, **tls: Any
) -> tuple[int, str, http.client.HTTPMessage]:
    port = port_of(server)
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=10, **tls)
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    )
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def write(path: Path, text: str) -> Path:
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return path


def tls_config(certificate: Path, key: Path, more: str = "") -> str:
    return f"tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\n{more}"


def peer_name(server: WebServer, authority: Any) -> str:
    context = ssl.create_default_context(cafile=authority.file)
    with (
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as wrapped,
    ):
        subject = wrapped.getpeercert()["subject"]  # type: ignore[index]
    return str(subject[0][0][1])


@pytest.mark.parametrize("address", [":0", "[::]:0"])
def test_an_address_without_host_serves_both_families(serve: Serve, address: str) -> None:
    server = serve(None, address)
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as client:
            client.settimeout(10)
            client.connect((host, port_of(server)))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_several_addresses_are_served(serve: Serve) -> None:
    server = serve(None, "127.0.0.1:0", "[::1]:0")
    assert [url.rpartition(":")[0] for url in server.urls] == ["http://127.0.0.1", "http://[::1]"]
    assert get(server)[0] == 200
    with socket.create_connection(("::1", port_of(server, 1)), timeout=10) as client:
        client.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        assert b" 200 " in client.recv(100)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (":9910", ("", 9910)),
        ("192.0.2.1:9910", ("192.0.2.1", 9910)),
        ("[2001:db8::1]:9910", ("2001:db8::1", 9910)),
        ("ops-1:80", ("ops-1", 80)),
    ],
)
def test_addresses_are_read(address: str, expected: tuple[str, int]) -> None:
    assert parse_address(address) == expected


@pytest.mark.parametrize("address", ["9910", "2001:db8::1:9910", ":99999", "host:", "[::1]"])
def test_addresses_that_are_none_are_refused_with_the_form(address: str) -> None:
    with pytest.raises(ListenError, match=r"write :9910"):
        parse_address(address)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ListenError, match=rf"127\.0\.0\.1:{taken.getsockname()[1]}: cannot listen"):
            listening_sockets(f"127.0.0.1:{taken.getsockname()[1]}")


def test_the_page_may_load_nothing_from_outside(serve: Serve) -> None:
    headers = get(serve(), "/")[2]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_silent_client_delays_no_other_and_is_cut_off(
    serve: Serve, authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "HANDSHAKE_TIMEOUT", 1.0)
    certificate, key = authority.issue(tmp_path, "server", "first")
    server = serve(write(tmp_path / "web.yml", tls_config(certificate, key)))
    context = ssl.create_default_context(cafile=authority.file)
    silent = [socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) for _ in range(20)]
    begun = time.monotonic()
    assert get(server, context=context)[0] == 200
    assert time.monotonic() - begun < 0.5
    for client in silent:
        client.settimeout(5)
        assert client.recv(1) == b""  # the server closed it: a handshake that never began is not waited for
        client.close()


def test_a_connection_that_sends_nothing_is_closed_in_the_end(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CONNECTION_LIFETIME", 0.5)
    server = serve()
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=5) as silent:
        silent.sendall(b"GET /metrics HTTP/1.1\r\nHost:")  # and never the rest
        assert silent.recv(1) == b""


def test_a_client_that_trickles_its_first_request_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow loris: a byte now and then, and never the end of the headers."""
    monkeypatch.setattr(server_module, "REQUEST_TIMEOUT", 1.0)
    server = serve()
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=0.1) as loris:
        loris.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        end = time.monotonic() + 8
        with pytest.raises(ConnectionError):
            while time.monotonic() < end:
                loris.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    if loris.recv(1000) == b"":
                        raise ConnectionResetError
                assert get(server)[0] == 200


def test_a_client_that_reads_nothing_costs_no_body_and_is_cut_off(
    serve: Serve, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PIECE_TIMEOUT", 1.0)
    body = Body("text/plain", b"x" * 30_000_000, b"")
    asked = 40

    async def metrics(request: web.Request) -> web.StreamResponse:
        return await answers.answer(request, body)

    server = serve(routes={"/metrics": metrics})
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=30)
    connection.request("GET", "/metrics")
    assert connection.getresponse().read() == body.plain
    connection.close()
    resident = resident_bytes()
    clients = []
    for _ in range(asked):
        client = socket.create_connection(("127.0.0.1", port_of(server)), timeout=10)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        clients.append(client)
    time.sleep(0.7)
    assert resident_bytes() - resident < 100_000_000, "40 bodies would be 1.2 GB"
    wait_until(lambda: not loop.run(_standing(server)))
    for client in clients:
        client.close()


async def _standing(server: WebServer) -> int:
    connections = server._runner.server
    return len(connections.connections) if connections else 0


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_silent_clients_beyond_the_limit_are_closed_before_any_handshake(
    serve: Serve, authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 5)
    server = serve(write(tmp_path / "web.yml", tls_config(*authority.issue(tmp_path, "server", "first"))))
    silent = [socket.create_connection(("127.0.0.1", port_of(server)), timeout=5) for _ in range(12)]
    closed = [client for client in silent if _is_closed(client)]
    assert len(closed) == 7
    for client in silent:
        client.close()
    context = ssl.create_default_context(cafile=authority.file)
    wait_until(lambda: _answers(server, context=context))


def _is_closed(client: socket.socket) -> bool:
    client.settimeout(0.3)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False


def test_no_file_descriptors_left_is_survived(serve: Serve) -> None:
    server = serve()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + 2, hard))
    held: list[socket.socket] = []
    try:
        with pytest.raises(OSError):
            while True:  # the server's own end of each takes one too
                held.append(socket.create_connection(("127.0.0.1", port_of(server)), timeout=2))
        time.sleep(0.2)
    finally:
        for client in held:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until(lambda: _answers(server))


def test_connections_beyond_the_limit_are_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)
    server = serve()
    held = []
    for _ in range(3):
        client = socket.create_connection(("127.0.0.1", port_of(server)), timeout=5)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        held.append(client)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        get(server)
    held.pop().close()
    wait_until(lambda: _answers(server))
    for client in held:
        client.close()


def _answers(server: WebServer, **tls: Any) -> bool:
    try:
        return get(server, **tls)[0] == 200
    except (ConnectionError, http.client.HTTPException):
        return False


def test_only_users_with_their_password_may_read(serve: Serve, tmp_path: Path, password_hash: str) -> None:
    server = serve(write(tmp_path / "web.yml", f"basic_auth_users:\n  prometheus: {password_hash}\n"))
    assert get(server)[0] == 401
    assert get(server)[2]["WWW-Authenticate"].startswith("Basic ")
    assert get(server, headers=login("prometheus", "wrong"))[0] == 401
    assert get(server, headers=login("nobody", "right"))[0] == 401
    assert get(server, headers=login("prometheus", "right" + "x" * 100))[0] == 401
    assert get(server, headers={"Authorization": "Bearer right"})[0] == 401
    assert get(server, headers={"Authorization": "Basic !!!"})[0] == 401
    assert get(server, headers=login("prometheus", "right"))[0] == 200
    assert get(server, headers=login("prometheus", "wrong"))[0] == 401
    assert get(server, "/-/healthy")[0] == 200
    assert get(server, "/healthz")[0] == 200
    assert get(server, "/")[0] == 401


def test_a_hash_that_htpasswd_makes_is_taken(serve: Serve, tmp_path: Path, password_hash: str) -> None:
    hashed = password_hash.replace("$2b$", "$2y$")
    server = serve(write(tmp_path / "web.yml", f"basic_auth_users:\n  prometheus: {hashed}\n"))
    assert get(server, headers=login("prometheus", "right"))[0] == 200


def test_a_changed_user_is_followed_and_a_broken_file_changes_nothing(
    serve: Serve, tmp_path: Path, password_hash: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "web.yml", f"basic_auth_users:\n  prometheus: {password_hash}\n")
    server = serve(path)
    write(path, "basic_auth_users: [")
    wait_until(lambda: not server.reload_state.successful)
    assert "web.yml:1:" in caplog.text
    assert "stays in force" in caplog.text
    assert get(server, headers=login("prometheus", "right"))[0] == 200
    assert get(server)[0] == 401
    write(path, f"basic_auth_users:\n  grafana: {password_hash}\n")
    wait_until(lambda: server.reload_state.successful)
    assert get(server, headers=login("prometheus", "right"))[0] == 401
    assert get(server, headers=login("grafana", "right"))[0] == 200


def test_a_new_certificate_is_served_without_a_restart(serve: Serve, authority: Any, tmp_path: Path) -> None:
    certificate, key = authority.issue(tmp_path, "server", "first")
    server = serve(write(tmp_path / "web.yml", tls_config(certificate, key)))
    context = ssl.create_default_context(cafile=authority.file)
    standing = http.client.HTTPSConnection("127.0.0.1", port_of(server), timeout=10, context=context)
    standing.request("GET", "/metrics")
    assert standing.getresponse().read() == b"hello\n"
    assert peer_name(server, authority) == "first"

    second_certificate, second_key = authority.issue(tmp_path, "second", "second")
    second_certificate.replace(certificate)  # the old key does not fit: nothing may change yet
    wait_until(lambda: not server.reload_state.successful)
    assert peer_name(server, authority) == "first"
    second_key.replace(key)
    wait_until(lambda: server.reload_state.successful)
    assert peer_name(server, authority) == "second"

    descriptors = open_descriptors()
    third_certificate, third_key = authority.issue(tmp_path, "third", "third")
    third_key.replace(key)
    third_certificate.replace(certificate)
    wait_until(lambda: server.reload_state.successful and peer_name(server, authority) == "third")
    assert {peer_name(server, authority) for _ in range(20)} == {"third"}
    wait_until(lambda: open_descriptors() <= descriptors)  # nothing listens with what was before

    standing.request("GET", "/metrics")  # a connection that stood was not cut
    assert standing.getresponse().read() == b"hello\n"
    standing.close()


def test_tls_can_be_switched_on_while_it_runs(serve: Serve, authority: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "web.yml", "")
    server = serve(path)
    assert get(server)[0] == 200
    write(path, tls_config(*authority.issue(tmp_path, "server", "first")))
    wait_until(lambda: server.urls[0].startswith("https"))
    assert get(server, context=ssl.create_default_context(cafile=authority.file))[0] == 200
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        get(server)


def test_certificates_may_stand_in_the_file_itself(serve: Serve, authority: Any, tmp_path: Path) -> None:
    certificate, key = authority.issue(tmp_path, "server", "inline")
    lines = ["tls_server_config:", "  cert: |", *_indent(certificate), "  key: |", *_indent(key)]
    server = serve(write(tmp_path / "web.yml", "\n".join(lines) + "\n"))
    assert peer_name(server, authority) == "inline"


def _indent(path: Path) -> list[str]:
    return ["    " + line for line in path.read_text().splitlines()]


def test_mutual_tls_asks_for_a_certificate_with_an_allowed_name(
    serve: Serve, authority: Any, tmp_path: Path
) -> None:
    more = (
        f"  client_ca_file: {authority.file}\n  client_auth_type: RequireAndVerifyClientCert\n"
        "  client_allowed_sans: [prometheus.yichun.example]\n"
    )
    config = tls_config(*authority.issue(tmp_path, "server", "first"), more)
    server = serve(write(tmp_path / "web.yml", config))

    def client(name: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=authority.file)
        if name:
            context.load_cert_chain(*authority.issue(tmp_path, "client", name))
        return context

    with pytest.raises(OSError):
        get(server, context=client(None))
    assert get(server, context=client("somebody.yichun.example"))[0] == 403
    assert get(server, context=client("prometheus.yichun.example"))[0] == 200


def test_old_tls_is_refused_and_suites_are_kept(serve: Serve, authority: Any, tmp_path: Path) -> None:
    more = "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n"
    config = tls_config(*authority.issue(tmp_path, "server", "first"), more)
    server = serve(write(tmp_path / "web.yml", config))
    context = ssl.create_default_context(cafile=authority.file)
    with (
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as wrapped,
    ):
        assert (wrapped.cipher() or ("",))[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
        assert wrapped.version() == "TLSv1.2"


def test_a_rate_limit_holds(serve: Serve, tmp_path: Path) -> None:
    server = serve(write(tmp_path / "web.yml", "rate_limit:\n  interval: 1h\n  burst: 2\n"))
    assert [get(server)[0] for _ in range(3)] == [200, 200, 429]


def test_headers_of_the_file_are_sent(serve: Serve, tmp_path: Path) -> None:
    text = """
http_server_config:
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=9
"""
    headers = get(serve(write(tmp_path / "web.yml", text)))[2]
    assert headers["X-Frame-Options"] == "deny"
    assert headers["Strict-Transport-Security"] == "max-age=9"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("basic_auth_users:\n  a: hunter2\n", "'a' has no bcrypt hash"),
        ("tls_server_config:\n  cert_file: a\n", "neither key nor key_file"),
        ("tls_server_config:\n  cert_file: gone.crt\n  key_file: gone.key\n", r"/gone\.crt: cannot be read"),
        ("tls_server_config:\n\n  min_versio: TLS12\n", r"web\.yml:1: .*unknown field `min_versio`"),
        ("rate_limit:\n  burst: 1\ntls_server_config:\n  min_version: TLS10\n", r"web\.yml:4: "),
        ("rate_limit:\n  interval: soon\n", "'soon' is no duration"),
        ("rate_limit:\n  interval: 1s\n", "burst must be at least 1"),
        ("\t- x", "is no YAML"),
        ("tls_server_config:\n  client_auth_type: RequireAnyClientCert\n", r"web\.yml:2: "),
    ],
)
def test_what_cannot_be_done_is_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "web.yml", text)
    with pytest.raises(WebConfigError, match=message) as caught:
        from exporters.web.tls import server_context

        server_context(read_web_config(path).tls_server_config)
    assert "hunter2" not in str(caught.value)


def test_an_encrypted_key_is_refused_instead_of_asking_on_the_terminal(
    serve: Serve, authority: Any, tmp_path: Path
) -> None:
    certificate, key = authority.issue(tmp_path, "server", "first")
    command = ["openssl", "ec", "-in", str(key), "-aes128", "-passout", "pass:secret", "-out", str(key) + "2"]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(WebConfigError, match="is encrypted"):
        serve(write(tmp_path / "web.yml", tls_config(certificate, Path(str(key) + "2"))))


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("500ms", 0.5), ("1m30s", 90), ("0", 0)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


def test_promtool_takes_what_is_taken_here(authority: Any, tmp_path: Path, password_hash: str) -> None:
    certificate, key = authority.issue(tmp_path, "server", "first")
    more = (
        f"  client_ca_file: {authority.file}\n  client_auth_type: RequireAndVerifyClientCert\n"
        "  min_version: TLS13\n"
        f"basic_auth_users:\n  prometheus: {password_hash}\n"
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n"
    )
    path = write(tmp_path / "web.yml", tls_config(certificate, key, more))
    read_web_config(path)
    done = subprocess.run(["promtool", "check", "web-config", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
