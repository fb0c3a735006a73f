"""How the job runs restic: argument lists without a secret, and why it failed in one word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from datetime import datetime
from typing import Any, NamedTuple

from .configuration import RepositoryPlace

#: What restic 0.14 writes when it fails, and the word that programs group by; the first that fits counts.
REASONS = (
    (re.compile(r"wrong password or no key found"), "wrong_password"),
    # A full disk of the server shows as a refusal: rclone does not say why, and refuses to try again.
    (re.compile(r"Save\(<.*server response unexpected|unable to save snapshot: server"), "not_stored"),
    (re.compile(r"401 Unauthorized|403 Forbidden"), "unauthorized"),
    (re.compile(r"x509:|tls: |certificate"), "certificate"),
    # restic asks "Is there a repository at the following location?" after every error of the network too: only the
    # server's own word that there is none counts. Who took a broken connection for it would begin a new one.
    (
        re.compile(r"unable to open config file: (<config/> does not exist|stat .*: no such file)"),
        "repository_missing",
    ),
    (re.compile(r"no space left on device|507 Insufficient Storage"), "disk_full"),
    (re.compile(r"already locked"), "locked"),
    (
        re.compile(
            r"connection refused|no route to host|is unreachable|i/o timeout|no such host"
            r"|connection reset by peer|broken pipe|connection timed out|TLS handshake timeout|\bEOF$"
            r"|server misbehaving|[Tt]emporary failure in name resolution|unexpected HTTP response \(5",
            re.MULTILINE,
        ),
        "unreachable",
    ),
)
#: restic tries again for a quarter of an hour whatever breaks, but for its first request, which ends the run.
NOT_OPENED = "unable to open config file"
#: After so many seconds each a repository is opened again whose connection broke.
OPENED_AGAIN_SECONDS = (1.0, 4.0)
#: By how much restic's memory may grow before Go collects what is unused (its variable GOGC, 100 by default). Collected
#: sooner, restic takes less memory, about what this job holds beside it, for about one per cent of its processor time.
GARBAGE_PERCENT, SELDOM_PERCENT = "80", "400"
#: restic speaks HTTP/1.1 over its five connections (rest.connections), not HTTP/2 over a single one: a first backup of
#: 2 GB takes 4% less of the processor, 8% less time and 5% less memory. Go's own switch; a newer restic, which sets
#: HTTP/2 up itself, passes over it.
HTTP = "http2client=0"
#: How long a job waits for a lock that is alive.
LOCK_SECONDS = 600.0
#: What `restic check` of 0.14 says of a pack that is damaged or gone; the id is the file's name in `data/`.
DAMAGED_PACK = re.compile(r"\bpack(?:\(s\))? \[?([0-9a-f]{64})\b|Pack ID does not match, want ([0-9a-f]{64})")
#: What it says when the repository itself was reached and is not whole.
DAMAGE = re.compile(r"repository contains errors|not found in index|does not exist")


class JobError(Exception):
    """A step failed: `reason` is one word for programs, the message says what happened, without a secret."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Done(NamedTuple):
    """What a run of restic left."""

    code: int
    output: str
    errors: str


class Snapshot(NamedTuple):
    """One snapshot: ids in full, the time as restic prints it; `original` is the id it was first taken as."""

    id: str
    time: str
    original: str


