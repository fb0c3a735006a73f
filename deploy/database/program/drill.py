"""A witness for drills: a row every 100 ms, told when the database has taken it, and which rows are there later.

Each line is `drill-record NAME ID TIME`; the times are those that the rows hold.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TextIO

from .commands import CommandError, as_account, environment, query
from .configuration import Configuration

INTERVAL = 0.1
_TIME = "to_char(stamp at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"
_TABLE = (
    "create table if not exists jizuo_drill (id bigint generated always as identity primary key, "
    "stamp timestamptz not null default clock_timestamp())"
)


def write(configuration: Configuration, database: str, seconds: float, name: str, out: TextIO) -> int:
    """Write rows for so many seconds; a row that is refused is tried again until then. Exit code 0."""
    query(configuration, _TABLE, database)
    until = time.monotonic() + seconds
    session = None
    refused = ""
    while time.monotonic() < until:
        began = time.monotonic()
        if session is None or session.poll() is not None:
            session = _session(configuration, database)
        row = _insert(session)
        if row:
            out.write(f"drill-record {name} {row.replace('|', ' ')}\n")
            refused = ""
        else:
            if not refused:
                refused = "refused"
                out.write(f"# refused since {time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}+00:00\n")
            session.kill()
            session.wait()
            session = None
        out.flush()
        time.sleep(max(0.0, INTERVAL - (time.monotonic() - began)))
    if session is not None:
        session.kill()
        session.wait()
    return 0


def rows(configuration: Configuration, database: str, name: str, out: TextIO) -> int:
    """Tell every row that is there; exit code 1 when there is no such table."""
    try:
        found = query(configuration, f"select id, {_TIME} from jizuo_drill order by id", database)
    except CommandError as error:
        print(f"jizuo_database: {error}", file=sys.stderr)
        return 1
    for row in found.splitlines():
        out.write(f"drill-record {name} {row.replace('|', ' ')}\n")
    return 0


def _session(configuration: Configuration, database: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        as_account(
            [
                f"{configuration.binaries}/psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
                "--set=ON_ERROR_STOP=1", f"--host={configuration.socket}", f"--port={configuration.port}",
                f"--dbname={database}",
            ]
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        universal_newlines=True,
        bufsize=1,
        env=environment(),
        cwd="/",
    )  # fmt: skip


def _insert(session: subprocess.Popen[str]) -> str:
    """`ID|TIME` of a row that is committed; empty when it was refused."""
    if session.stdin is None or session.stdout is None:
        return ""
    try:
        session.stdin.write(f"insert into jizuo_drill default values returning id, {_TIME};\n")
        session.stdin.flush()
        return session.stdout.readline().strip()
    except OSError:
        return ""
