"""The repository servers: who is let in, what a client that was taken over can do, and which certificate is shown."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from deploy.backup.certificates import AUTHORITY, authority, server_certificate
from deploy.backup.credentials import login, login_line
from deploy.secrets import SecretStore
from tests.deploy.backup.conftest import (
    CLIENT,
    POLICY,
    Client,
    edit_configuration,
    restic_as_client,
    without_copy,
    wrap_restic,
)


def ask(
    client: Client,
    method: str,
    path: str,
    who: str = CLIENT,
    password: str | None = None,
    body: bytes | None = None,
) -> int:
    """The status of a request to the backup server, with a client's own login unless another is given."""
    server = client.servers[0]
    if password is None:
        password = login(client.store, server.node, who)
    request = urllib.request.Request(f"https://localhost:{server.port}/{path}", method=method, data=body)
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{who}:{password}".encode()).decode())
    context = ssl.create_default_context(cafile=str(client.root / "etc/authority.pem"))
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def one_of(client: Client, kind: str) -> str:
    """The path of one file of the client's repository, as the server names it."""
    path = next(path for path in (client.servers[0].repository / kind).rglob("*") if path.is_file())
    return f"{CLIENT}/{POLICY}/{kind}/{path.name}"


def test_a_client_that_was_taken_over_cannot_remove_its_history(client: Client) -> None:
    for kind in ("snapshots", "data", "index", "keys"):
        path = one_of(client, kind)
        assert ask(client, "GET", path) == 200
        assert ask(client, "DELETE", path) == 403
        assert ask(client, "GET", path) == 200
    assert ask(client, "DELETE", f"{CLIENT}/{POLICY}/config") == 403
    assert ask(client, "DELETE", f"{CLIENT}/{POLICY}/") in (403, 405)


def content_of(client: Client) -> dict[str, bytes]:
    """Every file of the client's repository, locks aside."""
    root = client.servers[0].repository
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith("locks/")}


@pytest.mark.parametrize("who", [CLIENT, "xinchuang-1"])
def test_what_is_there_can_be_written_over_by_nobody(client: Client, who: str) -> None:
    before = content_of(client)
    paths = [one_of(client, kind) for kind in ("snapshots", "data", "index", "keys")]
    for path in [*paths, f"{CLIENT}/{POLICY}/config"]:
        for body in (
            b"",
            b"other",
            before[path.removeprefix(f"{CLIENT}/{POLICY}/")] if "data" not in path else b"x",
        ):
            assert ask(client, "POST", path, who, body=body) == 403
        for method in ("PUT", "PATCH", "MOVE", "COPY", "MKCOL"):
            assert ask(client, method, path, who, body=b"other") in (403, 405)
    assert ask(client, "POST", f"{CLIENT}/{POLICY}/?create=true", "xinchuang-1") == 403
    assert content_of(client) == before


def test_another_client_is_let_into_its_own_repositories_alone(client: Client) -> None:
    name = "ab" * 32
    assert ask(client, "POST", f"{CLIENT}/{POLICY}/locks/{name}", body=b"lock") == 200
    listings = [f"{CLIENT}/{POLICY}/{kind}/" for kind in ("snapshots", "data", "index", "keys", "locks")]
    files = [one_of(client, kind) for kind in ("snapshots", "data", "index", "keys", "locks")]
    for path in (*listings, *files, f"{CLIENT}/{POLICY}/config", f"{CLIENT}/", f"{CLIENT}/{POLICY}/"):
        for method in ("GET", "HEAD", "DELETE", "POST"):
            assert ask(client, method, path, who="xinchuang-1", body=b"" if method == "POST" else None) == 403
    for way in ("..", "%2e%2e", "..%2f..", "./.."):
        assert ask(client, "GET", f"xinchuang-1/{way}/{CLIENT}/{POLICY}/config", who="xinchuang-1") != 200
    # The same requests are let in from whom they are for: it is not that nothing works.
    assert {ask(client, "GET", path) for path in files} == {200}


def test_of_its_own_a_client_removes_locks_and_nothing_else(client: Client) -> None:
    path = f"{CLIENT}/{POLICY}/locks/{'ab' * 32}"
    assert ask(client, "POST", path, body=b"lock") == 200
    assert ask(client, "DELETE", path, who="xinchuang-1") == 403
    assert ask(client, "GET", path) == 200
    assert ask(client, "DELETE", path) == 200
    assert ask(client, "GET", path) == 404


@pytest.mark.parametrize(
    "command", ["forget --prune latest", "key passwd --new-password-file /dev/null", "rebuild-index"]
)
def test_restic_itself_removes_no_history_with_all_of_a_clients_keys(client: Client, command: str) -> None:
    before = content_of(client)
    restic_as_client(client, 0, *command.split(), seconds=4)  # refused; restic would ask for minutes
    after = content_of(client)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize("password", ["", "guess"])
def test_nobody_is_let_in_without_a_login(client: Client, password: str) -> None:
    assert ask(client, "GET", f"{CLIENT}/{POLICY}/config", password=password) == 401


def test_a_login_opens_no_other_server(client: Client) -> None:
    other = login(client.store, "offsite-1", CLIENT)
    assert ask(client, "GET", f"{CLIENT}/{POLICY}/config", password=other) == 401


