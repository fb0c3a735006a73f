"""With which command does an engine's own tool back a database up? Built from `tools.toml`; pure."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import msgspec

from inventories.backups.records import DatabaseBackup, Engine

TOOLS = Path(__file__).parent / "tools.toml"
#: What the job replaces by its own file when it runs a dump.
FILE = "{file}"
#: What an engine may have a tool for.
ACTIONS = ("dump", "restore", "continuous", "basebackup")
#: Where a job looks for programs that are no engine's own.
SYSTEM_PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
#: The home of the engines' tools in a job: where a person puts files that hold a login. The job's account owns it.
HOME = "/var/lib/jizuo/backup/login"


class ToolError(Exception):
    """An engine has no tool for what is asked; the message names what it has."""


class Argument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An argument, and which document says that it is one."""

    text: str
    source: str


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program and its arguments; `suffix` is what its file's name ends with."""

    program: str
    arguments: tuple[Argument, ...]
    suffix: str = ""


class Engines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An engine's tools. `tested`: whether the kit's own tests ran them on the product.

    `programs`, `libraries` and `read` are folders and files of the host, each of which may be missing; `variables`
    are those of the tools' environment, NAME=VALUE.
    """

    tested: bool
    title: str
    login: str
    dump: Tool
    restore: Tool
    programs: tuple[Argument, ...] = ()
    libraries: tuple[Argument, ...] = ()
    read: tuple[Argument, ...] = ()
    variables: tuple[Argument, ...] = ()
    continuous: Tool | None = None
    basebackup: Tool | None = None


@cache
def tools() -> dict[Engine, Engines]:
    """Every engine's tools.

    Raises:
        msgspec.ValidationError: the file is not of its form; the message names the key.
    """
    return msgspec.convert(tomllib.loads(TOOLS.read_text(encoding="utf-8")), dict[Engine, Engines])


def command(
    database: DatabaseBackup, action: str = "dump", *, file: str = FILE, folder: str = "", settings: str = ""
) -> list[str]:
    """The argument list that backs a database up; no shell reads it, and no secret is in it.

    Args:
        database: As the policy names it.
        action: One of :data:`ACTIONS`.
        file: The dump's file; by default the place that the job fills in.
        folder: Where backups go that are no single file.
        settings: The tool's own file of settings, which holds its login.

    Raises:
        ToolError: the engine has no such tool, or the tool needs a folder or settings that are not given.
    """
    engine = tools()[database.engine]
    tool: Tool | None = getattr(engine, action, None)
    if tool is None:
        have = [name for name in ACTIONS if getattr(engine, name)]
        raise ToolError(f"{engine.title} has no tool for {action}; it has {', '.join(have)}")
    values = {
        "name": database.name,
        "instance": database.instance,
        "file": file,
        "folder": folder,
        "settings": settings,
        "login": HOME,
    }
    for argument in tool.arguments:
        for key in ("folder", "settings"):
            if f"{{{key}}}" in argument.text and not values[key]:
                raise ToolError(f"{tool.program} needs {key}: {argument.source}")
    return [tool.program, *(argument.text.format_map(values) for argument in tool.arguments)]


def seen_paths(engine: Engine) -> list[str]:
    """What of the host an engine's tools need to see."""
    known = tools()[engine]
    return list(dict.fromkeys(one.text for one in (*known.programs, *known.libraries, *known.read)))


def environment(engine: Engine) -> dict[str, str]:
    """With what variables an engine's tools are run, beside those of the job; nothing for one of the system's own.

    Only these programs have them: the libraries of a product would otherwise be the job's and restic's too.
    """
    known = tools()[engine]
    if not known.programs:
        return {}
    found = {"HOME": HOME, "PATH": ":".join([*(one.text for one in known.programs), SYSTEM_PROGRAMS])}
    if known.libraries:
        found["LD_LIBRARY_PATH"] = ":".join(one.text for one in known.libraries)
    for one in known.variables:
        name, _, value = one.text.partition("=")
        found[name] = value.format(login=HOME)
    return found


def dump_entry(database: DatabaseBackup) -> dict[str, object]:
    """A database as the job's configuration has it: what is run, and what its file is called."""
    engine = tools()[database.engine]
    return {
        "engine": database.engine.value,
        "name": database.name,
        "instance": database.instance,
        "tested": engine.tested,
        "file": f"{database.engine.value}-{database.instance}-{database.name}{engine.dump.suffix}",
        "command": command(database),
        "environment": environment(database.engine),
    }
