"""The watcher against real web servers in both families, with the interpreter that hosts have."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, AF_INET6

import pytest

from checks.drills.definition import SHARED

WATCH = SHARED / "files/watch.py"
PAGE = "<h1>宜春政务服务网</h1>\n".encode()


class Site:
    """A page that is served on 127.0.0.1 and ::1 at one port, or is not."""

    def __init__(self) -> None:
        self.content: dict[int, bytes | None] = {AF_INET: PAGE, AF_INET6: PAGE}
        self.login = ""
        self.servers = [self._serve(AF_INET, "127.0.0.1", 0)]
        self.port = self.servers[0].server_address[1]
        self.servers.append(self._serve(AF_INET6, "::1", self.port))

    def _serve(self, family: int, address: str, port: int) -> ThreadingHTTPServer:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = site.content[family]
                found = content is not None and self.path == "/system/"
                refused = site.login and self.headers["Authorization"] != site.login
                found = found and not refused
                self.send_response(401 if refused else 200 if found else 404)
                self.end_headers()
                if found and content is not None:
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        server_class = type("Server", (ThreadingHTTPServer,), {"address_family": family})
        server = server_class((address, port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server  # type: ignore[no-any-return]

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def seen(site: Site, tmp_path: Path) -> Iterator[Path]:
    """What a watcher writes that polls the site for 30 s at most."""
    file = tmp_path / "seen"
    digest = hashlib.sha256(PAGE).hexdigest()
    target = f"lost=example:{site.port}/system/=127.0.0.1,::1"
    process = subprocess.Popen(["/usr/bin/python3", str(WATCH), "poll", str(file), "30", digest, target])
    yield file
    process.kill()
    process.wait()


def wait(seen: Path, state: str, seconds: float = 5) -> subprocess.CompletedProcess[str]:
    command = ["/usr/bin/python3", str(WATCH), "wait", str(seen), str(seconds), "lost", state, "moment"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_fault_is_seen_in_both_families_and_dated(site: Site, seen: Path) -> None:
    assert wait(seen, "serving").returncode == 0
    fault = datetime.now().astimezone()
    site.content = {AF_INET: None, AF_INET6: None}
    done = wait(seen, "failing")
    assert done.returncode == 0, done.stderr
    moments = dict(line.removeprefix("drill-moment moment-").split(" ") for line in done.stdout.splitlines())
    assert sorted(moments) == ["ipv4", "ipv6"]
    for moment in moments.values():
        after = (datetime.fromisoformat(moment) - fault).total_seconds()
        assert 0.3 < after < 2, "three failures in a row are due, a fifth of a second apart"


def test_one_family_alone_is_neither_a_fault_nor_a_recovery(site: Site, seen: Path) -> None:
    assert wait(seen, "serving").returncode == 0
    site.content[AF_INET6] = None
    assert wait(seen, "failing", 1.5).returncode == 1
    done = wait(seen, "serving", 0.2)
    assert done.returncode == 1
    assert "lost is not serving in both families" in done.stderr


def test_a_single_failure_is_no_fault(site: Site, seen: Path) -> None:
    assert wait(seen, "serving").returncode == 0
    site.content = {AF_INET: None, AF_INET6: None}
    time.sleep(0.25)
    site.content = {AF_INET: PAGE, AF_INET6: PAGE}
    time.sleep(1)
    assert "failing" not in seen.read_text()


def test_another_page_in_its_place_is_not_serving(site: Site, seen: Path) -> None:
    assert wait(seen, "serving").returncode == 0
    site.content = {AF_INET: b"Welcome to nginx!", AF_INET6: b"Welcome to nginx!"}
    assert wait(seen, "failing").returncode == 0
    assert "other content" in seen.read_text()


def test_a_server_that_is_gone_is_failing(site: Site, seen: Path) -> None:
    assert wait(seen, "serving").returncode == 0
    site.close()
    assert wait(seen, "failing").returncode == 0
    assert "refused" in seen.read_text()


def test_a_target_with_a_login_and_a_text_of_its_own(site: Site, tmp_path: Path) -> None:
    """Refused, it is not serving; let in, it has to see the text; no secret is on a command line or in the log."""
    site.login = "Basic " + base64.b64encode(b"people:a secret").decode()
    seen, login = tmp_path / "seen", tmp_path / "login"
    login.write_text("people:wrong\n")
    target = {
        "name": "lost", "host": "example", "port": site.port, "path": "/system/",
        "addresses": ["127.0.0.1", "::1"], "contains": "政务服务网", "login": str(login),
    }  # fmt: skip
    command = ["/usr/bin/python3", str(WATCH), "poll", str(seen), "30", "-", json.dumps(target)]
    process = subprocess.Popen(command)
    try:
        assert wait(seen, "failing").returncode == 0
        assert "status 401" in seen.read_text()
        login.write_text("people:a secret\n")
        assert wait(seen, "serving").returncode == 0
        site.content = {AF_INET: b"Welcome to nginx!", AF_INET6: b"Welcome to nginx!"}
        assert wait(seen, "failing").returncode == 0
        assert "secret" not in seen.read_text()
    finally:
        process.kill()
        process.wait()


def test_each_of_several_targets_has_its_own_page(site: Site, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    common = {"host": "x", "port": site.port, "path": "/system/", "addresses": ["127.0.0.1", "::1"]}
    pages = {"lost": hashlib.sha256(PAGE).hexdigest(), "other": hashlib.sha256(b"another").hexdigest()}
    targets = [json.dumps({**common, "name": name, "digest": digest}) for name, digest in pages.items()]
    process = subprocess.Popen(["/usr/bin/python3", str(WATCH), "poll", str(seen), "30", "-", *targets])
    try:
        assert wait(seen, "serving").returncode == 0
        assert "other ipv6 failing other content" in seen.read_text()
    finally:
        process.kill()
        process.wait()
