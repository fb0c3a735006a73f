"""What did the collector on a host print? Reads its stream into sections; pure."""

from __future__ import annotations

import hashlib
from importlib import resources

import msgspec

_FIRST_LINE = "jizuo-collect 1"


class StreamError(ValueError):
    """The stream is not a whole one of the format that this auditor reads."""


class CollectorAltered(ValueError):
    """The collector on a host is another than the auditor's."""


class Section(msgspec.Struct, frozen=True):
    """What one command said, and its exit status."""

    lines: tuple[str, ...]
    status: int


#: All sections of a host by name.
Capture = dict[str, Section]


def parse(text: str) -> Capture:
    """Read a collector's stream.

    Raises:
        StreamError: It is cut off, damaged or of another format; the message says where.
    """
    lines = text.splitlines()
    if not lines or lines[0] != _FIRST_LINE:
        raise StreamError(f"line 1: {lines[0][:60] if lines else 'nothing'!r}, not {_FIRST_LINE!r}")
    capture: Capture = {}
    name, body = "", list[str]()
    for number, line in enumerate(lines[1:], start=2):
        if line.startswith(" ") and name:
            body.append(line[1:])
        elif line.startswith("@") and not name:
            name, body = line[1:], []
        elif line.startswith("=") and name and line[1:].isdigit():
            capture[name] = Section(tuple(body), int(line[1:]))
            name = ""
        elif line == "." and not name and number == len(lines):
            return capture
        else:
            raise StreamError(f"line {number}: unexpected {line[:60]!r}")
    raise StreamError(f"cut off after line {len(lines)}{f' in section {name}' if name else ''}")


def collector_digest() -> str:
    """The SHA-256 of the auditor's own copy of the collector."""
    return hashlib.sha256((resources.files(__package__) / "collect.sh").read_bytes()).hexdigest()


def collector_of(capture: Capture) -> str:
    """The SHA-256 that the collector on the host says it has; empty when it does not say."""
    section = capture.get("collector")
    return section.lines[0].strip() if section and section.lines else ""
