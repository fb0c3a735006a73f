"""A real SSH server on loopback whose one account runs a forced command, for tests of the system's ssh."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import paramiko


class Keys(NamedTuple):
    """A key pair's private file and public line."""

    path: Path
    public: str


def make_key(path: Path) -> Keys:
    """An ed25519 key, as ssh-keygen makes it."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)],
        check=True,
        timeout=300,
    )
    return Keys(path, path.with_name(f"{path.name}.pub").read_text(encoding="ascii").strip())


class _Account(paramiko.ServerInterface):
    """Lets one key in; whatever is asked for, the forced command runs."""

    def __init__(self, allowed: paramiko.PKey) -> None:
        self.allowed = allowed
        self.asked = threading.Event()
        self.command = b""

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL if key == self.allowed else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        self.asked.set()
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.command = command
        self.asked.set()
        return True


@contextlib.contextmanager
def ssh_server(host_key: Keys, allowed: Keys, forced: list[str]) -> Iterator[int]:
    """Serve until the block ends; yields the port. What the client sends is the command's standard input.

    Args:
        host_key: The server's own key.
        allowed: The key of the account that may come in.
        forced: What runs for it; `COMMAND` in it stands for what the client asked for.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server_key = paramiko.Ed25519Key.from_private_key_file(str(host_key.path))
    account_key = paramiko.Ed25519Key.from_private_key_file(str(allowed.path))
    transports: list[paramiko.Transport] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport = paramiko.Transport(connection)
            transports.append(transport)
            transport.add_server_key(server_key)
            account = _Account(account_key)
            transport.start_server(server=account)
            channel = transport.accept(20)
            if channel is None or not account.asked.wait(20):
                return
            arguments = [account.command.decode() if word == "COMMAND" else word for word in forced]
            request = channel.makefile("rb").read()
            done = subprocess.run(arguments, capture_output=True, timeout=300, check=False, input=request)
            channel.sendall(done.stdout)
            channel.sendall_stderr(done.stderr)
            channel.send_exit_status(done.returncode)
            channel.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for transport in transports:
            transport.close()
