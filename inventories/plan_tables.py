"""How does a person read the address plan? Tables that fit into 80 columns; JSON lines for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Literal

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inventories.plan import AddressPlan, UsageRow
from inventories.plan_diff import Change
from inventories.records import Family, Level, Site

#: Up to so many sites are all shown; of a larger plan, the levels down to the township.
ALL_SITES = 100
#: A pool this full is marked.
NEARLY_FULL = 0.9


def print_plan(plan: AddressPlan) -> None:
    """Print each site's prefixes, then how many prefixes and addresses there are in all."""
    small = len(plan.city.sites) <= ALL_SITES
    table = _table(("Site", 36), ("IPv6", None), ("IPv4", None))
    layout = plan.city.layout
    table.add_row(f"{layout.division} {layout.name}", layout.ipv6.prefix, layout.ipv4.prefix)
    for site in plan.city.sites.values():
        if small or site.level is not Level.VILLAGE:
            table.add_row(*_site_cells(plan, site))
    _print(table)
    if not small:
        villages = sum(site.level is Level.VILLAGE for site in plan.city.sites.values())
        click.echo(f"{villages} villages are not shown; --format csv has them")
    click.echo(_totals(plan))


def _site_cells(plan: AddressPlan, site: Site) -> tuple[str, str, str]:
    depth = {Level.TOWNSHIP: 2, Level.VILLAGE: 3}.get(site.level, 1)
    division = plan.city.divisions.get(site.division)
    label = f"{site.id} {division.name}" if site.level is not Level.CITY and division else site.id
    ipv4 = plan.site_prefix(site.id, Family.IPV4)
    more = f" +{len(ipv4) - 1}" if len(ipv4) > 1 else ""
    return "  " * depth + label, str(plan.site_prefix(site.id, Family.IPV6)[0]), f"{ipv4[0]}{more}"


def _totals(plan: AddressPlan) -> str:
    prefixes = Counter(row.family for row in plan.prefixes())
    addresses = Counter(row.family for row in plan.addresses())
    return (
        f"{prefixes.total()} prefixes ({prefixes[Family.IPV6]} IPv6, {prefixes[Family.IPV4]} IPv4), "
        f"{addresses.total()} addresses ({addresses[Family.IPV6]} IPv6, {addresses[Family.IPV4]} IPv4)"
    )


def print_usage(plan: AddressPlan, *, as_json: bool) -> None:
    """Print how full each pool of the city and of each county is, and the fullest of each level below."""
    rows = plan.usage()
    if as_json:
        for row in rows:
            click.echo(json.dumps({**row._asdict(), "full": round(row.full, 6)}, ensure_ascii=False))
        return
    pools = {Level.CITY.value: [row for row in rows if row.level == Level.CITY]}
    pools[Level.COUNTY.value] = [row for row in rows if row.level == Level.COUNTY]
    below = [row for row in rows if row.level not in pools]
    _print(_pool_table(pools[Level.CITY.value]))
    click.echo()
    _print(_county_table(pools[Level.COUNTY.value]))
    if below:
        click.echo()
        _print(_pool_table(_fullest_of_each(below)))
    if fullest := max(rows, key=lambda row: row.full, default=None):
        click.echo(f"fullest: {fullest.resource} of {fullest.name} ({fullest.division}), {fullest.full:.0%}")


def _fullest_of_each(rows: list[UsageRow]) -> list[UsageRow]:
    """The fullest pool of each kind and level, with how many such pools there are."""
    kinds: dict[tuple[str, str], list[UsageRow]] = {}
    for row in rows:
        kinds.setdefault((row.level, row.resource.partition(" of site ")[0]), []).append(row)
    return [
        max(pools, key=lambda row: row.full)._replace(resource=f"{resource}: fullest of {len(pools)}")
        for (_, resource), pools in kinds.items()
    ]


def _pool_table(rows: Iterable[UsageRow]) -> Table:
    """One pool a line: of whom, of what, how many are used, held for members that are gone, and there."""
    table = _table(("Division", 18), ("Pool", 42), ("Used", 0), ("Of", 0), ("Full", 0))
    for row in rows:
        used = f"{row.used}+{row.gone}" if row.gone else f"{row.used}"
        cells = f"{row.division} {row.name}", row.resource, used, f"{row.capacity}", f"{row.full:.0%}"
        table.add_row(*(Text(cell, style=_style(row)) for cell in cells))
    return table


def _county_table(rows: list[UsageRow]) -> Table:
    """One county a line, its pools as used/capacity, the fullest of each line in bold and with its share."""
    resources = dict.fromkeys(row.resource for row in rows)
    shown = [r for start in _COLUMNS for r in resources if r.startswith(start) and not r.endswith(_DIRECT)]
    heads = [head for start, head in _COLUMNS.items() for r in shown if r.startswith(start)]
    table = _table(("County", 20), *((head, 0) for head in heads), ("Full", 0))
    for code in dict.fromkeys(row.division for row in rows):
        pools = {row.resource: row for row in rows if row.division == code}
        fullest = max(pools.values(), key=lambda row: row.full)
        cells = [Text(f"{code} {fullest.name}", style=_style(fullest))]
        for resource in shown:
            pool = pools.get(resource)
            text = f"{pool.used + pool.gone}/{pool.capacity}" if pool else ""
            cells.append(Text(text, style=_style(fullest) or "bold" if pool is fullest else ""))
        cells.append(Text(f"{fullest.full:.0%}", style=_style(fullest)))
        table.add_row(*cells)
    return table


#: What a county's pools are called at the head of a column.
_COLUMNS = {
    "IPv6 prefixes": "IPv6",
    "IPv4 blocks": "Blocks",
    "IPv4 LANs": "LANs",
    "IPv4 loopbacks": "Routers",
    "IPv4 links": "Links",
}
#: The pool of villages directly below a county has no column: few counties have any.
_DIRECT = "of villages"


def _style(row: UsageRow) -> str:
    return "bold red" if row.full >= NEARLY_FULL else ""


def print_changes(changes: Iterable[Change], *, as_json: bool) -> None:
    """Print what differs: `-` removed, `~` changed with both rows, `+` added, and how many of each."""
    counts: Counter[str] = Counter()
    for change in changes:
        counts[change.what] += 1
        if as_json:
            click.echo(json.dumps(change._asdict(), ensure_ascii=False))
        elif change.what == "changed":
            click.secho(f"~ {' '.join(change.before)}", fg="yellow")
            click.secho(f"  -> {' '.join(change.after)}", fg="yellow")
        else:
            added = change.what == "added"
            click.secho(
                f"{'+' if added else '-'} {' '.join(change.before or change.after)}",
                fg="green" if added else "red",
            )
    if not as_json:
        click.echo(f"{counts['added']} added, {counts['removed']} removed, {counts['changed']} changed")


def _table(*columns: tuple[str, int | None]) -> Table:
    """A table without lines; a column is as wide as its content up to a limit in cells; 0 is for numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, limit in columns:
        justify: Literal["left", "right"] = "right" if limit == 0 else "left"
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=limit or None, justify=justify)
    return table


def _print(table: Table) -> None:
    """Print without rich's replacement of `:100:` and the like, which stand in IPv6 prefixes."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=80)
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
