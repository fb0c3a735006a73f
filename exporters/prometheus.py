"""What do Prometheus and Alertmanager read for this city? Their files, from inventory and address plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from exporters.access import PLAIN, Access
from exporters.alerting.alertmanager import alertmanager_config
from exporters.alerting.burn_rate import Objective, read_objectives, slo_file
from exporters.alerting.owners import owner_relabeling
from exporters.places import Place, places
from exporters.remote_write import fixed, province_write, read_remote_write
from exporters.runbooks.pages import runbook_page
from inventories.cells import seconds
from inventories.contacts import Contacts
from inventories.hosts import EXPORTER_PORT, NODE_EXPORTER_PORT, linux_nodes
from inventories.monitoring import ALERTMANAGER_PORT, PROMETHEUS_PORT, WATCHING, cluster_arguments, endpoint
from inventories.records import City, Family, Node, NodeRole

if TYPE_CHECKING:
    from inventories.plan import AddressPlan

#: Where the rules stand in the kit, and below the folder that Prometheus reads.
RULES = Path(__file__).parent / "rules"
RULE_FOLDER = "rules"
TARGET_FOLDER = "targets"
RUNBOOK_FOLDER = "runbooks"
#: The seconds between two scrapes for which the rules' waits (`for`) are written.
WRITTEN_FOR = 15
#: The rules that follow from the objectives; the file among the rules holds them as the kit's own objectives have it.
SLO_RULES = "jizuo-slo.yml"
#: What tells the two Prometheus of a pair apart, and is taken off alerts so that both send the same.
REPLICA = "replica"


class Settings(NamedTuple):
    """What the inventory does not say: ports, the family to scrape over, how often, and to whom alerts go.

    Attributes:
        family: The family of the management addresses that are scraped.
        interval: Seconds between two scrapes; 0 for what the inventory says.
        exporter_port: The port of `jizuo exporter`.
        node_port: The port of node exporter.
        prometheus_port: The port of Prometheus itself.
        alertmanager_port: The port of Alertmanager.
        access: The files by which daemons are reached: a login for Prometheus, Alertmanager and the exporter, which
            people look at too, a client's certificate for node exporters, which Prometheus alone asks.
        cluster_tls: The file of the Alertmanagers' mutual TLS among themselves; empty for none.
        contacts: Who is told of alerts.
        objectives: What availability is promised, by kind of group.
        replica: The node that the files are for, and its Prometheus's name among several that watch the same: an
            operations node, or one elsewhere; it may be left out where there is one only.
        runbook_url: Where runbooks are served, with `{alert}` where the alert's name stands, or without it before
            that; empty for the exporter's own pages.
        storage_url: Where samples are written to for long keeping (Prometheus's remote write); empty for nowhere.
        province: The files by which the province takes the city's sums, when `city.toml` says that it does.
    """

    family: Family = Family.IPV6
    interval: int = 0
    exporter_port: int = EXPORTER_PORT
    node_port: int = NODE_EXPORTER_PORT
    prometheus_port: int = PROMETHEUS_PORT
    alertmanager_port: int = ALERTMANAGER_PORT
    access: Access = PLAIN
    cluster_tls: str = ""
    contacts: Contacts = Contacts()
    objectives: Mapping[str, Objective] = read_objectives()
    replica: str = ""
    runbook_url: str = ""
    storage_url: str = ""
    province: Access = PLAIN


class NodeError(ValueError):
    """The files are one node's own, and it was not said which that is, or what it holds."""


def files_of(city: City, plan: AddressPlan, settings: Settings) -> dict[str, bytes]:
    """Every file by its path below Prometheus's folder; the same city gives the same bytes.

    Raises:
        NodeError: The city has several operations nodes and `replica` does not say for which the files are, or it
            writes to the province and `province` does not say by which files.
    """
    settings = settings._replace(interval=settings.interval or city.layout.monitoring.interval)
    groups = groups_of(city, plan, settings)
    addresses = {node: str(plan.management(node, settings.family)) for node in _operations(city)}
    watching = {node.id: str(plan.management(node.id, settings.family)) for node in watching_nodes(city)}
    own = _own_node(list(addresses), settings.replica)
    files = {
        "prometheus.yml": as_yaml(prometheus_config(city, settings, list(groups))),
        "alertmanager.yml": as_yaml(alertmanager_config(settings.contacts)),
        "alertmanager.arguments": as_lines(cluster_arguments(watching, own, settings.cluster_tls)),
    }
    for job, targets in groups.items():
        files[f"{TARGET_FOLDER}/{job}.json"] = as_json(targets)
    url = settings.runbook_url or _runbook_url(
        addresses.get(own) or next(iter(addresses.values()), "localhost"), settings
    )
    for name, rules in rule_documents(settings.objectives).items():
        files[f"{RULE_FOLDER}/{name}"] = as_yaml(with_runbooks(paced(rules, settings.interval), url))
        files |= runbook_files(rules)
    return files


def runbook_files(rules: Mapping[str, Any]) -> dict[str, bytes]:
    """The page of each alert of a file of rules, by its path below Prometheus's folder."""
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    return {
        f"{RUNBOOK_FOLDER}/{alert}.html": page.encode() for alert in alerts if (page := runbook_page(alert))
    }


def groups_of(city: City, plan: AddressPlan, settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The targets of each job, in the form of file_sd and http_sd."""
    where = places(city)
    operations = [city.nodes[node] for node in _operations(city)]

    def address(node: Node) -> str:
        return str(plan.management(node.id, settings.family))

    ports = {
        "jizuo": settings.exporter_port,
        "prometheus": settings.prometheus_port,
        "alertmanager": settings.alertmanager_port,
    }
    groups = {"node": host_groups(list(linux_nodes(city).values()), address, settings.node_port, where)}
    groups |= {
        job: service_groups(operations if job == "jizuo" else watching_nodes(city), address, port)
        for job, port in ports.items()
    }
    agents = [node for node in city.nodes.values() if node.role is NodeRole.AGENT]
    if agents:
        groups["agent"] = host_groups(agents, address, settings.prometheus_port, where)
    return groups


def _operations(city: City) -> list[str]:
    return [node.id for node in city.nodes.values() if node.role == NodeRole.OPERATIONS]


def watching_nodes(city: City) -> list[Node]:
    """Those with a Prometheus and an Alertmanager; the operations nodes first."""
    found = [node for node in city.nodes.values() if node.role in WATCHING]
    return sorted(found, key=lambda node: node.role is not NodeRole.OPERATIONS)


def _own_node(operations: list[str], wanted: str) -> str:
    if wanted:
        return wanted  # not among them: a Prometheus that watches this city from another one
    if len(operations) > 1:
        raise NodeError(f"the files are for one operations node: name one of {', '.join(operations)}")
    return operations[0] if operations else ""


def _runbook_url(host: str, settings: Settings) -> str:
    return f"{settings.access.scheme}://{endpoint(host, settings.exporter_port)}/{RUNBOOK_FOLDER}"


def rule_documents(objectives: Mapping[str, Objective]) -> dict[str, dict[str, Any]]:
    """Every file of rules by name; those of the burn rates follow from the objectives."""
    documents = {
        file.name: read_rules(file) for file in sorted(RULES.glob("*.yml")) if file.name != SLO_RULES
    }
    documents[SLO_RULES] = _document(SLO_RULES, slo_file(objectives))
    return dict(sorted(documents.items()))


def read_rules(file: Path) -> dict[str, Any]:
    """A file of rules; ValueError, which names it, where that is no YAML."""
    return _document(file.name, file.read_text(encoding="utf-8"))


def _document(name: str, text: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{name}: {' '.join(str(error).split())}") from None
    return document


def paced(document: dict[str, Any], interval: int) -> dict[str, Any]:
    """The rules for a city that is scraped every `interval` seconds.

    How long an alert waits is a number of missed scrapes, written as seconds for :data:`WRITTEN_FOR`; only
    waits of minutes go with the interval, those of hours and days are about people.
    """
    if interval == WRITTEN_FOR:
        return document
    for group in document["groups"]:
        for rule in group["rules"]:
            wait = seconds("for", rule.get("for", "0s"))
            if 0 < wait < 3600:
                rule["for"] = f"{max(1, wait * interval // WRITTEN_FOR)}s"
    return document


def with_runbooks(document: dict[str, Any], url: str) -> dict[str, Any]:
    """The rules, each alert with the address of its runbook; see `runbook_url` of :class:`Settings`."""
    pattern = url if "{alert}" in url else f"{url}/{{alert}}"
    for group in document["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["annotations"]["runbook_url"] = pattern.replace("{alert}", rule["alert"])
    return document


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
        groups.append({"targets": [endpoint(address(node), port)], "labels": present})
    return groups


def service_groups(nodes: list[Node], address: Callable[[Node], str], port: int) -> list[dict[str, Any]]:
    """Services in the form of file_sd; no place: their series speak of the whole city and name their own."""
    return [{"targets": [endpoint(address(node), port)], "labels": {"instance": node.id}} for node in nodes]


def prometheus_config(city: City, settings: Settings, jobs: list[str]) -> dict[str, Any]:
    """`prometheus.yml` as a document; relative names in it stand beside it."""
    writes = _writes(city, settings)
    return {
        "global": {
            "scrape_interval": f"{settings.interval}s",
            "scrape_timeout": f"{min(10, settings.interval)}s",
            "evaluation_interval": f"{settings.interval}s",
            "external_labels": external_labels(city, settings.replica),
        },
        "rule_files": [f"{RULE_FOLDER}/*.yml"],
        "alerting": {
            "alertmanagers": [
                {"file_sd_configs": [_file_sd("alertmanager")], **settings.access.with_login()}
            ],
            "alert_relabel_configs": [
                {"action": "labeldrop", "regex": REPLICA},
                *owner_relabeling(city),
            ],
        },
        "scrape_configs": [scrape_config(job, settings.access) for job in jobs],
        **({"remote_write": writes} if writes else {}),
    }


def _writes(city: City, settings: Settings) -> list[dict[str, Any]]:
    """To whom samples are written: all of them to the storage, sums to the province."""
    found: list[dict[str, Any]] = []
    if settings.storage_url:
        queue = fixed(read_remote_write().shards.storage)
        found.append({"url": settings.storage_url, "name": "storage", "queue_config": queue})
    if province := city.layout.monitoring.province:
        if not settings.province.ca:
            raise NodeError(
                "city.toml [monitoring.province]: say by which files it is reached: "
                "--province-ca and --province-password-file"
            )
        found.append(province_write(province.url, settings.province._replace(user=province.user)))
    return found


def external_labels(city: City, replica: str) -> dict[str, str]:
    """What a province or nation tells cities apart by, and the Prometheus of a pair: division codes of GB/T 2260."""
    code = city.layout.division
    return {"province": code[:2], "city": code, **({REPLICA: replica} if replica else {})}


def scrape_config(job: str, access: Access) -> dict[str, Any]:
    """The settings of one job; node exporters and agents want a certificate, for nobody else looks at them."""
    reached = access.with_certificate() if job in ("node", "agent") else access.with_login()
    return {"job_name": job, "file_sd_configs": [_file_sd(job)], **reached}


def _file_sd(job: str) -> dict[str, Any]:
    return {"files": [f"{TARGET_FOLDER}/{job}.json"], "refresh_interval": "1m"}


def as_yaml(document: dict[str, Any], command: str = "prometheus-config") -> bytes:
    """A settings file that says which command of the kit wrote it."""
    head = f"# Written by `jizuo exporter {command}`; changes made here are lost.\n"
    return (head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)).encode()


def as_lines(lines: Sequence[str]) -> bytes:
    """A list of arguments, one a line."""
    return "".join(f"{line}\n" for line in lines).encode()


def as_json(document: Any) -> bytes:
    """A list of targets as Prometheus reads it."""
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()
