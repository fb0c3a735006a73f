"""What does a host answer over SSH? Runs the system's `ssh`, strict about host keys."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from inventories.records import Management

#: Where the lab keeps `ssh_config` and keys; the environment's JIZUO_STATE goes before it.
DEFAULT_STATE = Path("/var/lib/jizuo/lab/lab")
#: A line that a host may say, in bytes: a backup's state with the names of many files is one.
_LONGEST_LINE = 4 * 1024**2
#: How ssh says why it failed (its exit status is 255 then), and the reason for it.
_REASONS = (
    (re.compile(r"Connection refused"), "refused"),
    (re.compile(r"timed out|Operation timed out"), "timeout"),
    (re.compile(r"No route to host|Network is unreachable|Host is down"), "unreachable"),
    (re.compile(r"Could not resolve hostname|Name or service not known"), "name_error"),
    (re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED"), "host_key"),
    (re.compile(r"Permission denied"), "denied"),
    (re.compile(r"Connection (reset|closed)"), "reset"),
)
_WAYS_OUT = {
    "refused": "start sshd on it",
    "timeout": "see whether it runs and whether its firewall lets the management network in",
    "unreachable": "see its management link",
    "name_error": "add it to ssh_config",
    "host_key": "its host key is not the pinned one: find out why before you pin another",
    "denied": "deploy the base role, which gives the account its key",
    "reset": "see its sshd log",
}


class _LabRecord(msgspec.Struct):
    """Of a lab's own record what is asked for here."""

    management: Management


class SshError(Exception):
    """A command did not run on a host. `reason` is one word, the message names host, cause and way out."""

    def __init__(self, host: str, reason: str, detail: str) -> None:
        way_out = _WAYS_OUT.get(reason)
        super().__init__(f"{host}: {detail}" + (f"; {way_out}" if way_out else ""))
        self.reason = reason


class Completed(msgspec.Struct, frozen=True):
    """What a command printed, and its exit status."""

    status: int
    stdout: str
    stderr: str


class SecureShell(msgspec.Struct, frozen=True):
    """How hosts are reached.

    Attributes:
        config: The ssh_config(5) that knows the hosts, their addresses and their pinned keys.
        account: The account to log in to; the configuration's where empty.
        key: Its private key; the configuration's where None.
        timeout: Seconds for the whole command.
        connect_timeout: Seconds for the connection alone.
    """

    config: Path
    account: str = ""
    key: Path | None = None
    timeout: float = 60
    connect_timeout: int = 10

    async def run(self, host: str, command: str = "", request: str = "") -> Completed:
        """Run a command on a host; without one, what the account's forced command does.

        `request` is what it reads on standard input.

        Raises:
            SshError: The host cannot be reached, refuses, or does not end in time.
        """
        process = await self._start(host, command, bool(request))
        try:
            async with asyncio.timeout(self.timeout):
                stdout, stderr = await process.communicate(request.encode() if request else None)
        except TimeoutError:
            raise SshError(host, "timeout", f"no end within {self.timeout:g} s") from None
        finally:
            await _end(process)
        return _completed(host, process, stdout, stderr)

    async def follow(
        self, host: str, command: str, on_line: Callable[[str], None], request: str = ""
    ) -> Completed:
        """Run a command that may take hours; `on_line` gets each line of its standard output as it comes.

        There is no time limit, but a host that falls silent for good ends it. When this is cancelled, ssh ends
        at once; whether the command on the host does is the command's affair.

        Raises:
            SshError: The host cannot be reached, refuses, or is lost on the way.
        """
        process = await self._start(host, command, bool(request))
        assert process.stdout and process.stderr  # noqa: S101 - both are pipes
        told = asyncio.create_task(process.stderr.read())
        try:
            if request and process.stdin:
                process.stdin.write(request.encode())
                process.stdin.close()
            async for line in process.stdout:
                on_line(line.decode(errors="replace").rstrip("\n"))
            await process.wait()
            return _completed(host, process, b"", await told)
        finally:
            told.cancel()
            await _end(process)

    async def _start(self, host: str, command: str, has_request: bool) -> Process:
        arguments = ["ssh", "-F", str(self.config), "-T"]
        for option in (
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            f"ConnectTimeout={self.connect_timeout}",
            "ConnectionAttempts=1",
            "ServerAliveInterval=10",
            "LogLevel=ERROR",
        ):
            arguments += ["-o", option]
        if self.account:
            arguments += ["-l", self.account]
        if self.key:
            arguments += ["-o", "IdentitiesOnly=yes", "-i", str(self.key)]
        arguments += ["--", host, *([command] if command else [])]
        try:
            return await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.PIPE if has_request else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
                start_new_session=True,  # so that a ProxyCommand dies with it
            )
        except OSError as error:
            raise SshError(host, "no_ssh", f"cannot start ssh: {error}; install openssh-client") from None


async def _end(process: Process) -> None:
    """Leave nothing of ssh behind."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _completed(host: str, process: Process, stdout: bytes, stderr: bytes) -> Completed:
    said = stderr.decode(errors="replace").strip()
    if process.returncode == 255:
        raise SshError(host, reason_of(said), said.splitlines()[-1] if said else "ssh failed")
    return Completed(process.returncode or 0, stdout.decode(errors="replace"), said)


def reason_of(stderr: str) -> str:
    """Why ssh failed, in one word, from what it said."""
    return next((reason for pattern, reason in _REASONS if pattern.search(stderr)), "ssh_failed")


def state_folder() -> Path:
    """The folder with `ssh_config` and keys: JIZUO_STATE, else the lab's."""
    named = os.environ.get("JIZUO_STATE")
    return Path(named) if named else DEFAULT_STATE


def management_of(state: Path) -> Management | None:
    """The management prefixes of the lab whose state folder this is; None where it is no lab's, or unreadable.

    A second lab on one machine has others than the inventory says.
    """
    try:
        return msgspec.json.decode((state / "lab.json").read_bytes(), type=_LabRecord).management
    except (OSError, msgspec.DecodeError):
        return None


def shell_of(state: Path, account: str = "") -> SecureShell:
    """How the hosts of a state folder are reached, as an account that has a key there."""
    key = state / "ssh" / account if account else None
    return SecureShell(
        config=state / "ssh_config", account=account, key=key if key and key.exists() else None
    )
