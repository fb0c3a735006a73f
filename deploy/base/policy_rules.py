"""How does the kernel say the policy? EdgeRules as lines of an nft script, for a table of the family inet; pure.

Each rule counts what it decides, and carries its id as the comment `policy:ID`, so that counters can be read by
rule. A rule with an end date carries it into the kernel (`meta time`): it ends by itself at the end of its last
day, and no deploy has to read a clock. The time is written in seconds since the epoch, because nft reads a date
in the host's time zone, which need not be the city's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from inventories.policy.points import AddressMatch, EdgeRule
from inventories.policy.records import Action
from inventories.records import Family

_PROTOCOL = {Family.IPV4: "ip", Family.IPV6: "ip6"}
_SET_TYPE = {Family.IPV4: "ipv4_addr", Family.IPV6: "ipv6_addr"}
_VERDICT = {Action.ALLOW: "accept", Action.DENY: "drop"}


#: So many prefixes stand in lines of their own; more make a named set.
_FEW = 12


class NftRules(NamedTuple):
    """Lines of an nft script: what a table declares (named sets, chains), and the rules that use it, in their order.

    What two points of one table declare alike is one line of each, of which the table takes one.
    """

    declarations: tuple[str, ...]
    rules: tuple[str, ...]


def nft_rules(edge_rules: Iterable[EdgeRule]) -> NftRules:
    """The lines for rules of one point.

    Named sets are for long lists only, and are named after what is in them, so that equal ones are one; there is
    no anonymous set at all. The kernel looks through all sets of a table for each new one: 11,600 rules with a
    set each take a minute to load, the same as lines of their own half a second. A rule of several ports and
    several pairs of prefixes has a chain for its ports, to which the pairs of both families jump.
    """
    written = _Writer()
    for rule in edge_rules:
        written.add(rule)
    return NftRules((*written.sets.values(), *written.chains), tuple(written.rules))


class _Writer:
    """The lines so far."""

    def __init__(self) -> None:
        self.sets: dict[str, str] = {}
        self.chains: list[str] = []
        self.rules: list[str] = []

    def add(self, rule: EdgeRule) -> None:
        """Write one rule."""
        ends = [_end(rule, first, last) for first, last in rule.ports]
        pairs = self._pairs(rule)
        if len(pairs) * len(ends) > len(pairs) + len(ends) + 1:
            chain = f"policy-{rule.rule}-{rule.protocol}"
            self.chains.append(f"chain {chain} {{ {'; '.join(ends)}; }}")
            ends = [f"meta l4proto {rule.protocol} jump {chain}"]
        self.rules += [f"{pair} {end}" if pair else end for pair in pairs for end in ends]

    def _pairs(self, rule: EdgeRule) -> list[str]:
        """What is asked of a packet's addresses, a line each; an empty one where nothing is, for both families."""
        if rule.sources.is_any and rule.destinations.is_any:
            return [""]
        return [
            " ".join(word for word in (source, destination) if word) or f"meta nfproto {family}"
            for family in Family
            for source in self._asked(rule.sources, family, "saddr")
            for destination in self._asked(rule.destinations, family, "daddr")
        ]

    def _asked(self, match: AddressMatch, family: Family, side: str) -> list[str]:
        """What is asked of one address, in as many lines as it takes; none where nothing of the family is meant."""
        prefixes = match.prefixes[family]
        if not prefixes:
            return [""] if match.negated else []
        if match.negated and len(prefixes) == 1:
            return [f"{_PROTOCOL[family]} {side} != {prefixes[0]}"]
        if match.negated or len(prefixes) > _FEW:
            return [
                f"{_PROTOCOL[family]} {side} {'!= ' if match.negated else ''}@{self._set(prefixes, family)}"
            ]
        return [f"{_PROTOCOL[family]} {side} {prefix}" for prefix in prefixes]

    def _set(self, prefixes: tuple[str, ...], family: Family) -> str:
        # Equal sets have equal names, whichever rules use them: a change of one rule shows as that change alone.
        elements = ", ".join(prefixes)
        name = f"policy{'4' if family is Family.IPV4 else '6'}_{hashlib.sha256(elements.encode()).hexdigest()[:10]}"
        if name not in self.sets:
            kind = _SET_TYPE[family]
            self.sets[name] = f"set {name} {{ type {kind}; flags interval; elements = {{ {elements} }} }}"
        return name


def _end(rule: EdgeRule, first: int, last: int) -> str:
    """What follows the addresses: one range of ports, the end date, the counter and the verdict."""
    ends = f"meta time < {rule.ends} " if rule.ends is not None else ""
    ports = f"{first}" if first == last else f"{first}-{last}"
    return f'{rule.protocol} dport {ports} {ends}counter {_VERDICT[rule.action]} comment "policy:{rule.rule}"'
