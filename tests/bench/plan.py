"""What does the address plan cost? Seconds, memory and cost a division: Yichun and the whole country.

Run by `jizuo bench plan`. Every prefecture city of the country is planned as a city of its own, one after the
other, with a site, a router and an uplink for each division; the sizes of the IPv4 blocks are fitted to it as
`jizuo inventory new` fits them. Planning is building the plan and reading every row of it, on one CPU. Beside
it stands the same work done the plain way with netaddr objects, for Yichun.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count, groupby
from pathlib import Path
from typing import Any, NamedTuple

from netaddr import IPAddress, IPNetwork

from inventories.load import load_city
from inventories.plan import AddressPlan, build_plan
from inventories.records import (
    City,
    Division,
    Family,
    Ipv4Layout,
    Ipv6Layout,
    Layout,
    Level,
    Link,
    Management,
    Node,
    NodeRole,
    Site,
    SiteRole,
)
from inventories.scaffold_cli import read_divisions
from inventories.sizing import demands, smallest_size

ROOT = Path(__file__).resolve().parents[2]
DIVISIONS = Path(__file__).with_name("data") / "divisions-china-2023.csv.gz"
YICHUN = ROOT / "inventories" / "yichun"
TARGET_SECONDS, TARGET_BYTES = 10.0, 10**9
CORE = "core"


class Cost(NamedTuple):
    """What planning some cities took."""

    cities: int
    divisions: int
    prefixes: int
    addresses: int
    build_seconds: float
    row_seconds: float
    cpu_seconds: float

    @property
    def seconds(self) -> float:
        return self.build_seconds + self.row_seconds

    @property
    def microseconds_a_division(self) -> float:
        """CPU, which does not grow with what else the machine is doing."""
        return self.cpu_seconds / self.divisions * 1e6


def country() -> list[list[Division]]:
    """The divisions of each prefecture city, the city's own first."""
    rows = (row for row in read_divisions(DIVISIONS) if row.level is not Level.PROVINCE)
    return [list(group) for _, group in groupby(sorted(rows, key=_by_city), key=lambda row: row.code[:4])]


def _by_city(row: Division) -> tuple[str, int, str]:
    return row.code[:4], len(row.code), row.code


def city_of(divisions: list[Division]) -> City:
    """A city with a site, a router and an uplink for each of its divisions, and IPv4 sizes that fit."""
    code, sites, nodes, links = divisions[0].code, {}, {}, {}
    sites[CORE] = Site(id=CORE, division=code, level=Level.CITY, role=SiteRole.CORE)
    nodes[CORE] = Node(id=CORE, site=CORE, role=NodeRole.ROUTER)
    for row in divisions[1:]:
        parent = "" if row.level is Level.COUNTY else row.parent
        router, link = f"r{row.code}", f"u{row.code}"
        sites[row.code] = Site(id=row.code, division=row.code, level=row.level, parent=parent)
        nodes[router] = Node(id=router, site=row.code, role=NodeRole.ROUTER)
        links[link] = Link(id=link, a=f"r{parent}" if parent else CORE, b=router)
    return City(
        layout=_layout(divisions[0], list(sites.values()), list(nodes.values())),
        divisions={row.code: row for row in divisions},
        sites=sites,
        nodes=nodes,
        links=links,
    )


def _layout(city: Division, sites: list[Site], nodes: list[Node]) -> Layout:
    """Levels as Yichun has them; IPv4 blocks fitted, in private space (RFC 1918) as nothing is sent."""
    probe = Ipv4Layout(prefix="10.0.0.0/8")
    sizes = {demand.site: smallest_size(demand, probe) for demand in demands(sites, nodes, probe)}
    # One uplink more than the sizing counts is none of the county's: it comes from the core's block.
    uplinks = sum(site.level is Level.COUNTY for site in sites)
    sizes[city.code] = min(20, 27 - uplinks.bit_length())
    total = sum(1 << (32 - bits) for bits in sizes.values())
    bits = 32 - (total - 1).bit_length()
    management = 32 - (len(nodes) + 2).bit_length()
    return Layout(
        name=city.name,
        division=city.code,
        domain=f"c{city.code}.example",
        ipv6=Ipv6Layout(prefix="2001:db8::/32"),
        ipv4=Ipv4Layout(prefix=f"10.0.0.0/{bits}", county_sizes=sizes),
        management=Management(ipv4=f"172.16.0.0/{management}", ipv6="2001:db8:ff00::/48"),
    )


