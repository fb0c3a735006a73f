"""Which bytes does a scrape get? Metric families rendered and compressed once, when they change."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

#: What ends an OpenMetrics body, once.
_END = b"# EOF\n"
#: The content type of OpenMetrics 1.0 as prometheus-client serves it.
CONTENT_TYPE_OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST
CONTENT_TYPE_TEXT = CONTENT_TYPE_PLAIN_0_0_4


class Body(NamedTuple):
    """An answer in one format, as it stands and gzipped."""

    content_type: str
    plain: bytes
    gzipped: bytes


class Part(NamedTuple):
    """What one collector says, rendered in both formats; without OpenMetrics's end mark."""

    text: bytes
    openmetrics: bytes
    names: frozenset[str]


class _Families:
    """Metric families in the shape of a prometheus-client registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = list(families)

    def collect(self) -> Iterator[Metric]:
        return iter(self.families)


def render_part(families: Iterable[Metric]) -> Part:
    """Renders the families of one collector with prometheus-client's own encoders.

    Raises:
        ValueError: Two families have one name, which Prometheus would refuse.
    """
    registry = _Families(families)
    names = [family.name for family in registry.families]
    if len(set(names)) != len(names):
        raise ValueError(f"two families are called {next(n for n in names if names.count(n) > 1)}")
    return Part(
        text=generate_latest(registry),
        openmetrics=openmetrics.generate_latest(registry).removesuffix(_END),  # type: ignore[no-untyped-call]
        names=frozenset(names),
    )


class Exposition:
    """The body of /metrics: parts are replaced one by one, then published as a whole.

    Publishing renders and compresses, off the event loop if the caller likes; scrapes take what was last
    published. Compression is at level 1: a sixth of the time of level 9 and hardly larger.
    """

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._bodies = _bodies([])

    def replace(self, collector: str, families: Iterable[Metric]) -> None:
        """Puts what a collector says now in the place of what it said before.

        Raises:
            ValueError: A family of this name is already exposed by another collector.
        """
        part = render_part(families)
        for other, exposed in self._parts.items():
            shared = exposed.names & part.names
            if other != collector and shared:
                raise ValueError(f"{collector} and {other} both expose {', '.join(sorted(shared))}")
        self._parts[collector] = part

    def publish(self) -> None:
        """Makes the parts as they are now what a scrape gets."""
        self._bodies = _bodies(list(self._parts.values()))

    def body(self, accept: str) -> Body:
        """The answer in the format that a scraper's Accept header asks for (OpenMetrics, or text 0.0.4)."""
        return self._bodies[CONTENT_TYPE_OPENMETRICS if _wants_openmetrics(accept) else CONTENT_TYPE_TEXT]


def _bodies(parts: Sequence[Part]) -> dict[str, Body]:
    plain = {
        CONTENT_TYPE_TEXT: b"".join(part.text for part in parts),
        CONTENT_TYPE_OPENMETRICS: b"".join(part.openmetrics for part in parts) + _END,
    }
    return {
        content_type: Body(content_type, text, gzip.compress(text, compresslevel=1, mtime=0))
        for content_type, text in plain.items()
    }


def _wants_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics 1.x is accepted and not liked less than plain text (RFC 9110 section 12.5.1)."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for offer in accept.split(","):
        media_type, *parameters = (part.strip() for part in offer.split(";"))
        if media_type not in weights:
            continue
        values = dict(part.split("=", 1) for part in parameters if "=" in part)
        version = values.get("version", "1.0.0")
        if media_type == "application/openmetrics-text" and not version.startswith("1."):
            continue
        try:
            weight = float(values.get("q", "1"))
        except ValueError:
            continue
        weights[media_type] = max(weights[media_type], weight)
    offered = weights["application/openmetrics-text"]
    return offered > 0 and offered >= weights["text/plain"]
