"""Plays the push through ansible-runner: a request file a router, one playbook, an outcome a router."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ansible_runner
import msgspec

from deploy.lab.keys import private_write
from deploy.vendors.transaction import Outcome, Request

PLAYBOOKS = Path(__file__).parent / "playbooks"
ROOT = Path(__file__).resolve().parents[2]

#: How long a push to all of the routers of one run may take, in seconds.
LONGEST = 1800


def play(
    requests: list[Request], artifacts: Path, ident: str, report: Callable[[Outcome], None]
) -> list[Outcome]:
    """Push to every router of the requests; `report` is told each outcome as it comes.

    ansible-runner's artifacts are kept in `artifacts`/`ident`; the requests, which hold passwords, are not: they are
    files of mode 0600 in a folder of mode 0700 that goes when the run ends.
    """
    outcomes: dict[str, Outcome] = {}
    scratch = Path(tempfile.mkdtemp(prefix="jizuo-router-"))  # 0700
    try:
        for request in requests:
            private_write(scratch / "requests" / f"{request.node}.json", msgspec.json.encode(request))

        def read(event: dict[str, Any]) -> bool:
            result = event.get("event_data", {}).get("res") or {}
            if "outcome" in result:
                outcome = msgspec.convert(result["outcome"], Outcome)
                outcomes[outcome.node] = outcome
                report(outcome)
            return True

        run = ansible_runner.run(
            private_data_dir=str(scratch),
            playbook=str(PLAYBOOKS / "push.yml"),
            inventory=_inventory(requests, scratch),
            envvars=_environment(scratch),
            settings={"job_timeout": LONGEST, "suppress_env_files": True},
            artifact_dir=str(artifacts),
            ident=ident,
            quiet=True,
            event_handler=read,
        )
        why = f"ansible ended with {run.status} before it came to this router; see {artifacts / ident / 'stdout'}"
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return [outcomes.get(request.node) or Outcome(node=request.node, problem=why) for request in requests]


def _inventory(requests: list[Request], scratch: Path) -> dict[str, Any]:
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts: dict[str, dict[str, str]] = {request.node: {} for request in requests}
    return {
        "all": {
            "children": {"routers": {"hosts": hosts}},
            "vars": {**local, "jizuo_requests": str(scratch / "requests")},
        }
    }


def _environment(scratch: Path) -> dict[str, str]:
    settings = scratch / "ansible.cfg"
    settings.touch()
    return {
        # ansible-playbook stands beside the interpreter that this runs on.
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        # The module imports this kit.
        "PYTHONPATH": str(ROOT),
        # Empty: whoever pushes may have settings of their own.
        "ANSIBLE_CONFIG": str(settings),
        "ANSIBLE_HOME": str(scratch / "home"),
        "ANSIBLE_LOCAL_TEMP": str(scratch / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(scratch / "tmp"),
        "ANSIBLE_LIBRARY": str(PLAYBOOKS / "library"),
        "ANSIBLE_FORKS": "10",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