def measure(cities: Iterable[City]) -> Cost:
    """Plan each city and read all its rows."""
    planned = divisions = prefixes = addresses = 0
    building = reading = processing = 0.0
    for city in cities:
        begun, used = time.perf_counter(), time.process_time()
        plan = build_plan(city)
        built = time.perf_counter()
        prefixes += exhaust(plan.prefixes())
        addresses += exhaust(plan.addresses())
        reading += time.perf_counter() - built
        building += built - begun
        processing += time.process_time() - used
        planned += 1
        divisions += len(city.divisions)
        _spot_check(plan)
    return Cost(planned, divisions, prefixes, addresses, building, reading, processing)


def exhaust(rows: Iterable[object]) -> int:
    """Read every row and count them, at next to no cost of its own."""
    numbers = count()
    deque(zip(rows, numbers, strict=False), maxlen=0)
    return next(numbers)


def _spot_check(plan: AddressPlan) -> None:
    """The last site's LANs lie within its county's prefixes, so that a plan of nonsense is no fast plan."""
    site = list(plan.city.sites)[-1]
    for family in Family:
        owner = plan.owner(site)
        if plan.lan(site, family) not in plan.county_prefix(owner, family):
            sys.exit(f"{plan.lan(site, family)} of {site} lies outside {plan.county_prefix(owner, family)}")


def naive(city: City) -> tuple[int, set[str]]:
    """The same prefixes and addresses by netaddr's own objects, taken in order by `subnet()`; no slots, no
    file.

    Answers the number of rows, and every IPv6 LAN.
    """
    layout, rows = city.layout, 0
    lans: set[str] = set()
    children: dict[str, list[str]] = {}
    for site in city.sites.values():
        children.setdefault(site.parent, []).append(site.id)
    counties6 = IPNetwork(layout.ipv6.prefix).subnet(layout.ipv6.county)
    next(counties6)
    lans4 = IPNetwork("10.0.0.0/8").subnet(layout.ipv4.lan)
    links4 = IPNetwork("10.128.0.0/9").subnet(31)
    management = IPNetwork("172.16.0.0/12").iter_hosts()
    management6 = IPNetwork("2001:db8:ff00::/48").iter_hosts()

    def site_rows(
        site: str, prefix6: IPNetwork, links6: Iterator[IPNetwork], loops: Iterator[IPAddress]
    ) -> list[str]:
        lan6, lan4 = next(prefix6.subnet(64)), next(lans4)
        link6, link4 = next(links6), next(links4)
        lans.add(str(lan6))
        texts = [str(network) for network in (prefix6, lan6, lan4, link6, link4)]
        texts += [str(IPAddress(network.first + 1, network.version)) for network in (lan6, lan4)]
        texts += [str(end) for network in (link6, link4) for end in (network[0], network[1])]
        texts += [str(next(loops)), str(next(management)), str(next(management6)), site]
        return texts

    for county in sorted(children.get("", ())):
        if county == CORE:
            continue
        townships6 = next(counties6).subnet(layout.ipv6.township)
        infrastructure = next(townships6)
        pools = infrastructure.subnet(64)
        loops, links6 = next(pools).iter_hosts(), next(pools).subnet(127)
        rows += len(site_rows(county, next(next(townships6).subnet(layout.ipv6.village)), links6, loops))
        for township in sorted(children.get(county, ())):
            villages6 = next(townships6).subnet(layout.ipv6.village)
            rows += len(site_rows(township, next(villages6), links6, loops))
            for village in sorted(children.get(township, ())):
                rows += len(site_rows(village, next(villages6), links6, loops))
    return rows, lans


