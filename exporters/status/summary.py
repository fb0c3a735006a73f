"""How does the city stand, in a few figures? What `jizuo status` prints and `/status.json` answers."""

from __future__ import annotations

from datetime import datetime

import msgspec

from exporters.readings import Trouble
from exporters.status.overview import Overview
from exporters.status.states import State, worst
from exporters.status.words import zone_of

#: Troubles with which nothing is known; data that are merely old are a finding.
_UNREAD = frozenset({Trouble.MISSING, Trouble.UNREADABLE, Trouble.INVALID, Trouble.FAILED, Trouble.WAITING})


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a summary; names are stable."""


class Answering(_Part, frozen=True):
    """How many targets of a family answer."""

    well: int
    total: int


class CountyState(_Part, frozen=True):
    """A county with both families."""

    division: str
    name: str
    state: State
    ipv4: Answering
    ipv6: Answering


class Down(_Part, frozen=True):
    """An endpoint of a system that does not answer in the families named."""

    system: str
    name: str
    endpoint: str
    unit: str
    families: tuple[str, ...]


class BackupJobs(_Part, frozen=True):
    """Jobs in all, within their RPO, proven by a restore; `behind` are those that are not well, as POLICY@NODE."""

    total: int
    within_rpo: int
    verified: int
    behind: tuple[str, ...]
    unprotected_systems: tuple[str, ...]


class DatabaseStates(_Part, frozen=True):
    """Continuously kept clusters in all; `not_well` by name; `state` is the worst of theirs."""

    total: int
    not_well: tuple[str, ...]
    state: State


class SecurityStates(_Part, frozen=True):
    """Control results by state; those of high severity that are not or partly met; hosts that were not audited."""

    counts: dict[str, int]
    high: int
    not_audited: int


class DrillStates(_Part, frozen=True):
    """Records in all; `not_well` are drills whose last record missed something, `overdue` those that are due."""

    held: int
    not_well: tuple[str, ...]
    overdue: tuple[str, ...]


class DriftStates(_Part, frozen=True):
    """Hosts that the last check of drift went to; those with pending operations, and those that were not read."""

    checked: int
    operations: int
    drifted: tuple[str, ...]
    unread: tuple[str, ...]
    age_seconds: float
    state: State


class SourceState(_Part, frozen=True):
    """A collector's data: its newest part's age in seconds, what is wrong in one word (empty: nothing) and in full."""

    name: str
    age_seconds: float | None
    trouble: str
    message: str


class Summary(_Part, frozen=True):
    """All of it; a part is null where it is not collected or cannot be read.

    `could_be_read` is false when something that should be there is not: nothing is well then, as far as is known.
    """

    city: str
    division: str
    at: str
    state: State
    could_be_read: bool
    ipv4: Answering | None
    ipv6: Answering | None
    nodes_down: int
    counties: tuple[CountyState, ...]
    systems_down: tuple[Down, ...]
    backups: BackupJobs | None
    databases: DatabaseStates | None
    security: SecurityStates | None
    drills: DrillStates | None
    sources: tuple[SourceState, ...]
    drift: DriftStates | None = None

    @property
    def exit_code(self) -> int:
        """0 all is well, 2 something is not, 1 something could not be read."""
        if not self.could_be_read:
            return 1
        return 0 if self.state is State.OK else 2


def summary_of(view: Overview, now: float) -> Summary:
    """The summary of what the first page says at a moment (seconds since the epoch)."""
    layout, network = view.city.layout, view.network
    families = {
        name: Answering(well=family.well, total=family.total)
        for name, family in (network.families.items() if network else ())
    }
    return Summary(
        city=layout.name,
        division=layout.division,
        at=datetime.fromtimestamp(now, zone_of(layout.time_zone)).isoformat(timespec="seconds"),
        state=view.state,
        could_be_read=all(source.reading.trouble not in _UNREAD for source in view.sources),
        ipv4=families.get("ipv4"),
        ipv6=families.get("ipv6"),
        nodes_down=sum(one.place.kind != "system" for one in network.failing) if network else 0,
        counties=_counties(view),
        systems_down=_systems_down(view),
        backups=_backups(view),
        databases=_databases(view),
        security=_security(view),
        drills=_drills(view),
        sources=tuple(
            SourceState(
                name=source.name,
                age_seconds=round(now - source.reading.at, 1) if source.reading.at else None,
                trouble=source.reading.trouble.value if source.reading.trouble else "",
                message=source.reading.message,
            )
            for source in view.sources
        ),
        drift=_drift(view),
    )


def _counties(view: Overview) -> tuple[CountyState, ...]:
    return tuple(
        CountyState(
            division=county.division,
            name=county.name,
            state=county.state,
            ipv4=Answering(well=county.well_ipv4, total=county.all_ipv4),
            ipv6=Answering(well=county.well_ipv6, total=county.all_ipv6),
        )
        for county in (view.network.counties if view.network else ())
    )


def _systems_down(view: Overview) -> tuple[Down, ...]:
    systems = view.network.systems if view.network else ()
    return tuple(
        Down(
            system=target.subject,
            name=target.name,
            endpoint=target.check,
            unit=target.unit,
            families=tuple(
                name
                for name, probe in (("ipv4", target.ipv4), ("ipv6", target.ipv6))
                if probe and not probe.well
            ),
        )
        for target in systems
        if target.state is not State.OK
    )


def _backups(view: Overview) -> BackupJobs | None:
    if view.backups is None:
        return None
    return BackupJobs(
        total=len(view.backups.jobs),
        within_rpo=view.backups.within_rpo,
        verified=view.backups.verified,
        behind=tuple(f"{job.policy}@{job.node}" for job in view.backups.jobs if job.state is not State.OK),
        unprotected_systems=tuple(view.backups.uncovered),
    )


def _databases(view: Overview) -> DatabaseStates | None:
    if view.backups is None:
        return None
    ill = tuple(one.cluster for one in view.databases if one.state is not State.OK)
    state = worst(one.state for one in view.databases)
    return DatabaseStates(total=len(view.databases), not_well=ill, state=state)


def _security(view: Overview) -> SecurityStates | None:
    if view.security is None:
        return None
    return SecurityStates(
        counts=dict(view.security.counts),
        high=view.security.high,
        not_audited=len(
            {host for one in view.security.findings if one.state == "unknown" for host in one.hosts}
        ),
    )


def _drills(view: Overview) -> DrillStates | None:
    if view.drills is None:
        return None
    return DrillStates(
        held=view.drills.held,
        not_well=tuple(one.record.drill for one in view.drills.last if one.problem and not one.is_overdue),
        overdue=tuple(one.record.drill for one in view.drills.last if one.is_overdue),
    )


def _drift(view: Overview) -> DriftStates | None:
    if view.drift is None:
        return None
    return DriftStates(
        checked=view.drift.checked,
        operations=view.drift.operations,
        drifted=tuple(view.drift.drifted),
        unread=tuple(view.drift.unread),
        age_seconds=round(view.drift.age, 1),
        state=view.drift.state,
    )
