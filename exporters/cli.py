"""The command `jizuo exporter`: serves metrics and the status page, and writes Prometheus's files."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from exporters.access import access_options, access_or_refuse
from exporters.agent_cli import agent_config
from exporters.grafana.cli import dashboards
from exporters.prometheus_cli import prometheus_config
from exporters.province_cli import province_config
from exporters.shards import NO_COUNTY, WHOLE, Shard, parse_shard
from exporters.sizing_cli import sizing
from exporters.web.configuration import parse_duration

#: The collectors that records can be stale for, and the age at which they are, in seconds: ten times the interval
#: at which the operations node runs the checks, so that one slow run raises no alarm.
MAX_AGE = {"availability": 600.0, "security": 3600.0, "backup": 1800.0}
_INVENTORY = Path("/etc/jizuo/inventory")
_RECORDS = Path("/var/lib/jizuo/records")


class Duration(click.ParamType[float]):
    """A duration such as 30s or 1m30s, in seconds; above 0."""

    name = "duration"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            seconds = parse_duration(str(value)).total_seconds()
        except ValueError as error:
            self.fail(str(error), parameter, context)
        if seconds <= 0:
            self.fail(f"{value} is not above 0", parameter, context)
        return seconds


class ShardType(click.ParamType[Shard]):
    """A part of a city: `county=360981` or `2/4`."""

    name = "shard"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Shard:
        if isinstance(value, Shard):
            return value
        try:
            return parse_shard(str(value))
        except ValueError as error:
            self.fail(str(error), parameter, context)


def _max_ages(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, float]:
    ages = dict(MAX_AGE)
    for value in values:
        name, _, text = value.partition("=")
        if name not in MAX_AGE:
            raise click.BadParameter(f"{value!r}: write NAME=DURATION, NAME one of {', '.join(MAX_AGE)}")
        ages[name] = Duration().convert(text, parameter, context)
    return ages


def _served(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every exporter has."""
    options = [
        click.option(
            "--web.listen-address",
            "addresses",
            multiple=True,
            default=(":9910",),
            show_default=True,
            help="Where to listen; repeat for several. Without a host: all addresses of both families.",
        ),
        click.option(
            "--web.config.file",
            "config_file",
            type=click.Path(path_type=Path),
            help="TLS and users, as Prometheus's exporter-toolkit has it; re-read when it changes.",
        ),
        click.option(
            "--inventory",
            type=click.Path(path_type=Path),
            default=_INVENTORY,
            show_default=True,
            help="The city's folder; re-read when it changes.",
        ),
        click.option(
            "--records",
            type=click.Path(path_type=Path),
            default=_RECORDS,
            show_default=True,
            help="The folder of check records (security.json, backup.json, availability.json).",
        ),
        click.option(
            "--drills",
            type=click.Path(path_type=Path),
            help="The folder of drill records.  [default: drills beside the records]",
        ),
        click.option(
            "--deploys",
            type=click.Path(path_type=Path),
            help="The folder of the deploy's record.  [default: deploy beside the records]",
        ),
        click.option(
            "--interval", type=Duration(), default="30s", show_default=True, help="Between rounds of probes."
        ),
        click.option("--timeout", type=Duration(), default="3s", show_default=True, help="For one probe."),
        click.option(
            "--packets",
            type=click.IntRange(1, 20),
            default=3,
            show_default=True,
            help="Echo requests to a target in a round; loss is counted over all of them.",
        ),
        click.option(
            "--inspect-interval",
            "inspect",
            type=Duration(),
            default="10m",
            show_default=True,
            help="Between two looks at certificates, cipher suites and IPv6 readiness.",
        ),
        click.option(
            "--shard",
            type=ShardType(),
            default=WHOLE,
            metavar="PART",
            help="Probe a part of the city: county=SITE, county=none for what belongs to no county, or "
            "NUMBER/OF such as 2/4. Others probe the rest.  [default: all of it]",
        ),
        click.option(
            "--prometheus",
            default="",
            metavar="URL",
            help="The Prometheus that the status page asks for a year of availability, such as "
            "http://[::1]:9090.  [default: none; the page says so]",
        ),
        click.option(
            "--probe/--no-probe",
            default=True,
            help="Probe availability here, or read its records as those of the other checks.",
        ),
        click.option(
            "--max-age",
            "max_age",
            multiple=True,
            callback=_max_ages,
            metavar="NAME=DURATION",
            help="When a collector's records are stale; repeat for several.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return access_options("prometheus-", "that Prometheus's")(command)


@click.group(
    epilog="""\b
Examples:
  jizuo exporter all --inventory inventories/lab
  jizuo exporter all --prometheus http://[::1]:9090
  jizuo exporter availability --web.listen-address=[::1]:9910 --interval 10s
  jizuo exporter availability --shard county=360981
  jizuo exporter availability --shard 2/4
  jizuo exporter security --web.listen-address=:9911 \\
      --web.config.file=/etc/jizuo/web.yml
  jizuo exporter prometheus-config inventories/lab --out /etc/prometheus""",
)
def exporter() -> None:
    """Serve metrics to Prometheus, and the status page to people."""


def _add(name: str, collectors: frozenset[str], text: str) -> None:
    @exporter.command(
        name,
        help=text,
        short_help=text.partition(".")[0] + ".",
        epilog=f"""\b
Examples:
  jizuo exporter {name} --inventory inventories/lab
  jizuo exporter {name} --inventory inventories/lab \\
      --web.listen-address=127.0.0.1:9910
  curl --silent 'http://[::1]:9910/metrics'""",
    )
    @_served
    def command(**options: Any) -> None:
        _serve(collectors, **options)


_add(
    "availability",
    frozenset({"availability"}),
    "Probe nodes and systems in both families. A scrape gets the last finished round and never waits for one.",
)
_add("backup", frozenset({"backup", "drill"}), "Backup jobs and drills, from their records.")
_add("security", frozenset({"security"}), "Controls of GB/T 22239 on every host, from the audit's records.")
_add(
    "all",
    frozenset({"availability", "backup", "security", "drill", "deploy"}),
    "Everything, with the status page of the whole city at /.",
)


def _serve(
    names: frozenset[str],
    addresses: tuple[str, ...],
    config_file: Path | None,
    inventory: Path,
    records: Path,
    drills: Path | None,
    deploys: Path | None,
    interval: float,
    timeout: float,
    packets: int,
    inspect: float,
    shard: Shard,
    prometheus: str,
    probe: bool,
    max_age: dict[str, float],
    prometheus_ca: str,
    prometheus_user: str,
    prometheus_password_file: str,
) -> None:
    # Only a command that serves pays for aiohttp and jinja2.
    from exporters.monitor import Collectors
    from exporters.places import county_names
    from exporters.service import Exporter
    from exporters.web.configuration import WebConfigError
    from exporters.web.listening import ListenError
    from inventories.cli import load_or_exit

    reached = access_or_refuse("prometheus-", prometheus_ca, prometheus_user, prometheus_password_file)
    city = load_or_exit(inventory)
    if shard.county not in ("", NO_COUNTY, *county_names(city)):
        raise click.ClickException(
            f"--shard county={shard.county}: {inventory} has no such county; write one of "
            f"{', '.join(county_names(city))}, or {NO_COUNTY}"
        )
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    collectors = Collectors(
        inventory=inventory,
        records=records,
        drills=drills or records.parent / "drills",
        deploys=deploys or records.parent / "deploy",
        names=names,
        probe=probe,
        interval=interval,
        timeout=timeout,
        max_age=max_age,
        packets=packets,
        inspect=inspect,
        shard=shard,
    )

    async def run() -> None:
        await Exporter(collectors, list(addresses), config_file, prometheus, reached).run_until_signal(_say)

    try:
        asyncio.run(run())
    except (WebConfigError, ListenError) as error:
        raise click.ClickException(str(error)) from error


def _say(urls: list[str]) -> None:
    for url in urls:
        click.echo(f"jizuo exporter: metrics at {url}/metrics, status page at {url}/", err=True)


exporter.add_command(prometheus_config)
exporter.add_command(agent_config)
exporter.add_command(province_config)
exporter.add_command(dashboards)
exporter.add_command(sizing)
