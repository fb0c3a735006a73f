"""What a demo measured: the figures, their stable names, and the table that people read."""

from __future__ import annotations

import msgspec
from rich.console import Console
from rich.table import Table


class ByFamily(msgspec.Struct):
    """A count in each address family."""

    ipv4: int = 0
    ipv6: int = 0


class Controls(msgspec.Struct):
    """Security controls by state, over all hosts."""

    compliant: int = 0
    noncompliant: int = 0
    not_applicable: int = 0
    manual: int = 0
    waived: int = 0


class Audit(msgspec.Struct):
    """What the audit of the extranet found: sessions, routes, planes, reachability, policy against reality."""

    as_planned: int = 0
    findings: int = 0
    not_applicable: int = 0


class DrillFigures(msgspec.Struct):
    """A drill's measured recovery against its objectives, in seconds."""

    rto_seconds: float = 0.0
    rto_objective_seconds: float = 0.0
    rpo_seconds: float = 0.0
    rpo_objective_seconds: float = 0.0


class Figures(msgspec.Struct):
    """Everything that `demo --json` writes; every figure was measured in this run."""

    divisions: int = 0
    prefixes: int = 0
    addresses: int = 0
    plan_seconds: float = 0.0
    hosts: int = 0
    boot_seconds: float = 0.0
    first_deploy_changed: int = 0
    first_deploy_seconds: float = 0.0
    second_deploy_changed: int = 0
    second_deploy_seconds: float = 0.0
    targets_up: ByFamily = msgspec.field(default_factory=ByFamily)
    targets_total: ByFamily = msgspec.field(default_factory=ByFamily)
    failover_lost_packets: ByFamily = msgspec.field(default_factory=ByFamily)
    failover_interval_seconds: float = 0.0
    extranet: Audit = msgspec.field(default_factory=Audit)
    backups_fresh: int = 0
    backups_total: int = 0
    restores_verified: int = 0
    controls: Controls = msgspec.field(default_factory=Controls)
    drill: DrillFigures = msgspec.field(default_factory=DrillFigures)
    prometheus_targets_up: int = 0
    prometheus_targets_total: int = 0
    prometheus_url: str = ""
    status_page_url: str = ""
    #: How a person reads both: who logs in, the files of the password and of the authority of their certificates.
    monitoring_user: str = ""
    monitoring_password_file: str = ""
    monitoring_authority: str = ""
    total_seconds: float = 0.0
    reasons: list[str] = msgspec.field(default_factory=list)


def lost(figures: Figures, packets: int) -> str:
    """Lost packets, and the time for which nothing passed, in milliseconds."""
    return f"{packets} packets, {packets * figures.failover_interval_seconds * 1000:.0f} ms"


def _login(figures: Figures) -> str:
    """How a person reads both pages."""
    return (
        f"user {figures.monitoring_user}, password in {figures.monitoring_password_file}, certificates of "
        f"{figures.monitoring_authority}"
    )


def print_figures(figures: Figures, *, kept: bool) -> None:
    """The table that ends a demo, at most 80 columns wide."""
    controls, drill = figures.controls, figures.drill
    up, total = figures.targets_up, figures.targets_total
    table = Table("what", "measured in this run", title="How the city stands", title_justify="left", width=80)
    rows = [
        ("divisions planned", f"{figures.divisions:,} in {figures.plan_seconds:.2f} s"),
        ("prefixes, addresses", f"{figures.prefixes:,} and {figures.addresses:,}, IPv4 and IPv6"),
        ("hosts booted", f"{figures.hosts} in {figures.boot_seconds:.1f} s"),
        ("first deploy", f"{figures.first_deploy_changed} changed in {figures.first_deploy_seconds:.0f} s"),
        (
            "second deploy",
            f"{figures.second_deploy_changed} changed in {figures.second_deploy_seconds:.0f} s",
        ),
        ("targets up", f"IPv4 {up.ipv4} of {total.ipv4}, IPv6 {up.ipv6} of {total.ipv6}"),
        ("plane cut, lost over IPv4", lost(figures, figures.failover_lost_packets.ipv4)),
        ("plane cut, lost over IPv6", lost(figures, figures.failover_lost_packets.ipv6)),
        (
            "extranet audit",
            f"{figures.extranet.as_planned:,} as planned, {figures.extranet.findings} not, "
            f"{figures.extranet.not_applicable} not applicable",
        ),
        ("backups fresh", f"{figures.backups_fresh} of {figures.backups_total}"),
        ("restores verified", str(figures.restores_verified)),
        (
            "security controls",
            f"{controls.compliant} compliant, {controls.noncompliant} not, {controls.manual} manual, "
            f"{controls.not_applicable} not applicable, {controls.waived} waived",
        ),
        ("drill RTO", f"{drill.rto_seconds:.1f} s, objective {drill.rto_objective_seconds:.0f} s"),
        ("drill RPO", f"{drill.rpo_seconds:.1f} s, objective {drill.rpo_objective_seconds:.0f} s"),
        ("Prometheus targets up", f"{figures.prometheus_targets_up} of {figures.prometheus_targets_total}"),
        ("Prometheus", figures.prometheus_url if kept else f"{figures.prometheus_url} (gone: use --keep)"),
        ("status page", figures.status_page_url if kept else f"{figures.status_page_url} (gone: use --keep)"),
        *([("login", _login(figures))] if kept else []),
        ("total", f"{figures.total_seconds:.0f} s"),
    ]
    for name, value in rows:
        table.add_row(name, value)
    console = Console()
    console.print(table)
    for reason in figures.reasons:
        console.print(f"[red]not well:[/] {reason}", soft_wrap=True, highlight=False)
    if not figures.reasons:
        console.print("[green]all well[/]")
