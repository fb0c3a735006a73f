"""How do samples reach the city from a county, and the province from the city? Agents, remote write, storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from exporters.prometheus import REPLICA, Settings, external_labels
from inventories.records import City

_FILE = Path(__file__).parent / "remote-write.toml"


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent's queue may hold, and how long it keeps what it could not send."""

    keep: str
    capacity: int
    max_shards: int
    max_samples_per_send: int
    batch_send_deadline: str
    min_backoff: str
    max_backoff: str


class Upward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which series a province takes, as anchored regular expressions of their names."""

    series: tuple[str, ...]


class RemoteWrite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `remote-write.toml`."""

    county: Queue
    province: Upward


def read_remote_write() -> RemoteWrite:
    """The kit's own values."""
    return msgspec.toml.decode(_FILE.read_bytes(), type=RemoteWrite)


def agent_config(city: City, county: str, replica: str, url: str, settings: Settings) -> dict[str, Any]:
    """`prometheus.yml` of a county's Prometheus in agent mode: it scrapes there and writes to the city's `url`.

    Its targets stand in `targets/node.json` and `targets/jizuo.json` beside it, of that county alone.

    Raises:
        ValueError: The inventory has no such county.
    """
    if county not in city.sites:
        raise ValueError(f"no site {county} in the inventory")
    queue = msgspec.structs.asdict(read_remote_write().county)
    del queue["keep"]
    return {
        "global": {
            "scrape_interval": f"{settings.interval}s",
            "scrape_timeout": f"{min(10, settings.interval)}s",
            "external_labels": external_labels(city, replica) | {"shard": county},
        },
        "scrape_configs": [
            {"job_name": job, "file_sd_configs": [{"files": [f"targets/{job}.json"]}]}
            for job in ("node", "jizuo")
        ],
        "remote_write": [{"url": url, "name": "city", "queue_config": queue}],
    }


def agent_arguments(folder: str) -> list[str]:
    """The arguments of a Prometheus in agent mode that keeps its data in a folder."""
    keep = read_remote_write().county.keep
    return [
        "--enable-feature=agent",
        f"--storage.agent.path={folder}",
        f"--storage.agent.retention.max-time={keep}",
    ]


def province_remote_write(url: str, password_file: str = "", user: str = "") -> dict[str, Any]:
    """An element of the city's `remote_write`: only what a province takes, once for a pair (without the replica)."""
    names = "|".join(read_remote_write().province.series)
    found: dict[str, Any] = {
        "url": url,
        "name": "province",
        "write_relabel_configs": [
            {"source_labels": ["__name__"], "regex": names, "action": "keep"},
            {"regex": REPLICA, "action": "labeldrop"},
        ],
    }
    return found | {"basic_auth": {"username": user, "password_file": password_file}} if user else found


def federation_job(targets: list[str]) -> dict[str, Any]:
    """The province's scrape job, where it federates in place of being written to."""
    names = "|".join(read_remote_write().province.series)
    return {
        "job_name": "jizuo-federation",
        "honor_labels": True,
        "metrics_path": "/federate",
        "scrape_interval": "60s",
        "params": {"match[]": [f'{{__name__=~"{names}"}}']},
        "static_configs": [{"targets": targets}],
    }


def victoria_metrics_arguments(folder: str, months: int, interval: int, listen: str = ":8428") -> list[str]:
    """The arguments of VictoriaMetrics 1.79 (Debian's) as the city's long storage.

    Samples of the two Prometheus of a pair fall together: of those within one scrape interval one is kept.
    """
    return [
        f"-storageDataPath={folder}",
        f"-retentionPeriod={months}",
        f"-dedup.minScrapeInterval={interval}s",
        f"-httpListenAddr={listen}",
        "-enableTCP6",
    ]
