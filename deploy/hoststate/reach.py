"""Can a host still be reached after a change? Asked by the controller, over new SSH connections."""

from __future__ import annotations

import socket
import time

from pyinfra.api.exceptions import OperationError

#: How long a host waits for word that it can still be reached before it goes back to its old rules, in seconds.
PATIENCE = 20


def must_answer(addresses: list[str]) -> None:
    """Open a new SSH connection to each address.

    Raises:
        OperationError: one was silent for 5 s.
    """
    for address in addresses:
        deadline = time.monotonic() + 5
        while not _answers(address):
            if time.monotonic() > deadline:
                raise OperationError(
                    f"SSH to {address} is lost after the change; the host goes back to what it had by itself"
                )
            time.sleep(0.2)


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            connection.settimeout(2)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
