"""How do records look to a person? Failures first, counts a family, at most 80 columns."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from checks.record import Record, Status
from checks.security.controls import load_controls

_WIDTH = 80
#: Statuses that somebody has to look at, in the order in which they are shown.
_SHOWN = (Status.FAIL, Status.ERROR, Status.WAIVED, Status.MANUAL)
_COLOURS = {Status.FAIL: "red", Status.ERROR: "magenta", Status.MANUAL: "yellow", Status.WAIVED: "cyan"}
#: How many subjects a row names before it counts the rest.
_NAMED = 6
#: From how many checks of a subject with the same evidence on they are one row.
_SAME_CAUSE = 3
_WORDS = {
    Status.PASS: "pass",
    Status.FAIL: "fail",
    Status.ERROR: "could not be checked",
    Status.MANUAL: "for a person to judge",
    Status.WAIVED: "waived",
    Status.NOT_APPLICABLE: "not applicable",
}
_FAMILIES = {("ipv4",): " (IPv4)", ("ipv6",): " (IPv6)", ("ipv4", "ipv6"): " (IPv4, IPv6)"}


class Row(NamedTuple):
    """A row of the table: what is the matter, with what, where, and why."""

    status: Status
    check: str
    where: str
    why: str


def console() -> Console:
    """Standard output, at most 80 columns wide; plain where it is no terminal."""
    # Without emoji: `:100:` of an IPv6 prefix is none.
    found = Console(highlight=False, emoji=False)
    if not found.is_terminal:
        columns = os.environ.get("COLUMNS", "")
        found = Console(highlight=False, emoji=False, width=int(columns) if columns.isdigit() else _WIDTH)
    return found if found.width <= _WIDTH else Console(highlight=False, emoji=False, width=_WIDTH)


def print_records(kind: str, records: Sequence[Record], to: Console) -> None:
    """A heading with counts, then a row for each thing that somebody has to look at."""
    to.print(f"[bold]{kind}[/]: {_counts(records)}")
    for line in _by_family(records):
        to.print(f"  {line}")
    found = rows(records)
    if not found:
        return
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("status", no_wrap=True)
    table.add_column("check", overflow="fold", max_width=26)
    table.add_column("where", overflow="fold", max_width=18)
    table.add_column("why", overflow="fold")
    for row in found:
        status = f"[{_COLOURS[row.status]}]{row.status}[/]"
        table.add_row(status, escape(row.check), escape(row.where), escape(row.why))
    to.print(table)


def _counts(records: Sequence[Record]) -> str:
    counts = Counter(record.status for record in records)
    if not counts:
        return "nothing to check"
    return ", ".join(f"{counts[status]} {_WORDS[status]}" for status in Status if counts[status])


def _by_family(records: Sequence[Record]) -> list[str]:
    """How each family stands, where there is one."""
    lines = []
    for family, name in (("ipv4", "IPv4"), ("ipv6", "IPv6")):
        ours = [record for record in records if record.family == family]
        if ours:
            well = sum(record.status is Status.PASS for record in ours)
            lines.append(f"{name}: {well} of {len(ours)} pass")
    return lines


def rows(records: Sequence[Record]) -> list[Row]:
    """Records that say the same, together: a host that is down is one row, and so is a fault of all hosts."""
    found = []
    for status in _SHOWN:
        of_status = [record for record in records if record.status is status]
        if status is Status.MANUAL:
            found += _manual_rows(of_status)
        else:
            whole = _of_one_cause(of_status)
            rest = [record for record in of_status if _cause(record) not in whole]
            found += _cause_rows(status, whole) + _check_rows(status, rest)
    return found


def _cause(record: Record) -> tuple[str, str, str]:
    return record.subject, record.reason, record.evidence


def _of_one_cause(records: Sequence[Record]) -> dict[tuple[str, str, str], list[Record]]:
    """Checks of a subject that one cause has spoilt: a host that is down, a state that is missing."""
    causes: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        causes.setdefault(_cause(record), []).append(record)
    return {cause: found for cause, found in causes.items() if len(found) >= _SAME_CAUSE}


def _cause_rows(status: Status, causes: dict[tuple[str, str, str], list[Record]]) -> list[Row]:
    """One row for all subjects with the same cause."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for (subject, reason, evidence), records in causes.items():
        text = evidence.replace(_node(subject), "...")
        groups.setdefault((reason, text), []).extend(records)
    found = []
    for (reason, _), records in groups.items():
        checks = len({(record.check, record.family) for record in records})
        first = records[0]
        why = first.evidence.removeprefix(f"{_node(first.subject)}: ")
        found.append(Row(status, f"{checks} checks", _subjects(records), f"{reason}: {why}"))
    return found


def _check_rows(status: Status, records: Sequence[Record]) -> list[Row]:
    """One row for all subjects at which a check came to the same; both families in one where they agree."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.check, record.reason, record.family), []).append(record)
    merged: dict[tuple[str, str, str], tuple[list[str], list[Record]]] = {}
    for (check, reason, family), found in groups.items():
        families, together = merged.setdefault((check, reason, _subjects(found)), ([], []))
        families.append(family)
        together.extend(found)
    return [
        Row(status, f"{_name(check)}{_FAMILIES.get(tuple(sorted(families)), '')}", where, _why(found))
        for (check, _, where), (families, found) in merged.items()
    ]


def _manual_rows(records: Sequence[Record]) -> list[Row]:
    """One row for all controls that a person has to judge at the same hosts."""
    hosts: dict[str, list[Record]] = {}
    for record in records:
        hosts.setdefault(record.check, []).append(record)
    groups: dict[str, list[str]] = {}
    for check, found in hosts.items():
        groups.setdefault(_subjects(found), []).append(check)
    why = "no pass: controls.toml says what a person has to look at"
    return [Row(Status.MANUAL, " ".join(checks), where, why) for where, checks in groups.items()]


def _name(check: str) -> str:
    """A control's id with its title; any other check as it is."""
    title = _TITLES.get(check)
    return f"{check} {title}" if title else check


def _why(records: Sequence[Record]) -> str:
    """The evidence of the first; of a control only what is not met."""
    evidence = records[0].evidence.removeprefix(f"{_node(records[0].subject)}: ")
    unmet = [part for part in evidence.split("; ") if part.startswith("NOT MET ")]
    return "; ".join(part.removeprefix("NOT MET ") for part in unmet) or evidence


def _node(subject: str) -> str:
    """The node of a subject; that of a backup job stands after the @."""
    return subject.rpartition("@")[2]


def _subjects(records: Sequence[Record]) -> str:
    names = list(dict.fromkeys(record.subject for record in records))
    if len(names) <= _NAMED:
        return " ".join(names)
    return f"{len(names)}: {' '.join(names[:_NAMED])} ..."


_TITLES = {control.id: control.title for control in load_controls()}
