"""What does a loaded nftables ruleset do with one packet? Walks it as the kernel does; pure.

The packet is the first of a connection and everything about it is known, so a rule either matches or does not;
a rule of which that cannot be said makes the whole answer unknown (libnftables-json(5), nft(8)).
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from inventories.records import Family

from .expected import span

_TABLES = {Family.IPV4: ("inet", "ip"), Family.IPV6: ("inet", "ip6")}
_PROTOCOLS = {"tcp": 6, "udp": 17}
#: What `ether type` is called in a ruleset, by family.
_ETHER = {Family.IPV4: ("ip", 0x0800), Family.IPV6: ("ip6", 0x86DD)}
_VERDICTS = frozenset({"accept", "drop", "reject", "return", "jump", "goto"})
#: Statements that let a packet go on.
_SILENT = frozenset({"counter", "log", "comment", "notrack", "quota", "ct count"})
_DEEPEST = 16  # what the kernel allows (NFT_JUMP_STACK_SIZE)


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """The first packet of a connection, at one place of its way."""

    family: Family
    source: int
    destination: int
    protocol: str
    port: int
    iif: str = ""
    oif: str = ""
    hops: int = 64  # time to live, or hop limit
    sender: str = ""  # the MAC address that it comes from
    now: int = 0  # the host's clock, seconds since the epoch


class UnknownRule(Exception):
    """A rule of which it cannot be said whether it matches; the message shows it."""


class Answer(msgspec.Struct, frozen=True):
    """Whether the packet goes on, and what stopped it."""

    passes: bool
    by: str = ""


class Ruleset:
    """The chains, rules and sets of one network namespace.

    Args:
        objects: What `nft -j list ruleset` printed, under the key `nftables`.
    """

    def __init__(self, objects: Sequence[Mapping[str, Any]]) -> None:
        self.chains: list[Mapping[str, Any]] = []
        self.rules: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
        self.sets: dict[tuple[str, str, str], list[Any]] = {}
        self._spans: dict[int, list[tuple[int, int]]] = {}
        for item in objects:
            for kind, value in item.items():
                if kind == "chain":
                    self.chains.append(value)
                elif kind == "rule":
                    place = value["family"], value["table"], value["chain"]
                    self.rules.setdefault(place, []).append(value)
                elif kind in ("set", "map"):
                    self.sets[value["family"], value["table"], value["name"]] = value.get("elem", [])

    def passes(self, packet: Packet, hook: str, *, bridge: bool = False) -> Answer:
        """Whether every filter chain of a hook lets the packet go on.

        Raises:
            UnknownRule: A rule cannot be judged.
        """
        tables = ("bridge",) if bridge else _TABLES[packet.family]
        chains = [
            chain
            for chain in self.chains
            if chain.get("hook") == hook and chain.get("type") == "filter" and chain["family"] in tables
        ]
        for chain in sorted(chains, key=lambda chain: int(chain.get("prio", 0))):
            walk = _Walk(self, chain, packet)
            if walk.verdict() != "accept":
                return Answer(False, f"chain {walk.where}{f' ({walk.comment})' if walk.comment else ''}")
        return Answer(True)

    def source_outside(self, packet: Packet) -> int:
        """The packet's source after source translation, which is its own where there is none."""
        for chain in self.chains:
            if (
                chain.get("hook") == "postrouting"
                and chain.get("type") == "nat"
                and chain["family"] in _TABLES[packet.family]
            ):
                walk = _Walk(self, chain, packet)
                walk.verdict()
                if walk.translated is not None:
                    return walk.translated
        return packet.source

    def spans(self, elements: list[Any]) -> list[tuple[int, int]]:
        """The addresses of a set's elements as ranges, read once: the list is a part of the ruleset, and stays."""
        if id(elements) not in self._spans:
            self._spans[id(elements)] = [_range(part) for part in elements]
        return self._spans[id(elements)]


