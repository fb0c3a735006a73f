"""`python3 -m jizuo_backup run POLICY` and `... restore`: what the units and an administrator start."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
from typing import IO

from .account import become_owner, is_anothers
from .configuration import ConfigurationError, read_configuration
from .restic import JobError
from .running import Interrupted, Running

CONFIGURATION_FOLDER = "/etc/jizuo/backup"


def main(arguments: list[str]) -> int:
    """Run the command line: exit 0 for success, 3 for a snapshot that lacks files, 1 for a failure."""
    options = _parser(arguments).parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        configuration = read_configuration(os.path.join(options.configuration, options.policy + ".json"))
        os.makedirs(options.cache, mode=0o700, exist_ok=True)
        if options.command == "restore":
            from .restore import own_cache, restore, wish_of

            with own_cache(options.cache) as cache:
                done = restore(configuration, wish_of(options), options.state, cache, say=_log)
            print(json.dumps(done))
            return 0
        if options.command == "run" and is_anothers(options.cache):
            # Only its unit gives the job's account the right to read every file.
            unit = f"jizuo-backup@{options.policy}.service"
            raise JobError("os", f"root is not its account: systemctl start {unit}")
        become_owner(options.cache)
        with open(os.path.join(options.cache, options.policy + ".lock"), "w") as lock:
            if not _locked(lock, options.policy, wait=options.command == "run" and options.wait):
                return 1
            # What a job says goes to the log; what `rebuild` did, to whoever called it.
            run = Running(
                configuration, options.state, options.cache, _say if options.command == "run" else _log
            )
            if options.command == "rebuild":
                from .copies import rebuild

                print(json.dumps(rebuild(run, options.node, options.source)))
                return 0
            from .steps import carry_out

            return carry_out(run, options.verify, options.scheduled, options.read_all)
    except (ConfigurationError, JobError, OSError) as error:
        print(f"jizuo_backup: {error}", file=sys.stderr)
        return 1
    except Interrupted:
        print("jizuo_backup: told to stop; the state says so", file=sys.stderr)
        return 1


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jizuo_backup", description=__doc__)
    # Told its name, argparse need not work it out, which would load what lays out a terminal's help.
    commands = parser.add_subparsers(dest="command", required=True, prog="jizuo_backup")
    run = commands.add_parser("run", help="take a snapshot, copy it, verify what is due")
    run.add_argument("policy")
    run.add_argument("--verify", action="store_true", help="verify now, due or not")
    run.add_argument("--scheduled", action="store_true", help="begin only in the policy's window")
    run.add_argument("--wait", action="store_true", help="wait for another run of the policy to end")
    run.add_argument("--read-all", action="store_true", help="with --verify: read all data, not a part")
    back = commands.add_parser("restore", help="restore a folder and compare every file")
    # What restores is a program of its own: a run that takes backups need not hold it.
    if arguments[:1] == ["restore"]:
        from .restore import add_arguments

        add_arguments(back)
    fill = commands.add_parser("rebuild", help="fill a repository that is gone from another of the policy")
    fill.add_argument("policy")
    fill.add_argument("--node", required=True, help="the node whose repository is to be filled")
    fill.add_argument("--from", dest="source", default="", help="the node to fill it from; any unless given")
    for command in (run, back, fill):
        command.add_argument("--configuration", default=CONFIGURATION_FOLDER, help="folder of configurations")
        command.add_argument("--state", default=os.environ.get("STATE_DIRECTORY", "/var/lib/jizuo/backup"))
        command.add_argument("--cache", default=os.environ.get("CACHE_DIRECTORY", "/var/cache/jizuo-backup"))
    return parser


def _locked(lock: IO[str], policy: str, wait: bool) -> bool:
    """Take the policy's lock, which ends with this process; False while another run has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        print(f"another run of {policy} is under way; this one does nothing", file=sys.stderr)
        return False
    return True


def _say(line: str) -> None:
    print(line, flush=True)


def _log(line: str) -> None:
    """For people, apart from the result that a program reads."""
    print(line, file=sys.stderr, flush=True)


def _stop(number: int, frame: object) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
