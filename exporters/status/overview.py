"""What does the page say at a glance? The verdict, why, and the figures that carry it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from checks.security.controls import load_controls
from exporters.coverage import LevelCoverage, coverage
from exporters.readings import Reading
from exporters.snapshot import Inventory, Snapshot
from exporters.status.databases import Database, databases_view
from exporters.status.drift import Drift, drift_reasons, drift_view
from exporters.status.drills import Drills, drills_view
from exporters.status.network import Network, Target, network_view
from exporters.status.protection import Backups, Security, backups_view, security_view
from exporters.status.states import RANK, State, worst
from exporters.status.words import word
from inventories.records import City, Level

#: Reasons that the headline names; the sections below have all.
_REASONS = 6


class Reason(NamedTuple):
    """One thing that is not well, in a line."""

    state: State
    text: str


class Source(NamedTuple):
    """A collector's data: how old, and what is wrong with it."""

    name: str
    reading: Reading[object]
    state: State


class Overview(NamedTuple):
    """All that the page shows; None for a section that this exporter does not collect or has no data for."""

    city: City
    state: State
    reasons: Sequence[Reason]
    more_reasons: int
    coverage: Mapping[Level, LevelCoverage]
    network: Network | None
    backups: Backups | None
    databases: Sequence[Database]
    security: Security | None
    drills: Drills | None
    sources: Sequence[Source]
    drift: Drift | None = None

    def collects(self, name: str) -> bool:
        """Whether this exporter has the collector."""
        return any(source.name == name for source in self.sources)


def overview(snapshot: Snapshot, inventory: Inventory, now: float) -> Overview:
    """The page's content at a moment (seconds since the epoch)."""
    city, where = inventory.city, inventory.where
    cycle = snapshot.availability.value if snapshot.availability else None
    network = network_view(city, where, cycle.records) if cycle else None
    backup_records = snapshot.backup.value if snapshot.backup else None
    backups = None if backup_records is None else backups_view(city, where, backup_records, now)
    databases = databases_view(backup_records or ())
    security_records = snapshot.security.value if snapshot.security else None
    security = None if security_records is None else security_view(security_records, load_controls())
    drill_records = snapshot.drill.value if snapshot.drill else None
    drills = None if drill_records is None else drills_view(drill_records, now)
    drift_record = snapshot.drift.value if snapshot.drift else None
    drift = drift_view(drift_record, now) if drift_record else None
    sources = [_source(name, reading) for name, reading in snapshot.readings().items()]
    reasons = [
        *_network_reasons(network),
        *_backup_reasons(backups),
        *_database_reasons(databases),
        *_security_reasons(security),
        *_drill_reasons(drills),
        *(Reason(*reason) for reason in drift_reasons(drift)),
        *_source_reasons(sources),
    ]
    reasons.sort(key=lambda reason: RANK[reason.state])
    return Overview(
        city=city,
        state=worst(reason.state for reason in reasons),
        reasons=reasons[:_REASONS],
        more_reasons=max(0, len(reasons) - _REASONS),
        coverage=coverage(city, cycle.records if cycle else None),
        network=network,
        backups=backups,
        databases=databases,
        security=security,
        drills=drills,
        sources=sources,
        drift=drift,
    )


def _source(name: str, reading: Reading[object]) -> Source:
    state = State.OK if reading.well else State.UNKNOWN
    if reading.value is not None and not reading.well:
        state = State.WARNING  # old, but there
    return Source(name, reading, state)


def _network_reasons(network: Network | None) -> Iterable[Reason]:
    if network is None:
        return
    gone = {county.id for county in network.counties if county.state is State.CRITICAL}
    for county in network.counties:
        for family, well, total in (
            ("IPv4", county.well_ipv4, county.all_ipv4),
            ("IPv6", county.well_ipv6, county.all_ipv6),
        ):
            if total and not well:
                yield Reason(State.CRITICAL, f"{county.name} {family} 全部{total}个目标不可达")
    for target in network.failing:
        if target.state is State.CRITICAL and target.place.county not in gone:
            yield Reason(State.CRITICAL, f"{target.name} {_families(target)}")
    rest = [target for target in network.failing if target.state is State.WARNING]
    only_ipv6 = [target for target in rest if target.ipv4 and target.ipv4.well]
    if only_ipv6:
        yield Reason(State.WARNING, f"{len(only_ipv6)}个目标IPv4正常而IPv6不通")
    if len(rest) > len(only_ipv6):
        yield Reason(State.WARNING, f"{len(rest) - len(only_ipv6)}个乡村级目标不可达")


def _families(target: Target) -> str:
    ipv4, ipv6 = (probe is not None and not probe.well for probe in (target.ipv4, target.ipv6))
    probe = target.ipv4 if ipv4 else target.ipv6
    family = "IPv4与IPv6均" if ipv4 and ipv6 else "IPv4" if ipv4 else "IPv6"
    return f"{family}不可用（{probe.reason if probe else ''}）"


def _backup_reasons(backups: Backups | None) -> Iterable[Reason]:
    if backups is None:
        return
    for job in backups.jobs:
        if job.state is State.CRITICAL:
            what = "超过RPO" if not job.within_rpo else "的恢复验证或仓库检查未通过"
            yield Reason(State.CRITICAL, f"{job.node} 的备份 {job.policy} {what}")
        elif job.state is State.UNKNOWN:
            yield Reason(State.UNKNOWN, f"{job.node} 的备份 {job.policy} 状态未知")
    warned = sum(job.state is State.WARNING for job in backups.jobs)
    if warned:
        yield Reason(State.WARNING, f"{warned}个备份任务的副本、恢复验证或上次执行有问题")
    if backups.uncovered:
        yield Reason(State.WARNING, f"{len(backups.uncovered)}个系统没有满足要求的备份策略")


def _database_reasons(databases: Iterable[Database]) -> Iterable[Reason]:
    for database in databases:
        if database.state is not State.OK:
            yield Reason(database.state, f"数据库 {database.cluster} {database.headline}")


def _security_reasons(security: Security | None) -> Iterable[Reason]:
    if security is None:
        return
    if security.high:
        yield Reason(State.WARNING, f"{security.high}项高风险安全控制不符合或部分符合")
    unknown = {host for one in security.findings if one.state == "unknown" for host in one.hosts}
    if unknown:
        yield Reason(State.UNKNOWN, f"{len(unknown)}台主机未能完成安全核查")


def _drill_reasons(drills: Drills | None) -> Iterable[Reason]:
    if drills is not None and not drills.held:
        yield Reason(State.WARNING, "没有任何演练记录")
    for drill in drills.last if drills else ():
        if drill.state is not State.OK:
            yield Reason(drill.state, f"演练 {drill.title} {drill.problem}")


def _source_reasons(sources: Iterable[Source]) -> Iterable[Reason]:
    for source in sources:
        trouble = source.reading.trouble
        if trouble is not None:
            text = f"{word('collector', source.name)}：{word('trouble', trouble.value)}"
            yield Reason(source.state, text)
