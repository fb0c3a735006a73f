"""Databases of a policy: dumped before the snapshot is taken, and proven by a restore into a scratch cluster.

A dump of PostgreSQL shows one moment of its database, and beside it lies what the database answered at that same
moment: rows and a checksum of every table. The restored dump must answer the same.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from .configuration import Dump
from .restic import JobError

#: Tables above this many bytes are counted and not summed: the sum is computed from every row as text.
SUMMED_BYTES = 64 * 1024**2
#: How long a dump, or its restore, may take, in seconds.
PATIENCE = 6 * 3600
ANSWERS = ".answers.json"
_TABLES = (
    "select quote_ident(n.nspname) || '.' || quote_ident(c.relname), pg_table_size(c.oid) from pg_class c "
    "join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and n.nspname !~ '^pg_' "
    "and n.nspname <> 'information_schema' and c.relpersistence = 'p' order by 1;"
)


def take(dumps: Sequence[Dump]) -> None:
    """Dump every database to its file; the old file stays until the new one is whole.

    Raises:
        JobError: a database cannot be dumped: then there is no snapshot, and the old one stays the newest.
        OSError: the dump cannot be written.
    """
    for dump in dumps:
        os.makedirs(os.path.dirname(dump.file), mode=0o700, exist_ok=True)
        scratch = dump.file + ".new"
        command = [argument.replace("{file}", scratch) for argument in dump.command]
        try:
            if dump.engine == "postgresql":
                _dump_at_one_moment(dump, command, scratch)
            else:
                _run(dump, command)
                if not os.path.getsize(scratch):
                    raise JobError("dump", f"{command[0]} left an empty dump of {dump.name}")
            os.replace(scratch, dump.file)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(scratch)


def folders_of(dumps: Sequence[Dump]) -> set[str]:
    """Where dumps are left: no source of the policy's own."""
    return {os.path.dirname(dump.file) for dump in dumps}


def prove(dump: Dump, restored: str, folder: str) -> int:
    """Restore a dump into a cluster of its own below `folder`, compare, remove; returns how many tables there were.

    Args:
        dump: The database.
        restored: Where the dump's file came back from the repository.
        folder: A scratch folder that is not there yet.

    Raises:
        JobError: it cannot be restored, or answers something else than the database did.
    """
    with open(restored + ANSWERS, encoding="utf-8") as file:
        wanted: dict[str, Any] = json.load(file)
    try:
        with _scratch_cluster(dump, folder) as connection:
            programs = binaries()
            options = ["--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={dump.name}"]
            _must(dump, [f"{programs}/createdb", *connection, "--", dump.name])
            _must(dump, [f"{programs}/pg_restore", *connection, *options, restored])
            session = [
                f"{programs}/psql",
                *connection,
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                f"--dbname={dump.name}",
            ]
            answer = {}
            for table, summed in ((name, one["sum"] is not None) for name, one in wanted["tables"].items()):
                said = _must(dump, session, _question(table, summed)).strip().split("|")
                answer[table] = {"rows": int(said[0]), "sum": said[1] if summed else None}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if answer != wanted["tables"]:
        other = [name for name in answer if answer[name] != wanted["tables"][name]]
        raise JobError(
            "dump_differs", f"restored tables of {dump.name} are not as they were: {', '.join(other[:3])}"
        )
    return len(answer)


def binaries() -> str:
    """Where this host's newest PostgreSQL has its programs.

    Raises:
        JobError: it has none.
    """
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if not found:
        raise JobError("dump", "this host has no PostgreSQL to restore a dump into")
    return os.path.dirname(max(found, key=lambda path: int(path.split("/")[4])))


