"""What are backups held against beside their own policy? The numbers of `limits.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

import msgspec

from inventories.backups.records import Medium, Protection


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `limits.toml` says; each key is explained there."""

    clock_tolerance_seconds: int
    offsite_from_mlps: int
    kept_days: int
    kept_from_mlps: int
    copies: int
    media: int
    live_medium: Medium
    immutable: tuple[Protection, ...]
    maintenance_seconds: int
    lock_seconds: int
    elsewhere_seconds: int


@cache
def load_limits() -> Limits:
    """The kit's limits."""
    text = (resources.files("checks") / "backup" / "limits.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Limits)
