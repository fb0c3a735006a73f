"""Sets of numbers as sorted ranges: which addresses, or ports, are in one and not in the other?

A policy compares every rule's addresses with those of the rules before it. `netaddr.IPSet` answers the same,
prefix by prefix; for 5,000 rules that takes minutes where ranges of plain integers take seconds.
"""

from __future__ import annotations

import socket
from bisect import bisect_right
from collections.abc import Iterable

from netaddr import IPNetwork

from inventories.records import Family

#: First and last number of each range: sorted, apart from each other, both ends inside.
Spans = tuple[tuple[int, int], ...]

NOTHING: Spans = ()
BITS = {Family.IPV4: 32, Family.IPV6: 128}
_FAMILY = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


def union(*sets: Iterable[tuple[int, int]]) -> Spans:
    """All numbers of the ranges, which may overlap and come in any order."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(span for spans in sets for span in spans):
        if found and first <= found[-1][1] + 1:
            if last > found[-1][1]:
                found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return tuple(found)


def intersection(one: Spans, other: Spans) -> Spans:
    """The numbers that are in both."""
    if not one or not other or one[0][0] > other[-1][1] or other[0][0] > one[-1][1]:
        return NOTHING
    found = []
    i = j = 0
    while i < len(one) and j < len(other):
        first, last = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if first <= last:
            found.append((first, last))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def difference(one: Spans, other: Spans) -> Spans:
    """The numbers of `one` that are not in `other`."""
    if not one or not other or one[0][0] > other[-1][1] or other[0][0] > one[-1][1]:
        return one
    found = []
    j = 0
    for begin, last in one:
        first = begin
        while j < len(other) and other[j][1] < first:
            j += 1
        k = j
        while k < len(other) and other[k][0] <= last:
            if other[k][0] > first:
                found.append((first, other[k][0] - 1))
            first = max(first, other[k][1] + 1)
            k += 1
        if first <= last:
            found.append((first, last))
    return tuple(found)


def contains(spans: Spans, number: int) -> bool:
    """Whether a number is in the set."""
    at = bisect_right(spans, number, key=lambda span: span[0]) - 1
    return at >= 0 and number <= spans[at][1]


def everything(family: Family) -> Spans:
    """All addresses of a family."""
    return ((0, (1 << BITS[family]) - 1),)


def from_prefixes(prefixes: Iterable[str]) -> Spans:
    """The addresses of prefixes of one family."""
    networks = [IPNetwork(prefix) for prefix in prefixes]
    return union((network.first, network.last) for network in networks)


def to_prefixes(spans: Spans, family: Family) -> tuple[str, ...]:
    """The fewest prefixes that hold just these addresses, in order; single addresses with their length."""
    bits = BITS[family]
    found = []
    for begin, last in spans:
        first = begin
        while first <= last:
            # The largest block that begins here (its trailing zeros) and does not end behind the range.
            size = min(
                (first & -first).bit_length() - 1 if first else bits, (last - first + 1).bit_length() - 1
            )
            # Not by netaddr: a policy of 5,000 rules has some 50,000 prefixes, and it must not take a second.
            found.append(f"{socket.inet_ntop(_FAMILY[family], first.to_bytes(bits // 8))}/{bits - size}")
            first += 1 << size
    return tuple(found)
