"""The command `jizuo policy`: who may reach what, what is doubtful about it, and which rule decides?"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table

from inventories.allocation import PlanError
from inventories.cli import exit_with, load_or_exit, number_of
from inventories.plan import AddressPlan, build_plan
from inventories.plan_problems import plan_problems
from inventories.policy.explain import Decision, Question, UnknownEnd, explain, find_end
from inventories.policy.lint import lint as find_all
from inventories.policy.records import POLICY_FILE
from inventories.policy.resolve import ResolvedPolicy, ResolvedRule, resolve
from inventories.policy.spans import to_prefixes
from inventories.records import City, Family

#: The exit code of findings, and of a connection that is denied.
FINDINGS = 2
#: More prefixes than this are counted, not listed, in what people read.
_FEW = 3

_PATH = click.argument("path", type=click.Path(path_type=Path))
_FORMAT = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", help="What to print."
)
_AT = click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="The day that is asked about, as 2027-12-31.  [default: today in the city]",
)


@click.group(
    epilog="""\b
Examples:
  jizuo policy show inventories/lab
  jizuo policy lint inventories/yichun --at 2027-12-31
  jizuo policy explain inventories/lab client-1 gov-data-portal 80
  jizuo inventory columns policy.toml"""
)
def policy() -> None:
    """Show, lint and explain the policy: who may reach what, by PATH/policy.toml."""


@policy.command(
    epilog="""\b
Examples:
  jizuo policy show inventories/lab
  jizuo policy show inventories/lab --format json | jq '.rules[].id'"""
)
@_PATH
@_FORMAT
def show(path: Path, form: str) -> None:
    """Print the rules of the inventory PATH in their order; the first that matches decides.

    The JSON holds each rule's prefixes in both families too.
    """
    _, _, resolved = _resolved(path)
    if form == "json":
        click.echo(_json({"file": resolved.file, "rules": [_rule_data(rule) for rule in resolved.rules]}))
        return
    table = Table(title=resolved.file, title_justify="left", title_style="bold", show_lines=True)
    for column in ("rule", "from", "to", "service", "owner, until"):
        table.add_column(column, overflow="fold")
    for rule in resolved.rules:
        record = rule.record
        until = f"\nuntil {record.until}" if record.until else ""
        table.add_row(
            f"{rule.id}\n{rule.action}",
            "\n".join(record.sources),
            "\n".join(record.destinations),
            ", ".join(record.services),
            f"{record.owner}{until}",
        )
    console = Console(highlight=False)
    console.print(table)
    click.echo("What no rule matches is denied.")


def _rule_data(rule: ResolvedRule) -> dict[str, Any]:
    record = rule.record
    return {
        "id": rule.id,
        "line": rule.line,
        "action": rule.action,
        "from": record.sources,
        "to": record.destinations,
        "service": record.services,
        "ports": rule.ports,
        "owner": record.owner,
        "reason": record.reason,
        "until": record.until.isoformat() if record.until else None,
        "sources": {family: to_prefixes(rule.sources[family], family) for family in Family},
        "destinations": {family: to_prefixes(rule.destinations[family], family) for family in Family},
    }


@policy.command(
    epilog="""\b
Examples:
  jizuo policy lint inventories/lab
  jizuo policy lint inventories/lab --at 2027-12-31 --format json"""
)
@_PATH
@_FORMAT
@_AT
def lint(path: Path, form: str, at: datetime | None) -> None:
    """Find what is doubtful in the policy of the inventory PATH.

    Rules that are shadowed by earlier ones, duplicate, unused, expired or soon to expire, over-wide, in one
    family only, or open to the internet without an end date.

    Exit code 0: nothing, 1: problems in the inventory, 2: findings.
    """
    city, _, resolved = _resolved(path)
    findings = find_all(city, resolved, _day(city, at))
    if form == "json":
        rows = [{"file": resolved.file, **finding._asdict()} for finding in findings]
        click.echo(_json({"findings": rows}))
    else:
        for finding in findings:
            name = f"{finding.rule}: " if finding.rule else ""
            where = f"{resolved.file}:{finding.line}"
            click.echo(f"{where}: {finding.severity}: {finding.check}: {name}{finding.why}; {finding.fix}")
        rules = number_of(len(resolved.rules), "rule")
        click.echo(f"{rules}: {number_of(len(findings), 'finding') if findings else 'no findings'}", err=True)
    sys.exit(FINDINGS if findings else 0)


@policy.command(
    "explain",
    epilog="""\b
