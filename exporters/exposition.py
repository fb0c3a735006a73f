"""Which bytes does a scrape get? Metric families rendered and compressed once, when they change.

Families of a few series go through prometheus-client's own encoders. A city's probes are tens of thousands of
series, for which those take half a second a format: :class:`Series` keeps the text of a series' labels from one
cycle to the next and is encoded here, to the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.utils import floatToGoString

#: What ends an OpenMetrics body, once.
_END = b"# EOF\n"
#: The content type of OpenMetrics 1.0 as prometheus-client serves it.
CONTENT_TYPE_OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST
CONTENT_TYPE_TEXT = CONTENT_TYPE_PLAIN_0_0_4
FORMATS = (CONTENT_TYPE_TEXT, CONTENT_TYPE_OPENMETRICS)

# A gzip member (RFC 1952): no name, no time; XFL 4 is the fastest algorithm, 255 an unknown system.
_GZIP_HEADER = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 4, 255])
#: An empty last block of fixed codes (RFC 1951 section 3.2.6).
_LAST_BLOCK = b"\x03\x00"
#: A sixth of the time of level 9, and hardly larger.
_LEVEL = 1
#: Above this, and below 0, prometheus-client may write a number otherwise than Python does.
_PLAIN_FLOATS = 1e6


class Series(NamedTuple):
    """A family of many series: the text of each one's labels, from :func:`label_text`, and its value."""

    kind: Literal["gauge", "counter", "info"]
    name: str
    documentation: str
    rows: Sequence[tuple[str, float]]


Family = Metric | Series


class Body(NamedTuple):
    """An answer in one format, as it stands and gzipped."""

    content_type: str
    plain: bytes
    gzipped: bytes


def label_text(labels: Mapping[str, str]) -> str:
    """Labels as a line has them, braces included: sorted, values escaped."""
    pairs = (f'{name}="{_escape(value)}"' for name, value in sorted(labels.items()))
    return "{" + ",".join(pairs) + "}" if labels else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


class Part:
    """What one collector says, rendered in both formats; without OpenMetrics's end mark."""

    def __init__(self, families: Iterable[Family]) -> None:
        """Renders the families.

        Raises:
            ValueError: Two families have one name, which Prometheus would refuse.
        """
        kept = list(families)
        names = [family.name for family in kept]
        if len(set(names)) != len(names):
            raise ValueError(f"two families are called {next(n for n in names if names.count(n) > 1)}")
        self.names = frozenset(names)
        rendered = [_render(family) for family in kept]
        self.plain = {
            CONTENT_TYPE_TEXT: b"".join(piece for text, _ in rendered for piece in text),
            CONTENT_TYPE_OPENMETRICS: b"".join(piece for _, opened in rendered for piece in opened),
        }
        self._deflated: dict[str, bytes] = {}

    def deflated(self, content_type: str) -> bytes:
        """The part as whole blocks of a deflate stream (RFC 1951), none of them the last; made when first asked."""
        if content_type not in self._deflated:
            compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
            data = compressor.compress(self.plain[content_type])
            self._deflated[content_type] = data + compressor.flush(zlib.Z_SYNC_FLUSH)
        return self._deflated[content_type]


class _One:
    """A metric family in the shape of a prometheus-client registry."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def _render(family: Family) -> tuple[list[bytes], list[bytes]]:
    """The pieces of a family in text format 0.0.4 and in OpenMetrics."""
    if isinstance(family, Metric):
        registry = _One(family)
        opened = openmetrics.generate_latest(registry).removesuffix(_END)  # type: ignore[no-untyped-call]
        return [generate_latest(registry)], [opened]
    suffix = {"gauge": "", "counter": "_total", "info": "_info"}[family.kind]
    name = family.name + suffix
    kind = "gauge" if family.kind == "info" else family.kind
    said = family.documentation.replace("\\", "\\\\").replace("\n", "\\n")
    text = f"# HELP {name} {said}\n# TYPE {name} {kind}\n"
    said = said.replace('"', '\\"')
    opened = f"# HELP {family.name} {said}\n# TYPE {family.name} {family.kind}\n".encode()
    lines = "".join([f"{name}{labels} {_number(value)}\n" for labels, value in family.rows]).encode()
    return [text.encode(), lines], [opened, lines]  # the lines are the same in both, and encoded once


def _number(value: float) -> str:
    """A number as prometheus-client writes it; most are such that Python writes them alike."""
    return repr(float(value)) if 0 <= value < _PLAIN_FLOATS else str(floatToGoString(value))  # type: ignore[no-untyped-call]


class Exposition:
    """The body of /metrics: parts are replaced one by one, then published as a whole.

    Publishing renders and compresses, off the event loop if the caller likes; scrapes take what was last
    published. A part that did not change is not compressed again, and a format that nobody asks for not at all.
    """

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._published: list[Part] = []
        self._asked = {CONTENT_TYPE_OPENMETRICS}  # what Prometheus asks for
        self._bodies: dict[str, Body] = {}
        self.publish()

    def replace(self, collector: str, families: Iterable[Family]) -> None:
        """Puts what a collector says now in the place of what it said before.

        Raises:
            ValueError: A family of this name is already exposed by another collector.
        """
        part = Part(families)
        for other, exposed in self._parts.items():
            shared = exposed.names & part.names
            if other != collector and shared:
                raise ValueError(f"{collector} and {other} both expose {', '.join(sorted(shared))}")
        self._parts[collector] = part

    def publish(self) -> None:
        """Makes the parts as they are now what a scrape gets."""
        parts = list(self._parts.values())
        bodies = {content_type: _body(content_type, parts) for content_type in self._asked}
        self._published, self._bodies = parts, bodies

    def body(self, accept: str) -> Body:
        """The answer in the format that a scraper's Accept header asks for (OpenMetrics, or text 0.0.4)."""
        content_type = CONTENT_TYPE_OPENMETRICS if _wants_openmetrics(accept) else CONTENT_TYPE_TEXT
        if content_type not in self._bodies:  # the first to ask for this format waits for its rendering
            self._asked = self._asked | {content_type}
            self._bodies = self._bodies | {content_type: _body(content_type, self._published)}
        return self._bodies[content_type]


def _body(content_type: str, parts: Sequence[Part]) -> Body:
    """One gzip member of all parts: no block of one refers to another's text, so that their blocks can be joined."""
    end = _END if content_type == CONTENT_TYPE_OPENMETRICS else b""
    plain = b"".join([*(part.plain[content_type] for part in parts), end])
    blocks = [part.deflated(content_type) for part in parts]
    if end:
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        blocks.append(compressor.compress(end) + compressor.flush(zlib.Z_SYNC_FLUSH))
    trailer = struct.pack("<II", zlib.crc32(plain), len(plain) & 0xFFFFFFFF)
    return Body(content_type, plain, b"".join([_GZIP_HEADER, *blocks, _LAST_BLOCK, trailer]))


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
