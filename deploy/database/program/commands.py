"""How the programs run PostgreSQL's and pgBackRest's commands: as the account `postgres`, and why one failed."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from typing import Any

from .configuration import Configuration

#: The account of PostgreSQL on its node, and the role that may everything in a cluster.
ACCOUNT = "postgres"


class CommandError(Exception):
    """A command failed; `reason` is one word for programs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


#: pgBackRest's exit codes (its error.auto.c) and the words that programs group by.
REASONS = {
    37: "configuration",
    41: "permission",
    42: "permission",
    49: "unreachable",
    50: "locked",
    55: "missing",
    56: "database",
    57: "database",
    75: "no_backup",
    82: "not_archived",
    95: "wrong_key",
    101: "unreachable",
    103: "stanza_missing",
}


def as_account(arguments: list[str]) -> list[str]:
    """The command as the database's account, when this is root; whoever else starts it stays what they are."""
    if os.geteuid() != 0:
        return arguments
    return ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups", "--", *arguments]


def account() -> str:
    """As whom commands run."""
    return ACCOUNT if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def environment() -> dict[str, str]:
    """Messages in English, whoever reads them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8"}


def run(
    arguments: list[str], given: str = "", timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as the database's account and return it ended, whatever its exit code."""
    return subprocess.run(
        as_account(arguments),
        input=given,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        env=environment(),
        cwd="/",
        timeout=timeout,
        check=False,
    )


def must(arguments: list[str], what: str, given: str = "", timeout: float | None = None) -> str:
    """What a command printed.

    Raises:
        CommandError: its exit code is not 0.
    """
    done = run(arguments, given, timeout)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-400:]
        raise CommandError("command", f"{what}: {said or f'exit code {done.returncode}'}")
    return done.stdout


def query(configuration: Configuration, sql: str, database: str = "", socket: str = "", port: int = 0) -> str:
    """What SQL returns: columns separated by `|`, rows by line ends; empty when there is no row.

    Raises:
        CommandError: the server does not answer or refuses.
    """
    return must(
        [
            os.path.join(configuration.binaries, "psql"),
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
            f"--host={socket or configuration.socket}",
            f"--port={port or configuration.port}",
            f"--username={ACCOUNT}",
            f"--dbname={database or configuration.database}",
        ],
        f"database {database or configuration.database}",
        sql,
        timeout=600,
    ).strip()


def pgbackrest(configuration: Configuration, *arguments: str) -> str:
    """What a command of pgBackRest printed; keys and passwords stand in the file that it reads.

    Raises:
        CommandError: it failed.
    """
    done = run(
        [
            configuration.pgbackrest,
            f"--config={configuration.settings}",
            f"--stanza={configuration.stanza}",
            *arguments,
        ]
    )
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if "ERROR" in line]
        reason = REASONS.get(done.returncode, "pgbackrest")
        raise CommandError(reason, (said[0] if said else f"exit code {done.returncode}")[-400:])
    return done.stdout


def repository_info(configuration: Configuration) -> dict[str, Any]:
    """What pgBackRest says of the stanza in all repositories.

    Raises:
        CommandError: it failed as a whole; one repository that does not answer is told in its `repo` entry.
    """
    found = json.loads(pgbackrest(configuration, "info", "--output=json"))
    return next((one for one in found if one["name"] == configuration.stanza), {})