class _Walk:
    """The way of one packet through one base chain."""

    def __init__(self, ruleset: Ruleset, chain: Mapping[str, Any], packet: Packet) -> None:
        self._ruleset = ruleset
        self._chain = chain
        self._packet = packet
        self.where = chain["name"]
        self.comment = ""
        self.translated: int | None = None

    def verdict(self) -> str:
        """Accept, drop or reject."""
        found = self._walk(self._chain["name"], 0)
        if found is None:
            self.comment = self.comment or "policy"
            return str(self._chain.get("policy", "accept"))
        return found

    def _walk(self, name: str, depth: int) -> str | None:
        """The verdict where a chain has one, None where it returns to whoever called it."""
        if depth > _DEEPEST:
            raise UnknownRule(f"chain {name} calls itself")
        for rule in self._ruleset.rules.get((self._chain["family"], self._chain["table"], name), []):
            verdict = self._apply(rule.get("expr", []), name)
            if verdict is None:
                continue
            ((kind, value),) = verdict.items()
            if kind == "return":
                return None
            if kind in ("jump", "goto"):
                found = self._walk(value["target"], depth + 1)
                if found is not None:
                    return found
                if kind == "goto":
                    return None
                continue
            self.where, self.comment = name, str(rule.get("comment", ""))
            return str(kind)
        return None

    def _apply(self, expressions: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
        """The verdict of a rule; None where it does not match, or has none."""
        for expression in expressions:
            ((kind, value),) = expression.items()
            if kind == "match":
                if not self._matches(value["op"], value["left"], value["right"]):
                    return None
            elif kind in _VERDICTS:
                return expression
            elif kind == "vmap":
                for key, verdict in self._elements(value["data"]):
                    if self._matches("==", value["key"], key):
                        return dict(verdict)
                return None
            elif kind == "limit":
                if value.get("inv"):  # over a limit: one packet is not
                    return None
            elif kind == "set":
                if any(part.get("limit", {}).get("inv") for part in value.get("stmt", [])):
                    return None
            elif kind == "snat":
                self.translated = span(
                    f"{value['addr']}/{32 if self._packet.family is Family.IPV4 else 128}"
                ).first
                return {"accept": None}
            elif kind not in _SILENT:
                raise UnknownRule(f"chain {name}: {str(expression)[:100]}")
        return None

    def _matches(self, operator: str, left: Any, right: Any) -> bool:
        if not isinstance(left, dict):
            raise UnknownRule(f"{left} {operator} {str(right)[:60]}")
        ((kind, value),) = left.items()
        reader: Callable[[Any, Any], bool | None] = getattr(self, f"_{kind.replace(' ', '_')}", self._unknown)
        if kind == "meta" and value["key"] == "time":
            return _compare(operator, self._packet.now, _epoch(right))
        found = reader(value, right)
        if found is None:
            return False  # the packet has no such field: nft hides the match that says so
        return not found if operator == "!=" else found

    def _unknown(self, value: Any, right: Any) -> bool:
        raise UnknownRule(f"match on {str(value)[:60]}")

    def _meta(self, value: Any, right: Any) -> bool | None:
        packet, key = self._packet, value["key"]
        texts = {
            "iifname": (packet.iif,),
            "oifname": (packet.oif,),
            "iif": (packet.iif,),
            "oif": (packet.oif,),
            "nfproto": (packet.family.value,),
            "protocol": _ETHER[packet.family],
            "l4proto": (packet.protocol, _PROTOCOLS[packet.protocol]),
        }
        if key not in texts:
            raise UnknownRule(f"match on meta {key}")
        return any(_is_in(text, part) for text in texts[key] for part in self._elements(right))

    def _ct(self, value: Any, right: Any) -> bool:
        if value.get("key") != "state":
            raise UnknownRule(f"match on ct {value.get('key')}")
        return any(_is_in("new", part) for part in self._elements(right))

    def _concat(self, parts: Any, right: Any) -> bool:
        """Several parts against elements that have a value for each (`ip saddr . tcp dport @set`)."""
        return any(
            all(
                self._matches("==", part, value) for part, value in zip(parts, element["concat"], strict=True)
            )
            for element in map(_plain, self._elements(right))
        )

    def _exthdr(self, value: Any, right: Any) -> bool:
        """A packet that is neither a fragment nor has any other extension header."""
        return right is False

    def _payload(self, value: Any, right: Any) -> bool | None:
        packet, protocol, name = self._packet, value.get("protocol", ""), value.get("field", "")
        if protocol in ("ip", "ip6"):
            if protocol != _ETHER[packet.family][0]:
                return None
            if name in ("saddr", "daddr"):
                number = packet.source if name == "saddr" else packet.destination
                return any(first <= number <= last for first, last in self._addresses(right))
            if name in ("ttl", "hoplimit"):
                return any(_is_in(packet.hops, part) for part in self._elements(right))
            if name == "version":
                return any(
                    _is_in(4 if packet.family is Family.IPV4 else 6, part) for part in self._elements(right)
                )
            if name in ("protocol", "nexthdr"):
                ours = (packet.protocol, _PROTOCOLS[packet.protocol])
                return any(_is_in(each, part) for each in ours for part in self._elements(right))
        elif protocol in ("tcp", "udp", "th"):
            if protocol not in (packet.protocol, "th"):
                return None
            if name == "dport":
                return any(_is_in(packet.port, part) for part in self._elements(right))
            if name == "sport":  # one of the many that clients take
                return any(_is_in(_CLIENT_PORT, part) for part in self._elements(right))
        elif protocol == "ether" and name == "saddr" and packet.sender:
            return any(str(part).lower() == packet.sender for part in self._elements(right))
        elif protocol == "ether" and name == "type":
            return any(each == part for each in _ETHER[packet.family] for part in self._elements(right))
        elif protocol in ("icmp", "icmpv6", "arp", "sctp", "dccp"):
            return None
        raise UnknownRule(f"match on {protocol} {name or value}")

    def _addresses(self, right: Any) -> list[tuple[int, int]]:
        """The addresses of a right side as ranges."""
        found = self._right(right)
        return self._ruleset.spans(found) if isinstance(found, list) else [_range(found)]

    def _elements(self, right: Any) -> list[Any]:
        """The elements of a right side: a value, a list, an anonymous or a named set."""
        found = self._right(right)
        return found if isinstance(found, list) else [found]

    def _right(self, right: Any) -> Any:
        if isinstance(right, str) and right.startswith("@"):
            right = self._ruleset.sets.get((self._chain["family"], self._chain["table"], right[1:]), [])
        if isinstance(right, dict) and "set" in right:
            right = right["set"]
        return right


#: The port that a client opens a connection from, for rules that ask.
_CLIENT_PORT = 49152


def _plain(part: Any) -> Any:
    return part["elem"]["val"] if isinstance(part, dict) and "elem" in part else part


def _is_in(value: str | int, part: Any) -> bool:
    part = _plain(part)
    if isinstance(part, dict) and "range" in part:
        first, last = part["range"]
        return isinstance(value, int) and int(first) <= value <= int(last)
    if isinstance(part, str) and part.endswith("*") and isinstance(value, str):
        return value.startswith(part[:-1])
    return bool(value == part)


def _range(part: Any) -> tuple[int, int]:
    part = _plain(part)
    if isinstance(part, dict) and "prefix" in part:
        found = span(f"{part['prefix']['addr']}/{part['prefix']['len']}")
        return found.first, found.last
    if isinstance(part, dict) and "range" in part:
        first, last = (span(str(end)) for end in part["range"])
        return first.first, last.last
    if isinstance(part, str):
        found = span(part)
        return found.first, found.last
    raise UnknownRule(f"address {str(part)[:60]}")


def _compare(operator: str, left: int, right: int) -> bool:
    answers = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    if operator not in answers:
        raise UnknownRule(f"time {operator} {right}")
    return answers[operator]


def _epoch(text: Any) -> int:
    """Seconds since the epoch of what nft, asked in UTC, writes of a time."""
    if isinstance(text, int):
        return text
    try:
        return calendar.timegm(time.strptime(str(text), "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        raise UnknownRule(f"time {text}") from None
