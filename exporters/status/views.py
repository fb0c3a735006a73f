"""Is it down in the county, or only unreachable from the city? What the city sees beside what the agent there sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from exporters.inside import Inside
from exporters.places import places
from exporters.readings import Reading
from exporters.status.network import Target
from exporters.status.states import State
from inventories.records import City, NodeRole


class Compared(NamedTuple):
    """A node that the city cannot reach in a family, and what its county says."""

    name: str
    subject: str
    family: str
    reason: str
    state: State
    verdict: str


def compared(city: City, failing: Iterable[Target], inside: Reading[Inside] | None) -> Sequence[Compared]:
    """Each failing node of a county that has an agent, with the verdict; nothing where no storage is asked."""
    if inside is None:
        return ()
    answers = inside.value.answers if inside.value else {}
    where = places(city)
    watched = {where[node.id].county for node in city.nodes.values() if node.role is NodeRole.AGENT}
    found = []
    for target in failing:
        if target.check != "icmp" or target.place.county not in watched or not target.place.county:
            continue
        for family, probe in (("IPv4", target.ipv4), ("IPv6", target.ipv6)):
            if probe and not probe.well:
                state, verdict = _VERDICTS[answers.get((target.subject, family.lower()))]
                found.append(Compared(target.name, target.subject, family, probe.reason, state, verdict))
    return found


_VERDICTS = {
    True: (State.WARNING, "县内可达，仅市级不可达"),
    False: (State.CRITICAL, "县内也不可达"),
    None: (State.UNKNOWN, "县内数据未到"),
}
