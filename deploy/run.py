"""One pyinfra run in a process of its own: events as JSON lines on standard output, pyinfra's own words on error.

pyinfra needs the standard library patched for gevent before anything else is imported, which is nothing to
do to a program that has other work; so `jizuo deploy` starts this module as a child.
"""

# ruff: noqa: E402 - the patch comes first
from gevent import monkey

monkey.patch_all()

import contextlib
import logging
import os
import socket
import sys
import traceback
from collections import defaultdict
from pathlib import Path
from typing import Any

import gevent
import msgspec
import pyinfra
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operations import run_host_op
from pyinfra.api.state import BaseStateCallback, StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state
from pyinfra_cli.log import setup_logging
from pyinfra_cli.util import exec_file

from deploy.private import modes
from deploy.pyinfra_inventory import pyinfra_groups
from deploy.secrets import StateError
from inventories.allocation import PlanError
from inventories.problems import InventoryError

SITE = Path(__file__).parent / "site.py"

#: Seconds between two keep-alives, and of silence after which a host counts as dead (RFC 5482).
KEEPALIVE, SILENCE = 3, 12


class RunRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to run: inventory folder, roles (none: all), hosts (none: all), and whether only to look."""

    inventory: str
    roles: list[str] = []
    hosts: list[str] = []
    dry: bool = False


def say(event: str, **fields: Any) -> None:
    """Write one event."""
    sys.stdout.write(msgspec.json.encode({"event": event, **fields}).decode() + "\n")
    sys.stdout.flush()


class Events(BaseStateCallback):
    """pyinfra's callbacks as events."""

    @staticmethod
    def host_connect(state: State, host: Any) -> None:
        # A host that dies says no goodbye: without these its silence would hold the run for a quarter of an hour.
        client = getattr(host.connector, "client", None)
        if client is not None:
            transport = client.get_transport()
            transport.set_keepalive(KEEPALIVE)
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE * 1000)

    @staticmethod
    def host_connect_error(state: State, host: Any, error: Any) -> None:
        say("failed", host=host.name, operation="connect", detail=str(error))


def operation_name(state: State, op_hash: str) -> str:
    """An operation's name as the deploys give it: `base | SSH server`."""
    return " | ".join(sorted(state.get_op_meta(op_hash).names))


def execute(request: RunRequest) -> int:
    """Carry out a request; 0 when no host failed."""
    setup_logging(logging.INFO, logging.WARNING)
    pyinfra.is_cli = True
    os.environ["JIZUO_ROLES"] = ",".join(request.roles)
    os.environ.setdefault("PYINFRA_PROGRESS", "off")
    groups = pyinfra_groups(Path(request.inventory), dry=request.dry)
    everyone = [host for hosts in groups.values() for host in hosts]
    inventory = Inventory((everyone, {}), **{name: (hosts, {}) for name, hosts in groups.items()})
    state = State(check_for_changes=request.dry)
    state.cwd = str(SITE.parent.parent)
    config = Config(PARALLEL=len(everyone), CONNECT_TIMEOUT=10, REQUEST_TIMEOUT=None)
    ctx_config.set(config)
    ctx_state.set(state)
    ctx_inventory.set(inventory)
    limit = [host for host in inventory if not request.hosts or host.name in request.hosts]
    state.init(inventory, config, initial_limit=limit)
    state.add_callback_handler(Events())
    state.set_stage(StateStage.Connect)
    say("stage", name="connect", hosts=[host.name for host in limit])
    try:
        connect_all(state)
        state.set_stage(StateStage.Prepare)
        say("stage", name="prepare")
        prepare_all(state)
        carry_out(state, request)
    except PyinfraError as error:
        if len(state.failed_hosts) < len(limit):  # otherwise every host failed, and has said why
            raise
        logging.getLogger("pyinfra").info("%s", error)
    failed = sorted(host.name for host in state.failed_hosts)
    say("modes", found=modes.FOUND)
    say("end", failed=failed)
    return 1 if failed else 0


def prepare_all(state: State) -> None:
    """Run the site's roles for every host; a host whose data or templates are broken fails alone."""
    greenlets = {state.pool.spawn(prepare, state, host): host for host in state.inventory.get_active_hosts()}
    broken = set()
    for greenlet, host in greenlets.items():
        detail = greenlet.get()
        if detail:
            broken.add(host)
            say("failed", host=host.name, operation="prepare", detail=detail)
    state.fail_hosts(broken)


def prepare(state: State, host: Any) -> str:
    """Run the site's roles for one host; returns what went wrong, with file and line, or nothing."""
    state.current_deploy_filename = str(SITE)
    with ctx_config.use(state.config.copy()), ctx_host.use(host):
        try:
            exec_file(str(SITE))
        except Exception as error:
            cause = error.__cause__ or error.__context__ or error
            frames = traceback.extract_tb(cause.__traceback__)
            ours = [
                frame
                for frame in frames
                if "site-packages" not in frame.filename and ".pyenv" not in frame.filename
            ]
            filename = getattr(cause, "filename", None) or (ours or frames)[-1].filename
            line = getattr(cause, "lineno", None) or (ours or frames)[-1].lineno
            return f"{filename}:{line}: {type(cause).__name__}: {cause}"
    return ""


def carry_out(state: State, request: RunRequest) -> None:
    """Say what is prepared and, unless the request is dry, do it."""
    pending: dict[str, list[str]] = defaultdict(list)
    total = 0
    for op_hash in state.get_op_order():
        for host in state.inventory.iter_activated_hosts():
            if op_hash in state.ops[host]:
                total += 1
                if request.dry and state.ops[host][op_hash].operation_meta._maybe_is_change:
                    pending[host.name].append(operation_name(state, op_hash))
    say("prepared", operations=total, pending=pending)
    if not request.dry:
        state.set_stage(StateStage.Execute)
        order = list(state.get_op_order())
        gevent.joinall(
            [state.pool.spawn(run_host, state, host, order) for host in state.inventory.get_active_hosts()]
        )


def run_host(state: State, host: Any, order: list[str]) -> None:
    """Run a host's operations at its own pace, until one fails; say how each ended."""
    for op_hash in order:
        if op_hash not in state.ops[host]:
            continue
        name = operation_name(state, op_hash)
        detail = ""
        try:
            with ctx_host.use(host):
                succeeded = run_host_op(state, host, op_hash)
        except Exception as error:  # whatever it is, it is this host's alone
            succeeded, detail = False, f"{type(error).__name__}: {error}"
        meta = state.ops[host][op_hash].operation_meta
        if succeeded is not False:
            say("done", host=host.name, operation=name, changed=bool(meta.did_change()))
            continue
        lines = [] if detail else [line.line for line in meta._combined_output or []]
        say("failed", host=host.name, operation=name, detail=detail or "\n".join(lines[-6:]))
        with contextlib.suppress(PyinfraError):  # raised when it was the last one
            state.fail_hosts({host})
        return


def main() -> int:
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=RunRequest)
    try:
        return execute(request)
    except (InventoryError, PlanError, StateError) as error:
        say("error", detail=str(error))
        return 1
    except Exception as error:
        logging.getLogger("pyinfra").debug("the run ended", exc_info=True)
        say("error", detail=f"{type(error).__name__}: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
