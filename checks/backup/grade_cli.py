"""The command `jizuo backup grade`: which grade of GB/T 20988 does each system need, which has it, what is missing?"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec
from rich.markup import escape
from rich.table import Table

from checks import table
from checks.backup.copies import DIGITS, State
from checks.backup.grades import OWN_FILE, Edition, GradesError, Missing, load_editions
from checks.backup.standing import Standing, standings
from checks.record import Record, read_records
from inventories.cli import load_or_exit, number_of
from inventories.records import City

_DEFAULT = "2007"
#: Of systems that lack nothing of their own, so many are named before the rest is counted.
_NAMED = 8
_SIGNS = {State.MISSING: "-", State.UNKNOWN: "?"}


@click.command(
    epilog="""\b
Examples:
  jizuo backup grade inventories/yichun
  jizuo backup grade inventories/lab --records records/backup.json
  jizuo backup grade inventories/yichun --json | jq '.systems[].missing'

\b
Exit codes: 0 nothing is missing, 1 the edition's figures are not known or
something cannot be read, 2 something is missing.

\b
The digits of 3-2-1-1-0: 3 copies, 2 media, 1 off-site in another prefecture
city, 1 offline or immutable, 0 errors on verification; - is missing, ? not
known. Verification is known with --records, which `jizuo check PATH backup
--out DIR` writes. recovery-grades.toml in PATH adds or replaces editions."""
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--edition",
    default=_DEFAULT,
    show_default=True,
    metavar="YEAR",
    help="Edition of GB/T 20988: 2007 or 2025.",
)
@click.option(
    "--records",
    "records_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Records of the backup check, for the errors on verification.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program.")
def grade(path: Path, edition: str, records_file: Path | None, as_json: bool) -> None:
    """Print the grade of GB/T 20988 that each system of the city PATH needs and has, and 3-2-1-1-0.

    The grade needed follows from RPO, RTO and MLPS level; the grade had from
    the policy's RPO, RTO, copies and verification. Worst first.
    """
    city = load_or_exit(path)
    chosen = _edition(path, edition)
    found = standings(city, chosen, _records(records_file))
    if as_json:
        click.echo(json.dumps(as_data(edition, chosen, found), ensure_ascii=False, indent=2))
    else:
        _print(city, chosen, found)
    if not chosen.grades:
        _fail(
            f"{chosen.title}: its figures are not known here, so no grade is; "
            f"write edition.{edition} into {path / OWN_FILE} as checks/backup/grades.toml has it, "
            f"or ask --edition {_DEFAULT}"
        )
    sys.exit(2 if any(standing.lacking for standing in found) else 0)


def _edition(path: Path, name: str) -> Edition:
    try:
        editions = load_editions(path)
    except GradesError as error:
        _fail(str(error))
    if name not in editions:
        raise click.BadParameter(f"{name!r} is none of {', '.join(editions)}", param_hint="--edition")
    return editions[name]


def _records(file: Path | None) -> list[Record] | None:
    if file is None:
        return None
    try:
        return read_records(file)
    except OSError as error:
        _fail(f"{file}: {error.strerror}; write it with `jizuo check PATH backup --out {file.parent}`")
    except msgspec.DecodeError as error:
        _fail(
            f"{file}: these are no records: {error}; write them with `jizuo check PATH backup --out {file.parent}`"
        )


def as_data(name: str, edition: Edition, found: Sequence[Standing]) -> dict[str, Any]:
    """All standings as plain data, with stable names."""
    return {
        "edition": name,
        "title": edition.title,
        "known": bool(edition.grades),
        "by_person": list(edition.by_person),
        "systems": [
            {
                "system": standing.system.id,
                "name": standing.system.name,
                "mlps": standing.system.mlps,
                "rpo_seconds": standing.system.rpo,
                "rto_seconds": standing.system.rto,
                "policies": list(standing.policies),
                "required": standing.required.grade if standing.required else None,
                "because": list(standing.required.because) if standing.required else [],
                "had": standing.had,
                "missing": [missing._asdict() for missing in standing.lacking],
                "rule": {
                    element.name: {"state": element.state.value, "what": element.what}
                    for element in standing.rule
                },
                "without": (
                    {"reason": standing.reason.reason, "owner": standing.reason.owner}
                    if standing.reason
                    else None
                ),
            }
            for standing in found
        ],
    }


def _print(city: City, edition: Edition, found: Sequence[Standing]) -> None:
    to = table.console()
    held = [standing for standing in found if standing.reason is None]
    common = _common(held)
    rows: dict[tuple[str, str, tuple[Missing, ...]], list[Standing]] = {}
    for standing in held:
        rest = tuple(missing for missing in standing.lacking if missing not in common)
        rows.setdefault((_grades(standing), _digits(standing), rest), []).append(standing)
    to.print(f"[bold]{escape(edition.title)}[/]", soft_wrap=True)
    to.print(f"{escape(edition.status)}")
    shown = Table(show_edge=False, pad_edge=False, show_lines=True)
    shown.add_column("needs\nhas", no_wrap=True)
    shown.add_column("3-2-1-1-0", no_wrap=True)
    shown.add_column("missing", overflow="fold", max_width=28)
    shown.add_column("systems", overflow="fold")
    for (grades, digits, missing), members in rows.items():
        shown.add_row(
            grades,
            digits,
            escape("\n".join(one.what for one in missing)) or ("nothing else" if common else "nothing"),
            _names(members, all_of_them=bool(missing)),
        )
    to.print(shown)
    for one in common:
        to.print(f"Missing of every system: {escape(one.what)}")
    _print_rest(city, edition, found, common)


def _names(members: Sequence[Standing], *, all_of_them: bool) -> str:
    named = [one.system.id for one in members]
    more = "" if all_of_them or len(named) <= _NAMED else f" and {len(named) - _NAMED} more (--json)"
    return f"{len(named)}: {' '.join(named[:_NAMED] if more else named)}{more}"


def _common(held: Sequence[Standing]) -> list[Missing]:
    """What every system lacks, so that it is told once."""
    if len(held) < 2:
        return []
    counts = Counter(missing for standing in held for missing in standing.lacking)
    return [missing for missing, count in counts.items() if count == len(held)]


def _print_rest(city: City, edition: Edition, found: Sequence[Standing], common: Sequence[Missing]) -> None:
    to = table.console()
    reasons = [standing for standing in found if standing.reason is not None]
    if reasons:
        to.print(f"\n[bold]No backup, for a stated reason: {number_of(len(reasons), 'system')}[/]")
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for standing in reasons:
        assert standing.reason is not None  # noqa: S101 - that is what was asked above
        unit = city.units.get(standing.reason.owner)
        owner = unit.name if unit else standing.reason.owner
        rows.add_row(standing.system.id, escape(f"{standing.reason.reason} ({owner})"))
    if reasons:
        to.print(rows)
    if any(element.state is State.UNKNOWN for standing in found for element in standing.rule):
        to.print("\nVerification was not asked, or has no result: see --records.")
    if edition.by_person:
        to.print(f"For a person to judge, no part of these grades: {escape(', '.join(edition.by_person))}.")
    lacking = sum(bool(standing.lacking) for standing in found)
    below = sum(standing.gap > 0 for standing in found)
    grades = f"{below} below the grade" if edition.grades else "grades not known"
    to.print(f"{number_of(len(found), 'system')}: {grades}, {lacking} with something missing.")


def _grades(standing: Standing) -> str:
    needs = str(standing.required.grade) if standing.required else "?"
    has = "?" if standing.had is None and standing.policies else str(standing.had or "none")
    colour = "red" if standing.gap else "green"
    return f"{needs}\n[{colour}]{has}[/]"


def _digits(standing: Standing) -> str:
    digits = zip(DIGITS, standing.rule, strict=False)
    return " ".join(_SIGNS.get(element.state, digit) for digit, element in digits) or "none"


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(1)
