"""Which alerts are held back while others hold? Inhibition along the topology and between pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

INHIBITIONS_FILE = Path(__file__).parent / "inhibitions.toml"


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A level of the topology and the labels that name a place of it."""

    name: str
    place: tuple[str, ...]


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """While `source` holds, `targets` are held back where `equal` labels are the same."""

    source: str
    targets: tuple[str, ...]
    equal: tuple[str, ...]


class Inhibitions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `inhibitions.toml`; `level` goes from the top to the bottom."""

    level: tuple[Level, ...]
    pair: tuple[Pair, ...]


def read_inhibitions() -> Inhibitions:
    """The kit's own inhibitions."""
    return msgspec.toml.decode(INHIBITIONS_FILE.read_bytes(), type=Inhibitions)


def inhibit_rules(inhibitions: Inhibitions) -> list[dict[str, Any]]:
    """The rules as Alertmanager has them.

    The address family is always among the labels that must be equal: a county out of reach in IPv4 says
    nothing of a village that cannot be reached in IPv6.
    """
    rules = []
    for number, level in enumerate(inhibitions.level):
        source = ['signal="unreachable"', f'level="{level.name}"']
        equal = [*level.place, "family"]
        rules.append(_rule(source, ['signal="degraded"', f'level="{level.name}"'], equal))
        below = "|".join(lower.name for lower in inhibitions.level[number + 1 :])
        if below:
            rules.append(_rule(source, ['signal=~"unreachable|degraded"', f'level=~"{below}"'], equal))
    for pair in inhibitions.pair:
        targets = f'alertname=~"{"|".join(pair.targets)}"'
        rules.append(_rule([f'alertname="{pair.source}"'], [targets], list(pair.equal)))
    return rules


def _rule(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {"source_matchers": source, "target_matchers": target}
    return rule | {"equal": equal} if equal else rule
