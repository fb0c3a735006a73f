"""The firewall: checked, applied in one transaction, and undone by the host itself if SSH is lost."""

from __future__ import annotations

import base64
import shlex
import socket
import time
from collections.abc import Iterator, Sequence

from pyinfra import host
from pyinfra.api import FunctionCommand, StringCommand, operation
from pyinfra.api.exceptions import OperationError

from deploy.hoststate.files import File, FileStates

CONFIGURATION = "/etc/nftables.conf"
#: How long a host waits for word that it can still be reached before it goes back to its old rules, in seconds.
PATIENCE = 20


@operation()
def firewall(rules: str, reach: Sequence[str]) -> Iterator[StringCommand | FunctionCommand]:
    """Bring the host's rules to `rules`, the text of an nft script.

    + rules: the script; it replaces its own table in one transaction
    + reach: the host's management addresses, each of which must still answer SSH afterwards

    The new rules are checked with `nft -c`, loaded, and kept only after a new SSH connection to every address
    of `reach` has been answered. Otherwise, also when the controller dies in between, the host puts its old
    rules back after :data:`PATIENCE` seconds.
    """
    file = File(CONFIGURATION, rules, mode="600")
    states = host.get_fact(FileStates, paths=(CONFIGURATION,)) or {}
    if states.get(CONFIGURATION) == file.state:
        host.noop("the rules are as they shall be")
        return
    yield StringCommand("/bin/sh -s", _stdin=try_script(rules))
    yield FunctionCommand(_must_answer, [list(reach)], {})
    yield StringCommand("/bin/sh -s", _stdin=KEEP)


def try_script(rules: str) -> str:
    """The script that checks and loads new rules and arms the way back; pure."""
    encoded = base64.encodebytes(rules.encode()).decode().rstrip("\n")
    return f"""set -eu
umask 077
trial={shlex.quote(CONFIGURATION)}.jizuo
base64 -d >"$trial" <<'END'
{encoded}
END
if ! nft -c -f "$trial" >&2 </dev/null; then
    rm -f "$trial"
    echo 'nft refuses the new rules; nothing was changed' >&2
    exit 1
fi
{{ echo 'flush ruleset'; nft list ruleset; }} >/run/jizuo-nft-before
systemctl stop jizuo-nft-rollback.timer jizuo-nft-rollback.service 2>/dev/null || true
systemd-run --quiet --collect --unit=jizuo-nft-rollback --on-active={PATIENCE}s --timer-property=AccuracySec=100ms \\
    nft -f /run/jizuo-nft-before
nft -f "$trial"
"""


KEEP = f"""set -eu
systemctl stop jizuo-nft-rollback.timer
mv -f {CONFIGURATION}.jizuo {CONFIGURATION}
rm -f /run/jizuo-nft-before
"""


def _must_answer(addresses: list[str]) -> None:
    """Open a new connection to each address; raise OperationError for one that is silent for 5 s."""
    for address in addresses:
        deadline = time.monotonic() + 5
        while not _answers(address):
            if time.monotonic() > deadline:
                raise OperationError(
                    f"SSH to {address} is lost under the new rules; the host goes back to the old ones "
                    f"within {PATIENCE} s"
                )
            time.sleep(0.2)


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            connection.settimeout(2)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
