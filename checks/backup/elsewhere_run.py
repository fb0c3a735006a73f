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
from zoneinfo import ZoneInfo

import msgspec

from checks.backup import elsewhere_databases
from checks.backup.elsewhere import Proof, Restored, Turn, paths_of, read_proof, result_of, turn
from checks.backup.elsewhere_databases import Cluster
from checks.backup.hosts import PROGRAM, Job, RestoreError, report
from checks.backup.hosts import restore as restore_on
from checks.drills.handing_over import hand_over
from checks.record import write_whole
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
#: How the restore is run: all that it may write is the scratch folder.
INSIDE = (
    "systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={UNIT}", "--property=ProtectSystem=strict",
    f"--property=ReadWritePaths={SCRATCH}", "--property=NoNewPrivileges=yes", "--property=PrivateTmp=yes",
    "--property=TimeoutStopSec=20",
)  # fmt: skip
#: Who keeps databases on a repository's node, and its programs; the database deploy says the same. What a cluster
#: needs stands there: it gets no network.
KEEPER = "jizuo-keeper"
AS_KEEPER = (f"--property=User={KEEPER}", f"--property=Group={KEEPER}", "--property=PrivateNetwork=yes")
DATABASE_MODULE = ("/usr/bin/python3", "-m", "jizuo_database")
MEGABYTE = 1_000_000
#: Seconds for a deploy of keys to one host.
_DEPLOY = 600

Say = Callable[[str], None]
#: What is restored at once: the folders and dumps of a job, or a cluster.
Subject = Job | Cluster


class ElsewhereError(Exception):
    """A test cannot be made, or something was left behind on a host; the message says what to do."""


class _NotTriedError(Exception):
    """Nothing was tried on another host, so that nothing is known of it anew."""


