"""The commands that hold a drill: `jizuo drill run`, `resume` and `abort`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from checks.drills.answering import fail, or_exit, print_record, records_option
from checks.drills.chain import digest, write_record
from checks.drills.definition import DrillError, read_definition
from checks.drills.handing_over import REMOTE, hand_over
from checks.drills.held import ROOT, Held, hold_against, variables
from checks.drills.marking import REMOTE as MARKER
from checks.drills.marking import mark, marked_nodes, marker_of, unmark
from checks.drills.masking import mask_of, secrets_of
from checks.drills.page import page
from checks.drills.playing import Player, remove_scratch
from checks.drills.record import DrillRecord, Kind, Outcome, decode_record
from checks.drills.running import NotBegunError, Run, Stop, healthy, hold, put_back, resumable
from checks.drills.steps import show_steps
from checks.drills.summing_up import record_of
from checks.drills.tabletop import on_paper
from checks.drills.under_way import Journal, Progress, claimed, holder, holding
from checks.record import write_whole
from checks.ssh import state_folder
from inventories.cli import load_or_exit

DEFAULT_INVENTORY = ROOT / "inventories" / "lab"
#: How long `drill abort` waits for the drill that it stops to put all back, in seconds.
PATIENCE = 900

json_option = click.option("--json", "as_json", is_flag=True, help="Print the record, for programs.")
yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask: neither before the fault nor for the decision."
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress.")


@click.command(
    epilog="""\b
Examples:
  jizuo drill run restore-system-offsite --dry
  jizuo drill run restore-system-offsite
  jizuo drill run restore-system-offsite --tabletop
  jizuo drill run restore-system-offsite --yes --json
  jizuo drill run restore-system-offsite --yes --decide-on pending
  jizuo drill run restore-system-offsite --tolerate RestoreTestFailed

\b
Exit codes: 0 objectives met, 2 something is to be put right,
1 not held, stopped, or not all put back."""
)
@click.argument("name")
@click.option(
    "--inventory",
    type=click.Path(path_type=Path),
    default=DEFAULT_INVENTORY,
    metavar="PATH",
    help="The city to hold it in.  [default: inventories/lab]",
)
@records_option
@click.option("--dry", is_flag=True, help="Show every step and change nothing.")
@click.option("--tabletop", is_flag=True, help="Walk the steps on paper: touch no host, and leave a record.")
@yes_option
@click.option(
    "--decide-on",
    type=click.Choice(["firing", "pending"]),
    default="firing",
    show_default=True,
    help="In which state of the alert to go on to the decision.",
)
@click.option(
    "--tolerate", multiple=True, metavar="ALERT", help="A critical alert that is no obstacle; repeat it."
)
@click.option(
    "--healthy-within",
    type=click.IntRange(0, 3600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a city without critical alerts.",
)
@json_option
@quiet_option
def run(
    name: str,
    inventory: Path,
    records: Path | None,
    dry: bool,
    tabletop: bool,
    yes: bool,
    decide_on: str,
    tolerate: tuple[str, ...],
    healthy_within: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Hold the drill NAME. Whatever happens, also Ctrl-C, it ends with all put back.

    It begins only while no other drill is under way on these hosts, of this or another controller, and Prometheus has
    no critical alert. With --decide-on pending it goes on as soon as monitoring has noticed the fault, before the
    alert's `for` is over: for rehearsals; the record says so, and has no time of detection then.
    """
    definition = or_exit(lambda: read_definition(name))
    held = or_exit(lambda: hold_against(name, definition, load_or_exit(inventory)))
    if dry:
        show_steps(held)
        return
    state = state_folder()
    folder = records or state / "drills"
    if tabletop or definition.kind is Kind.TABLETOP:
        _finish(
            held, state, folder, on_paper(held, ask=not yes and not as_json, quiet=quiet or as_json), as_json
        )
    _check_state(state)
    if not yes:
        _ask_first(held)
    began = held.now()
    progress = Progress(
        drill=name,
        id=f"{name}-{began:%Y%m%dT%H%M%S}",
        inventory=str(inventory.resolve()),
        records=str(folder.resolve()),
        pid=os.getpid(),
        began=began.isoformat(timespec="milliseconds"),
        decide_on=decide_on,
        tolerated=list(tolerate),
    )

    def act() -> DrillRecord:
        with claimed(state) as journal, Stop().listening() as stop:
            left = journal.left()
            if left is not None:
                raise DrillError(_left(left))
            with _running(held, progress, journal, state, yes, _say(quiet or as_json), stop) as running:
                _mark(running, state)
                try:
                    progress.seen.tolerated = healthy(
                        held, running.stages, healthy_within, progress.tolerated, stop
                    )
                except BaseException:
                    _unmark(running, state)
                    raise
                return _held(running, journal, state)

    _finish(held, state, folder, or_exit(act), as_json)