def _dump_at_one_moment(dump: Dump, command: list[str], scratch: str) -> None:
    """Dump a moment that a session of our own holds open, and ask that session what is there."""
    place = [
        argument
        for argument in command
        if argument.startswith(("--cluster=", "--host=", "--port=", "--dbname="))
    ]
    psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *place]
    session = subprocess.Popen(
        psql,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    try:
        if session.stdin is None or session.stdout is None or session.stderr is None:
            raise JobError("dump", "psql has no pipes")
        moment = _ask(
            session, "begin isolation level repeatable read read only; select pg_export_snapshot();"
        )
        if not moment:
            raise JobError("dump", f"{dump.name}: {session.stderr.read().strip()[-300:] or 'no answer'}")
        _run(dump, [*command, f"--snapshot={moment[0]}"])
        tables = {}
        for line in _ask(session, _TABLES):
            table, size = line.rsplit("|", 1)
            summed = int(size) <= SUMMED_BYTES
            said = _ask(session, _question(table, summed))
            if not said:
                raise JobError("dump", f"{dump.name}: {session.stderr.read().strip()[-300:]}")
            rows, _, total = said[0].partition("|")
            tables[table] = {"rows": int(rows), "sum": total if summed else None}
    finally:
        session.kill()
        session.communicate()
    with open(dump.file + ANSWERS + ".new", "w", encoding="utf-8") as file:
        json.dump({"database": dump.name, "tables": tables}, file, ensure_ascii=False, indent=1)
    os.replace(dump.file + ANSWERS + ".new", dump.file + ANSWERS)


def _question(table: str, summed: bool) -> str:
    """Rows of a table, and a sum over them that does not depend on their order."""
    total = ", coalesce(sum(hashtextextended(t::text, 0)), 0)" if summed else ""
    return f"select count(*){total} from {table} t;"  # noqa: S608 - quote_ident's own words


def _ask(session: subprocess.Popen[str], sql: str) -> list[str]:
    """What a session answers, line by line; nothing when it ended."""
    end = "-- that is all --"
    if session.stdin is None or session.stdout is None:
        return []
    try:
        session.stdin.write(f"{sql}\n\\echo {end}\n")
        session.stdin.flush()
    except OSError:
        return []
    lines: list[str] = []
    for line in session.stdout:
        if line.rstrip("\n") == end:
            return lines
        lines.append(line.rstrip("\n"))
    return []


@contextlib.contextmanager
def _scratch_cluster(dump: Dump, folder: str) -> Iterator[list[str]]:
    """A cluster of this account's own, by a socket in its folder; yields the options that lead to it."""
    os.makedirs(folder, mode=0o700)
    programs = binaries()
    data = os.path.join(folder, "data")
    options = (
        f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c port=5498 -c fsync=off -c jit=off"
    )
    _must(
        dump, [f"{programs}/initdb", "-D", data, "--auth=peer", "--encoding=UTF8", "--locale=C.UTF-8", "-N"]
    )
    _must(dump, [f"{programs}/pg_ctl", "start", "-D", data, "-s", "-w", "-o", options, "-l", f"{folder}/log"])
    try:
        yield [f"--host={folder}", "--port=5498"]
    finally:
        subprocess.run(
            [f"{programs}/pg_ctl", "stop", "-D", data, "-s", "-w", "-m", "immediate"],
            capture_output=True,
            env=_environment(),
            check=False,
        )


def _run(dump: Dump, command: list[str]) -> None:
    done = _done(command, environment=dump.environment)
    if done.returncode:
        told = "" if dump.tested else " (this tool was never tried on the product by the kit's tests)"
        raise JobError("dump", f"{command[0]} of {dump.name}: {_end_of(done)}{told}")


def _must(dump: Dump, command: list[str], given: str = "") -> str:
    done = _done(command, given)
    if done.returncode:
        raise JobError("dump_restore", f"{os.path.basename(command[0])} of {dump.name}: {_end_of(done)}")
    return done.stdout


def _done(
    command: list[str], given: str = "", environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=PATIENCE,
            env={**_environment(), **environment},
            check=False,
        )
    except FileNotFoundError as error:
        where = f" in {environment['PATH']}" if environment else ""
        raise JobError("dump", f"{command[0]} is not on this host{where}") from error


def _end_of(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip()[-300:] or f"exit code {done.returncode}"


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8"}
