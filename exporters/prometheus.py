"""What do Prometheus and Alertmanager read for this city? Their files, from inventory and address plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from exporters.places import Place, places
from inventories.cells import seconds
from inventories.hosts import EXPORTER_PORT, NODE_EXPORTER_PORT, linux_nodes
from inventories.records import City, Family, Node, NodeRole

if TYPE_CHECKING:
    from inventories.plan import AddressPlan

#: Where the rules stand in the kit, and below the folder that Prometheus reads.
RULES = Path(__file__).parent / "rules"
RULE_FOLDER = "rules"
TARGET_FOLDER = "targets"
#: The seconds between two scrapes for which the rules' waits (`for`) are written.
WRITTEN_FOR = 15


class Settings(NamedTuple):
    """What the inventory does not say: ports, the family to scrape over, how often, and to whom alerts go.

    Attributes:
        family: The family of the management addresses that are scraped.
        interval: Seconds between two scrapes; 0 for what the inventory says.
        exporter_port: The port of `jizuo exporter`.
        node_port: The port of node exporter.
        prometheus_port: The port of Prometheus itself.
        alertmanager_port: The port of Alertmanager.
        exporter_ca: The file of the authority that signed the exporter's certificate; empty for plain HTTP.
        exporter_user: The user of the exporter's basic authentication; empty for none.
        exporter_password_file: The file that holds that user's password; it is never written here.
        webhook_url: Where Alertmanager posts alerts; empty to keep them in its own page.
        replica: The name of this Prometheus of several that watch the same; empty for the only one.
    """

    family: Family = Family.IPV6
    interval: int = 0
    exporter_port: int = EXPORTER_PORT
    node_port: int = NODE_EXPORTER_PORT
    prometheus_port: int = 9090
    alertmanager_port: int = 9093
    exporter_ca: str = ""
    exporter_user: str = ""
    exporter_password_file: str = ""
    webhook_url: str = ""
    replica: str = ""


def files_of(city: City, plan: AddressPlan, settings: Settings) -> dict[str, bytes]:
    """Every file by its path below Prometheus's folder; the same city gives the same bytes."""
    settings = settings._replace(interval=settings.interval or city.layout.monitoring.interval)
    groups = groups_of(city, plan, settings)
    files = {
        "prometheus.yml": _yaml(prometheus_config(city, settings, list(groups))),
        "alertmanager.yml": _yaml(alertmanager_config(settings)),
    }
    for job, targets in groups.items():
        files[f"{TARGET_FOLDER}/{job}.json"] = _json(targets)
    for rules in sorted(RULES.glob("*.yml")):
        files[f"{RULE_FOLDER}/{rules.name}"] = paced(rules.read_bytes(), settings.interval)
    return files


