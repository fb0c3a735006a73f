"""Do the repositories stand on nodes that hold backups, and is what has no policy a system of the city's own?"""

from __future__ import annotations

from inventories.backups.records import NoBackup
from inventories.cells import duration
from inventories.problems import with_article
from inventories.records import HostedBy
from inventories.rules.backup_times import check_window
from inventories.rules.backups import HOLDERS
from inventories.sources import Draft


def check(draft: Draft) -> None:
    """Notes unknown nodes, systems and units, windows too short, and reasons at odds with a policy."""
    for name, repository in draft.repositories.records.items():
        node = draft.nodes.records.get(name)
        if node is not None and node.role not in HOLDERS:
            what = f"{name} is {with_article(node.role)} node: it holds no repository"
            draft.report(draft.repositories, name, "", what, "name a node with the role backup or offsite")
        elif not draft.nodes.knows(name):
            holders = [known for known, other in draft.nodes.records.items() if other.role in HOLDERS]
            fix = draft.suggestions.fix(name, holders, "add it to nodes.csv")
            draft.report(draft.repositories, name, "", f"{name!r} is an unknown node", fix)
        check_window(draft, draft.repositories, name, repository.window)
    policies = {system: key for key, policy in draft.backups.records.items() for system in policy.systems}
    for name, reason in draft.without.records.items():
        _check_reason(draft, name, reason, policies)


def _check_reason(draft: Draft, name: str, reason: NoBackup, policies: dict[str, str]) -> None:
    system = draft.systems.records.get(name)
    if name in policies:
        what = f"system {name} is without backup here, but policy {policies[name]} covers it"
        draft.report(draft.without, name, "", what, "remove it from one of the two")
    elif system is not None and system.hosted_by is not HostedBy.CITY:
        what = f"system {name} is run by {system.hosted_by}: its backup is not the city's"
        draft.report(draft.without, name, "", what, "remove the table")
    elif system is not None and system.rpo:
        what = (
            f"system {name} is without backup here, but systems.csv gives it an rpo of {duration(system.rpo)}"
        )
        draft.report(draft.without, name, "", what, "write a policy for it, or 0 for its rpo")
    elif not draft.systems.knows(name):
        fix = draft.suggestions.fix(name, draft.systems.records, "add it to systems.csv")
        draft.report(draft.without, name, "", f"{name!r} is an unknown system", fix)
    if not draft.units.knows(reason.owner):
        place = (draft.without, name, "owner")
        fix = "write the id of a unit of units.csv"
        draft.report_unknown(place, "responsible unit", reason.owner, draft.units.records, fix)