class Restic:
    """restic with the files that open one repository."""

    def __init__(
        self, place: RepositoryPlace, ca_file: str, cache_folder: str, program: str = "restic"
    ) -> None:
        self.place = place
        self.program = program
        self.ca_file = ca_file
        self.cache_folder = cache_folder
        self.secrets = _secrets(place.repository_file) + _secrets(place.password_file)
        #: restic knows a dead lock by its age. Whose clock is wrong would take a living one away, and a
        #: backup beside a running prune loses data: only who knows that the clocks agree may unlock.
        self.may_unlock = False
        #: Of what passes between here and the repository, KiB/s each way; 0 is no limit.
        self.limit = 0

    def run(
        self, *arguments: str, source: Restic | None = None, wait_for_locks: bool = True, memory: int = 0
    ) -> Done:
        """Run restic on this repository and wait; output and errors hold no secret.

        Passwords and the URL with its login are named as files: they are in no process list. A lock that a
        dead run left is removed; a lock that is alive (the server removes old snapshots) is waited for. A connection
        that breaks while the repository is opened is made again. `memory` is what does for it, in bytes, where that is
        known (:mod:`.memory`), else 0.

        Raises:
            JobError: restic is not installed.
        """
        done = self._open_and_run(arguments, source, memory)
        give_up, pause = time.monotonic() + (LOCK_SECONDS if wait_for_locks else 0.0), 0.0
        while done.code not in (0, 3) and reason_of(done.errors) == "locked":
            if time.monotonic() > give_up:
                break
            time.sleep(pause)
            pause = min(pause + 2.0, 30.0)
            for repository in [self] if source is None else [self, source]:
                if repository.may_unlock:
                    repository._run(("unlock",), None)
            done = self._open_and_run(arguments, source, memory)
        return done

    def _open_and_run(self, arguments: tuple[str, ...], source: Restic | None, memory: int) -> Done:
        done = self._run(arguments, source, memory)
        for seconds in OPENED_AGAIN_SECONDS:
            if not (NOT_OPENED in done.errors and reason_of(done.errors) == "unreachable"):
                break
            time.sleep(seconds)
            done = self._run(arguments, source, memory)
        return done

    def _run(self, arguments: tuple[str, ...], source: Restic | None, memory: int = 0) -> Done:
        command = [self.program, "--repository-file", self.place.repository_file]
        command += ["--password-file", self.place.password_file, "--cache-dir", self.cache_folder]
        command += ["--cacert", self.ca_file] if self.ca_file else []
        # restic has one limit for all repositories of a run: what is read from the one is sent to the other.
        download = [limit for limit in (self.limit, source.limit if source else 0) if limit]
        command += ["--limit-upload", str(self.limit)] if self.limit else []
        command += ["--limit-download", str(min(download))] if download else []
        command += arguments
        if source is not None:
            command += ["--from-repository-file", source.place.repository_file]
            command += ["--from-password-file", source.place.password_file]
        environment = {
            name: os.environ[name] for name in ("PATH", "TZ", "TMPDIR", "HOME", "LANG") if name in os.environ
        }
        environment["RESTIC_PROGRESS_FPS"] = "0.02"
        # Below a limit that does, collecting sooner frees room that nobody needs.
        environment["GOGC"] = SELDOM_PERCENT if memory else GARBAGE_PERCENT
        environment.update({"GOMEMLIMIT": str(memory)} if memory else {})
        environment["GODEBUG"] = HTTP
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False
            )
        except FileNotFoundError as error:
            raise JobError("no_program", f"{self.program} is not installed; run the backup deploy") from error
        secrets = self.secrets + (source.secrets if source is not None else [])
        return Done(
            done.returncode,
            done.stdout.decode("utf-8", "replace"),
            _mask(done.stderr.decode("utf-8", "replace"), secrets),
        )

    def must(self, *arguments: str, source: Restic | None = None) -> Done:
        """As :meth:`run`.

        Raises:
            JobError: restic failed.
        """
        done = self.run(*arguments, source=source)
        if done.code:
            raise failure(self.place.node, arguments[0], done)
        return done

    def snapshots(self, host: str, tag: str, *more: str) -> list[Snapshot]:
        """The snapshots of a host and tag, oldest first.

        Raises:
            JobError: the repository cannot be read.
        """
        done = self.must("snapshots", "--no-lock", "--json", *more, "--host", host, "--tag", tag)
        found = sorted(json.loads(done.output) or [], key=lambda one: moment_of(one["time"]))
        return [Snapshot(one["id"], one["time"], one.get("original", "")) for one in found]

    def newest(self, host: str, tag: str) -> Snapshot:
        """The newest snapshot of a host and tag.

        Raises:
            JobError: there is none, or the repository cannot be read.
        """
        found = self.snapshots(host, tag, "--latest", "1")
        if not found:
            raise JobError("no_snapshot", f"{self.place.node} holds no snapshot of {tag} of {host}")
        return found[-1]

    def files_of(self, snapshot: str) -> set[str]:
        """The paths of all regular files that a snapshot holds, as :func:`listed_as` has them.

        Raises:
            JobError: the repository cannot be read.
        """
        return set(self.sizes_of(snapshot))

    def sizes_of(self, snapshot: str) -> dict[str, int]:
        """As :meth:`files_of`, with the bytes of each.

        Raises:
            JobError: the repository cannot be read.
        """
        done = self.must("ls", "--no-lock", "--json", snapshot)
        return {one["path"]: one.get("size", 0) for one in messages(done) if one.get("type") == "file"}


def failure(node: str, verb: str, done: Done) -> JobError:
    """The error for a run of restic that failed."""
    lines = [line for line in done.errors.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("Fatal")] or lines
    detail = " | ".join(telling[-3:])[:600] or f"exit code {done.code}"
    return JobError(reason_of(done.errors), f"restic {verb} on {node}: {detail}")


def damaged_packs(errors: str) -> list[str]:
    """The ids of the packs that `restic check` names as damaged or gone, each once."""
    found = (first or second for first, second in DAMAGED_PACK.findall(errors))
    return list(dict.fromkeys(found))


def moment_of(time_text: str) -> datetime:
    """A time of restic's JSON: RFC 3339 with nanoseconds, which Python 3.7 does not read."""
    parts = re.match(r"(.{19})(?:\.(\d{1,6})\d*)?(Z|[+-]\d\d:\d\d)$", time_text)
    if parts is None:
        raise JobError("restic", f"restic wrote a time that is none: {time_text[:40]!r}")
    zone = "+00:00" if parts.group(3) == "Z" else parts.group(3)
    return datetime.fromisoformat(f"{parts.group(1)}.{(parts.group(2) or '0').ljust(6, '0')}{zone}")


def reason_of(errors: str) -> str:
    """Why restic failed, in one word; what it ended with counts before what it tried again."""
    ended = "\n".join(line for line in errors.splitlines() if line.startswith("Fatal"))
    for text in (ended, errors):
        for pattern, reason in REASONS:
            if pattern.search(text):
                return reason
    return "restic"


def messages(done: Done) -> list[dict[str, Any]]:
    """The JSON messages of a run with --json, from both its streams; lines that are none are passed over."""
    found = []
    for line in (done.output + "\n" + done.errors).splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def pattern_of(path: bytes) -> str:
    """A path as an --include pattern of restic that means exactly that path (Go's filepath.Match)."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", os.fsdecode(path))


def listed_as(path: bytes) -> str:
    """A path as restic's JSON has it: each byte that is not UTF-8 is U+FFFD (Go's encoding/json)."""
    return re.sub("[\udc80-\udcff]", "\ufffd", path.decode("utf-8", "surrogateescape"))


def _secrets(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read().strip()
    except (OSError, ValueError):
        return []
    login = re.match(r"rest:https?://[^:/@]*:([^@/]*)@", content)
    return [login.group(1) if login else content] if content and not content.startswith("/") else []


def _mask(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
