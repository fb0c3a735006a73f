"""From where does the host's firewall let a new connection in? Walks an nftables ruleset; pure.

A packet of a given family, protocol and destination port arrives from nobody knows where. The walk takes
what it knows of the packet for true or false; a condition on the source or the interface restricts who may
come in; any other condition it does not know is taken for the worse (libnftables-json(5), nft(8)).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from inventories.records import Family

_TABLES = {Family.IPV4: ("inet", "ip"), Family.IPV6: ("inet", "ip6")}
_PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17}
_TRANSPORTS = frozenset({"tcp", "udp", "sctp", "dccp"})
_DENY = ("drop", "reject")
_SOURCE_META = frozenset(
    {"iif", "iifname", "iiftype", "iifgroup", "ibrname", "ibriifname", "sdif", "sdifname"}
)
_DEEPEST = 16  # what the kernel allows (NFT_JUMP_STACK_SIZE)


class Access(IntEnum):
    """Who gets in."""

    CLOSED = 0
    LIMITED = 1  # some sources or interfaces only
    OPEN = 2  # everybody


class _Known(IntEnum):
    """What is known of a condition."""

    FALSE = 0
    TRUE = 1
    SOURCE = 2  # depends on where the packet comes from
    NOT_SOURCE = 3  # the same, but all except some get the verdict
    UNKNOWN = 4


def access(objects: Sequence[dict[str, Any]], family: Family, protocol: str, port: int) -> Access:
    """Who can open a connection to a port of this host.

    Args:
        objects: The ruleset, as `nft -j list ruleset` gives it.
        family: The packet's address family.
        protocol: `tcp` or `udp`.
        port: The destination port.

    Returns:
        The strictest of all input chains, since a packet has to pass each; without any, everybody gets in.
    """
    ruleset = _Ruleset(objects)
    chains = [
        chain
        for chain in ruleset.chains.values()
        if chain.get("hook") == "input"
        and chain.get("type") == "filter"
        and chain["family"] in _TABLES[family]
    ]
    return min((_Walk(ruleset, chain, family, protocol, port).run() for chain in chains), default=Access.OPEN)


class _Ruleset:
    """Chains, rules and sets by table and name."""

    def __init__(self, objects: Sequence[dict[str, Any]]) -> None:
        self.chains: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.rules: dict[tuple[str, str, str], list[list[dict[str, Any]]]] = {}
        self.sets: dict[tuple[str, str, str], list[Any]] = {}
        for item in objects:
            for kind, value in item.items():
                if kind == "chain":
                    self.chains[value["family"], value["table"], value["name"]] = value
                elif kind == "rule":
                    place = value["family"], value["table"], value["chain"]
                    self.rules.setdefault(place, []).append(value.get("expr", []))
                elif kind in ("set", "map"):
                    self.sets[value["family"], value["table"], value["name"]] = value.get("elem", [])


class _Walk:
    """The way of one packet through one base chain."""

    def __init__(
        self, ruleset: _Ruleset, chain: dict[str, Any], family: Family, protocol: str, port: int
    ) -> None:
        self._ruleset = ruleset
        self._chain = chain
        self._family = family
        self._protocol = protocol
        self._port = port
        self._some_get_in = False  # a rule accepts some sources
        self._only_some_go_on = False  # a rule dropped all but some sources

    def run(self) -> Access:
        verdict = self._walk(self._chain["name"], 0, sources=False) or self._chain.get("policy", "accept")
        if verdict == "accept":
            return Access.LIMITED if self._only_some_go_on else Access.OPEN
        return Access.LIMITED if self._some_get_in else Access.CLOSED

    def _walk(self, name: str, depth: int, *, sources: bool) -> str | None:
        """Accept or deny where a chain decides, None where it returns. `sources`: only some came here."""
        if depth > _DEEPEST:
            return None
        for expressions in self._ruleset.rules.get(self._place(name), []):
            for known, statement in self._branches(expressions):
                verdict = self._apply(known, statement, depth, sources)
                if verdict == "return":
                    return None
                if verdict is not None:
                    return verdict
        return None

    def _apply(self, known: list[_Known], statement: dict[str, Any], depth: int, sources: bool) -> str | None:
        """What a statement does with the packet under conditions: decide, or None to go on."""
        if _Known.FALSE in known:
            return None
        restricted = sources or _Known.SOURCE in known or _Known.NOT_SOURCE in known
        (kind,) = statement
        if kind == "accept":
            if restricted:
                self._some_get_in = True
                return None
            return "accept"
        if kind in _DENY:
            if _Known.UNKNOWN in known or sources or _Known.SOURCE in known:
                return None
            if _Known.NOT_SOURCE in known:
                self._only_some_go_on = True
                return None
            return "deny"
        if kind in ("jump", "goto"):
            verdict = self._walk(statement[kind]["target"], depth + 1, sources=restricted)
            if verdict is None and kind == "goto" and not restricted:
                return "accept" if self._chain.get("policy", "accept") == "accept" else "deny"
            return verdict
        if kind == "return" and not restricted and _Known.UNKNOWN not in known:
            return "return"
        return None

    def _branches(self, expressions: list[dict[str, Any]]) -> list[tuple[list[_Known], dict[str, Any]]]:
        """Each verdict of a rule with the conditions before it; a verdict map has many."""
        known: list[_Known] = []
        branches: list[tuple[list[_Known], dict[str, Any]]] = []
        for expression in expressions:
            ((kind, value),) = expression.items()
            if kind == "match":
                known.append(self._match(value["op"], value["left"], value["right"]))
            elif kind in ("accept", "drop", "reject", "return", "jump", "goto"):
                branches.append((known, expression))
            elif kind == "vmap":
                for key, verdict in self._elements(value["data"]):
                    branches.append(([*known, self._match("==", value["key"], key)], verdict))
            elif kind == "xt":  # a match of iptables that nft cannot show
                known.append(_Known.UNKNOWN)
        return branches

    def _match(self, operator: str, left: Any, right: Any) -> _Known:
        if self._is_of_another_protocol(
            left
        ):  # nft lists no match on the protocol that goes before such a one
            return _Known.FALSE
        answer = self._compare(left, right)
        if operator not in ("!=", "==", "in"):
            return answer if answer in (_Known.SOURCE, _Known.NOT_SOURCE) else _Known.UNKNOWN
        if operator == "!=":
            negated = {_Known.TRUE: _Known.FALSE, _Known.FALSE: _Known.TRUE, _Known.SOURCE: _Known.NOT_SOURCE}
            return negated.get(answer, answer)
        return answer

    def _compare(self, left: Any, right: Any) -> _Known:
        if not isinstance(left, dict):
            return _Known.UNKNOWN
        ((kind, value),) = left.items()
        if kind == "meta":
            return self._compare_meta(value["key"], right)
        if kind == "ct":
            return self._holds("new", right) if value["key"] == "state" else _Known.UNKNOWN
        if kind == "payload":
            return self._compare_payload(value.get("field", ""), right)
        if kind == "fib" and "saddr" in value.get("flags", []):
            return _Known.SOURCE
        if kind == "concat":
            return self._compare_together(value, right)
        return _Known.UNKNOWN

    def _compare_together(self, parts: list[Any], right: Any) -> _Known:
        """Several parts against elements that have a value for each (`ip saddr . tcp dport @set`)."""
        answers = {_Known.FALSE}
        for element in self._elements(right):
            values = element.get("concat", []) if isinstance(element, dict) else []
            known = {self._match("==", part, value) for part, value in zip(parts, values, strict=False)}
            if _Known.FALSE not in known:
                answers.add(
                    max(known, default=_Known.UNKNOWN) if _Known.SOURCE not in known else _Known.SOURCE
                )
        for answer in (_Known.TRUE, _Known.UNKNOWN, _Known.SOURCE):
            if answer in answers:
                return answer
        return _Known.FALSE

    def _compare_meta(self, key: str, right: Any) -> _Known:
        if key == "nfproto":
            return self._holds(self._family.value, right)
        if key == "l4proto":
            found = self._holds(self._protocol, right)
            return found if found else self._holds(_PROTOCOL_NUMBERS[self._protocol], right)
        if key == "protocol":
            return self._holds("ip" if self._family is Family.IPV4 else "ip6", right)
        if key in _SOURCE_META:
            # Nothing that comes from outside comes in by the loopback interface.
            interfaces = self._elements(right)
            return _Known.FALSE if interfaces and all(name == "lo" for name in interfaces) else _Known.SOURCE
        return _Known.UNKNOWN

    def _is_of_another_protocol(self, left: Any) -> bool:
        payload = left.get("payload", {}) if isinstance(left, dict) else {}
        protocol = payload.get("protocol", "")
        families = {"ip": Family.IPV4, "ip6": Family.IPV6, "arp": None, "icmp": None, "icmpv6": None}
        if protocol in families:
            return families[protocol] is not self._family
        return protocol in _TRANSPORTS and protocol != self._protocol

    def _compare_payload(self, field: str, right: Any) -> _Known:
        if field == "saddr":
            everybody = any(_is_everybody(element) for element in self._elements(right))
            return _Known.TRUE if everybody else _Known.SOURCE
        if field == "dport":
            return self._holds(self._port, right)
        if field in ("protocol", "nexthdr"):
            found = self._holds(self._protocol, right)
            return found if found else self._holds(_PROTOCOL_NUMBERS[self._protocol], right)
        return _Known.UNKNOWN

    def _holds(self, value: str | int, right: Any) -> _Known:
        """Whether a value is the right side, or one of its elements."""
        return _Known.TRUE if any(_is_in(value, part) for part in self._elements(right)) else _Known.FALSE

    def _elements(self, right: Any) -> list[Any]:
        """The elements of a right side: a value, a list, an anonymous or a named set."""
        if isinstance(right, str) and right.startswith("@"):
            right = self._ruleset.sets.get(self._place(right[1:]), [])
        if isinstance(right, dict) and "set" in right:
            right = right["set"]
        parts = right if isinstance(right, list) else [right]
        return [part["elem"]["val"] if isinstance(part, dict) and "elem" in part else part for part in parts]

    def _place(self, name: str) -> tuple[str, str, str]:
        return self._chain["family"], self._chain["table"], name


def _is_everybody(element: Any) -> bool:
    return isinstance(element, dict) and element.get("prefix", {}).get("len") == 0


def _is_in(value: str | int, part: Any) -> bool:
    if isinstance(part, dict) and "range" in part:
        first, last = part["range"]
        return isinstance(value, int) and int(first) <= value <= int(last)
    return bool(value == part)
