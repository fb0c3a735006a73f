"""Does every system that the city hosts have a policy that keeps what it promises, or a reason for having none?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from checks.backup.finding import Finding, record_of, spell
from checks.backup.limits import Limits
from checks.backup.places import offsite_of, policies_of
from checks.record import Record, Status
from inventories.backups.records import BackupPolicy
from inventories.records import City, HostedBy, System

#: The check of a system.
POLICY = "backup-policy"
#: Days of each period of `keep`; `last` counts snapshots, whatever their age.
PERIOD_DAYS = {"last": 0.0, "hourly": 1 / 24, "daily": 1.0, "weekly": 7.0, "monthly": 30.5, "yearly": 365.0}


def coverage(city: City, limits: Limits, now: datetime) -> list[Record]:
    """A record `backup-policy` for each system that the city hosts; not applicable where a reason stands."""
    return [
        record_of(system.id, POLICY, now, _covered(city, system, limits))
        for system in city.systems.values()
        if system.hosted_by is HostedBy.CITY
    ]


def _covered(city: City, system: System, limits: Limits) -> Finding:
    policies = policies_of(city, system)
    if not policies:
        return _uncovered(city, system)
    best = min(policies, key=lambda policy: policy.rpo)
    if system.rpo and best.rpo > system.rpo:
        text = f"RPO {spell(system.rpo)}, but policy {best.id} has {spell(best.rpo)}"
        return Finding(Status.FAIL, float(best.rpo), text, "rpo_too_long")
    offsite = list(dict.fromkeys(node for policy in policies for node in offsite_of(city, system, policy)))
    if system.mlps >= limits.offsite_from_mlps and not offsite:
        text = f"MLPS level {system.mlps}, but no copy of policy {best.id} is in another prefecture city"
        return Finding(Status.FAIL, float(best.rpo), text, "no_offsite_copy")
    kept = kept_days(policies)
    if system.mlps >= limits.kept_from_mlps and kept is not None and kept < limits.kept_days:
        text = (
            f"snapshots reach back {kept:.0f} days, but logs among the data have to last {limits.kept_days}"
        )
        return Finding(Status.FAIL, float(best.rpo), text, "kept_too_short")
    copies = f"off-site on {', '.join(offsite)}" if offsite else "no off-site copy due"
    return Finding(Status.PASS, float(best.rpo), f"policy {best.id}, RPO {spell(best.rpo)}, {copies}")


def _uncovered(city: City, system: System) -> Finding:
    reason = city.backup_places.without.get(system.id) if city.backup_places else None
    if reason is None:
        objective = f"RPO {spell(system.rpo)}, but" if system.rpo else "the city hosts it, but"
        text = f"{objective} no policy in backups.toml names it, and [without.{system.id}] gives no reason"
        return Finding(Status.FAIL, None, text, "no_policy")
    text = f"{reason.reason} ({reason.owner})"
    if system.rpo:
        return Finding(
            Status.FAIL, None, f"RPO {spell(system.rpo)}, but it has no backup: {text}", "no_policy"
        )
    return Finding(Status.NOT_APPLICABLE, None, f"no backup: {text}", "stated_reason")


def kept_days(policies: Sequence[BackupPolicy]) -> float | None:
    """How far back the snapshots of the policies together reach, days; None where one keeps all."""
    return (
        None
        if any(not policy.keep for policy in policies)
        else max(_reach(policy.keep) for policy in policies)
    )


def _reach(keep: Mapping[str, int]) -> float:
    return max((count * PERIOD_DAYS.get(period, 0.0) for period, count in keep.items()), default=0.0)
