"""`python3 -m jizuo_backup run POLICY` and `... restore`: what the units and an administrator start."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys

from .configuration import ConfigurationError, read_configuration
from .restic import JobError
from .restore import add_arguments, restore, wish_of
from .steps import Interrupted, Job

CONFIGURATION_FOLDER = "/etc/jizuo/backup"


def main(arguments: list[str]) -> int:
    """Run the command line: exit 0 for success, 3 for a snapshot that lacks files, 1 for a failure."""
    parser = argparse.ArgumentParser(prog="jizuo_backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="take a snapshot, copy it, verify what is due")
    run.add_argument("policy")
    run.add_argument("--verify", action="store_true", help="verify now, due or not")
    run.add_argument("--read-all", action="store_true", help="with --verify: read all data, not a part")
    back = commands.add_parser("restore", help="restore a folder and compare every file")
    add_arguments(back)
    for command in (run, back):
        command.add_argument("--configuration", default=CONFIGURATION_FOLDER, help="folder of configurations")
        command.add_argument("--state", default=os.environ.get("STATE_DIRECTORY", "/var/lib/jizuo/backup"))
        command.add_argument("--cache", default=os.environ.get("CACHE_DIRECTORY", "/var/cache/jizuo-backup"))
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        configuration = read_configuration(os.path.join(options.configuration, options.policy + ".json"))
        os.makedirs(options.cache, mode=0o700, exist_ok=True)
        if options.command == "restore":
            print(
                json.dumps(
                    restore(configuration, wish_of(options), options.state, options.cache, say=_whisper)
                )
            )
            return 0
        with open(os.path.join(options.cache, options.policy + ".lock"), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"another run of {options.policy} is under way; this one does nothing", file=sys.stderr)
                return 1
            return Job(configuration, options.state, options.cache, _say).run(
                options.verify, options.read_all
            )
    except (ConfigurationError, JobError, OSError) as error:
        print(f"jizuo_backup: {error}", file=sys.stderr)
        return 1
    except Interrupted:
        print("jizuo_backup: told to stop; the state says so", file=sys.stderr)
        return 1


def _say(line: str) -> None:
    print(line, flush=True)


def _whisper(line: str) -> None:
    """Progress, apart from the result that a program reads."""
    print(line, file=sys.stderr, flush=True)


def _stop(number: int, frame: object) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
