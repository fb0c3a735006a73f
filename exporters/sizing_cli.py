"""The command `jizuo exporter sizing`: what monitoring a city, a province or the country needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from exporters.sizing import Sizing

#: Divisions of the country in all five levels, by the national statistical codes of 2023.
COUNTRY_DIVISIONS = 665_276
#: Cities of Jiangxi at prefecture level.
PROVINCE_CITIES = 11


@click.command(
    "sizing",
    epilog="""\b
Examples:
  jizuo exporter sizing inventories/yichun
  jizuo exporter sizing inventories/yichun --interval 15 --agents
  jizuo exporter sizing inventories/yichun --costs my-costs.toml --json

\b
Exit codes: 0 printed, 1 failed.""",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--interval",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="Between scrapes.",
)
@click.option("--agents", is_flag=True, help="As if every county had an agent, which probes it too.")
@click.option("--costs", type=click.Path(path_type=Path), help="Unit costs (TOML).  [default: as measured]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program.")
def sizing(path: Path, interval: int, agents: bool, costs: Path | None, as_json: bool) -> None:
    """Series, samples, memory and shards for the city in PATH, a province of eleven like it, and the country.

    The country is the city times its share of all divisions of the national statistics.
    """
    import msgspec

    from exporters import sizing as sizes
    from inventories.cli import load_or_exit

    city = load_or_exit(path)
    file = costs or sizes.UNIT_COSTS_FILE
    try:
        unit = sizes.read_unit_costs(file)
    except (OSError, msgspec.DecodeError) as error:
        raise click.ClickException(f"{file}: {error}") from error
    counts = sizes.counts_of(city, agents=agents)
    factors = {
        "city": 1.0,
        "province": PROVINCE_CITIES,
        "country": COUNTRY_DIVISIONS / max(1, len(city.divisions)),
    }
    found = {name: sizes.sizing(counts.times(factor), unit, interval) for name, factor in factors.items()}
    if as_json:
        click.echo(json.dumps({name: one._asdict() for name, one in found.items()}))
        return
    table = Table("", *found, box=None, pad_edge=False)
    for name, texts in _rows(list(found.values())).items():
        table.add_row(name, *texts)
    Console().print(table)


def _rows(found: list[Sizing]) -> dict[str, list[str]]:
    return {
        "targets, both families": [f"{one.targets:,}" for one in found],
        "series": [f"{one.series:,}" for one in found],
        "series in the storage": [f"{one.storage_series:,}" for one in found],
        "samples per second": [f"{one.samples_per_second:,.0f}" for one in found],
        "shards": [f"{one.shards}" for one in found],
        "memory, all shards": [f"{one.memory_bytes / 1e9:,.1f} GB" for one in found],
        "cores, ingestion": [f"{one.cpu_cores:,.2f}" for one in found],
        "disk per day": [f"{one.disk_bytes_per_day / 1e9:,.2f} GB" for one in found],
    }
