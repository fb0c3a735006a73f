"""The command `jizuo exporter province-config`: writes what a province's Prometheus reads of its cities."""

from __future__ import annotations

from pathlib import Path

import click

from exporters.prometheus_cli import folder_options, put_files


@click.command(
    "province-config",
    epilog="""\b
Examples:
  jizuo exporter province-config inventories/lab --out /tmp/province
  jizuo exporter province-config cities/* --out /etc/prometheus --dry
  jizuo exporter province-config cities/* --out /etc/prometheus \\
      --alertmanager localhost:9093
  promtool check config /tmp/province/prometheus.yml

\b
Exit codes: 0 nothing to change or all written, 2 with --dry and changes
pending, 1 failed.""",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--credentials",
    default="/etc/prometheus/cities",
    show_default=True,
    metavar="FOLDER",
    help="Where the province's host has CODE.pem, a city's authority, and CODE.password, its login; "
    "CODE as city.toml says (division).",
)
@click.option(
    "--alertmanager",
    "alertmanagers",
    multiple=True,
    metavar="HOST:PORT",
    help="The province's own, which gets its alerts; repeat it for a pair.",
)
@click.option(
    "--runbook-url",
    default="",
    metavar="URL",
    help="Where runbooks/ is served; {alert} in it stands for the alert's name.  [default: no link]",
)
@folder_options("prometheus.yml, rules/, runbooks/ and targets/")
def province_config(
    paths: tuple[Path, ...],
    credentials: str,
    alertmanagers: tuple[str, ...],
    runbook_url: str,
    folder: Path,
    dry: bool,
    as_json: bool,
) -> None:
    """Write the files of a province's Prometheus that reads its cities.

    PATHS are the cities' folders. Each city's Prometheus is asked for sums
    over TLS, as the user `province`, whom a city lets in that has
    `federation = true` under [monitoring] of its city.toml. An alert says when
    a city is heard of no more.
    """
    from exporters.province import province_files
    from inventories.cli import load_or_exit

    cities = [load_or_exit(path) for path in paths]
    try:
        files = province_files(
            cities, credentials.rstrip("/"), alertmanagers=alertmanagers, runbook_url=runbook_url
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    put_files(folder, files, dry, as_json)
