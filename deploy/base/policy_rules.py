"""How does the kernel say the policy? EdgeRules as lines of an nft script, for a table of the family inet; pure.

Each rule counts what it decides, and carries its id as the comment `policy:ID`, so that counters can be read by
rule. A rule with an end date carries it into the kernel (`meta time`): it ends by itself at the end of its last
day, and no deploy has to read a clock. The time is written in seconds since the epoch, because nft reads a date
in the host's time zone, which need not be the city's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from inventories.policy.points import AddressMatch, EdgeRule
from inventories.policy.records import Action
from inventories.records import Family

_PROTOCOL = {Family.IPV4: "ip", Family.IPV6: "ip6"}
_SET_TYPE = {Family.IPV4: "ipv4_addr", Family.IPV6: "ipv6_addr"}
_VERDICT = {Action.ALLOW: "accept", Action.DENY: "drop"}


class NftRules(NamedTuple):
    """Lines of an nft script: the named sets of a table, and the rules that use them, in their order."""

    sets: tuple[str, ...]
    rules: tuple[str, ...]


def nft_rules(edge_rules: Iterable[EdgeRule]) -> NftRules:
    """The lines for rules of one point; the sets' names follow from what is in them, so that equal ones are one."""
    sets: dict[str, str] = {}
    rules = [line for rule in edge_rules for line in _lines(rule, sets)]
    return NftRules(tuple(sets.values()), tuple(rules))


def _lines(rule: EdgeRule, sets: dict[str, str]) -> Iterable[str]:
    """A line that knows no address holds for both families; else there is one for each."""
    rest = _rest(rule)
    if rule.sources.is_any and rule.destinations.is_any:
        yield rest
        return
    for family in Family:
        addresses = []
        for side, match in (("saddr", rule.sources), ("daddr", rule.destinations)):
            if not match.negated and not match.prefixes[family]:
                break  # nothing of this family is meant
            if match.prefixes[family]:
                addresses.append(f"{_PROTOCOL[family]} {side} {_operand(match, family, sets)}")
        else:
            yield " ".join([*(addresses or [f"meta nfproto {family}"]), rest])


def _operand(match: AddressMatch, family: Family, sets: dict[str, str]) -> str:
    prefixes = match.prefixes[family]
    negation = "!= " if match.negated else ""
    if len(prefixes) == 1:
        return negation + prefixes[0]
    elements = ", ".join(prefixes)
    # Equal sets have equal names, whichever rules use them: a change of one rule shows as that change alone.
    digest = hashlib.sha256(elements.encode()).hexdigest()[:10]
    name = f"policy{'4' if family is Family.IPV4 else '6'}_{digest}"
    if name not in sets:
        sets[name] = f"set {name} {{ type {_SET_TYPE[family]}; flags interval; elements = {{ {elements} }} }}"
    return f"{negation}@{name}"


def _rest(rule: EdgeRule) -> str:
    ends = f"meta time < {rule.ends} " if rule.ends is not None else ""
    ports = _ports(rule.ports)
    return f'{rule.protocol} dport {ports} {ends}counter {_VERDICT[rule.action]} comment "policy:{rule.rule}"'


def _ports(ports: Sequence[tuple[int, int]]) -> str:
    words = [str(first) if first == last else f"{first}-{last}" for first, last in ports]
    return words[0] if len(words) == 1 else f"{{ {', '.join(words)} }}"
