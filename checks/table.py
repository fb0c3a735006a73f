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
_SHOWN = (Status.FAIL, Status.ERROR, Status.MANUAL, Status.WAIVED)
_COLOURS = {Status.FAIL: "red", Status.ERROR: "magenta", Status.MANUAL: "yellow", Status.WAIVED: "cyan"}
#: How many subjects a row names before it counts the rest.
_NAMED = 6
_WORDS = {
    Status.PASS: "pass",
    Status.FAIL: "fail",
    Status.ERROR: "could not be checked",
    Status.MANUAL: "for a person to judge",
    Status.WAIVED: "waived",
    Status.NOT_APPLICABLE: "not applicable",
}


class _Group(NamedTuple):
    """What the records of a row have in common."""

    status: Status
    check: str
    reason: str


def console() -> Console:
    """Standard output, at most 80 columns wide; plain where it is no terminal."""
    found = Console(highlight=False)
    if not found.is_terminal:
        columns = os.environ.get("COLUMNS", "")
        found = Console(highlight=False, width=int(columns) if columns.isdigit() else _WIDTH)
    return found if found.width <= _WIDTH else Console(highlight=False, width=_WIDTH)


def print_records(kind: str, records: Sequence[Record], to: Console) -> None:
    """A heading with counts, then a row for each thing that somebody has to look at."""
    to.print(f"[bold]{kind}[/]: {_counts(records)}", soft_wrap=False)
    for line in _by_family(records):
        to.print(f"  {line}")
    groups = _grouped(records)
    if not groups:
        return
    table = Table(show_edge=False, pad_edge=False, expand=False)
    table.add_column("status", no_wrap=True)
    table.add_column("check", overflow="fold", max_width=26)
    table.add_column("where", overflow="fold", max_width=18)
    table.add_column("why", overflow="fold")
    for group, found in groups:
        status = f"[{_COLOURS[group.status]}]{group.status}[/]"
        why = _why(found)
        if group.reason and group.status is Status.ERROR:
            why = f"{escape(group.reason)}: {why}"
        table.add_row(status, escape(group.check), escape(_subjects(found)), why)
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


def _grouped(records: Sequence[Record]) -> list[tuple[_Group, list[Record]]]:
    """Records that say the same, together: a host that is down is one row, and so is a fault of all hosts."""
    statuses: dict[str, set[Status]] = {}
    for record in records:
        statuses.setdefault(record.subject, set()).add(record.status)
    groups: dict[_Group, list[Record]] = {}
    for record in records:
        if record.status in _SHOWN:
            is_whole = statuses[record.subject] == {Status.ERROR}
            check = "all checks" if is_whole else _check_name(record)
            groups.setdefault(_Group(record.status, check, _cause(record)), []).append(record)
    return sorted(groups.items(), key=lambda item: _SHOWN.index(item[0].status))


def _check_name(record: Record) -> str:
    control = _TITLES.get(record.check)
    name = f"{record.check} {control}" if control else record.check
    return name if record.family == "none" else f"{name} ({record.family})"


def _cause(record: Record) -> str:
    """What rows are grouped by; a manual control asks everywhere the same."""
    return "" if record.status in (Status.MANUAL, Status.WAIVED) else record.reason


def _why(records: Sequence[Record]) -> str:
    """The evidence of the first, without the name that stands beside it."""
    first = records[0]
    node = first.subject.rpartition("@")[2]
    evidence = first.evidence.removeprefix(f"{node}: ")
    only = "; ".join(part for part in evidence.split("; ") if part.startswith("NOT MET "))
    text = escape((only or evidence).replace("NOT MET ", ""))
    return text if len(records) == 1 or not node else text.replace(node, "...")


def _subjects(records: Sequence[Record]) -> str:
    names = list(dict.fromkeys(record.subject for record in records))
    if len(names) <= _NAMED:
        return " ".join(names)
    return f"{len(names)}: {' '.join(names[:_NAMED])} ..."


_TITLES = {control.id: control.title for control in load_controls()}
