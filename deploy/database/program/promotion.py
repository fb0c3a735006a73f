"""A restored cluster takes the living one's place: the old data stay beside it, and come back if that fails."""

from __future__ import annotations

import os
import subprocess
import time

from .commands import CommandError, must, query, run
from .configuration import Configuration, Place
from .recovery import restore_command, stop

#: How long the cluster may take to end its recovery in its place, in seconds.
PATIENCE = 600
#: What recovery wrote into postgresql.auto.conf, and what nothing needs afterwards.
_RECOVERY_SETTINGS = (
    "restore_command",
    "recovery_target_time",
    "recovery_target_action",
    "recovery_target_timeline",
)


def promote(configuration: Configuration, place: Place, folder: str) -> str:
    """Put the cluster in `folder` in the living one's place and let it go on from there, archiving again.

    Returns:
        Where the data that were living before are now.

    Raises:
        CommandError: it does not come up there; the cluster that was living before runs again.
    """
    if os.geteuid() != 0:
        raise CommandError("account", "only root may stop the living cluster")
    stop(configuration, folder)
    ending = (
        f"recovery_target_action = 'promote'\nrestore_command = '{restore_command(configuration, place)}'\n"
    )
    must(["tee", "-a", f"{folder}/postgresql.auto.conf"], "recovery settings", given=ending)
    before = f"{configuration.data}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    _system("stop", configuration.unit)
    os.rename(configuration.data, before)
    os.rename(folder, configuration.data)
    try:
        _system("start", configuration.unit)
        _await_promotion(configuration)
    except CommandError:
        run_quietly(["systemctl", "stop", configuration.unit])
        os.rename(configuration.data, folder)
        os.rename(before, configuration.data)
        _system("start", configuration.unit)
        raise
    query(configuration, "".join(f"alter system reset {name};\n" for name in _RECOVERY_SETTINGS), "postgres")
    for name in ("conf", "hba", "ident", "log"):
        run(["rm", "-f", f"{configuration.data}/jizuo-recovery.{name}"])
    return before


def _await_promotion(configuration: Configuration) -> None:
    deadline = time.monotonic() + PATIENCE
    said = ""
    while time.monotonic() < deadline:
        try:
            if query(configuration, "select pg_is_in_recovery()", "postgres") == "f":
                return
        except CommandError as error:
            said = str(error)
        time.sleep(0.2)
    raise CommandError("promotion", f"it did not end its recovery within {PATIENCE} s: {said}")


def _system(verb: str, unit: str) -> None:
    done = run_quietly(["systemctl", verb, unit])
    if done:
        raise CommandError("unit", f"systemctl {verb} {unit} failed: {done}")


def run_quietly(arguments: list[str]) -> str:
    """Run a command as this account; what it said when it failed, or an empty string."""
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip() or f"exit code {done.returncode}" if done.returncode else ""