@click.command(
    epilog="""\b
Examples:
  jizuo drill resume
  jizuo drill resume --yes --json

\b
Exit codes: as of drill run; 1 also when it cannot go on."""
)
@yes_option
@json_option
@quiet_option
def resume(yes: bool, as_json: bool, quiet: bool) -> None:
    """Go on with the drill whose tool died, where that is safe.

    A stage in which it died is begun again: detect, decide and verify, and what the drill's `resume` names.
    """
    state = state_folder()
    _check_state(state)
    if not yes and not sys.stdin.isatty():
        fail("a drill goes on when a person says so; there is no terminal to ask at: use --yes")

    def act() -> tuple[Held, Progress, DrillRecord]:
        with claimed(state) as journal:
            progress, held = _left_behind(journal)
            why = resumable(held, progress)
            if why:
                raise DrillError(
                    f"the drill {progress.drill} cannot go on: {why}; put all back with: jizuo drill abort"
                )
            if not yes:
                ended = progress.done[-1].name if progress.done else "nothing"
                click.confirm(f"{progress.drill} came as far as {ended}. Go on?", abort=True)
            progress = msgspec.structs.replace(progress, resumed=True, pid=os.getpid())
            say = _say(quiet or as_json)
            with (
                Stop().listening() as stop,
                _running(held, progress, journal, state, yes, say, stop) as running,
            ):
                _mark(running, state)
                return held, progress, _held(running, journal, state)

    held, progress, record = or_exit(act)
    _finish(held, state, Path(progress.records), record, as_json)


@click.command(
    epilog="""\b
Examples:
  jizuo drill abort
  jizuo drill abort --json

\b
Exit codes: 0 nothing is under way any more, 1 what a dead tool had left
was put back (see the record), or could not be."""
)
@json_option
@quiet_option
def abort(as_json: bool, quiet: bool) -> None:
    """Stop the drill that is under way, or put back what a dead one left; leave a record that says so."""
    state = state_folder()
    _check_state(state)
    say = _say(quiet or as_json)
    if _stop_other(state, say):
        return

    def act() -> tuple[Held, Progress, DrillRecord] | None:
        with claimed(state) as journal, Stop().listening() as stop:
            if journal.left() is None:
                return None
            progress, held = _left_behind(journal)
            with _running(held, progress, journal, state, True, say, stop) as running:
                back = put_back(running)
                if all(stage.outcome is Outcome.DONE for stage in back):
                    journal.end()
                    _unmark(running, state)
                return held, progress, record_of(held, progress, back, aborted=True)

    found = or_exit(act)
    if found is None:
        click.echo("no drill is under way, and none was left", err=True)
        return
    held, progress, record = found
    _finish(held, state, Path(progress.records), record, as_json)


def exit_code(record: DrillRecord) -> int:
    """0 objectives met, 2 something is to be put right, 1 stopped, or not all put back."""
    back = [record.fallback, *([record.restore] if record.restore else [])]
    if record.aborted or any(stage.outcome is not Outcome.DONE for stage in back):
        return 1
    return 0 if record.success else 2


def _held(running: Run, journal: Journal, state: Path) -> DrillRecord:
    try:
        record = hold(running)
    except NotBegunError as error:
        if error.put_back:
            journal.end()
            _unmark(running, state)
        raise
    if record.fallback.outcome is Outcome.DONE and (
        not record.restore or record.restore.outcome is Outcome.DONE
    ):
        journal.end()
        _unmark(running, state)
    return record


def _mark(running: Run, state: Path) -> None:
    """Say on the city's nodes that this drill is under way; the ones that a fault has taken are told."""
    progress = running.progress
    own = marker_of(running.held, state, progress.id, progress.began)
    for node in mark(running.held, state, own):
        running.say(f"{node} does not take the marker of this drill: another controller may not see it there")


