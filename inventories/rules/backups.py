"""Does each backup policy name known systems and nodes, something to back up, and objectives that suffice?"""

from __future__ import annotations

import re

from inventories.backups.records import BackupPolicy, DatabaseBackup, Engine, Method
from inventories.cells import duration
from inventories.problems import shown, with_article
from inventories.records import NodeRole
from inventories.sources import Draft

#: The methods that the kit has for each engine: of the domestic ones' own tools it drives dumps alone.
METHODS = {
    Engine.POSTGRESQL: (Method.DUMP, Method.CONTINUOUS),
    Engine.KINGBASE: (Method.DUMP,),
    Engine.OPENGAUSS: (Method.DUMP,),
    Engine.DM8: (Method.DUMP,),
}
#: Names that can stand on a command line and in a file's name without quoting.
_NAME = re.compile(r"^\w[\w$#.-]{0,62}\Z")
#: The nodes that hold repositories.
HOLDERS = (NodeRole.BACKUP, NodeRole.OFFSITE)


def check(draft: Draft) -> None:
    """Notes policies whose references, objectives, paths or databases do not hold."""
    for key, policy in draft.backups.records.items():
        _check_systems(draft, key, policy)
        _check_repository(draft, key, policy)
        for number, name in enumerate(policy.copies):
            _check_copy(draft, key, policy, number, name)
        if not draft.units.knows(policy.owner):
            place = (draft.backups, key, "owner")
            fix = "write the id of a unit of units.csv"
            draft.report_unknown(place, "responsible unit", policy.owner, draft.units.records, fix)
        _check_paths(draft, key, policy)
        _check_databases(draft, key, policy)


def _check_systems(draft: Draft, key: str, policy: BackupPolicy) -> None:
    if not policy.systems:
        draft.report(draft.backups, key, "systems", "the policy covers no system", "name at least one")
    for number, name in enumerate(policy.systems):
        system = draft.systems.records.get(name)
        if system is None:
            if not draft.systems.knows(name):
                place = (draft.backups, key, "systems")
                fix = "add it to systems.csv"
                draft.report_unknown(place, "system", name, draft.systems.records, fix, number)
            continue
        if not system.nodes:
            what = f"system {name} stands on no node: there is nothing to back up"
            draft.report(
                draft.backups, key, "systems", what, "name its nodes in systems.csv, or remove it", number
            )
        for field in ("rpo", "rto"):
            objective, promised = getattr(system, field), getattr(policy, field)
            if objective and promised > objective:
                what = (
                    f"{field} {duration(promised)} is longer than system {name} allows, {duration(objective)}"
                )
                draft.report(draft.backups, key, field, what, f"write {duration(objective)} or less")


def _check_repository(draft: Draft, key: str, policy: BackupPolicy) -> None:
    nodes = draft.nodes.records
    repository = nodes.get(policy.repository)
    if repository is None and not draft.nodes.knows(policy.repository):
        place = (draft.backups, key, "repository")
        backups = [name for name, node in nodes.items() if node.role is NodeRole.BACKUP]
        draft.report_unknown(place, "node", policy.repository, backups, "add it to nodes.csv")
    elif repository is not None and repository.role is not NodeRole.BACKUP:
        what = f"repository {policy.repository} is {with_article(repository.role)} node"
        draft.report(draft.backups, key, "repository", what, "write a node with the role backup")


def _check_copy(draft: Draft, key: str, policy: BackupPolicy, number: int, name: str) -> None:
    """A copy stands off-site, or on a second backup node (the second medium); whether one is off-site due is a check.

    That an off-site node's site is in another prefecture city is the rule of sites.
    """
    node = draft.nodes.records.get(name)
    if node is None:
        if not draft.nodes.knows(name):
            place = (draft.backups, key, "copies")
            others = [known for known, other in draft.nodes.records.items() if other.role in HOLDERS]
            draft.report_unknown(place, "node", name, others, "add it to nodes.csv", number)
    elif name == policy.repository:
        what = f"the copy on {name} is the repository itself: it is no second copy"
        fix = "write an offsite node, or another backup node"
        draft.report(draft.backups, key, "copies", what, fix, number)
    elif name in policy.copies[:number]:
        draft.report(draft.backups, key, "copies", f"{name} holds a copy already", "remove one", number)
    elif node.role not in HOLDERS:
        what = f"the copy's node {name} is {with_article(node.role)} node"
        fix = "write a node with the role offsite, or another one with the role backup"
        draft.report(draft.backups, key, "copies", what, fix, number)


def _check_paths(draft: Draft, key: str, policy: BackupPolicy) -> None:
    if not policy.paths and not policy.database:
        what = "the policy names neither a path nor a database: there is nothing to back up"
        fix = f'name folders, paths = ["/srv/systems"], or a database, [[policy.{key}.database]]'
        draft.report(draft.backups, key, "paths", what, fix)
    for number, path in enumerate(policy.paths):
        if not path.startswith("/") or ".." in path.split("/"):
            what = f"path {shown(path)} is not absolute"
            draft.report(draft.backups, key, "paths", what, "write it from the root, without ..", number)
    for number, path in enumerate(policy.may_be_empty):
        if path not in policy.paths and path.rpartition("/")[0] not in policy.paths:
            what = f"{shown(path)} is neither a path of the policy nor a folder directly below one"
            draft.report(
                draft.backups, key, "may_be_empty", what, f"below one of {', '.join(policy.paths)}", number
            )


def _check_databases(draft: Draft, key: str, policy: BackupPolicy) -> None:
    seen: set[tuple[Engine, str, str]] = set()
    for number, database in enumerate(policy.database):
        place = f"database.{number}"
        _check_method(draft, key, place, database)
        for field in ("name", "instance"):
            value = getattr(database, field)
            if not _NAME.match(value):
                what = f"{field} {shown(value)} cannot stand on a command line as it is"
                fix = "write letters, digits, _ $ # . and -, at most 63, a letter, digit or _ first"
                draft.report(draft.backups, key, f"{place}.{field}", what, fix)
        identity = (database.engine, database.instance, database.name)
        if identity in seen:
            what = (
                f"{database.engine} {database.instance}/{database.name} is backed up already by this policy"
            )
            draft.report(draft.backups, key, f"{place}.name", what, "remove one of the two")
        seen.add(identity)


def _check_method(draft: Draft, key: str, place: str, database: DatabaseBackup) -> None:
    known = METHODS[database.engine]
    if database.method not in known:
        what = f"the kit has no method {database.method} for {database.engine} yet, for postgresql alone"
        fix = f"write {' or '.join(known)}, and an rpo that it can keep"
        draft.report(draft.backups, key, f"{place}.method", what, fix)
