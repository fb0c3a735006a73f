"""Whose is an alert? The labels `owner` and `owner_name`, from the inventory, as Prometheus puts them on what it sends.

What speaks of a system or a backup policy is its owner's. All else is the business of whoever answers for that part of
the extranet: the village's own unit if the inventory has one, else the township's, the county's, the city's.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from inventories.records import City, Level

#: The labels that say where in the city an alert comes from: a place's unit is asked in this order.
_PLACES = (
    ("site", (Level.VILLAGE, Level.TOWNSHIP, Level.COUNTY)),
    ("township", (Level.TOWNSHIP,)),
    ("county", (Level.COUNTY,)),
)


def owners(city: City) -> dict[str, dict[str, str]]:
    """The owner of each system and backup policy, by the label that names them in alerts."""
    return {
        "subject": {system.id: system.owners[0] for system in city.systems.values() if system.owners},
        "policy": {policy.id: policy.owner for policy in city.backups.values() if policy.owner},
    }


def place_owners(city: City) -> dict[str, dict[str, str]]:
    """The unit that answers for what stands at a place, by the label of alerts that names it and its value."""
    answering = {unit.network_of: unit.id for unit in city.units.values() if unit.network_of}
    return {
        label: {
            site.id: answering[site.division]
            for site in city.sites.values()
            if site.level in levels and site.division in answering
        }
        for label, levels in _PLACES
    }


def network_owner(city: City) -> str:
    """Whose the extranet is, with its nodes and hosts: who answers for what is nobody else's.

    That is the unit that answers for the city's own division; without one the owner of the first system of kind
    `network` which has one; where the inventory has no such system, the owner of most systems; empty where none has an
    owner.
    """
    for unit in city.units.values():
        if unit.network_of == city.layout.division:
            return unit.id
    for system in city.systems.values():
        if system.kind == "network" and system.owners and system.nodes:
            return system.owners[0]
    counted = Counter(system.owners[0] for system in city.systems.values() if system.owners)
    return counted.most_common(1)[0][0] if counted else ""


def owner_relabeling(city: City) -> list[dict[str, Any]]:
    """`alert_relabel_configs`: a rule for each label and owner, then for what is still without, then the owners' names.

    An owner is no label of the series: it may change without any series beginning anew, and every Prometheus of a
    pair puts the same one on the same alert.
    """
    rules = [
        _rule([label], names, owner)
        for label, owner_of in owners(city).items()
        for owner, names in _by_owner(owner_of).items()
    ]
    # Values of several labels come with `;` between them: nothing before it where there is no owner yet.
    rules += [
        _rule(["owner", label], names, owner, before=";")
        for label, owner_of in place_owners(city).items()
        for owner, names in _by_owner(owner_of).items()
    ]
    if rest := network_owner(city):
        rules.append(_rule(["owner"], [""], rest))
    return [*rules, *(_name_rule(unit.id, unit.name) for unit in city.units.values())]


def _rule(labels: list[str], values: list[str], owner: str, before: str = "") -> dict[str, Any]:
    regex = "|".join(re.escape(value) for value in values)
    regex = f"{before}(?:{regex})" if before else regex
    return {"source_labels": labels, "regex": regex, "target_label": "owner", "replacement": owner}


def _name_rule(unit: str, name: str) -> dict[str, Any]:
    """A name may hold `$`, which in a replacement stands for a part of what matched."""
    replacement = name.replace("$", "$$")
    return {
        "source_labels": ["owner"],
        "regex": re.escape(unit),
        "target_label": "owner_name",
        "replacement": replacement,
    }


def _by_owner(owner_of: Mapping[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for name, owner in sorted(owner_of.items()):
        grouped[owner].append(name)
    return dict(sorted(grouped.items()))
