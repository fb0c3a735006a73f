"""The inventory as metrics: what city this is, what it has, and how far the extranet reaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from checks.record import Record
from exporters.coverage import coverage
from exporters.places import Place, county_names
from inventories.records import City


def inventory_metrics(city: City, where: Mapping[str, Place]) -> list[Metric]:
    """What exists. Names and owners stand on info metrics that join by id."""
    about = {"name": city.layout.name, "division": city.layout.division, "domain": city.layout.domain}
    info = InfoMetricFamily("jizuo_inventory", "The city that the inventory describes.", value=about)
    target = InfoMetricFamily("jizuo_target", "What a subject is called, where it stands and whose it is.")
    for subject, place in where.items():
        target.add_metric([], {"subject": subject, **place._asdict()})
    counties = InfoMetricFamily("jizuo_county", "The counties and county-level zones.")
    for county, name in county_names(city).items():
        counties.add_metric([], {"county": county, "name": name})
    counted = {
        "divisions": len(city.divisions),
        "sites": len(city.sites),
        "nodes": len(city.nodes),
        "links": len(city.links),
        "systems": len(city.systems),
        "units": len(city.units),
        "backup_policies": len(city.backups),
    }
    records = GaugeMetricFamily(
        "jizuo_inventory_records", "Records of each kind in the inventory.", labels=["kind"]
    )
    for kind, number in counted.items():
        records.add_metric([kind], number)
    roles = GaugeMetricFamily("jizuo_inventory_nodes", "Nodes of each role.", labels=["role"])
    for role, number in sorted(Counter(node.role.value for node in city.nodes.values()).items()):
        roles.add_metric([role], number)
    return [info, target, counties, records, roles]


def coverage_metrics(city: City, records: Iterable[Record] | None) -> list[Metric]:
    """Places of each level by state; the states of reachability are there once probes were made."""
    sites = GaugeMetricFamily(
        "jizuo_coverage_sites",
        "Divisions of each of the five levels that the extranet is planned for, built in, reaches.",
        labels=["level", "state"],
    )
    for level, counts in coverage(city, records).items():
        for state, number in counts._asdict().items():
            if number is not None:
                sites.add_metric([level.value, state], number)
    return [sites]
