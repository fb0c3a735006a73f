"""Whose is an alert? The label `owner`, from the inventory, as Prometheus puts it on what it sends to Alertmanager."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from inventories.records import City


def owners(city: City) -> dict[str, dict[str, str]]:
    """The owner of each system and backup policy, by the label that names them in alerts."""
    return {
        "subject": {system.id: system.owners[0] for system in city.systems.values() if system.owners},
        "policy": {policy.id: policy.owner for policy in city.backups.values() if policy.owner},
    }


def network_owner(city: City) -> str:
    """Whose the extranet is, with its nodes and hosts: who answers for what is nobody else's.

    That is the owner of the first system of kind `network` which has one; where the inventory has no such
    system, the owner of most systems; empty where none has an owner.
    """
    for system in city.systems.values():
        if system.kind == "network" and system.owners and system.nodes:
            return system.owners[0]
    counted = Counter(system.owners[0] for system in city.systems.values() if system.owners)
    return counted.most_common(1)[0][0] if counted else ""


def owner_relabeling(city: City) -> list[dict[str, Any]]:
    """`alert_relabel_configs`: a rule for each label and owner, then one for what is still without.

    An owner is no label of the series: it may change without any series beginning anew, and every Prometheus of a
    pair puts the same one on the same alert.
    """
    rules: list[dict[str, Any]] = []
    for label, owner_of in owners(city).items():
        for owner, names in _by_owner(owner_of).items():
            regex = "|".join(re.escape(name) for name in names)
            rules.append(
                {"source_labels": [label], "regex": regex, "target_label": "owner", "replacement": owner}
            )
    if rest := network_owner(city):
        rules.append({"source_labels": ["owner"], "regex": "", "target_label": "owner", "replacement": rest})
    return rules


def _by_owner(owner_of: Mapping[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for name, owner in sorted(owner_of.items()):
        grouped[owner].append(name)
    return dict(sorted(grouped.items()))
