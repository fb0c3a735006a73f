"""The command `jizuo exporter prometheus-config`: writes what Prometheus and Alertmanager read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from inventories.records import Family

Command = Callable[..., Any]


@click.command(
    "prometheus-config",
    epilog="""\b
Examples:
  jizuo exporter prometheus-config inventories/lab --out /tmp/prometheus
  jizuo exporter prometheus-config inventories/lab --out /tmp/prometheus \\
      --contacts /etc/jizuo/contacts.toml
  jizuo exporter prometheus-config /etc/jizuo/inventory --dry \\
      --out /etc/prometheus
  promtool check config /tmp/prometheus/prometheus.yml

\b
Exit codes: 0 nothing to change or all written, 2 with --dry and changes
pending, 1 failed.""",
)
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--inventory", type=click.Path(path_type=Path), help="The city's folder; the same as PATH.")
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where prometheus.yml, alertmanager.yml, targets/, rules/ and runbooks/ go.",
)
@click.option(
    "--family",
    type=click.Choice(list(Family)),
    default=Family.IPV6,
    show_default=True,
    help="Over which management addresses to scrape.",
)
@click.option(
    "--interval",
    type=click.IntRange(min=0, max=3600),
    default=0,
    show_default=False,
    metavar="SECONDS",
    help="Between two scrapes.  [default: what city.toml says, else 15]",
)
@click.option("--ca", default="", metavar="FILE", help="Ask daemons over TLS, trusting this authority.")
@click.option("--user", default="", help="Who Prometheus logs in as, at daemons that people look at too.")
@click.option("--password-file", default="", metavar="FILE", help="The file of that user's password.")
@click.option(
    "--certificate", default="", metavar="FILE", help="What Prometheus shows to node exporters (with --ca)."
)
@click.option("--key", default="", metavar="FILE", help="The file of that certificate's key.")
@click.option(
    "--cluster-tls", default="", metavar="FILE", help="The mutual TLS of Alertmanagers among themselves."
)
@click.option(
    "--contacts",
    type=click.Path(path_type=Path),
    help="Who is told of alerts, by mail and webhook (TOML).  [default: nobody]",
)
@click.option(
    "--objectives",
    type=click.Path(path_type=Path),
    help="What availability is promised (TOML).  [default: the kit's own]",
)
@click.option(
    "--replica", default="", help="The node that this Prometheus runs on, where several watch the same."
)
@click.option(
    "--runbook-url",
    default="",
    metavar="URL",
    help="Where runbooks are served; {alert} in it stands for the alert's name.  [default: by the exporter]",
)
@click.option(
    "--storage-url",
    default="",
    metavar="URL",
    help="Write all samples there too (remote write), to keep long.",
)
@click.option(
    "--province-ca",
    default="",
    metavar="FILE",
    help="The authority of the province that city.toml writes to.",
)
@click.option(
    "--province-password-file", default="", metavar="FILE", help="The file of the city's password there."
)
@click.option("--dry", is_flag=True, help="Say what would be written and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program.")
def prometheus_config(
    path: Path | None,
    inventory: Path | None,
    folder: Path,
    contacts: Path | None,
    objectives: Path | None,
    ca: str,
    user: str,
    password_file: str,
    certificate: str,
    key: str,
    province_ca: str,
    province_password_file: str,
    dry: bool,
    as_json: bool,
    **chosen: str | int,
) -> None:
    """Write the files that Prometheus and Alertmanager read for the city in PATH.

    Only files that differ are written, each whole; Prometheus itself follows changed targets, and has to be
    reloaded for changed rules.
    """
    from exporters.access import Access, access_or_refuse
    from exporters.alerting.burn_rate import ObjectivesError, read_objectives
    from exporters.prometheus import NodeError, Settings, files_of
    from inventories.allocation import PlanError
    from inventories.cli import load_or_exit
    from inventories.contacts import ContactsError, read_contacts
    from inventories.plan import build_plan

    source = path or inventory
    if source is None or (path and inventory and path != inventory):
        raise click.UsageError("name the city's folder once, as PATH or with --inventory")
    if bool(province_ca) != bool(province_password_file):
        raise click.UsageError("--province-ca and --province-password-file go together")
    if bool(certificate) != bool(key) or (certificate and not ca):
        raise click.UsageError("--certificate, --key and --ca go together")
    login = access_or_refuse("", ca, user, password_file)
    access = login._replace(certificate=certificate, key=key)
    city = load_or_exit(source)
    settings = Settings(**{**chosen, "family": Family(chosen["family"]), "access": access})  # type: ignore[arg-type]
    province = Access(province_ca, password_file=province_password_file)
    settings = settings._replace(province=province)
    try:
        if contacts:
            settings = settings._replace(contacts=read_contacts(contacts, frozenset(city.units)))
        if objectives:
            settings = settings._replace(objectives=read_objectives(objectives))
        files = files_of(city, build_plan(city), settings)
    except (PlanError, ContactsError, ObjectivesError, NodeError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    put_files(folder, files, dry, as_json)


def folder_options(holds: str) -> Callable[[Command], Command]:
    """The options of a command that ends with :func:`put_files`: the folder, which then holds that, and how to tell."""

    def add(command: Command) -> Command:
        command = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program.")(command)
        command = click.option("--dry", is_flag=True, help="Say what would be written and write nothing.")(
            command
        )
        folder = click.Path(path_type=Path, file_okay=False)
        return click.option("--out", "folder", type=folder, required=True, help=f"Where {holds} go.")(command)

    return add


def put_files(folder: Path, files: Mapping[str, bytes], dry: bool, as_json: bool) -> NoReturn:
    """Writes the files that differ, or says which they are; ends the program with 2 when that leaves some to write."""
    from exporters.write_files import differing, write_files

    try:
        changed = differing(folder, files) if dry else write_files(folder, files)
    except OSError as error:
        raise click.ClickException(f"{error.filename or folder}: {error.strerror}") from error
    _print_files(folder, list(files), set(changed), dry, as_json)
    sys.exit(2 if dry and changed else 0)


def _print_files(folder: Path, names: list[str], changed: set[str], dry: bool, as_json: bool) -> None:
    """Says what became of each file, to people or to a program."""
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "files": names, "changed": sorted(changed)}))
        return
    done = "would change" if dry else "written"
    table = Table("file", "", box=None, pad_edge=False)
    for name in names:
        table.add_row(name, done if name in changed else "unchanged")
    Console().print(table)
