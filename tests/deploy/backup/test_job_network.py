"""A copy that is cut goes on where it was, and what a network does to it is told; a proxy counts what is sent."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from inventories.backup_state import Result
from tests.deploy.backup.conftest import (
    POLICY,
    Client,
    edit_configuration,
    edit_verification,
    empty,
    restic,
    without_copy,
    wrap_restic,
)

MEGABYTE = 1_000_000


class Wire:
    """A way to a server that counts what is sent to it, and that can be cut after so many bytes."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.sent = 0
        self.seen: list[tuple[float, int]] = []  # when something was sent, and how much
        self.cut_after: int | None = None
        self.broken: list[bool] = []  # whether each of the next connections breaks when its first bytes come
        self.listener = socket.create_server(("localhost", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_cut(self) -> bool:
        return self.cut_after is not None and self.sent >= self.cut_after

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                if self.is_cut:
                    near.close()
                    continue
                if self.broken and self.broken.pop(0):
                    near.recv(64)
                    # With more to read the kernel answers with a reset, as it does for a server that died.
                    near.close()
                    continue
                far = socket.create_connection(("localhost", self.to))
                for one, other, counts in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._pass, args=(one, other, counts), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if counts:
                    self.sent += len(data)
                    self.seen.append((time.monotonic(), len(data)))
                if self.is_cut:
                    break
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                # Not closed: the thread of the other direction may still be in it, and the number be given anew.
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire_to(client: Client, number: int) -> Iterator[Wire]:
    """Lead the client to one of its repositories by a wire of this test."""
    server = client.servers[number]
    wire = Wire(server.port)
    path = client.root / "etc/keys" / f"{POLICY}@{server.node}.repository"
    path.write_text(path.read_text().replace(f":{server.port}/", f":{wire.port}/"))
    try:
        yield wire
    finally:
        wire.listener.close()


def test_a_first_copy_that_is_cut_goes_on_and_sends_no_more_than_what_is_missing(client: Client) -> None:
    # Of a MB each: restic cuts a large file anywhere up to 8 MiB, and a pack of that is no longer 4 MiB.
    for number in range(20):
        (client.data / f"part-{number}").write_bytes(os.urandom(MEGABYTE))
    for server in client.servers:
        empty(server.repository)
    client.state_path.unlink()
    edit_verification(client, sample_files=1)
    # Packs of 4 MiB, one after the other, in place of five of 16 MiB at once: the same with less to send.
    wrap_restic(client, 'export RESTIC_PACK_SIZE=4; exec "$RESTIC" -o rest.connections=2 "$@"')
    with wire_to(client, 1) as wire:
        wire.cut_after = 12 * MEGABYTE
        process = client.start()
        for _ in range(1200):
            if wire.is_cut or process.poll() is not None:
                break
            threading.Event().wait(0.05)
        # restic would ask for the server for a quarter of an hour; the host goes down before.
        process.terminate()
        process.communicate(timeout=300)
        state = client.state()
        assert state.backup is not None
        assert state.backup.result is Result.SUCCESS
        copied = state.repositories["offsite-1"]
        assert copied.copy is not None
        assert copied.copy.result is Result.FAILURE
        assert copied.snapshot_at == ""
        assert copied.lag_seconds is None

        packs = [path for path in (client.servers[1].repository / "data").rglob("*") if path.is_file()]
        arrived = sum(
            path.stat().st_size
            for path in packs
            if hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        )
        # All but the two packs that were under way, which restic may fill up to a little over their size.
        assert arrived > 3 * MEGABYTE
        wire.cut_after, wire.sent = None, 0
        code, said = client.run()
        assert code == 0, said
        assert wire.sent < 20 * MEGABYTE - arrived + MEGABYTE, "what had arrived was sent again"
        copied = client.state().repositories["offsite-1"]
        assert copied.snapshot_at == client.state().last_success_at
        assert copied.lag_seconds == 0
        assert len(restic(client, 1, "snapshots")) == 2

        wire.sent = 0
        assert client.run()[0] == 0
        assert wire.sent < MEGABYTE / 2


def test_a_policys_bandwidth_limit_holds_on_the_way(client: Client) -> None:
    """Measured where the bytes pass. restic lets the first second's through at once: four seconds and one are sent."""
    megabits = 8
    a_second = megabits * 1_000_000 / 8
    without_copy(client)
    path = client.root / "etc" / f"{POLICY}.json"
    [primary] = json.loads(path.read_text())["repositories"]
    edit_configuration(client, repositories=[{**primary, "megabits": megabits}])
    for number in range(6):
        (client.data / f"part-{number}").write_bytes(os.urandom(MEGABYTE))
    wrap_restic(client, 'export RESTIC_PACK_SIZE=4; exec "$RESTIC" "$@"')
    with wire_to(client, 0) as wire:
        code, said = client.run()
        assert code == 0, said
        assert wire.sent > 6 * MEGABYTE
        seconds = wire.seen[-1][0] - wire.seen[0][0]
        assert seconds >= 3
        assert wire.sent / seconds < 1.3 * a_second


@pytest.mark.parametrize("snapshots", ["some", pytest.param("none", marks=pytest.mark.slow)])
def test_a_repository_whose_connection_breaks_is_not_one_that_is_gone(client: Client, snapshots: str) -> None:
    """restic asks "Is there a repository at the following location?" whatever the network does to it."""
    without_copy(client)
    if snapshots == "none":
        shutil.rmtree(client.servers[0].repository)
        client.state_path.unlink()
    with wire_to(client, 0) as wire:
        wire.broken = [True]
        code, said = client.run()
        assert code == 0, said
        assert not wire.broken
        wire.broken = [True] * 100
        code, said = client.run()
        assert code == 1, said
        assert len(wire.broken) == 97
        failed = client.state().repositories["backup-1"].backup
        assert failed is not None
        assert (failed.result, failed.reason) == (Result.FAILURE, "unreachable")
        assert "rebuild" not in failed.error