class Given(msgspec.Struct, frozen=True):
    """What stands on another host: written before it goes there, removed when it is taken back.

    Attributes:
        job: Whose keys and data these are.
        host: The host.
        cluster: The cluster whose data alone these are; its repository's keeper has the keys there as ever.
    """

    job: Job
    host: str
    cluster: str = ""

    @property
    def name(self) -> str:
        return self.cluster or self.job.name


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
        self._stands: Given | None = None  # what this run has on another host

    def prove(self, subjects: Sequence[Subject]) -> Iterator[tuple[Subject, Restored]]:
        """Restore each job and cluster on the host whose turn it is, and record it.

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
                for subject in subjects:
                    yield subject, self._one(subject)

    def _one(self, subject: Subject) -> Restored:
        proof = self.proof(subject)
        began = datetime.now().astimezone()
        if isinstance(subject, Cluster):
            where: Turn | None = elsewhere_databases.turn(self._city, subject, proof.tests)
        else:
            where = turn(self._city, subject, proof.tests, began.date())
        if where is None:
            nowhere = "the city has no other host that could take over"
            return result_of(Turn("", ""), (), began, datetime.now().astimezone(), nowhere)
        self._say(f"{subject.name}: on {where.host}, from {where.repository}")
        told: list[dict[str, Any]] = []
        error = ""
        try:
            if isinstance(subject, Cluster):
                self._cluster(subject, where, told)
            else:
                self._give(Given(subject, where.host))
                for number, path in enumerate(paths_of(self._city.backups[subject.policy])):
                    told.append(self._restore(subject, where, path, f"{SCRATCH}/{number}"))
                    self._remove(where.host, anew=True)
        except _NotTriedError as failure:
            return result_of(where, (), began, datetime.now().astimezone(), str(failure))
        except (RestoreError, ElsewhereError, SshError) as failure:
            error = str(failure)
        finally:
            left = self._take_back(self._stands) if self._stands else ""
        test = result_of(where, told, began, datetime.now().astimezone(), error or left)
        self._record(subject, proof.with_test(test))
        if left:
            raise ElsewhereError(left)
        return test

    def _cluster(self, cluster: Cluster, where: Turn, told: list[dict[str, Any]]) -> None:
        """Restore a cluster where it is kept, and hold what it answers against what its own node says it must.

        Raises:
            _NotTriedError: its own node does not say what it must answer.
            RestoreError, SshError: it did not come back, or the host was not reached.
            ElsewhereError: it answers otherwise.
        """

        def ask(node: str, before: Sequence[str], *arguments: str) -> dict[str, Any]:
            command = ["sudo", "-n", *before, "env", *PROGRAM, *DATABASE_MODULE, *arguments]
            say = self._say
            return asyncio.run(
                report(node, command, self._shell, lambda line: say(f"{cluster.name}: {line}"))
            )

        try:
            wanted = ask(cluster.node, (), "expect", cluster.name, "--from", where.repository)
        except (RestoreError, SshError) as error:
            raise _NotTriedError(f"not tried, for what it must answer is not known: {error}") from None
        self._give(Given(Job(cluster.policy, cluster.node), where.host, cluster.name))
        databases = [part for name in wanted["databases"] for part in ("--database", name)]
        came = ask(
            where.host, [*INSIDE, *AS_KEEPER], "reproduce", cluster.name, "--to", wanted["target"],
            "--in", SCRATCH, "--rows", str(len(wanted["rows"])), *databases,
        )  # fmt: skip
        if came["rows"] != wanted["rows"]:
            should, ends = wanted["rows"][-1:], came["rows"][-1:]
            raise ElsewhereError(f"{where.host}: it should end with {should} and ends with {ends}")
        zone = ZoneInfo(self._city.layout.time_zone)
        moment = datetime.fromisoformat(wanted["moment"]).astimezone(zone).isoformat(timespec="milliseconds")
        came |= {"snapshot": came["backup"], "snapshot_at": moment, "rows": len(came["rows"])}
        told.append(came)

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
        zone = self._city.layout.time_zone
        say = self._say
        return asyncio.run(
            restore_on(
                where.host, arguments, self._shell, lambda line: say(f"{job.name}: {line}"), zone, INSIDE
            )
        )

    def _give(self, given: Given) -> None:
        self._remove(given.host, anew=True, owner=KEEPER if given.cluster else "root")
        self._stands = given
        write_whole(self._journal, msgspec.json.encode(given))
        if not given.cluster:
            self._deploy(given.job, given.host, "present")

    def _given(self) -> Given | None:
        """What is on another host, or may be.

        Raises:
            ElsewhereError: that cannot be read.
        """
        try:
            return msgspec.json.decode(self._journal.read_bytes(), type=Given)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise ElsewhereError(
                f"{self._journal} cannot be read: {error}; see {KEYS} and {SCRATCH} of every node"
            ) from None

    def _take_back(self, given: Given) -> str:
        """Take keys and data away; nothing interrupts it. What is left, and why, for the next test to take back."""
        left = []
        with _uninterrupted():
            try:
                self._remove(given.host)
            except ElsewhereError as error:
                left.append(str(error))
            if not given.cluster:
                try:
                    self._deploy(given.job, given.host, "absent")
                except ElsewhereError as error:
                    left.append(str(error))
            if not left:
                self._journal.unlink(missing_ok=True)
                self._stands = None
        if not left:
            return ""
        return (
            f"keys or data of {given.name} are left on {given.host}: {'; '.join(left)}; they are taken back by "
            f"the next: jizuo backup verify PATH --elsewhere {given.job.name}"
        )

    def _take_back_what_was_left(self) -> None:
        given = self._given()
        if given and given.host not in self._city.nodes:
            self._say(
                f"{given.name}: {given.host}, where a test left something, is no longer in the inventory"
            )
            self._journal.unlink()
        elif given:
            self._say(f"{given.name}: taking back what an interrupted test left on {given.host}")
            left = self._take_back(given)
            if left:
                raise ElsewhereError(left)

    def _remove(self, host: str, *, anew: bool = False, owner: str = "root") -> None:
        """Stop a restore that goes on, and remove its data; `anew` makes the empty folder for another, `owner`'s.

        Raises:
            ElsewhereError: it cannot be done.
        """
        script = f"systemctl stop {UNIT}.service 2>/dev/null; rm -rf --one-file-system {SCRATCH}"
        if anew:
            script += f" && install -d -m 700 -o {owner} -g {owner} {SCRATCH} {SCRATCH}/cache"
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

    def proof(self, subject: Subject) -> Proof:
        """What is on record of a job or cluster; nothing where that cannot be read: the next test writes it anew."""
        empty = Proof(policy=subject.policy, client=subject.node)
        try:
            found = read_proof(self._path(subject).read_bytes())
        except FileNotFoundError:
            return empty
        return found if isinstance(found, Proof) else empty

    def _path(self, subject: Subject) -> Path:
        return self._folder / f"{subject.name}.json"

    def _record(self, subject: Subject, proof: Proof) -> None:
        path = self._path(subject)
        write_whole(path, msgspec.json.encode(proof))
        missed = hand_over(self._city, self._state, path, REMOTE)
        if missed:
            self._say(
                f"{subject.name}: {', '.join(missed)} did not take the record; it goes there with the next"
            )


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
