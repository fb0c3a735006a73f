"""`python3 -m jizuo_database VERB ...`: what the units and an administrator start.

On a database's node: watch, prove, pitr, expect, write, rows. On a repository's node: keep, reproduce, seal.
"""

from __future__ import annotations

import argparse
import grp
import json
import os
import pwd
import sys
from datetime import datetime

from . import drill, elsewhere, promotion, proving, recovery
from .commands import CommandError, query
from .configuration import FOLDER, Configuration, ConfigurationError, Place, read_configuration
from .keep import KeepError, keep, read_keeping
from .seal import Sealer, seal_for_ever
from .watch import watch

EXAMPLES = """\
examples:
  jizuo_database pitr cloud-1-main --to 2026-11-25T10:30:00+08:00 --from offsite-1
  jizuo_database pitr cloud-1-main --to 2026-11-25T10:30:00+08:00 \\
      --query "select count(*) from orders" --keep
  jizuo_database pitr cloud-1-main --to 2026-11-25T10:30:00+08:00 --promote
  jizuo_database prove cloud-1-main --now
"""


def main(arguments: list[str]) -> int:
    """Run the command line: exit 0 for success, 1 for a failure."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.act(options)
        return code
    except (ConfigurationError, CommandError, KeepError, OSError) as error:
        print(f"jizuo_database: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jizuo_database",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)

    def verb(name: str, help: str, act: object) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=help)
        made.add_argument("stanza", help="the cluster, NODE-INSTANCE")
        made.add_argument("--configuration", default=FOLDER, help="folder of configurations")
        made.set_defaults(act=act)
        return made

    verb("watch", "stamp the cluster, ask the repositories, write the state", _watch)
    proof = verb("prove", "restore beside the cluster, compare, remove", _prove)
    proof.add_argument("--now", action="store_true", help="also when it is not due")
    proof.add_argument("--from", dest="node", default="", help="the node whose repository to restore from")
    back = verb("pitr", "restore to a moment, into a new folder beside the living cluster", _pitr)
    back.add_argument("--to", required=True, type=_moment, help="the moment, ISO 8601 with offset")
    back.add_argument("--from", dest="node", default="", help="the node whose repository to restore from")
    back.add_argument("--into", default="", help="the new data directory")
    back.add_argument("--query", action="append", default=[], help="ask the restored cluster")
    back.add_argument("--database", default="", help="which database is asked")
    back.add_argument("--keep", action="store_true", help="leave it running, read-only, and its folder there")
    back.add_argument("--promote", action="store_true", help="put it in the living cluster's place")
    back.add_argument("--dry", action="store_true", help="say what would be done")
    wanted = verb("expect", "what a restore to the newest moment must answer, as JSON", _expect)
    wanted.add_argument("--from", dest="node", default="", help="the node whose repository it is of")
    again = verb("reproduce", "on a repository's node: restore from there, ask, remove; JSON", _reproduce)
    again.add_argument("--to", required=True, type=_moment, help="the moment, ISO 8601 with offset")
    again.add_argument("--in", dest="folder", required=True, help="an empty folder of this account's own")
    again.add_argument("--rows", type=int, required=True, help="how many stamps to ask for")
    again.add_argument("--database", action="append", required=True, help="the stamps' one first; repeatable")
    witness = verb("write", "a row every 100 ms, for drills", _write)
    witness.add_argument("--seconds", type=float, default=60.0)
    for one in (witness, verb("rows", "which rows are there, for drills", _rows)):
        one.add_argument("--database", default="", help="in which database")
        one.add_argument("--name", default="row", help="NAME of the lines `drill-record NAME ID TIME`")
    verb("keep", "on a repository's node: pull the backup that is due", _keep)
    sealing = verbs.add_parser("seal", help="on a repository's node: take what arrived from who brought it")
    sealing.add_argument("folder")
    sealing.add_argument("--from", dest="server", required=True, help="the server's account")
    sealing.add_argument("--to", dest="keeper", required=True, help="the keeper's account")
    sealing.set_defaults(act=_seal)
    return parser


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("write the offset too: 2026-11-25T10:30:00+08:00")
    return moment


def _watch(options: argparse.Namespace) -> int:
    return 0 if watch(read_configuration(options.stanza, options.configuration)) else 1


def _prove(options: argparse.Namespace) -> int:
    configuration = read_configuration(options.stanza, options.configuration)
    if options.node:
        return 0 if proving.prove(configuration, configuration.place(options.node)) else 1
    return 0 if proving.prove_what_is_due(configuration, options.now) else 1


def _pitr(options: argparse.Namespace) -> int:
    configuration = read_configuration(options.stanza, options.configuration)
    place = configuration.place(options.node)
    folder = options.into or recovery.new_folder(configuration, options.to)
    if options.dry:
        then = "take the living cluster's place" if options.promote else "stand beside the living cluster"
        print(f"{configuration.stanza} of {options.to} from {place.node} would go into {folder} and {then}")
        return 0
    before = ""
    answers: list[str] = []
    came = None
    try:
        came = _recovered(configuration, place, options.to, folder, options.promote)
        if options.promote:
            before = promotion.promote(configuration, place, folder)
            answers = [query(configuration, sql, options.database) for sql in options.query]
        else:
            answers = [recovery.ask(configuration, folder, sql, options.database) for sql in options.query]
    finally:
        # A folder that was not this run's own is left alone: recover refuses it before it writes.
        if came is not None and not options.keep and not options.promote:
            recovery.remove(configuration, folder)
    print(
        json.dumps(
            {
                **came._asdict(),
                "target": options.to.isoformat(),
                "from": place.node,
                "answers": answers,
                "promoted": bool(before),
                "before": before,
            },
            ensure_ascii=False,
        )
    )
    return 0


def _expect(options: argparse.Namespace) -> int:
    configuration = read_configuration(options.stanza, options.configuration)
    found = proving.expected(configuration, configuration.place(options.node))
    others = [one for one in configuration.databases if one != configuration.database]
    told = {
        "target": found.target.isoformat(),
        "moment": found.moment.isoformat(),
        "rows": found.rows,
        "databases": [configuration.database, *others],
    }
    print(json.dumps(told, ensure_ascii=False))
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    keeping = read_keeping(os.path.join(options.configuration, options.stanza + ".json"))
    came = elsewhere.reproduce(keeping, options.to, options.folder, options.rows, options.database)
    print(json.dumps(came, ensure_ascii=False))
    return 0


def _recovered(
    configuration: Configuration, place: Place, target: datetime, folder: str, paused: bool
) -> recovery.Recovered:
    """Recover, and leave nothing of a recovery that failed; a folder that was there before is not touched."""
    try:
        return recovery.recover(configuration, place, target, folder, paused)
    except CommandError as error:
        if error.reason not in recovery.NOTHING_WRITTEN:
            recovery.remove(configuration, folder)
        raise


def _write(options: argparse.Namespace) -> int:
    configuration = read_configuration(options.stanza, options.configuration)
    database = options.database or configuration.database
    return drill.write(configuration, database, options.seconds, options.name, sys.stdout)


def _rows(options: argparse.Namespace) -> int:
    configuration = read_configuration(options.stanza, options.configuration)
    return drill.rows(configuration, options.database or configuration.database, options.name, sys.stdout)


def _keep(options: argparse.Namespace) -> int:
    keeping = read_keeping(os.path.join(options.configuration, options.stanza + ".json"))
    print(f"{options.stanza}: {keep(keeping, datetime.now().astimezone())}", flush=True)
    return 0


def _seal(options: argparse.Namespace) -> int:
    keeper = pwd.getpwnam(options.keeper)
    server = pwd.getpwnam(options.server).pw_uid
    group = grp.getgrnam(options.keeper).gr_gid
    seal_for_ever(Sealer(options.folder, server, keeper.pw_uid, group))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
