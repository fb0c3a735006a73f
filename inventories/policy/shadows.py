"""Which earlier rules of a policy leave nothing for a later one to decide, alone or together? Pure.

Only rules that hold at least as long as the later one are asked: what ends earlier uncovers it again.
"""

from __future__ import annotations

from inventories.policy.resolve import Addresses, ResolvedRule
from inventories.policy.spans import Spans, intersection
from inventories.policy.verdict import Flow, decide
from inventories.records import Family

#: What a rule matches, without its name, action and end.
_Content = tuple[tuple[Spans, ...], tuple[Spans, ...], tuple[tuple[str, Spans], ...]]


class Shadows:
    """The rules so far, in groups that have the same destinations.

    A policy names few different destinations in many rules: which of them meet is asked once for each pair, by the
    identity of their addresses, which the resolved policy keeps alive and shares.
    """

    def __init__(self) -> None:
        self._groups: dict[int, list[tuple[int, ResolvedRule]]] = {}
        self._meets: dict[tuple[int, int], bool] = {}
        self._contents: dict[_Content, list[ResolvedRule]] = {}
        self._number = 0

    def add(self, rule: ResolvedRule) -> None:
        """Note a rule that stands before those that are asked about later."""
        self._groups.setdefault(id(rule.destinations), []).append((self._number, rule))
        self._contents.setdefault(_content(rule), []).append(rule)
        self._number += 1

    def same(self, rule: ResolvedRule) -> ResolvedRule | None:
        """An earlier rule that matches just the same, does the same and holds as long; None when there is none."""
        for other in self._contents.get(_content(rule), ()):
            if other.action is rule.action and _outlasts(other, rule):
                return other
        return None

    def covering(self, rule: ResolvedRule) -> list[ResolvedRule]:
        """The earlier rules that decide all that a rule matches, in order; empty when anything is left for it."""
        earlier = self._meeting(rule)
        found: dict[str, ResolvedRule] = {}
        for family in Family:
            for protocol, ports in rule.ports.items():
                flow = Flow(rule.sources[family], rule.destinations[family], ports)
                for part in decide(earlier, family, protocol, flow):
                    if part.rule is None:
                        return []
                    found[part.rule.id] = part.rule
        return [other for other in earlier if other.id in found]

    def _meeting(self, rule: ResolvedRule) -> list[ResolvedRule]:
        """Earlier rules that may have connections in common with a rule and hold as long, in their order."""
        numbered = [
            (number, other)
            for destinations, group in self._groups.items()
            if self._meet(rule.destinations, destinations, group[0][1].destinations)
            for number, other in group
            if _outlasts(other, rule)
            and rule.ports.keys() & other.ports.keys()
            and any(intersection(rule.sources[f], other.sources[f]) for f in Family)
        ]
        return [other for _, other in sorted(numbered, key=lambda pair: pair[0])]

    def _meet(self, addresses: Addresses, other_id: int, other: Addresses) -> bool:
        key = (id(addresses), other_id)
        found = self._meets.get(key)
        if found is None:
            found = any(intersection(addresses[f], other[f]) for f in Family)
            self._meets[key] = found
        return found


def _content(rule: ResolvedRule) -> _Content:
    return (
        tuple(rule.sources[f] for f in Family),
        tuple(rule.destinations[f] for f in Family),
        tuple(sorted(rule.ports.items())),
    )


def _outlasts(other: ResolvedRule, rule: ResolvedRule) -> bool:
    return other.ends is None or (rule.ends is not None and other.ends >= rule.ends)
