"""The command `jizuo exporter agent-config`: writes what a county's Prometheus in agent mode reads."""

from __future__ import annotations

from pathlib import Path

import click

from exporters.prometheus_cli import folder_options, put_files
from inventories.records import Family


@click.command(
    "agent-config",
    epilog="""\b
Examples:
  jizuo exporter agent-config inventories/lab --node agent-1 \\
      --out /tmp/agent \\
      --write ops-1=https://ops-1.yichun.example:8427/api/v1/write \\
      --ca ca.pem --certificate agent.pem --key agent-key.pem
  promtool check config --agent /tmp/agent/prometheus.yml

\b
Exit codes: 0 nothing to change or all written, 2 with --dry and changes
pending, 1 failed.""",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--node", required=True, help="The agent node, as nodes.csv has it.")
@click.option(
    "--write",
    "writes",
    multiple=True,
    required=True,
    metavar="NAME=URL",
    help="A storage of the city that takes remote writes; may be given several times.",
)
@click.option("--ca", default="", metavar="FILE", help="Ask and write over TLS, trusting this authority.")
@click.option("--certificate", default="", metavar="FILE", help="What the agent shows to all (with --ca).")
@click.option("--key", default="", metavar="FILE", help="The file of that certificate's key.")
@click.option(
    "--web-config", default="", metavar="FILE", help="How the agent itself is reached (Prometheus's web.yml)."
)
@click.option(
    "--family",
    type=click.Choice(list(Family)),
    default=Family.IPV6,
    show_default=True,
    help="Over which management addresses to scrape.",
)
@folder_options("prometheus.yml, prometheus.arguments and targets/")
def agent_config(
    path: Path,
    node: str,
    writes: tuple[str, ...],
    ca: str,
    certificate: str,
    key: str,
    web_config: str,
    family: str,
    folder: Path,
    dry: bool,
    as_json: bool,
) -> None:
    """Write the files of a county's Prometheus in agent mode.

    It scrapes the hosts of the county that NODE stands in, and writes their
    samples to the city. What it cannot write it keeps, and writes later.
    """
    from exporters.access import Access
    from exporters.prometheus import Settings
    from exporters.remote import agent_files
    from inventories.allocation import PlanError
    from inventories.cli import load_or_exit
    from inventories.plan import build_plan

    urls = dict(text.partition("=")[::2] for text in writes)
    if not all(name and url for name, url in urls.items()) or len(urls) < len(writes):
        raise click.UsageError("write --write NAME=URL, each NAME once")
    if len({bool(file) for file in (ca, certificate, key)}) > 1:
        raise click.UsageError("--certificate, --key and --ca go together")
    city = load_or_exit(path)
    try:
        access = Access(ca=ca, certificate=certificate, key=key)
        settings = Settings(family=Family(family), access=access)
        made = agent_files(city, build_plan(city), node, urls, settings, web_config)
    except (PlanError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    put_files(folder, made, dry, as_json)