def _unmark(running: Run, state: Path) -> None:
    for node in unmark(state, marked_nodes(running.held.city), running.progress.id):
        running.say(f"{node} still has the marker of this drill; there: sudo rm {MARKER}")


@contextmanager
def _running(
    held: Held,
    progress: Progress,
    journal: Journal,
    state: Path,
    yes: bool,
    say: Callable[[str], None],
    stop: Stop,
) -> Iterator[Run]:
    remove_scratch(progress.scratch)
    player = Player(
        playbooks=held.playbooks,
        groups=held.groups,
        variables=variables(held, Path(progress.inventory), state),
        ssh_config=state / "ssh_config",
        artifacts=Path(progress.records) / "artifacts" / progress.id,
        mask=mask_of(secrets_of(state)),
    )
    progress.scratch = str(player.scratch)
    decide = (lambda: True) if yes else (lambda: click.confirm("Recover?", default=True))
    try:
        yield Run(held, player, progress, decide, say, stop, journal.save)
    finally:
        player.close()


def _finish(held: Held, state: Path, folder: Path, record: DrillRecord, as_json: bool) -> None:
    """Keep the record, bring it to where it is seen, show it, and end."""
    if (folder / f"{record.id}.json").exists():  # an abort that is tried again
        record = msgspec.structs.replace(record, id=f"{record.drill}-{held.now():%Y%m%dT%H%M%S}")
    path = write_record(folder, record)
    content = path.read_bytes()
    record = decode_record(content)
    write_whole(path.with_suffix(".html"), page(record, digest(content)).encode())
    missed = hand_over(held.city, state, path) if (state / "ssh_config").exists() else []
    for node in missed:
        click.echo(f"{node} did not take the record; copy {path} to {REMOTE} there", err=True)
    if as_json:
        click.echo(path.read_text(encoding="utf-8"), nl=False)
    else:
        print_record(record, path)
    sys.exit(exit_code(record))


def _left_behind(journal: Journal) -> tuple[Progress, Held]:
    """The drill whose tool died.

    Raises:
        DrillError: there is none, or it cannot be held in its city any more.
    """
    progress = journal.left()
    if progress is None:
        raise DrillError("no drill was left: there is nothing to go on with")
    city = load_or_exit(Path(progress.inventory))
    return progress, hold_against(progress.drill, read_definition(progress.drill), city)


def _left(progress: Progress) -> str:
    where = f"in the stage {progress.stage}" if progress.stage else "between two stages"
    return (
        f"the drill {progress.drill} was not put back: its tool died {where}; "
        "put all back with: jizuo drill abort, or go on with: jizuo drill resume"
    )


def _stop_other(state: Path, say: Callable[[str], None]) -> bool:
    """Stop a drill that another process holds, and wait until it has put all back."""
    deadline = time.monotonic() + PATIENCE
    told = False
    while True:
        try:
            with claimed(state) as journal:
                if told and journal.left() is not None:
                    say("it ended without having put all back")
                    return False
                return told
        except DrillError:
            _, pid = holding(state)
        if pid and not told:
            say(f"{holder(state)}: it is stopped, puts all back and writes its record")
            os.kill(pid, signal.SIGINT)
            told = True
        if time.monotonic() > deadline:
            fail(f"it has not ended within {PATIENCE} s; see its own output")
        time.sleep(0.2)


def _check_state(state: Path) -> None:
    if not (state / "ssh_config").exists():
        fail(
            f"{state}/ssh_config is not there; start the lab (jizuo lab up), or set JIZUO_STATE to its folder"
        )


def _ask_first(held: Held) -> None:
    if not sys.stdin.isatty():
        fail("a live drill is confirmed by a person; there is no terminal to ask at: use --yes")
    click.echo(f"{held.name}: {held.definition.title}\n{held.definition.scope}")
    for group, nodes in held.nodes.items():
        click.echo(f"  {group}: {', '.join(nodes)}")
    real = "The fault is real, and all is put back at the end."
    said = (
        "Simulated: nothing is broken, the fault is said to happen, and detection is not measured. Recovery and "
        "verification are for real, and all is put back at the end."
    )
    click.echo(said if held.definition.kind is Kind.SIMULATED else real)
    click.confirm("Hold it now?", abort=True)


def _say(silent: bool) -> Callable[[str], None]:
    return (lambda line: None) if silent else (lambda line: click.echo(line, err=True))