def groups_of(city: City, plan: AddressPlan, settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The targets of each job, in the form of file_sd and http_sd."""
    where = places(city)
    operations = [node for node in city.nodes.values() if node.role == NodeRole.OPERATIONS]
    ports = {
        "jizuo": settings.exporter_port,
        "prometheus": settings.prometheus_port,
        "alertmanager": settings.alertmanager_port,
    }

    def address(node: Node) -> str:
        return str(plan.management(node.id, settings.family))

    groups = {"node": host_groups(list(linux_nodes(city).values()), address, settings.node_port, where)}
    groups |= {job: service_groups(operations, address, port) for job, port in ports.items()}
    return groups


def paced(rules: bytes, interval: int) -> bytes:
    """A file of rules for a city that is scraped every `interval` seconds.

    How long an alert waits is a number of missed scrapes, written as seconds for :data:`WRITTEN_FOR`; only
    waits of minutes go with the interval, those of hours and days are about people.
    """
    if interval == WRITTEN_FOR:
        return rules
    document = yaml.safe_load(rules)
    for group in document["groups"]:
        for rule in group["rules"]:
            wait = seconds("for", rule.get("for", "0s"))
            if 0 < wait < 3600:
                rule["for"] = f"{max(1, wait * interval // WRITTEN_FOR)}s"
    return _yaml(document)


def host_groups(
    nodes: list[Node], address: Callable[[Node], str], port: int, where: Mapping[str, Place]
) -> list[dict[str, Any]]:
    """Hosts in the form of file_sd, with where they stand: each series speaks of the host that serves it.

    The label `instance` is the node's id, so that series keep their name when an address changes.
    """
    groups = []
    for node in nodes:
        place = where[node.id]
        labels = {
            "instance": node.id,
            "subject": node.id,
            "role": node.role.value,
            "level": place.level,
            "county": place.county,
            "site": place.site,
        }
        present = {name: text for name, text in labels.items() if text}
        groups.append({"targets": [_endpoint(address(node), port)], "labels": present})
    return groups


def service_groups(nodes: list[Node], address: Callable[[Node], str], port: int) -> list[dict[str, Any]]:
    """Services in the form of file_sd; no place: their series speak of the whole city and name their own."""
    return [{"targets": [_endpoint(address(node), port)], "labels": {"instance": node.id}} for node in nodes]


def _endpoint(host: str, port: int) -> str:
    """Address and port; IPv6 in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def prometheus_config(city: City, settings: Settings, jobs: list[str]) -> dict[str, Any]:
    """`prometheus.yml` as a document; relative names in it stand beside it."""
    return {
        "global": {
            "scrape_interval": f"{settings.interval}s",
            "scrape_timeout": f"{min(10, settings.interval)}s",
            "evaluation_interval": f"{settings.interval}s",
            # What a province that federates several cities tells them apart by.
            "external_labels": {
                "city": city.layout.division,
                **({"replica": settings.replica} if settings.replica else {}),
            },
        },
        "rule_files": [f"{RULE_FOLDER}/*.yml"],
        "alerting": {
            # Alertmanager takes what two replicas say of one alert for one alert.
            "alert_relabel_configs": [{"regex": "replica", "action": "labeldrop"}],
            "alertmanagers": [{"file_sd_configs": [_file_sd("alertmanager")]}],
        },
        "scrape_configs": [_scrape_config(job, settings) for job in jobs],
    }


def _scrape_config(job: str, settings: Settings) -> dict[str, Any]:
    config: dict[str, Any] = {"job_name": job, "file_sd_configs": [_file_sd(job)]}
    if job != "jizuo":
        return config
    if settings.exporter_ca:
        config |= {"scheme": "https", "tls_config": {"ca_file": settings.exporter_ca}}
    if settings.exporter_user:
        config["basic_auth"] = {
            "username": settings.exporter_user,
            "password_file": settings.exporter_password_file,
        }
    return config


def alertmanager_config(settings: Settings) -> dict[str, Any]:
    """`alertmanager.yml`: alerts of one county come together, and what lies behind a failure is held back."""
    receiver: dict[str, Any] = {"name": "operations"}
    if settings.webhook_url:
        receiver["webhook_configs"] = [{"url": settings.webhook_url, "send_resolved": True}]
    return {
        "route": {
            "receiver": "operations",
            "group_by": ["alertname", "county"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
        },
        "receivers": [receiver],
        "inhibit_rules": [
            _inhibit("CountyUnreachable", ["CountyAvailabilityLow"], ["county", "family"]),
            _inhibit("CityNodeDown", ["NodeExporterDown"], ["subject"]),
            _inhibit("SystemEndpointDown", ["IPv6DownIPv4Up"], ["subject", "check"]),
            _inhibit("BackupRpoExceeded", ["BackupFailed", "BackupPartial"], ["policy"]),
            _inhibit("ExporterDown", ["CollectorFailing", "WebConfigInvalid"], ["instance"]),
        ],
    }


def _inhibit(source: str, targets: list[str], equal: list[str]) -> dict[str, Any]:
    return {
        "source_matchers": [f'alertname="{source}"'],
        "target_matchers": [f'alertname=~"{"|".join(targets)}"'],
        "equal": equal,
    }


def _file_sd(job: str) -> dict[str, Any]:
    return {"files": [f"{TARGET_FOLDER}/{job}.json"], "refresh_interval": "1m"}


def _yaml(document: dict[str, Any]) -> bytes:
    head = "# Written by `jizuo exporter prometheus-config`; changes made here are lost.\n"
    return (head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)).encode()


def _json(document: Any) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()
