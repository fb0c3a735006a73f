"""How do samples travel upward? What a queue may hold, and which series a province takes; from `remote-write.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from exporters.access import Access

_FILE = Path(__file__).parent / "remote-write.toml"


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent's queue may hold, and how long it keeps what it could not send."""

    keep: str
    capacity: int
    max_samples_per_send: int
    batch_send_deadline: str
    min_backoff: str
    max_backoff: str
    remote_timeout: str


class Shards(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many queues each way has, all the time."""

    county: int
    storage: int
    province: int


class Upward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which series a province takes, as anchored regular expressions of their names."""

    series: tuple[str, ...]


class RemoteWrite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `remote-write.toml`."""

    shards: Shards
    county: Queue
    province: Upward


def fixed(shards: int) -> dict[str, int]:
    """The part of a queue's settings by which it never changes the number of its shards, which loses samples."""
    return {"min_shards": shards, "max_shards": shards}


def read_remote_write() -> RemoteWrite:
    """The kit's own values."""
    return msgspec.toml.decode(_FILE.read_bytes(), type=RemoteWrite)


def province_names() -> str:
    """Which series a province takes, as one regular expression for the whole of a name."""
    return "|".join(read_remote_write().province.series)


def province_write(url: str, access: Access) -> dict[str, Any]:
    """An element of the city's `remote_write`: only what a province takes.

    Each Prometheus that watches the city writes, under its own label `replica`. Were that left off, two would write the
    same series, and the receiver would refuse what the second one sends (duplicate or out of order); were one alone to
    write, the province would be blind while that one is down. Sums are some hundred series: twice as many cost nothing,
    and the province takes `max without (replica, instance)`.
    """
    reached = access.with_login()
    reached.pop("scheme", None)  # the URL has it
    keep = {"source_labels": ["__name__"], "regex": province_names(), "action": "keep"}
    queue = fixed(read_remote_write().shards.province)
    return {
        "url": url,
        "name": "province",
        "queue_config": queue,
        "write_relabel_configs": [keep],
        **reached,
    }
