"""How do samples reach the city from a county? The files of its Prometheus in agent mode, which writes to the city."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from exporters.access import PLAIN
from exporters.places import places
from exporters.prometheus import (
    TARGET_FOLDER,
    Settings,
    as_json,
    as_lines,
    as_yaml,
    external_labels,
    host_groups,
    scrape_config,
    service_groups,
)
from exporters.remote_write import fixed, read_remote_write
from inventories.hosts import linux_nodes
from inventories.records import City, Node, NodeRole

if TYPE_CHECKING:
    from inventories.plan import AddressPlan

#: Below the folder that Debian's package gives to Prometheus.
AGENT_FOLDER = "/var/lib/prometheus/agent"
#: The job of the county's own probes.
PROBES = "availability"


def agent_files(
    city: City,
    plan: AddressPlan,
    node: str,
    urls: Mapping[str, str],
    settings: Settings,
    web_config: str = "",
) -> dict[str, bytes]:
    """Every file of an agent node's Prometheus in agent mode, by its path below Prometheus's folder.

    It scrapes its own county's hosts, the exporter beside it that probes the county, and itself, and writes to each
    storage of `urls`, by name, with the certificate of the settings' access. `prometheus.arguments` holds the program's
    arguments, one a line; `web_config` is the file that says how it is reached itself.

    Raises:
        ValueError: The inventory has no such agent node.
    """
    found = city.nodes.get(node)
    if found is None or found.role is not NodeRole.AGENT:
        raise ValueError(f"nodes.csv has no node {node} with the role agent; name one that is")
    settings = settings._replace(interval=settings.interval or city.layout.monitoring.interval)
    where = places(city)
    county = where[node].county

    def address(one: Node) -> str:
        return str(plan.management(one.id, settings.family))

    hosts = [one for one in linux_nodes(city).values() if where[one.id].county == county]
    groups = {
        "node": host_groups(hosts, address, settings.node_port, where),
        # It asks itself over the loopback, whatever becomes of the network.
        "agent": host_groups([found], lambda _: "::1", settings.prometheus_port, where),
        PROBES: service_groups([found], lambda _: "::1", settings.exporter_port),
    }
    config = agent_config(city, node, urls, settings, list(groups))
    return {
        "prometheus.yml": as_yaml(config, "agent-config"),
        "prometheus.arguments": as_lines(agent_arguments(settings.prometheus_port, web_config)),
        **{f"{TARGET_FOLDER}/{job}.json": as_json(targets) for job, targets in groups.items()},
    }


def agent_config(
    city: City, node: str, urls: Mapping[str, str], settings: Settings, jobs: Sequence[str]
) -> dict[str, Any]:
    """`prometheus.yml` of a county's Prometheus in agent mode: it scrapes there and writes to the city's storages."""
    written = read_remote_write()
    queue = msgspec.structs.asdict(written.county) | fixed(written.shards.county)
    del queue["keep"]
    timeout = queue.pop("remote_timeout")
    tls = settings.access.with_certificate().get("tls_config")
    return {
        "global": {
            "scrape_interval": f"{settings.interval}s",
            "scrape_timeout": f"{min(10, settings.interval)}s",
            "external_labels": external_labels(city, node) | {"shard": city.nodes[node].site},
        },
        # The exporter listens on the loopback alone, and asks nobody who he is.
        "scrape_configs": [scrape_config(job, PLAIN if job == PROBES else settings.access) for job in jobs],
        "remote_write": [
            # Copies: what two elements share the YAML would write as a reference.
            {
                "url": url,
                "name": name,
                "remote_timeout": timeout,
                "queue_config": dict(queue),
                **({"tls_config": dict(tls)} if tls else {}),
            }
            for name, url in urls.items()
        ],
    }


def agent_arguments(port: int, web_config: str = "", folder: str = AGENT_FOLDER) -> list[str]:
    """The arguments of a Prometheus in agent mode that keeps in a folder what it could not yet write."""
    keep = read_remote_write().county.keep
    return [
        "--enable-feature=agent",
        f"--storage.agent.path={folder}",
        f"--storage.agent.retention.max-time={keep}",
        f"--web.listen-address=:{port}",
        *([f"--web.config.file={web_config}"] if web_config else []),
    ]
