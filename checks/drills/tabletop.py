"""A drill on paper: its steps are walked one after another, nothing is touched, and what people note is recorded."""

from __future__ import annotations

import click

from checks.drills.definition import ALL_STAGES, FALLBACK, STAGES
from checks.drills.held import Held
from checks.drills.record import DrillRecord, Issue, Kind, Outcome, Stage
from checks.drills.steps import steps_of
from checks.drills.summing_up import STAGE_NAMES, issue_of, record_of
from checks.drills.under_way import Progress


def on_paper(held: Held, *, ask: bool, quiet: bool) -> DrillRecord:
    """Walk the steps; with `ask`, people name after each stage what would not have worked.

    Ctrl-C ends it, and the record says so.
    """
    began = held.now()
    progress = Progress(
        drill=held.name,
        id=f"{held.name}-{began:%Y%m%dT%H%M%S}",
        inventory="",
        records="",
        pid=0,
        began=began.isoformat(timespec="milliseconds"),
    )
    noted: list[Issue] = []
    played: dict[str, Stage] = {}
    aborted = False
    for stage in ALL_STAGES:
        if stage not in (*STAGES, FALLBACK) and not steps_of(held, stage):
            continue
        started = held.now()
        notes: list[str] = []
        try:
            if not quiet:
                _tell(held, stage)
            if ask:
                notes = _notes(STAGE_NAMES[stage])
        except click.Abort:
            aborted = True
        noted += [issue_of(held, f"{STAGE_NAMES[stage]}：{note}", started) for note in notes]
        outcome = Outcome.NOT_REACHED if aborted else Outcome.DONE
        played[stage] = Stage(
            name=stage,
            started_at=started.isoformat(timespec="milliseconds"),
            seconds=round((held.now() - started).total_seconds(), 3),
            outcome=outcome,
            detail="；".join(notes),
        )
        if aborted:
            break
    progress.done = [played[stage] for stage in STAGES if stage in played]
    nothing = Stage(name=FALLBACK, started_at="", seconds=0.0, outcome=Outcome.DONE)
    back = [
        played.get(FALLBACK, nothing),
        *(played[stage] for stage in ALL_STAGES[len(STAGES) + 1 :] if stage in played),
    ]
    return record_of(held, progress, back, aborted=aborted, kind=Kind.TABLETOP, noted=noted)


def _tell(held: Held, stage: str) -> None:
    click.echo(f"\n{STAGE_NAMES[stage]} ({stage})", err=True)
    for where, text in steps_of(held, stage) or [("", "no step of its own")]:
        click.echo(f"  {where or 'people'}: {text}", err=True)


def _notes(stage: str) -> list[str]:
    """What would not have worked, a line each, until an empty one."""
    notes: list[str] = []
    while note := click.prompt(
        f"{stage}: an issue (empty: none, or no more)", default="", show_default=False, err=True
    ):
        notes.append(str(note))
    return notes
