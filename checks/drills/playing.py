"""Plays one stage of a drill: its playbook through ansible-runner, what its tasks printed, why it failed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import ansible_runner

from checks.drills.masking import Mask, keep_masked, mask_forms

#: What the folders of runs are called, below the system's temporary one.
SCRATCH = "jizuo-drill-"


class Played(NamedTuple):
    """How a stage ended: the lines that its tasks printed, and what went wrong (empty when nothing did)."""

    lines: tuple[str, ...]
    problem: str


class Player:
    """Plays the stages of one drill on the hosts that a state folder's ssh_config knows.

    ansible-runner's own artifacts (events, output) of each stage are kept as evidence in `artifacts`, with secrets
    masked. Hosts need no more than a shell: the playbooks use `raw`.
    """

    def __init__(
        self,
        playbooks: Mapping[str, Path],
        groups: Mapping[str, Sequence[str]],
        variables: Mapping[str, Any],
        ssh_config: Path,
        artifacts: Path,
        mask: Mask = mask_forms,
    ) -> None:
        """Takes the playbook of each stage, the nodes of each group, and what the playbooks read."""
        self._playbooks = playbooks
        self._variables = dict(variables)
        self._artifacts = artifacts
        self._mask = mask
        #: Private to this account; what ansible-runner writes is there before it is masked.
        self.scratch = Path(tempfile.mkdtemp(prefix=SCRATCH))
        self._inventory = _inventory(groups, ssh_config)

    def play(
        self, stage: str, seconds: int, cancelled: Callable[[], bool], more: Mapping[str, Any] | None = None
    ) -> Played:
        """Play a stage; one that takes longer than `seconds`, or is cancelled, has failed.

        `more` are further variables. A stage without a playbook has nothing to play, and is well.
        """
        if stage not in self._playbooks:
            return Played((), "")
        raw = self.scratch / "artifacts"
        try:
            return self._play(stage, seconds, cancelled, {**self._variables, **(more or {})}, raw)
        finally:
            keep_masked(raw / stage, self._artifacts / stage, self._mask)

    def _play(
        self, stage: str, seconds: int, cancelled: Callable[[], bool], variables: Mapping[str, Any], raw: Path
    ) -> Played:
        lines: list[str] = []
        problems: list[str] = []

        def read(event: dict[str, Any]) -> bool:
            result = event.get("event_data", {}).get("res") or {}
            for one in [result, *result.get("results", [])]:
                lines.extend(str(one.get("stdout") or one.get("msg") or "").splitlines())
            problem = _problem(event)
            if problem:
                problems.append(problem)
            return True

        run = ansible_runner.run(
            private_data_dir=str(self.scratch),
            playbook=str(self._playbooks[stage]),
            inventory=self._inventory,
            extravars=dict(variables),
            envvars=self._environment(),
            settings={"job_timeout": seconds, "suppress_env_files": True},
            artifact_dir=str(raw),
            ident=stage,
            quiet=True,
            event_handler=read,
            cancel_callback=cancelled,
        )
        if run.status == "successful":
            return Played(tuple(lines), "")
        why = {"timeout": f"no end within {seconds} s", "canceled": "stopped"}.get(run.status, "")
        why = why or "; ".join(problems[-3:]) or f"ansible ended with {run.rc}: {_tail(run)}"
        return Played(tuple(lines), self._mask(why))

    def close(self) -> None:
        """End the SSH connections that were kept open, and remove what was only needed for the run."""
        for control in (self.scratch / "ssh").glob("*"):
            with suppress(OSError, subprocess.TimeoutExpired):
                command = ["ssh", "-o", f"ControlPath={control}", "-O", "exit", "drill"]
                subprocess.run(command, capture_output=True, check=False, timeout=5)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        sockets = self.scratch / "ssh"
        sockets.mkdir(exist_ok=True, mode=0o700)
        settings = self.scratch / "ansible.cfg"
        settings.touch()
        return {
            # What a step runs on the controller is of this tree, wherever it is started.
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            # ansible-playbook stands beside the interpreter that this runs on.
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            # Empty: whoever holds the drill may have settings of their own.
            "ANSIBLE_CONFIG": str(settings),
            "ANSIBLE_HOME": str(self.scratch / "home"),
            "ANSIBLE_LOCAL_TEMP": str(self.scratch / "tmp"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_SSH_USETTY": "false",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_RETRY_FILES_ENABLED": "false",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def remove_scratch(path: str) -> None:
    """Remove what a run left whose tool was killed; anything else than such a folder stays."""
    if path and Path(path).name.startswith(SCRATCH):
        shutil.rmtree(path, ignore_errors=True)


def _inventory(groups: Mapping[str, Sequence[str]], ssh_config: Path) -> dict[str, Any]:
    """Ansible's inventory: a group for each part; hosts are reached as ssh_config says, strictly."""
    children: dict[str, Any] = {
        group: {"hosts": {node: {} for node in nodes}} for group, nodes in groups.items()
    }
    variables = {"ansible_ssh_common_args": f"-F {ssh_config}"}
    # The controller's own steps run on this interpreter; nothing is looked for.
    local = {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
    return {"all": {"children": children, "hosts": local, "vars": variables}}


def _problem(event: dict[str, Any]) -> str:
    """What a failed task says: host, task and the end of its output; empty for other events."""
    data = event.get("event_data", {})
    if event.get("event") not in ("runner_on_failed", "runner_on_unreachable") or data.get("ignore_errors"):
        return ""
    result = data.get("res") or {}
    said = str(result.get("stderr") or result.get("stdout") or result.get("msg") or "").strip().splitlines()
    failed = [item for item in result.get("results", []) if item.get("failed")]
    detail = "; ".join(str(item.get("msg")) for item in failed) if failed else " | ".join(said[-3:])
    return f"{data.get('host')}: {data.get('task')}: {detail or 'failed'}"


def _tail(run: Any) -> str:
    with suppress(OSError, AttributeError):
        return " | ".join(run.stdout.read().strip().splitlines()[-3:])
    return "no output"
