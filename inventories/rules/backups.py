"""Does each backup policy name known systems and nodes, a real off-site copy, and objectives that suffice?"""

from __future__ import annotations

import re

from inventories.backups.records import BackupPolicy
from inventories.cells import duration
from inventories.problems import shown, with_article
from inventories.records import NodeRole, SiteRole
from inventories.rules.divisions import ancestors
from inventories.sources import Draft

#: The periods of `restic forget --keep-...`.
PERIODS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")

_NUMBERS = r"[0-9*/.,]+"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
#: A calendar expression as systemd.time(7) has it: weekdays, date, time, time zone; each may be absent.
_CALENDAR = re.compile(
    rf"""^(?=\S)(?:minutely|hourly|daily|weekly|monthly|quarterly|semiannually|yearly|annually
    |(?:{_DAY}(?:(?:\.\.|,){_DAY})*(?:\s+|\Z))?
     (?:(?:{_NUMBERS}-)?{_NUMBERS}[-~]{_NUMBERS}(?:\s+|\Z))?
     (?:{_NUMBERS}:{_NUMBERS}(?::{_NUMBERS})?)?)
    (?:\s+(?:UTC|[A-Z][A-Za-z_]+(?:/[A-Za-z0-9_+-]+)+))?\Z""",
    re.VERBOSE | re.IGNORECASE,
)


def check(draft: Draft) -> None:
    """Notes policies whose references, copies, times or paths do not hold."""
    for key, policy in draft.backups.records.items():
        _check_systems(draft, key, policy)
        _check_nodes(draft, key, policy)
        if not draft.units.knows(policy.owner):
            place = (draft.backups, key, "owner")
            fix = "write the id of a unit of units.csv"
            draft.report_unknown(place, "responsible unit", policy.owner, draft.units.records, fix)
        if not _CALENDAR.match(policy.schedule):
            what = f"schedule {shown(policy.schedule)} is no systemd calendar expression"
            fix = 'write one as systemd.time(7) has it: "daily", "*-*-* 02:30:00", "Mon..Fri *-*-* *:00/15"'
            draft.report(draft.backups, key, "schedule", what, fix)
        _check_paths(draft, key, policy)
        _check_keep(draft, key, policy)


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


def _check_nodes(draft: Draft, key: str, policy: BackupPolicy) -> None:
    nodes = draft.nodes.records
    repository = nodes.get(policy.repository)
    if repository is None and not draft.nodes.knows(policy.repository):
        place = (draft.backups, key, "repository")
        backups = [name for name, node in nodes.items() if node.role is NodeRole.BACKUP]
        draft.report_unknown(place, "node", policy.repository, backups, "add it to nodes.csv")
    elif repository is not None and repository.role is not NodeRole.BACKUP:
        what = f"repository {policy.repository} is {with_article(repository.role)} node"
        draft.report(draft.backups, key, "repository", what, "write a node with the role backup")
    for number, name in enumerate(policy.copies):
        node = nodes.get(name)
        if node is None and not draft.nodes.knows(name):
            place = (draft.backups, key, "copies")
            others = [known for known, node in nodes.items() if node.role is NodeRole.OFFSITE]
            draft.report_unknown(place, "node", name, others, "add it to nodes.csv", number)
        elif node is not None:
            _check_copy(draft, key, number, name)


def _check_copy(draft: Draft, key: str, number: int, name: str) -> None:
    """A copy is off-site only in another prefecture city, not in another rack (GB/T 22239 8.1.4.9 b)."""
    node = draft.nodes.records[name]
    site = draft.sites.records.get(node.site)
    city = draft.city_division
    if site is not None and site.role is SiteRole.OFFSITE and node.role is NodeRole.OFFSITE:
        return  # that its site is in another city is the rule of sites
    if site is not None and city and (site.division == city or city in ancestors(site.division)):
        what = f"the copy on {name} stays in the same city {city}: it is not off-site"
        fix = "write a node of an offsite site in another prefecture city"
        draft.report(draft.backups, key, "copies", what, fix, number)
    elif node.role is not NodeRole.OFFSITE:
        what = f"the copy's node {name} is {with_article(node.role)} node"
        draft.report(draft.backups, key, "copies", what, "write a node with the role offsite", number)


def _check_paths(draft: Draft, key: str, policy: BackupPolicy) -> None:
    if not policy.paths:
        draft.report(
            draft.backups, key, "paths", "the policy names no path", 'name folders: ["/srv/systems"]'
        )
    for number, path in enumerate(policy.paths):
        if not path.startswith("/") or ".." in path.split("/"):
            what = f"path {shown(path)} is not absolute"
            draft.report(draft.backups, key, "paths", what, "write it from the root, without ..", number)


def _check_keep(draft: Draft, key: str, policy: BackupPolicy) -> None:
    for period, count in policy.keep.items():
        if period not in PERIODS:
            place = (draft.backups, key, f"keep.{period}")
            draft.report_unknown(place, "period", period, PERIODS, f"write one of {', '.join(PERIODS)}")
        elif count < 1:
            what = f"keep.{period} is {count}"
            draft.report(draft.backups, key, f"keep.{period}", what, "write 1 or more, or remove it")
