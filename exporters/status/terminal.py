"""How does a summary look in a terminal? One screen of 80 columns and at most 40 lines; a sign for each state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from exporters.status.states import State
from exporters.status.summary import Answering, CountyState, Down, Summary

WIDTH = 80
_SIGNS = {State.OK: "+", State.WARNING: "!", State.CRITICAL: "X", State.UNKNOWN: "?"}
_WORDS = {State.OK: "well", State.WARNING: "attention", State.CRITICAL: "FAULT", State.UNKNOWN: "unknown"}
_COLOURS = {State.OK: "green", State.WARNING: "yellow", State.CRITICAL: "red", State.UNKNOWN: "magenta"}
#: Things that a line or list names before it counts the rest.
_NAMED = 5
#: Where a line's words begin.
_LABEL = 13
#: A county's name in a half of the screen.
_NAME = 14


def lines(summary: Summary) -> list[Text]:
    """The screen, a text a line."""
    head = Text.assemble(
        (f"{_SIGNS[summary.state]} {summary.city} {_WORDS[summary.state]}", f"bold {_COLOURS[summary.state]}")
    )
    head.append(" " * max(1, WIDTH - cell_len(head.plain) - len(summary.at)) + summary.at, "dim")
    return [
        head,
        *_network(summary),
        *_counties(summary.counties),
        *_systems(summary.systems_down),
        *_backups(summary),
        *_databases(summary),
        *_security(summary),
        *_drills(summary),
        *_drift(summary),
        *_sources(summary),
    ]


def _line(state: State, label: str, words: str, names: Sequence[str] = ()) -> list[Text]:
    """A line, and one below it with names where there are any."""
    found = [Text.assemble((f"{_SIGNS[state]} ", _COLOURS[state]), (f"{label:<{_LABEL - 2}}", "bold"), words)]
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        text = ", ".join(names[:_NAMED])
        room = WIDTH - _LABEL - len(more)
        text = text if cell_len(text) <= room else set_cell_size(text, room - 1) + "…"
        found.append(Text(" " * _LABEL + text + more))
    return found


def _network(summary: Summary) -> list[Text]:
    if summary.ipv4 is None and summary.ipv6 is None:
        return _line(State.UNKNOWN, "network", "not probed, or its records cannot be read")
    both = [one for one in (summary.ipv4, summary.ipv6) if one]
    gone = any(one.total and not one.well for one in both)
    well = all(one.well == one.total for one in both)
    state = State.CRITICAL if gone else State.OK if well else State.WARNING
    down = f"; {summary.nodes_down} nodes down" if summary.nodes_down else ""
    return _line(state, "network", f"IPv4 {_share(summary.ipv4)}   IPv6 {_share(summary.ipv6)}{down}")


def _share(one: Answering | None) -> str:
    if one is None or not one.total:
        return "not probed"
    share = 100.0 * one.well / one.total
    if one.well < one.total:
        share = min(share, 99.9)  # 100 means all
    return f"{one.well}/{one.total} ({share:.1f}%)"


def _counties(counties: Sequence[CountyState]) -> Iterable[Text]:
    """Two columns, read downwards; the worst county is the first."""
    half = (len(counties) + 1) // 2
    for row in range(half):
        line = Text(" ")
        for one in counties[row::half]:
            four, six = (f"{family.well}/{family.total}" for family in (one.ipv4, one.ipv6))
            line.append(f" {_SIGNS[one.state]} ", _COLOURS[one.state])
            line.append(f"{set_cell_size(one.name, _NAME)} {four:>9} {six:>9} ")
        if row == 0:
            heading = f"{'':<{_NAME + 4}} {'IPv4':>9} {'IPv6':>9} "
            yield Text((heading + heading[1:] * (len(counties) > 1)).rstrip(), "dim")
        line.rstrip()
        yield line


def _systems(down: Sequence[Down]) -> list[Text]:
    if not down:
        return _line(State.OK, "systems", "all that are probed answer")
    critical = any("ipv4" in one.families for one in down)
    state = State.CRITICAL if critical else State.WARNING
    found = _line(state, "systems", f"{len(down)} endpoints do not answer")
    for one in down[:_NAMED]:
        families = "+".join(family.replace("ip", "IP") for family in one.families)
        room = WIDTH - _LABEL - 12
        words = f"{one.name} {one.endpoint}"
        words = words if cell_len(words) <= room else set_cell_size(words, room - 1) + "…"
        found.append(Text(f"{'':<{_LABEL}}{families:<10} {words}"))
    if len(down) > _NAMED:
        found.append(Text(f"{'':<{_LABEL}}and {len(down) - _NAMED} more"))
    return found


def _backups(summary: Summary) -> list[Text]:
    jobs = summary.backups
    if jobs is None:
        return _line(State.UNKNOWN, "backups", "not checked, or the records cannot be read")
    bad = State.CRITICAL if jobs.within_rpo < jobs.total or jobs.verified < jobs.total else State.WARNING
    state = bad if jobs.behind else State.WARNING if jobs.unprotected_systems else State.OK
    words = f"{jobs.within_rpo}/{jobs.total} jobs within RPO, {jobs.verified}/{jobs.total} restores proven"
    if jobs.unprotected_systems:
        words += f"; {len(jobs.unprotected_systems)} systems have none"
    return _line(state, "backups", words, jobs.behind)


def _databases(summary: Summary) -> list[Text]:
    databases = summary.databases
    if databases is None:
        return _line(State.UNKNOWN, "databases", "not checked, or the records cannot be read")
    if not databases.total:
        return _line(State.OK, "databases", "none is kept continuously")
    well = databases.total - len(databases.not_well)
    return _line(databases.state, "databases", f"{well}/{databases.total} are well kept", databases.not_well)


def _security(summary: Summary) -> list[Text]:
    security = summary.security
    if security is None:
        return _line(State.UNKNOWN, "security", "not audited, or the records cannot be read")
    counts = security.counts
    failed = counts.get("noncompliant", 0) + counts.get("partly", 0)
    state = State.UNKNOWN if security.not_audited else State.WARNING if failed else State.OK
    words = f"{failed} controls not or partly met, {security.high} of high severity"
    words += f"; {counts.get('manual', 0)} for a person"
    if security.not_audited:
        words += f"; {security.not_audited} hosts not audited"
    return _line(state, "security", words)


def _drills(summary: Summary) -> list[Text]:
    drills = summary.drills
    if drills is None:
        return _line(State.UNKNOWN, "drills", "the records cannot be read")
    ill = [*(f"{name} (overdue)" for name in drills.overdue), *drills.not_well]
    state = State.WARNING if ill or not drills.held else State.OK
    words = f"{drills.held} records, {len(drills.overdue)} overdue, {len(drills.not_well)} missed something"
    return _line(state, "drills", words, ill)


def _drift(summary: Summary) -> list[Text]:
    """Nothing where drift was never checked: that is an alert's to say."""
    drift = summary.drift
    if drift is None:
        return []
    well = drift.checked - len(drift.drifted) - len(drift.unread)
    words = f"{well}/{drift.checked} hosts as the inventory says {drift.age_seconds / 3600:.0f} h ago"
    if drift.unread:
        words += f"; {len(drift.unread)} not read"
    return _line(drift.state, "drift", words, [*drift.drifted, *drift.unread])


def _sources(summary: Summary) -> list[Text]:
    ill = [f"{one.name}: {one.trouble}" for one in summary.sources if one.trouble]
    if not ill:
        return _line(State.OK, "data", f"all {len(summary.sources)} sources are fresh")
    state = State.WARNING if summary.could_be_read else State.UNKNOWN
    return _line(state, "data", f"{len(ill)} of {len(summary.sources)} sources cannot be relied on", ill)
