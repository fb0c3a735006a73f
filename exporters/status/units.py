"""Which systems has a responsible unit, and how do they stand? By unit: endpoints in both families, backups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from checks.availability.targets import Unprobed
from exporters.status.network import Network, Target
from exporters.status.protection import Backups, Job
from exporters.status.states import RANK, State, worst
from exporters.status.words import word
from inventories.records import City, System


class OwnedSystem(NamedTuple):
    """A system with its endpoints and backup jobs; `why` it is not probed, empty where it is."""

    system: System
    state: State
    endpoints: Sequence[Target]
    jobs: Sequence[Job]
    why: str
    others: str

    @property
    def is_probed(self) -> bool:
        """Whether anything of it was probed."""
        return bool(self.endpoints)


class OwningUnit(NamedTuple):
    """A unit with its systems, the worst first."""

    id: str
    name: str
    state: State
    systems: Sequence[OwnedSystem]

    @property
    def probed(self) -> int:
        """How many of its systems are probed."""
        return sum(system.is_probed for system in self.systems)

    @property
    def failing(self) -> int:
        """How many of those are not well."""
        return sum(system.is_probed and system.state is not State.OK for system in self.systems)


def units_view(
    city: City, network: Network | None, backups: Backups | None, unprobed: Iterable[Unprobed]
) -> list[OwningUnit]:
    """Every unit that is responsible for a system; a system of several units stands with each."""
    endpoints: dict[str, list[Target]] = {}
    for target in network.systems if network else ():
        endpoints.setdefault(target.subject, []).append(target)
    jobs: dict[str, list[Job]] = {}
    for job in backups.jobs if backups else ():
        for kept in city.backups[job.policy].systems if job.policy in city.backups else ():
            jobs.setdefault(kept, []).append(job)
    why = {one.subject: one.reason for one in unprobed}
    owned: dict[str, list[OwnedSystem]] = {}
    for system in city.systems.values():
        for owner in system.owners:
            owned.setdefault(owner, []).append(_system(city, system, owner, endpoints, jobs, why))
    found = [
        OwningUnit(
            unit,
            city.units[unit].name if unit in city.units else unit,
            worst(one.state for one in systems if one.is_probed or one.jobs),
            sorted(systems, key=lambda one: (not (one.is_probed or one.jobs), RANK[one.state])),
        )
        for unit, systems in owned.items()
    ]
    return sorted(found, key=lambda unit: (RANK[unit.state], not unit.probed, -len(unit.systems)))


def _system(
    city: City,
    system: System,
    owner: str,
    endpoints: Mapping[str, list[Target]],
    jobs: Mapping[str, list[Job]],
    why: Mapping[str, str],
) -> OwnedSystem:
    ours, kept = endpoints.get(system.id, []), jobs.get(system.id, [])
    others = [
        city.units[unit].name if unit in city.units else unit for unit in system.owners if unit != owner
    ]
    return OwnedSystem(
        system,
        worst([*(target.state for target in ours), *(job.state for job in kept)])
        if ours or kept
        else State.UNKNOWN,
        ours,
        kept,
        "" if ours else word("exclusion", why.get(system.id, "waiting")),
        "、".join(others),
    )
