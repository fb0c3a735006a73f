"""How are backup jobs started, watched and restored from on their hosts? Over SSH, as the account that deploys.

A job is a systemd unit of its host: it goes on when whoever watches it goes away, and its state file says how it
ended. A restore is a program of its own, which ends with its watcher and puts nothing in place then.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, Literal

import msgspec

from checks.backup_state import JobState, read_state
from checks.ssh import SecureShell, SshError

#: Where a job is on its host; the deploy's templates say the same.
UNIT = "jizuo-backup@{policy}.service"
STATE = "/var/lib/jizuo/backup/{policy}.json"
PROGRAM = ("PYTHONPATH=/usr/local/lib/jizuo", "PYTHONDONTWRITEBYTECODE=1", "LANG=C.UTF-8")
MODULE = ("/usr/bin/python3", "-m", "jizuo_backup")
#: Exit status of a job whose snapshot lacks files, as restic's own.
PARTIAL = 3
#: Jobs at once: more would make the repository the bottleneck, and their lines unreadable.
AT_ONCE = 4

Result = Literal["success", "partial", "failure", "unknown"]
#: Gets a line and the name of the job that said it.
OnLine = Callable[[str, str], None]


class Job(msgspec.Struct, frozen=True):
    """A policy on a node."""

    policy: str
    node: str

    @property
    def name(self) -> str:
        return f"{self.policy}@{self.node}"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended; `unknown` where its host could not be asked. `error` says why it is no success."""

    job: str
    result: Result
    error: str = ""
    state: JobState | None = None


class RestoreError(Exception):
    """Nothing was restored; the message names host, cause and way out."""


async def run_jobs(
    jobs: Sequence[Job], shell: SecureShell, on_line: OnLine, command: Sequence[str] = ()
) -> list[Outcome]:
    """Run jobs now, several at once, and follow them to their end; the outcomes in the jobs' order.

    Args:
        jobs: Which.
        shell: How their hosts are reached; the account may become root there.
        on_line: Gets what they say as they say it.
        command: What is run in place of the unit's own command, `POLICY` standing for the policy.
    """
    free = asyncio.Semaphore(AT_ONCE)

    async def one(job: Job) -> Outcome:
        own = shlex.join(part.replace("POLICY", job.policy) for part in command) if command else ""
        unit, state = UNIT.format(policy=job.policy), STATE.format(policy=job.policy)
        async with free:
            return await follow_unit(job.node, job.name, [unit, state, own], shell, on_line)

    return list(await asyncio.gather(*(one(job) for job in jobs)))


async def follow_unit(
    node: str, name: str, arguments: Sequence[str], shell: SecureShell, on_line: OnLine
) -> Outcome:
    """Start a unit of a node and follow it to its end; `arguments` are those of `follow.sh`."""
    script = (resources.files(__package__) / "follow.sh").read_text(encoding="utf-8")
    told: dict[str, list[str]] = {}

    def hear(line: str) -> None:
        mark, tab, rest = line.partition("\t")
        if tab and mark in ("jizuo-result", "jizuo-error"):
            told[mark] = rest.split("\t", 2)
        else:
            on_line(name, line)

    command = f"sudo -n sh -s {shlex.join(arguments)}"
    try:
        done = await shell.follow(node, command, hear, script)
    except SshError as error:
        return Outcome(job=name, result="unknown", error=f"{error}; the job goes on if it was begun")
    if "jizuo-error" in told:
        return Outcome(job=name, result="failure", error=f"{node}: {told['jizuo-error'][0]}")
    if "jizuo-result" not in told:
        said = done.stderr.splitlines()[-1] if done.stderr else f"exit status {done.status}"
        return Outcome(job=name, result="unknown", error=f"{node}: {said}")
    return _outcome(name, *told["jizuo-result"])


def _outcome(name: str, unit_result: str, status: str, text: str) -> Outcome:
    read = read_state(text) if text else None
    state = read if isinstance(read, JobState) else None
    if unit_result == "success" and status == "0":
        return Outcome(job=name, result="success", state=state)
    partial = status == str(PARTIAL)
    told = "; ".join(_complaints(state)) if state else ""
    error = told or f"the unit ended with {unit_result}, exit status {status}"
    return Outcome(job=name, result="partial" if partial else "failure", error=error, state=state)


def _complaints(state: JobState) -> list[str]:
    """What went wrong in the last run."""
    steps = [("backup", state.backup)]
    for node, known in state.repositories.items():
        steps += [(f"copy {node}", known.copy), (f"check {node}", known.check)]
        steps += [(f"restore test {node}", known.restore_test)]
    since = state.backup.started_at if state.backup else None
    return [
        f"{name}: {step.error or step.reason or step.result}"
        for name, step in steps
        if step and step.result in ("failure", "partial") and (since is None or step.started_at >= since)
    ]


def run_command(*options: str) -> list[str]:
    """A job's command line with other options than its unit's."""
    return [*MODULE, "run", *options, "POLICY"]


async def restore(
    node: str,
    arguments: Sequence[str],
    shell: SecureShell,
    on_line: Callable[[str], None],
    time_zone: str,
    inside: Sequence[str] = (),
) -> dict[str, Any]:
    """Run the job's restore program on a node, by the command `inside` where one is given; what it reports.

    Raises:
        RestoreError: The node cannot be reached, or nothing was restored.
    """
    program = [*PROGRAM, f"TZ={time_zone}", *MODULE, "restore", *arguments]
    try:
        return await report(node, ["sudo", "-n", *inside, "env", *program], shell, on_line)
    except SshError as error:
        raise RestoreError(f"{error}; nothing was put in place unless it says so there") from None


async def report(
    node: str, command: Sequence[str], shell: SecureShell, on_line: Callable[[str], None]
) -> dict[str, Any]:
    """Run a program on a node that reports as a JSON object in a line of its own; what it reported last.

    Raises:
        RestoreError: The program failed, or reported nothing.
        SshError: The node cannot be reached.
    """
    found: list[dict[str, Any]] = []
    said: list[str] = []

    def hear(line: str) -> None:
        if line.startswith("{"):
            found.append(msgspec.json.decode(line))
        else:
            said.append(line)
            on_line(line)

    try:
        # Its progress and its errors come on standard error, as lines of the same stream.
        done = await shell.follow(node, f"{shlex.join(command)} 2>&1", hear)
    except msgspec.DecodeError as error:
        raise RestoreError(f"{node}: what it reports cannot be read: {error}") from None
    if done.status != 0 or not found:
        why = re.sub(r"^jizuo_\w+: ", "", said[-1]) if said else f"exit status {done.status}"
        raise RestoreError(f"{node}: {why}")
    return found[-1]
