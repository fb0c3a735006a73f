"""The command `jizuo status`: the status page's first screen in a terminal, from records or a running exporter."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporters.access import Access, AccessError, access_options, access_or_refuse

if TYPE_CHECKING:
    from exporters.snapshot import Inventory, Snapshot
    from exporters.status.summary import Summary

#: Where the operations node's checks write their records.
RECORDS = Path("/var/lib/jizuo/records")
#: Seconds that an exporter may take to answer.
_TIMEOUT = 10.0


@click.command(
    epilog="""\b
Examples:
  jizuo status inventories/lab
  jizuo status inventories/lab --records records --drills drills
  jizuo status --url http://[::1]:9910
  jizuo status --url https://ops-1:9910 --ca authority.pem \\
      --user operations --password-file password
  jizuo status inventories/lab --json | jq '.systems_down[].name'

\b
The records are those of `jizuo check PATH availability --out DIR`, and of
`security` and `backup`. With --url the running exporter says it: its probes
are seconds old. Signs: + well, ! attention, X fault, ? not known.

\b
Exit codes: 0 all well, 2 something is not, 1 something could not be read."""
)
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option(
    "--records",
    type=click.Path(path_type=Path),
    default=RECORDS,
    show_default=True,
    metavar="DIR",
    help="The folder with availability.json, backup.json and security.json.",
)
@click.option(
    "--drills",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of drill records.  [default: drills beside the records]",
)
@click.option("--url", default="", help="Ask this exporter instead; PATH is not needed then.")
@access_options("", "the exporter's")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(
    path: Path | None,
    records: Path,
    drills: Path | None,
    url: str,
    ca: str,
    user: str,
    password_file: str,
    as_json: bool,
) -> None:
    """Say on one screen how the city of the inventory PATH stands."""
    import msgspec

    from checks import table
    from exporters.status.terminal import lines

    if url:
        summary = _asked(url, access_or_refuse("", ca, user, password_file))
    elif path is not None:
        summary = _read(path, records, drills or records.parent / "drills")
    else:
        raise click.UsageError("of which city? Name its inventory PATH, or an exporter with --url")
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    else:
        console = table.console()
        for line in lines(summary):
            console.print(line, soft_wrap=True)
        for source in summary.sources:
            if source.trouble and source.message:
                click.echo(f"jizuo status: {source.name}: {source.message}", err=True)
    sys.exit(summary.exit_code)


def _asked(url: str, access: Access) -> Summary:
    """The summary of a running exporter."""
    import msgspec

    from exporters.status.summary import Summary

    where = f"{url.rstrip('/')}/status.json"
    if not where.startswith(("http://", "https://")):
        raise click.UsageError(f"--url {url}: write http://HOST:PORT or https://HOST:PORT")
    try:
        request = urllib.request.Request(where, headers=access.headers())  # noqa: S310 - the scheme was checked
        with urllib.request.urlopen(request, timeout=_TIMEOUT, context=access.context()) as answer:  # noqa: S310
            return msgspec.json.decode(answer.read(), type=Summary)
    except urllib.error.HTTPError as error:
        hint = "; it wants a login: give --user and --password-file" if error.code == 401 else ""
        raise click.ClickException(f"{where}: {error.code} {error.reason}{hint}") from error
    except AccessError as error:
        raise click.ClickException(str(error)) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise click.ClickException(f"{where}: {why}; does `jizuo exporter all` run there?") from error
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{where}: it answers, but not as this exporter does: {error}") from error


def _read(path: Path, records: Path, drills: Path) -> Summary:
    """The summary of an inventory and folders of records; what is missing there is said, not left out."""
    from exporters.status.overview import overview
    from exporters.status.summary import summary_of

    snapshot, inventory = _snapshot(path, records, drills)
    now = time.time()
    return summary_of(overview(snapshot, inventory, now), now)


def _snapshot(path: Path, records: Path, drills: Path) -> tuple[Snapshot, Inventory]:
    from exporters.cli import MAX_AGE
    from exporters.drift import parse_drift
    from exporters.drills import parse_drills
    from exporters.parsing import parse_cycle, parse_inventory, parse_records
    from exporters.snapshot import Snapshot
    from exporters.sources import FileSource
    from inventories.cli import load_or_exit

    load_or_exit(path)  # says every problem of an inventory with its file and line
    city = FileSource(path, parse_inventory, pattern="*")
    cycle = FileSource(records / "availability.json", parse_cycle, MAX_AGE["availability"])
    backup = FileSource(records / "backup.json", parse_records, MAX_AGE["backup"])
    security = FileSource(records / "security.json", parse_records, MAX_AGE["security"])
    held = FileSource(drills, parse_drills, optional=True)
    drift = FileSource(records.parent / "deploy", parse_drift, pattern="drift.json", optional=True)
    for source in (city, cycle, backup, security, held, drift):
        source.refresh()
    if city.reading.value is None:
        raise click.ClickException(city.reading.message)
    snapshot = Snapshot(
        inventory=city.reading,
        availability=cycle.reading,
        backup=backup.reading,
        security=security.reading,
        drill=held.reading,
        drift=drift.reading,
    )
    return snapshot, city.reading.value
