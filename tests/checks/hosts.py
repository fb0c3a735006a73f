"""Captures of real hosts, and ways to make them worse or better one fact at a time."""

from __future__ import annotations

from pathlib import Path

from checks.security.stream import Capture, Section, parse

CAPTURES = Path(__file__).parent / "captures"


def hardened() -> Capture:
    """A Debian 12 server that meets the profile; `zhangwei` logs in with a password."""
    return parse((CAPTURES / "debian-12-hardened.txt").read_text(encoding="utf-8"))


def plain() -> Capture:
    """Debian 12 as its packages leave it."""
    return parse((CAPTURES / "debian-12-plain.txt").read_text(encoding="utf-8"))


def changed(capture: Capture, section: str, old: str, new: str) -> Capture:
    """A capture in which a text of a section is another; the text has to be there."""
    text = "\n".join(capture[section].lines)
    assert old in text, f"section {section} has no {old!r}"
    return replaced(capture, section, text.replace(old, new))


def added(capture: Capture, section: str, *lines: str) -> Capture:
    """A capture with further lines in a section."""
    return {**capture, section: Section((*capture[section].lines, *lines), capture[section].status)}


def replaced(capture: Capture, section: str, text: str, status: int = 0) -> Capture:
    """A capture in which a section's whole text is another."""
    return {**capture, section: Section(tuple(text.splitlines()), status)}
