"""How is a backup restored on another host for a test, so that neither its keys nor its data stay there?"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from checks.backup.elsewhere import Proof, Restored, Turn, paths_of, read_proof, result_of, turn
from checks.backup.hosts import Job, RestoreError
from checks.backup.hosts import restore as restore_on
from checks.drills.handing_over import hand_over
from checks.ssh import SecureShell, SshError
from inventories.records import City

ROOT = Path(__file__).resolve().parents[2]
#: Where the keys are on the host for the time of the test; the recovery deploy says the same.
KEYS = "/etc/jizuo/recovery"
#: Where the data come back to, for root alone; nothing else is there.
SCRATCH = "/var/cache/jizuo-restore-elsewhere"
#: The restore as a unit, so that it can be stopped whatever became of who watched it.
UNIT = "jizuo-restore-elsewhere"
#: The records' folder below the controller's state folder, and on operations nodes.
FOLDER, REMOTE = "restores", "/var/lib/jizuo/restores"
MEGABYTE = 1_000_000
#: Seconds for a deploy of keys to one host.
_DEPLOY = 600

Say = Callable[[str], None]


class ElsewhereError(Exception):
    """A test cannot be made, or something was left behind on a host; the message says what to do."""


class Given(msgspec.Struct, frozen=True):
    """Keys that stand on another host: written before they go there, removed when they are taken back."""

    job: Job
    host: str


class Prover:
    """Tests the jobs of a city, one after the other; one prover at a time for a state folder."""

    def __init__(
        self,
        city: City,
        inventory: Path,
        state: Path,
        shell: SecureShell,
        say: Say,
        pyinfra: Sequence[str] = (str(Path(sys.executable).with_name("pyinfra")),),
    ) -> None:
        self._city, self._inventory, self._state = city, inventory, state
        self._shell, self._say = shell, say
        self._pyinfra = pyinfra
        self._folder = state / FOLDER
        self._journal = self._folder / ".keys-given.json"

    def prove(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Restored]]:
        """Restored each job on the host whose turn it is, and record it.

        Raises:
            ElsewhereError: another one is under way, or keys are left on a host.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ElsewhereError(
                    "another restore on another host is under way; wait for its end"
                ) from None
            with _terminated_as_interrupted():
                self._take_back_what_was_left()
                for job in jobs:
                    yield job, self._one(job)

    def _one(self, job: Job) -> Restored:
        proof = self.proof(job)
        began = datetime.now().astimezone()
        where = turn(self._city, job, proof.tests, began.date())
        if where is None:
            raise ElsewhereError(f"{job.name}: the city has no other host that could take over")
        self._say(f"{job.name}: on {where.host}, from {where.repository}")
        told: list[dict[str, Any]] = []
        error = ""
        try:
            self._give(job, where.host)
            for number, path in enumerate(paths_of(self._city.backups[job.policy])):
                told.append(self._restore(job, where, path, f"{SCRATCH}/{number}"))
                self._remove(where.host, anew=True)
        except (RestoreError, ElsewhereError, SshError) as failure:
            error = str(failure)
        finally:
            left = self._take_back(Given(job, where.host)) if self.has_left_something else ""
        test = result_of(where, told, began, datetime.now().astimezone(), error or left)
        self._record(job, proof.with_test(test))
        if left:
            raise ElsewhereError(left)
        return test

    @property
    def has_left_something(self) -> bool:
        """Whether keys are on another host, or may be."""
        return self._journal.exists()

    def _restore(self, job: Job, where: Turn, path: str, target: str) -> dict[str, Any]:
        verify = self._city.backups[job.policy].verify
        arguments = [
            "--configuration", KEYS, "--cache", f"{SCRATCH}/cache", "--from", where.repository, "--to", target,
            "--sample-bytes", str(verify.megabytes * MEGABYTE), "--sample-files", str(verify.files),
            "--", job.policy, path,
        ]  # fmt: skip
        inside = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={UNIT}"]
        # All that it may write is the scratch folder.
        inside += ["--property=ProtectSystem=strict", f"--property=ReadWritePaths={SCRATCH}"]
        inside += ["--property=NoNewPrivileges=yes", "--property=PrivateTmp=yes"]
        zone = self._city.layout.time_zone
        say = self._say
        return asyncio.run(
            restore_on(
                where.host, arguments, self._shell, lambda line: say(f"{job.name}: {line}"), zone, inside
            )
        )

    def _give(self, job: Job, host: str) -> None:
        self._remove(host, anew=True)
        self._journal.write_bytes(msgspec.json.encode(Given(job, host)))
        self._deploy(job, host, "present")

    def _take_back(self, given: Given) -> str:
        """Take keys and data away; nothing interrupts it. What is left, and why, for the next test to take back."""
        left = []
        with _uninterrupted():
            try:
                self._remove(given.host)
            except ElsewhereError as error:
                left.append(str(error))
            try:
                self._deploy(given.job, given.host, "absent")
            except ElsewhereError as error:
                left.append(str(error))
            if not left:
                self._journal.unlink(missing_ok=True)
        if not left:
            return ""
        return (
            f"keys or data of {given.job.name} are left on {given.host}: {'; '.join(left)}; they are taken back by "
            f"the next: jizuo backup verify PATH --elsewhere {given.job.name}"
        )

    def _take_back_what_was_left(self) -> None:
        try:
            given = msgspec.json.decode(self._journal.read_bytes(), type=Given)
        except FileNotFoundError:
            return
        except msgspec.DecodeError as error:
            raise ElsewhereError(
                f"{self._journal} cannot be read: {error}; see {KEYS} of every node"
            ) from None
        if given.host in self._city.nodes:
            self._say(f"{given.job.name}: taking back what an interrupted test left on {given.host}")
            left = self._take_back(given)
            if left:
                raise ElsewhereError(left)

    def _remove(self, host: str, *, anew: bool = False) -> None:
        """Stop a restore that goes on, and remove its data; `anew` makes the empty folder for another.

        Raises:
            ElsewhereError: it cannot be done.
        """
        script = f"systemctl stop {UNIT}.service 2>/dev/null; rm -rf --one-file-system {SCRATCH}"
        if anew:
            script += f" && install -d -m 700 {SCRATCH} {SCRATCH}/cache"
        try:
            done = asyncio.run(self._shell.run(host, f"sudo -n sh -c '{script}'"))
        except SshError as error:
            raise ElsewhereError(str(error)) from None
        if done.status:
            raise ElsewhereError(f"{host}: {SCRATCH} cannot be removed: {done.stderr or done.status}")

    def _deploy(self, job: Job, host: str, recovery: str) -> None:
        """Bring the keys to a host or take them away, by pyinfra's plain command.

        Raises:
            ElsewhereError: it failed.
        """
        # A drill's commands and these do not change a host at once.
        command = ["flock", str(self._state / ".drill-command.lock"), *self._pyinfra]
        command += [str(self._inventory.resolve() / "inventory.py"), str(ROOT / "deploy/backup/recover.py")]
        command += ["-y", "--limit", host, "--data", f"client={job.node}", "--data", f"policy={job.policy}"]
        command += ["--data", f"recovery={recovery}"]
        try:
            # In a session of its own: a Ctrl-C at the terminal is this process's alone.
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_DEPLOY, check=False, start_new_session=True,
                env={**os.environ, "JIZUO_STATE": str(self._state)},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ElsewhereError(f"{host}: keys {recovery}: {error}") from None
        if done.returncode:
            said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            raise ElsewhereError(f"{host}: keys {recovery}: pyinfra: {' | '.join(said[-3:])}")

    # Records

    def proof(self, job: Job) -> Proof:
        """What is on record of a job; nothing where that cannot be read, for the next test writes it anew."""
        empty = Proof(policy=job.policy, client=job.node)
        try:
            found = read_proof(self._path(job).read_bytes())
        except FileNotFoundError:
            return empty
        return found if isinstance(found, Proof) else empty

    def _path(self, job: Job) -> Path:
        return self._folder / f"{job.name}.json"

    def _record(self, job: Job, proof: Proof) -> None:
        path = self._path(job)
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(proof))
        new.replace(path)
        missed = hand_over(self._city, self._state, path, REMOTE)
        if missed:
            self._say(f"{job.name}: {', '.join(missed)} did not take the record; it goes there with the next")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Signals that would end this process wait for the end of the block, where they are lost."""
    before = {
        one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A timer's stop ends a test as a Ctrl-C does: keys and data are taken back first."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {one: signal.signal(one, stop) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            with suppress(ValueError):
                signal.signal(one, handler)