def test_a_certificate_has_every_name_and_address_and_verifies(tmp_path: Path) -> None:
    store = SecretStore(tmp_path / "secrets")
    names, addresses = ["backup-1.yichun.example", "backup-1"], ["198.18.137.2", "2001:db8:304::2"]
    pair = server_certificate(store, "backup-1", names, addresses)
    (tmp_path / "ca.pem").write_text(authority(store).certificate)
    (tmp_path / "server.pem").write_text(pair.certificate)
    for flag, value in [
        ("-verify_hostname", "backup-1.yichun.example"),
        ("-verify_hostname", "backup-1"),
        ("-verify_ip", "198.18.137.2"),
        ("-verify_ip", "2001:db8:304::2"),
    ]:
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(tmp_path / "ca.pem"),
             flag, value, str(tmp_path / "server.pem")],
            check=True, capture_output=True,
        )  # fmt: skip
    refused = subprocess.run(
        ["openssl", "verify", "-CAfile", str(tmp_path / "ca.pem"), "-verify_hostname", "offsite-1",
         str(tmp_path / "server.pem")],
        capture_output=True, check=False,
    )  # fmt: skip
    assert refused.returncode != 0


def test_certificates_are_made_once_and_again_for_other_addresses(tmp_path: Path) -> None:
    store = SecretStore(tmp_path / "secrets")
    first = server_certificate(store, "backup-1", ["backup-1"], ["198.18.137.2"])
    assert server_certificate(store, "backup-1", ["backup-1"], ["198.18.137.2"]) == first
    assert server_certificate(store, "backup-1", ["backup-1"], ["198.18.137.3"]) != first
    (tmp_path / "secrets" / AUTHORITY.secret).unlink()
    assert server_certificate(store, "backup-1", ["backup-1"], ["198.18.137.2"]) != first


def test_a_login_line_is_made_once_and_anew_for_a_new_password(tmp_path: Path) -> None:
    store = SecretStore(tmp_path / "secrets")
    line = login_line(store, "backup-1", CLIENT)
    assert login_line(store, "backup-1", CLIENT) == line
    (tmp_path / "secrets" / f"backup-login-backup-1-{CLIENT}").unlink()
    assert login_line(store, "backup-1", CLIENT) != line


def restore(client: Client, path: Path, node: str = "offsite-1") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        client.command("restore", "--from", node, POLICY, str(path)),
        env=client.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_lost_system_comes_back_from_the_other_city(client: Client) -> None:
    assert client.run()[0] == 0
    before = {path.name: path.read_bytes() for path in client.data.rglob("*") if path.is_file()}
    client.data.rename(client.root / "lost")
    done = restore(client, client.data)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["files"], said["mismatched"], said["missing"]) == (9, 0, 0)
    assert {path.name: path.read_bytes() for path in client.data.rglob("*") if path.is_file()} == before


def test_a_restore_writes_over_nothing(client: Client) -> None:
    (client.data / "index.html").write_text("newer than the backup")
    done = restore(client, client.data)
    assert done.returncode == 1
    assert "is there; move it away first" in done.stderr
    assert (client.data / "index.html").read_text() == "newer than the backup"


def test_a_restore_that_differs_from_the_manifest_is_not_put_in_place(client: Client) -> None:
    assert client.run()[0] == 0
    real = subprocess.run(["which", "restic"], check=True, capture_output=True, text=True).stdout.strip()
    wrapper = client.root / "bin/restic"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(
        f"""#!/bin/bash
{real} "$@" || exit
case " $* " in *" restore "*)
    while [ "$1" != --target ]; do shift; done; rm "$(find "$2" -name 3.csv)";; esac
"""
    )
    wrapper.chmod(0o755)
    client.data.rename(client.root / "lost")
    done = restore(client, client.data)
    assert done.returncode == 1
    assert "1 are missing" in done.stderr
    assert not client.data.exists()
    assert not list(client.data.parent.glob(".restore-*"))


def test_what_the_snapshot_never_held_is_told_and_does_not_stop_a_restore(client: Client) -> None:
    """One file is excluded, one is gone before restic comes to it, and one stays whose name is no UTF-8."""
    without_copy(client)
    edit_configuration(client, exclude=["*.tmp"])
    (client.data / "cache.tmp").write_text("not worth keeping")
    odd = Path(os.fsdecode(os.fsencode(client.data) + b"/\xe5\xae-\xd2\xcb.csv"))
    odd.write_text("kept")
    gone = client.data / "data/2.csv"
    wrap_restic(client, f"""case " $* " in *" backup "*) rm '{gone}';; esac; exec "$RESTIC" "$@\"""")
    code, output = client.run()
    assert code == 0, output
    client.data.rename(client.root / "lost")
    done = restore(client, client.data, "backup-1")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["files"], said["mismatched"], said["missing"], said["not_in_snapshot"]) == (9, 0, 0, 2)
    assert sorted(said["first_not_in_snapshot"]) == [str(client.data / "cache.tmp"), str(gone)]
    assert odd.read_text() == "kept"
    assert not gone.exists()


def test_a_restore_from_nowhere_is_told(client: Client) -> None:
    client.data.rename(client.root / "lost")
    done = restore(client, client.data, "backup-9")
    assert done.returncode == 1
    assert "gov-service has no repository on backup-9, but on backup-1, offsite-1" in done.stderr
