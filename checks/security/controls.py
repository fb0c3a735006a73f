"""Which controls are there? Reads `controls.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Literal

import msgspec


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An assessment unit; `controls.toml` says what each field means."""

    id: str
    clause: str
    title: str
    severity: Literal["high", "medium", "low"]
    reads: tuple[str, ...]
    compliant: str
    evaluate: str
    families: bool = False


@cache
def load_controls() -> tuple[Control, ...]:
    """Every control, in the standard's order."""
    text = (resources.files(__package__) / "controls.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["control"], tuple[Control, ...])


def control_ids() -> frozenset[str]:
    """The ids of all controls."""
    return frozenset(control.id for control in load_controls())
