"""The records of the policy: who may reach what (file `policy.toml`).

`[service.ID]` names ports, `[[rule]]` says who may reach which of them. A rule knows no address family: it names
zones, departments, systems, sites and nodes, and both families' rules are made of it.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

import msgspec

from inventories.records import Identifier, Record

#: The name of the file in an inventory's folder.
POLICY_FILE = "policy.toml"

#: A port (RFC 6335), or a range of ports as text: 443, "8000-8099".
Port = (
    Annotated[int, msgspec.Meta(ge=1, le=65535)]
    | Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,4}-[1-9][0-9]{0,4}\Z")]
)


class Action(StrEnum):
    """What a rule does with what it matches."""

    ALLOW = "allow"
    DENY = "deny"


class PolicyService(Record, frozen=True):
    """The ports of a service (a table `[service.ID]`)."""

    id: Identifier
    tcp: tuple[Port, ...] = ()
    udp: tuple[Port, ...] = ()


class PolicyRule(Record, frozen=True, kw_only=True):
    """Who may reach what (a table `[[rule]]`); the first rule of the file that matches decides.

    `sources` (key `from`) and `destinations` (key `to`) are selectors, see :mod:`inventories.policy.selectors`;
    `until` is the last day on which the rule holds, in the city's time zone.
    """

    id: Identifier
    sources: tuple[str, ...] = msgspec.field(name="from")
    destinations: tuple[str, ...] = msgspec.field(name="to")
    services: tuple[str, ...] = msgspec.field(name="service")
    action: Action = Action.ALLOW
    owner: Identifier
    reason: str
    until: date | None = None


class Policy(Record, frozen=True):
    """The policy of a city, its rules in the file's order; `lines` and `service_lines` are where in `file`."""

    file: str = POLICY_FILE
    services: dict[str, PolicyService] = msgspec.field(default_factory=dict)
    rules: dict[str, PolicyRule] = msgspec.field(default_factory=dict)
    lines: dict[str, int] = msgspec.field(default_factory=dict)
    service_lines: dict[str, int] = msgspec.field(default_factory=dict)
