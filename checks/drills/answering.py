"""How the commands of `jizuo drill` answer: a record as a table, errors with the way out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click
from rich.console import Console
from rich.table import Table

from checks.drills.definition import DrillError
from checks.drills.record import DrillRecord, Outcome

T = TypeVar("T")

records_option = click.option(
    "--records",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder of records.  [default: drills in the state folder]",
)


def print_record(record: DrillRecord, path: Path) -> None:
    """Show a record to a person."""
    measured, data = record.measured, record.data_check
    table = Table(show_header=False, title=record.id, title_justify="left")
    table.add_row("kind", record.kind.value)
    table.add_row(
        "result", "aborted" if record.aborted else "objectives met" if record.success else "not met"
    )
    for name, value, objective in (
        ("RTO", measured.rto_seconds, measured.rto_objective_seconds),
        ("RPO", measured.rpo_seconds, measured.rpo_objective_seconds),
    ):
        if objective is not None or value is not None:
            table.add_row(
                name, f"{_number(value)}, objective {'none' if objective is None else f'{objective:.0f} s'}"
            )
    if record.detection:
        table.add_row(
            "noticed",
            f"{_number(measured.noticed_seconds)} after the fault ({record.detection.alert} pending)",
        )
        table.add_row("detected", f"{_number(measured.detected_seconds)} after the fault (firing)")
    if data.outcome is not Outcome.NOT_REACHED:
        table.add_row(
            "data", f"{data.outcome.value}: {data.same} of {data.files} files the same, {data.lost} lost"
        )
    table.add_row("fall back", record.fallback.outcome.value)
    if record.restore:
        table.add_row("restore", record.restore.outcome.value)
    for issue in record.issues:
        table.add_row("issue", f"{issue.what} ({issue.owner}, {issue.due})")
    table.add_row("page", str(path.with_suffix(".html")))
    Console().print(table)


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f} s"


def or_exit(act: Callable[[], T]) -> T:
    """What `act` returns; an error of a drill ends the program with its message."""
    try:
        return act()
    except DrillError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """End the program with exit code 1."""
    click.echo(f"jizuo drill: {message}", err=True)
    sys.exit(1)
