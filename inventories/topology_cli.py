"""The command `jizuo topology`: the network in a picture, or as data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inventories.cli import exit_with, load_or_exit
from inventories.problems import Suggestions
from inventories.records import City, Level, Site

if TYPE_CHECKING:
    from inventories.plan import AddressPlan

FORMATS = ("svg", "json", "dot")


@click.command(
    epilog="""\b
Examples:
  jizuo topology inventories/yichun --out yichun.svg
  jizuo topology inventories/yichun --county 360981 --out fengcheng.svg
  jizuo topology inventories/lab --format json | jq '.links[].ipv6'
  jizuo topology inventories/lab --format dot | dot -Tpdf -o lab.pdf

\b
The keys of the JSON document:
  city, division  the city's name and code
  county          the county asked for, empty for the whole city
  networks        private networks: id, name, unit, vni, ipv4, ipv6, sites
  nodes           id, name, role, site, site_role, place, level, plane, zone,
                  county, township, asn (0 on a LAN), ipv4, ipv6 (a router's
                  loopback, a host's address)
  links           id, a (the upper end), b, kind, plane, zone, ipv4, ipv6
                  (the routed link's prefix, or the LAN's)
plane is a, b or both; zone is public, internet or a private network's id."""
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="svg", show_default=True, help="What to print."
)
@click.option("--county", metavar="CODE", help="One county whole, by its code or name.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write into FILE, not to standard output.",
)
def topology(path: Path, form: str, county: str | None, out: Path | None) -> None:
    """Draw the network of the inventory PATH, in Chinese.

    A large city is drawn down to its townships, and each county whole with --county; a small one is drawn
    whole. The same inventory gives the same bytes. Exit code 0 all well, 1 an error.
    """
    city = load_or_exit(path)
    site = _county(path, city, county) if county is not None else None
    text = _render(city, _plan(path, city), form, site)
    if out is None:
        sys.stdout.buffer.write(text.encode())
        return
    from inventories.files import write_file

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        changed = write_file(out, text)
    except OSError as error:
        raise click.ClickException(f"{out}: it cannot be written: {error.strerror or error}") from error
    click.echo(f"{out}: {'written' if changed else 'unchanged'}", err=True)


def _plan(path: Path, city: City) -> AddressPlan:
    from inventories.allocation import PlanError
    from inventories.plan import build_plan
    from inventories.plan_problems import plan_problems

    try:
        return build_plan(city)
    except PlanError as error:
        exit_with(plan_problems(path, city, error))


def _county(path: Path, city: City, wanted: str) -> Site:
    """The county-level site with that code or name.

    Raises:
        ClickException: there is none; names the nearest.
    """
    counties = {site.id: site for site in city.sites.values() if site.level is Level.COUNTY}
    names = {city.divisions[site.division].name: site for site in counties.values()}
    found = counties.get(wanted) or names.get(wanted)
    if found is not None:
        return found
    known = [*counties, *names]
    fix = Suggestions().fix(wanted, known, f"see jizuo inventory show {path} --depth county")
    raise click.ClickException(f"{path / 'sites.csv'}: there is no county {wanted!r}; {fix}")


def _render(city: City, plan: AddressPlan, form: str, county: Site | None) -> str:
    if form == "svg":
        from inventories.picture.as_svg import render_svg
        from inventories.picture.pictures import city_picture, county_picture

        return render_svg(county_picture(city, plan, county) if county else city_picture(city, plan))
    from inventories.picture.as_dot import render_dot
    from inventories.picture.as_json import render_json
    from inventories.picture.graph import graph_of

    graph = graph_of(city, plan, county.id if county else "")
    return render_json(graph) if form == "json" else render_dot(city, graph)
