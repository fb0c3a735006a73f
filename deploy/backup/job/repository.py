"""`python3 -m jizuo_backup.repository COMMAND`: what a repository server's units and its keeper start."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import tempfile
from typing import Any

from .account import become_owner, make_for_owner
from .configuration import ConfigurationError
from .healing import heal
from .holding import Holding, read_holding
from .lasting import now
from .maintenance import Maintenance
from .planning import plan
from .restic import JobError
from .settling import settle
from .window import inside

CONFIGURATION_FOLDER = "/etc/jizuo/repository/held"
STATE_FOLDER = "/var/lib/jizuo/repository"


def main(arguments: list[str]) -> int:
    """Run the command line: exit 0 when all went well, 1 when something failed or was refused."""
    parser = argparse.ArgumentParser(prog="jizuo_backup.repository", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    maintain = commands.add_parser("maintain", help="check repositories and remove what is no longer kept")
    maintain.add_argument("names", nargs="*", metavar="CLIENT-POLICY", help="all unless given")
    maintain.add_argument("--scheduled", action="store_true", help="only in the window, and only what is due")
    healing = commands.add_parser("heal", help="move aside what is damaged, so that a copy can fill it up")
    healing.add_argument("names", nargs=1, metavar="CLIENT-POLICY")
    planned = commands.add_parser("plan", help="say as JSON what maintain would remove, and remove nothing")
    planned.add_argument("names", nargs="*", metavar="CLIENT-POLICY", help="all unless given")
    for command in (maintain, healing, planned):
        command.add_argument("--configuration", default=CONFIGURATION_FOLDER, help="folder of configurations")
        command.add_argument("--state", default=os.environ.get("STATE_DIRECTORY", STATE_FOLDER))
        command.add_argument(
            "--cache", default=os.environ.get("CACHE_DIRECTORY", "/var/cache/jizuo-repository")
        )
    settling = commands.add_parser(
        "settle", help="move aside what a server that was killed left half written"
    )
    settling.add_argument("root", help="the folder of all repositories; the server must not be running")
    options = parser.parse_args(arguments)
    well = True
    try:
        if options.command == "settle":
            settle(options.root, lambda line: print(line, flush=True))
            return 0
        names = options.names or _names(options.configuration)
        held = [read_holding(os.path.join(options.configuration, name + ".json")) for name in names]
        if options.command == "plan":
            print(json.dumps([_plan(one) for one in held if _is_there(one)]))
            return 0
        for holding in held:
            well = _one(holding, options) and well
    except (ConfigurationError, JobError, OSError) as error:
        print(f"jizuo_backup.repository: {error}", file=sys.stderr)
        return 1
    return 0 if well else 1


def _is_there(holding: Holding) -> bool:
    return os.path.isdir(os.path.join(holding.folder, "snapshots"))


def _plan(holding: Holding) -> dict[str, Any]:
    _become_owner(holding)
    # The cache of the maintenance is made by its unit, and may not be there yet.
    with tempfile.TemporaryDirectory() as cache:
        return plan(holding, holding.restic(cache))


def _one(holding: Holding, options: argparse.Namespace) -> bool:
    if not _is_there(holding):
        print(f"{holding.name}: {holding.folder} holds no repository yet", flush=True)
        return str(options.command) == "maintain"
    # By hand this may come before the unit, which makes both folders, ever ran.
    make_for_owner(options.cache, holding.folder, 0o700)
    make_for_owner(options.state, holding.folder, 0o755)
    _become_owner(holding)
    with open(os.path.join(options.cache, holding.name + ".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{holding.name}: another maintenance is under way; this one does nothing", file=sys.stderr)
            return False
        maintenance = Maintenance(holding, options.state, options.cache, lambda line: print(line, flush=True))
        if options.command == "heal":
            healed: bool = heal(maintenance)
            print(json.dumps(maintenance.state["healing"]))
            return healed
        if bool(options.scheduled) and not (inside(holding.window, now()) and maintenance.is_due()):
            return True
        return maintenance.maintain()


def _become_owner(holding: Holding) -> None:
    """Root goes on as the repositories' owner, who may read their passwords by a group."""
    become_owner(holding.folder, [os.stat(holding.password_file).st_gid])


def _names(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    return sorted(name[: -len(".json")] for name in os.listdir(folder) if name.endswith(".json"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
