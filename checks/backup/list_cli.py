"""The command `jizuo backup list`: which policies are there, what do they promise, and when do they next run?"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.markup import escape
from rich.table import Table

from checks import table
from checks.backup.places import job_nodes
from inventories.backups.calendar import next_run
from inventories.backups.records import BackupPolicy, Backups
from inventories.cells import duration
from inventories.cli import load_or_exit, number_of
from inventories.records import City

_PERIODS = {"last": "n", "hourly": "h", "daily": "d", "weekly": "w", "monthly": "m", "yearly": "y"}


@click.command(
    "list",
    epilog="""\b
Examples:
  jizuo backup list inventories/lab
  jizuo backup list inventories/yichun --json | jq '.policies[].next_run'""",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program.")
def list_policies(path: Path, as_json: bool) -> None:
    """Print the backup policies of the city PATH: what, RPO, RTO, where to, what is kept, the next run, owner.

    The next run is the next time of the schedule that lies in the policy's window, in the city's time zone;
    timers spread their start by some minutes. Nothing is asked of a host.
    """
    city = load_or_exit(path)
    policies = [as_data(city, policy, datetime.now().astimezone()) for policy in city.backups.values()]
    if as_json:
        click.echo(
            json.dumps({"policies": policies, "without": _without(city)}, ensure_ascii=False, indent=2)
        )
        return
    _print(city, policies)


def as_data(city: City, policy: BackupPolicy, now: datetime) -> dict[str, Any]:
    """A policy as plain data, with stable names; times in ISO 8601 with the city's offset."""
    zone = ZoneInfo(city.layout.time_zone)
    moment = next_run(policy.schedule, policy.window, now, zone)
    places = city.backup_places or Backups()
    return {
        "id": policy.id,
        "systems": list(policy.systems),
        "nodes": job_nodes(city, policy),
        "paths": list(policy.paths),
        "databases": [
            {
                "engine": one.engine.value,
                "instance": one.instance,
                "name": one.name,
                "method": one.method.value,
            }
            for one in policy.database
        ],
        "rpo_seconds": policy.rpo,
        "rto_seconds": policy.rto,
        "repository": _place(places, policy.repository),
        "copies": [_place(places, name) for name in policy.copies],
        "keep": policy.keep,
        "schedule": policy.schedule,
        "window": policy.window,
        "next_run": moment.isoformat() if moment else None,
        "bandwidth_mbits": policy.bandwidth,
        "owner": policy.owner,
        "owner_name": city.units[policy.owner].name if policy.owner in city.units else "",
    }


def _place(places: Backups, node: str) -> dict[str, str]:
    repository = places.repository(node)
    return {"node": node, "medium": repository.medium.value, "protection": repository.protection.value}


def _without(city: City) -> list[dict[str, str]]:
    reasons = city.backup_places.without.values() if city.backup_places else ()
    return [{"system": one.id, "reason": one.reason, "owner": one.owner} for one in reasons]


def _print(city: City, policies: list[dict[str, Any]]) -> None:
    to = table.console()
    shown = Table(show_edge=False, pad_edge=False, show_lines=True)
    shown.add_column("policy, owner, what", overflow="fold")
    shown.add_column("RPO\nRTO", no_wrap=True)
    shown.add_column("to, keep", overflow="fold", max_width=18)
    shown.add_column("next run", no_wrap=True)
    for policy in policies:
        moment = datetime.fromisoformat(policy["next_run"]) if policy["next_run"] else None
        keep = " ".join(f"{count}{_PERIODS[period]}" for period, count in policy["keep"].items())
        what = " ".join([*policy["systems"], *_databases(policy)])
        shown.add_row(
            f"[bold]{policy['id']}[/] {escape(policy['owner_name'] or policy['owner'])}\n{escape(what)}",
            f"{duration(policy['rpo_seconds'])}\n{duration(policy['rto_seconds'])}",
            " + ".join(place["node"] for place in (policy["repository"], *policy["copies"]))
            + f"\n{keep or 'keeps all'}",
            (f"{moment:%m-%d %H:%M}" if moment else "never")
            + (f"\n{policy['window']}" if policy["window"] else ""),
        )
    to.print(shown)
    count = len(_without(city))
    reasons = (
        f"; {number_of(count, 'system')} without, for a stated reason (jizuo backup grade)" if count else ""
    )
    noun = "policy" if len(policies) == 1 else "policies"
    to.print(f"{len(policies)} {noun}{reasons}. Times are those of {city.layout.time_zone}.")


def _databases(policy: dict[str, Any]) -> list[str]:
    return [f"{one['engine']}:{one['name']} ({one['method']})" for one in policy["databases"]]
