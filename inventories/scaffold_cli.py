"""The command `jizuo inventory new`: begin a city's inventory from the national statistics."""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from inventories.records import Division
from inventories.scaffold import CityRequest, ScaffoldError, scaffold


@click.command(
    epilog="""\b
Examples:
  jizuo inventory new my-city --divisions divisions.csv.gz --city 3608
  jizuo inventory new my-city --divisions divisions.csv.gz --city 3609 \\
      --zone 360902400 --zone 360902402 --zone 360902403 \\
      --domain yichun.example --partner 3603:pingxiang""",
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--divisions",
    "statistics",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Statistical divisions, CSV or .csv.gz, with the columns code, name, level, parent.",
)
@click.option("--city", required=True, metavar="CODE", help="The prefecture city, 4 digits.")
@click.option("--domain", metavar="NAME", help="The zone of the hosts' names.  [default: c<CODE>.example]")
@click.option(
    "--zone",
    "zones",
    multiple=True,
    metavar="CODE",
    help="A functional zone: a township of the statistics that is a county-level peer. Repeatable.",
)
@click.option(
    "--partner",
    default="",
    metavar="CODE[:NAME]",
    help="The other prefecture city where the off-site copies stand; NAME as in offsite-NAME.",
)
@click.option("--ipv6", default=CityRequest._field_defaults["ipv6"], metavar="PREFIX", show_default=True)
@click.option("--ipv4", default=CityRequest._field_defaults["ipv4"], metavar="PREFIX", show_default=True)
def new(
    directory: Path,
    statistics: Path,
    city: str,
    domain: str | None,
    zones: tuple[str, ...],
    partner: str,
    ipv6: str,
    ipv4: str,
) -> None:
    """Write the inventory of a new city into DIRECTORY, which must not exist.

    Each county, township and village gets a site, a router and its uplinks; the city gets a core of two
    planes, the province's router above it, a border router to the internet, and one node each for the
    clouds, backups and operations. Nodes, systems and backups are then added by hand: inventories/yichun
    shows how. The prefixes of the province, the partner and the internet in city.toml are inputs: put
    the real ones there.
    """
    partner_code, _, partner_name = partner.partition(":")
    request = CityRequest(
        city, domain or f"c{city}.example", zones, partner_code, partner_name, ipv6=ipv6, ipv4=ipv4
    )
    try:
        files = scaffold(read_divisions(statistics), request)
        write_new(directory, files)
    except (ScaffoldError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    counts = [
        f"{len(text.splitlines()) - 1} {name.removesuffix('.csv')}"
        for name, text in files.items()
        if name.endswith(".csv")
    ]
    click.echo(f"{directory}: {', '.join(counts)}")
    click.echo(f"Next: jizuo inventory validate {directory}; jizuo plan {directory} --allocate")


def read_divisions(path: Path) -> Iterator[Division]:
    """The divisions of a CSV file, plain or compressed by gzip (RFC 1952), in its order.

    Raises:
        ValueError: a row is no division; the message names file and line.
        OSError: the file cannot be read.
    """
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text)
        try:
            for row in reader:
                yield msgspec.convert(row, Division)
        except (msgspec.ValidationError, csv.Error, UnicodeDecodeError) as error:
            message = f"{path}:{reader.line_num}: {error}; the columns are code,name,level,parent in UTF-8"
            raise ValueError(message) from error


def write_new(directory: Path, files: dict[str, str]) -> None:
    """Write the files into a new directory, which appears whole or not at all.

    Raises:
        FileExistsError: the directory is there already.
        OSError: it cannot be written.
    """
    if directory.exists():
        raise FileExistsError(f"{directory} is there already; name a new directory, or remove it first")
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        for name, text in files.items():
            (beside / name).write_text(text, encoding="utf-8", newline="\n")
        beside.chmod(0o777 & ~_umask())
        beside.rename(directory)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