Examples:
  jizuo policy explain inventories/lab client-1 gov-data-portal 80
  jizuo policy explain inventories/lab internet ops-1 53 --protocol udp
  jizuo policy explain inventories/lab network:health cloud-1 443
  jizuo policy explain inventories/lab management cloud-1 22
  jizuo policy explain inventories/lab 198.18.0.2 2001:db8:302::2 80""",
)
@_PATH
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.argument("port", type=click.IntRange(1, 65535))
@click.option("--protocol", type=click.Choice(["tcp", "udp"]), default="tcp", show_default=True)
@click.option(
    "--family", type=click.Choice([str(one) for one in Family]), help="Only this one.  [default: both]"
)
@_FORMAT
@_AT
def explain_command(
    path: Path,
    source: str,
    destination: str,
    port: int,
    protocol: str,
    family: str | None,
    form: str,
    at: datetime | None,
) -> None:
    """Name the rule that decides whether SRC may reach PORT of DST, in both families.

    SRC and DST are a node, a system, an address, or a zone: public, internet, management, network:ID. Beside
    the policy's rules stand those that are built into the kit: what the management network opens, routing
    between neighbours, and that within a private network everything may talk.

    Exit code 0: allowed, 2: denied, all or in part; 1: an error.
    """
    city, plan, resolved = _resolved(path)
    ends = []
    for word, name in ((source, "SRC"), (destination, "DST")):
        try:
            ends.append(find_end(city, plan, resolved, word))
        except UnknownEnd as error:
            raise click.BadParameter(f"{word!r}: {error}", param_hint=name) from None
    if family:
        ends = [
            end._replace(addresses={f: end.addresses[f] if f == family else () for f in Family})
            for end in ends
        ]
    asked = Question(ends[0], ends[1], protocol, port, _day(city, at))
    found = explain(city, plan, resolved, asked)
    if not found.decisions:
        raise click.ClickException(f"{source} and {destination} have no address family in common")
    if form == "json":
        rows = [
            {**decision._asdict(), "file": resolved.file if decision.line else None}
            for decision in found.decisions
        ]
        click.echo(_json({"allowed": found.allowed, "decisions": rows, "notes": found.notes}))
    else:
        _print_decisions(resolved, found.decisions, f"{source} → {destination} {protocol} {port}")
        for note in found.notes:
            click.echo(f"Note: {note}.")
    sys.exit(0 if found.allowed else FINDINGS)


def _print_decisions(resolved: ResolvedPolicy, decisions: list[Decision], title: str) -> None:
    click.echo(title)
    # A zone's name says more than its prefixes.
    zones = {
        to_prefixes(addresses[family], family): zone
        for zone, addresses in resolved.zones.items()
        for family in Family
    }
    for decision in decisions:
        verdict = "allowed" if decision.allowed else "denied"
        where = f" ({resolved.file}:{decision.line})" if decision.line else ""
        rule = "rule " if decision.line else ""
        click.echo(f"  {decision.family}: {verdict} by {rule}{decision.decider}{where}: {decision.why}")
        click.echo(f"        {_few(decision.sources, zones)} → {_few(decision.destinations, zones)}")


def _few(prefixes: tuple[str, ...], zones: Mapping[tuple[str, ...], str]) -> str:
    if prefixes in zones:
        return zones[prefixes]
    if len(prefixes) <= _FEW:
        return ", ".join(prefixes)
    return f"{', '.join(prefixes[: _FEW - 1])} and {len(prefixes) - _FEW + 1} more prefixes"


def _resolved(path: Path) -> tuple[City, AddressPlan, ResolvedPolicy]:
    city = load_or_exit(path)
    try:
        plan = build_plan(city)
    except PlanError as error:
        exit_with(plan_problems(path, city, error))
    if city.policy is None:
        click.echo(f"{path / POLICY_FILE}: there is none: only what is built into the kit is open", err=True)
    return city, plan, resolve(city, plan)


def _day(city: City, at: datetime | None) -> date:
    return at.date() if at else datetime.now(ZoneInfo(city.layout.time_zone)).date()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
