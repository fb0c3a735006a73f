"""Do the records of a city hold together? Calls every rule; each notes what it finds in the draft."""

from __future__ import annotations

from inventories.rules import (
    backup_places,
    backup_times,
    backups,
    divisions,
    links,
    networks,
    nodes,
    policy,
    prefixes,
    reach,
    sites,
    systems,
    units,
)
from inventories.sources import Draft

#: Each says in its first line which question it answers; their order is that of the files.
RULES = (
    prefixes.check,
    divisions.check,
    sites.check,
    units.check,
    nodes.check,
    links.check,
    networks.check,
    reach.check,
    systems.check,
    backups.check,
    backup_times.check,
    backup_places.check,
    policy.check,
)


def validate(draft: Draft) -> None:
    """Holds every record of a draft against the others; problems are added to the draft's own."""
    for check in RULES:
        check(draft)
