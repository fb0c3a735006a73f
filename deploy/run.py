"""One pyinfra run in a process of its own: events as JSON lines on standard output, pyinfra's own words on error.

pyinfra needs the standard library patched for gevent before anything else is imported, which is nothing to
do to a program that has other work; so `jizuo deploy` starts this module as a child.
"""

# ruff: noqa: E402 - the patch comes first
from gevent import monkey

monkey.patch_all()

import logging
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pyinfra
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.operations import run_ops
from pyinfra.api.state import BaseStateCallback, StateStage
from pyinfra.context import ctx_config, ctx_inventory, ctx_state
from pyinfra_cli.log import setup_logging
from pyinfra_cli.util import load_deploy_file

from deploy.pyinfra_inventory import pyinfra_groups
from inventories.problems import InventoryError

SITE = Path(__file__).parent / "site.py"


class RunRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to run: inventory folder, roles (none: all), hosts (none: all), and whether only to look."""

    inventory: str
    roles: list[str] = []
    hosts: list[str] = []
    dry: bool = False
    together: bool = True


def say(event: str, **fields: Any) -> None:
    """Write one event."""
    sys.stdout.write(msgspec.json.encode({"event": event, **fields}).decode() + "\n")
    sys.stdout.flush()


class Events(BaseStateCallback):
    """pyinfra's callbacks as events."""

    @staticmethod
    def host_connect_error(state: State, host: Any, error: Any) -> None:
        say("failed", host=host.name, operation="connect", detail=str(error))

    @staticmethod
    def operation_host_success(state: State, host: Any, op_hash: str, retry_count: int = 0) -> None:
        meta = state.ops[host][op_hash].operation_meta
        say("done", host=host.name, operation=operation_name(state, op_hash), changed=bool(meta.did_change()))

    @staticmethod
    def operation_host_error(
        state: State, host: Any, op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        meta = state.ops[host][op_hash].operation_meta
        lines = [line.line for line in getattr(meta, "_combined_output", None) or []]
        say("failed", host=host.name, operation=operation_name(state, op_hash), detail="\n".join(lines[-6:]))


def operation_name(state: State, op_hash: str) -> str:
    """An operation's name as the deploys give it: `base | SSH server`."""
    return " | ".join(sorted(state.get_op_meta(op_hash).names))


def execute(request: RunRequest) -> int:
    """Carry out a request; 0 when no host failed."""
    setup_logging(logging.INFO, logging.WARNING)
    pyinfra.is_cli = True
    os.environ["JIZUO_ROLES"] = ",".join(request.roles)
    os.environ.setdefault("PYINFRA_PROGRESS", "off")
    groups = pyinfra_groups(Path(request.inventory))
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
    state.add_callback_handler(Events)
    state.set_stage(StateStage.Connect)
    say("stage", name="connect", hosts=[host.name for host in limit])
    connect_all(state)
    state.set_stage(StateStage.Prepare)
    say("stage", name="prepare")
    load_deploy_file(state, str(SITE))
    pending: dict[str, list[str]] = defaultdict(list)
    total = 0
    for op_hash in state.get_op_order():
        for host in inventory.iter_activated_hosts():
            if op_hash in state.ops[host]:
                total += 1
                if request.dry and state.ops[host][op_hash].operation_meta._maybe_is_change:
                    pending[host.name].append(operation_name(state, op_hash))
    say("prepared", operations=total, pending=pending)
    if not request.dry:
        state.set_stage(StateStage.Execute)
        run_ops(state, no_wait=request.together)
    failed = sorted(host.name for host in state.failed_hosts)
    say("end", failed=failed)
    return 1 if failed else 0


def main() -> int:
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=RunRequest)
    try:
        return execute(request)
    except InventoryError as error:
        say("error", detail=str(error))
        return 1
    except Exception as error:
        logging.getLogger("pyinfra").debug("the run ended", exc_info=True)
        say("error", detail=f"{type(error).__name__}: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
