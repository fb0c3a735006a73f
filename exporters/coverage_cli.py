"""The command `jizuo coverage`: by county and level, what stands planned, built, reachable in each family."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inventories.cli import load_or_exit

if TYPE_CHECKING:
    from checks.record import Record
    from exporters.coverage_report import Probed

#: Where the operations node's checks write their records.
RECORDS = Path("/var/lib/jizuo/records")
FILE = "availability.json"
FORMATS = ("table", "csv", "json")
#: The exit code when something built is not reachable.
FINDINGS = 2


@click.command(
    epilog="""\b
Examples:
  jizuo coverage inventories/lab
  jizuo check inventories/lab availability --out records
  jizuo coverage inventories/lab --records records
  jizuo coverage /etc/jizuo/inventory --format csv > coverage.csv
  jizuo coverage inventories/lab --format json | jq '.not_reachable[].name'

\b
Planned is every division of divisions.csv in the city, and the province above
it, with or without a site. Built is where a router stands. Reachable is where
a node answered the newest availability check; without its records nothing is
said of that.

\b
CSV: scope (county, city), code, name, level (all: the five together),
     planned, built, reachable_ipv4, reachable_ipv6 (empty: not probed),
     probed_at
JSON: city, probed_at, age_seconds, is_old (null: nothing was probed), all
      and levels (planned, built, reachable_ipv4, reachable_ipv6), counties
      (county, name, levels), not_built and not_reachable (division, name,
      level, county; family, state: "no answer" or "not probed")

\b
Exit codes: 0 all that is built and was probed answers, 2 something built did
not answer in a family or was left out of the probes, 1 an error."""
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="What to print."
)
@click.option(
    "--records",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"The folder with {FILE}, as jizuo check --out writes it.  [default: {RECORDS} where it is]",
)
def coverage(path: Path, form: str, records: Path | None) -> None:
    """Say how far the extranet of the inventory PATH reaches: 村村通, 五级覆盖."""
    from checks import table
    from exporters.coverage import places_of
    from exporters.coverage_report import as_csv, as_json, print_report, report

    city = load_or_exit(path)
    found = _records(records)
    made = report(city, places_of(city, found), _probed(found))
    if form == "table":
        print_report(made, table.console())
    else:
        sys.stdout.write(as_csv(made) if form == "csv" else as_json(made))
    sys.exit(FINDINGS if made.has_findings else 0)


def _records(folder: Path | None) -> Sequence[Record]:
    """The availability check's records; none where nobody named a folder and the usual one has none."""
    import msgspec

    from checks.record import read_records

    file = (folder or RECORDS) / FILE
    try:
        return read_records(file)
    except FileNotFoundError as error:
        if folder is None:
            return ()
        how = f"jizuo check PATH availability --out {folder}"
        raise click.ClickException(f"{file}: it is not there; write it with: {how}") from error
    except OSError as error:
        raise click.ClickException(f"{file}: it cannot be read: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{file}: it holds no records: {error}") from error


def _probed(records: Sequence[Record]) -> Probed | None:
    """When the newest echo request was made; None where there is none."""
    from exporters.cli import MAX_AGE
    from exporters.coverage_report import Probed
    from exporters.readings import epoch_seconds

    try:
        moments = [(epoch_seconds(record.at), record.at) for record in records if record.check == "icmp"]
    except ValueError as error:
        raise click.ClickException(f"{FILE}: {error}") from error
    if not moments:
        return None
    newest, at = max(moments)
    age = time.time() - newest
    return Probed(at, age, age > MAX_AGE["availability"])