def compare(city: City) -> dict[str, Any]:
    """The plan and the plain way for one city, best of three each; both must give the same IPv6 LANs."""
    ours = min(measure([city]).cpu_seconds for _ in range(3))
    plain = float("inf")
    for _ in range(3):
        begun = time.process_time()
        _, lans = naive(city)
        plain = min(plain, time.process_time() - begun)
    planned = {
        row.prefix for row in build_plan(city).prefixes() if row.role == "lan" and row.family is Family.IPV6
    }
    missing = lans - planned
    if missing:
        sys.exit(f"the plain way has LANs that the plan has not: {sorted(missing)[:3]}")
    return {"plan_seconds": ours, "netaddr_seconds": plain, "ratio": plain / ours}


def main(arguments: list[str]) -> int:
    """Print the figures; exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="jizuo bench plan", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument(
        "--profile", action="store_true", help="show what dominates (cProfile) for a tenth of the country"
    )
    options = parser.parse_args(arguments)
    if options.profile:
        return _profile()
    figures: dict[str, Any] = {"yichun": _yichun()}
    by_city = country()
    yichun = next(city_of(rows) for rows in by_city if rows[0].code == "3609")
    figures["netaddr"] = compare(yichun)
    linear = {}
    for step in (4, 2, 1):
        cost = measure(map(city_of, by_city[::step]))
        linear[f"1/{step}"] = {
            **cost._asdict(),
            "seconds": cost.seconds,
            "microseconds_a_division": cost.microseconds_a_division,
        }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures["country"] = {**linear.pop("1/1"), "peak_bytes": peak}
    figures["parts"] = linear
    met = figures["country"]["cpu_seconds"] < TARGET_SECONDS and peak < TARGET_BYTES
    if options.json:
        print(json.dumps({**figures, "targets_met": met}, indent=2))
    else:
        _print(figures, met)
    return 0 if met else 1


def _yichun() -> dict[str, Any]:
    begun = time.perf_counter()
    city = load_city(YICHUN)
    loaded = time.perf_counter() - begun
    cost = min((measure([city]) for _ in range(3)), key=lambda cost: cost.seconds)
    return {"load_seconds": loaded, **cost._asdict(), "seconds": cost.seconds}


def _print(figures: dict[str, Any], met: bool) -> None:
    yichun, country_, peer = figures["yichun"], figures["country"], figures["netaddr"]
    print(
        f"Yichun   {yichun['divisions']:>8} divisions {yichun['prefixes']:>9} prefixes "
        f"{yichun['addresses']:>9} addresses {yichun['seconds']:7.3f} s, {yichun['cpu_seconds']:.3f} of CPU "
        f"(build {yichun['build_seconds']:.3f}; its files are read and checked in "
        f"{yichun['load_seconds']:.2f} s)"
    )
    print(
        f"country  {country_['divisions']:>8} divisions {country_['prefixes']:>9} prefixes "
        f"{country_['addresses']:>9} addresses {country_['seconds']:7.3f} s, {country_['cpu_seconds']:.3f} "
        f"of CPU (build {country_['build_seconds']:.2f}, rows {country_['row_seconds']:.2f}), "
        f"{country_['divisions'] / country_['cpu_seconds']:,.0f} divisions a CPU-second, peak "
        f"{country_['peak_bytes'] / 1e6:.0f} MB"
    )
    for name, part in (*figures["parts"].items(), ("1", country_)):
        print(f"{name:<8} {part['divisions']:>8} divisions {part['microseconds_a_division']:6.2f} us each")
    print(
        f"netaddr  Yichun the plain way {peer['netaddr_seconds']:.3f} s, the plan {peer['plan_seconds']:.3f} "
        f"s: {peer['ratio']:.1f} times faster"
    )
    print(
        f"targets  country under {TARGET_SECONDS:.0f} s of one CPU and {TARGET_BYTES / 1e6:.0f} MB: "
        f"{'met' if met else 'missed'}"
    )


def _profile() -> int:
    import cProfile
    import pstats

    cities = [city_of(rows) for rows in country()[::10]]
    profile = cProfile.Profile()
    profile.runcall(measure, cities)
    pstats.Stats(profile).sort_stats("tottime").print_stats(15)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
