"""Are the private networks of departments well formed, each apart from the public zone and from management?

Two of them may have the same IPv4 range: that is what their routing tables of their own are for. Their IPv6
prefixes are apart, for the border translates IPv4 alone.
"""

from __future__ import annotations

from netaddr import AddrFormatError, IPNetwork

from inventories.problems import shown
from inventories.records import PrivateNetwork
from inventories.rules.ranges import overlap, refusal
from inventories.sources import Draft

_VERSIONS = {"ipv4": 4, "ipv6": 6}
_EXAMPLES = {"ipv4": "198.51.100.0/24", "ipv6": "3fff:100::/48"}


def check(draft: Draft) -> None:
    """Notes unknown units, VXLAN identifiers that stand twice, and prefixes that cannot be."""
    holders: dict[int, str] = {}
    prefixes6: dict[str, IPNetwork] = {}
    for key, network in draft.networks.records.items():
        if not draft.units.knows(network.unit):
            place = (draft.networks, key, "unit")
            draft.report_unknown(place, "unit", network.unit, draft.units.records, "add it to units.csv")
        holder = holders.setdefault(network.vni, key)
        if holder != key:
            what = f"vni {network.vni} is that of the network {holder}"
            draft.report(draft.networks, key, "vni", what, "choose another from 1 to 16777215")
        _check_prefix(draft, key, network, "ipv4")
        prefix6 = _check_prefix(draft, key, network, "ipv6")
        if prefix6 is not None:
            _check_apart(draft, key, prefix6, prefixes6)
            prefixes6[key] = prefix6


def _check_apart(draft: Draft, key: str, prefix: IPNetwork, others: dict[str, IPNetwork]) -> None:
    for name, other in others.items():
        if overlap(prefix, other):
            what = f"ipv6 {prefix} overlaps that of the network {name}, {other}"
            fix = f"write a prefix apart from {other}: IPv6 is not translated at the border, as IPv4 is"
            draft.report(draft.networks, key, "ipv6", what, fix)


def _check_prefix(draft: Draft, key: str, network: PrivateNetwork, field: str) -> IPNetwork | None:
    """The prefix of a field, None (and a problem) when the text is none."""
    text = getattr(network, field)
    try:
        prefix = IPNetwork(text) if "/" in text else None
    except (AddrFormatError, ValueError):
        prefix = None
    if prefix is None or prefix.version != _VERSIONS[field] or prefix.ip != prefix.network:
        what = f"{field} is {shown(text)}, which is no IPv{_VERSIONS[field]} prefix"
        draft.report(draft.networks, key, field, what, f"write one such as {_EXAMPLES[field]}")
        return None
    longest = network.lan4 - 1 if prefix.version == 4 else 63
    if prefix.prefixlen > longest:
        what = f"{field} {text} has no room for LANs of /{longest + 1}"
        draft.report(draft.networks, key, field, what, f"write a prefix of /{longest} or shorter")
    special = refusal(prefix, "management")  # as there, unique local addresses may be used
    if special is not None:
        what = f"{field} {text} lies in {special.network}, {special.name} ({special.source})"
        draft.report(draft.networks, key, field, what, "write a prefix of the department's own")
    for other, name in _public(draft):
        if overlap(prefix, other):
            what = f"{field} {text} overlaps {name} {other}"
            draft.report(draft.networks, key, field, what, f"write a prefix apart from {other}")
    return prefix


def _public(draft: Draft) -> list[tuple[IPNetwork, str]]:
    """The prefixes that every routing table of the border knows; those that cannot be read are another's problem."""
    layout = draft.layout
    if layout is None:
        return []
    texts = [(layout.ipv4.prefix, "the city's"), (layout.ipv6.prefix, "the city's")]
    texts += [(layout.management.ipv4, "management's"), (layout.management.ipv6, "management's")]
    for code, partner in layout.partners.items():
        texts += [(partner.ipv4, f"partner {code}'s"), (partner.ipv6, f"partner {code}'s")]
    if layout.internet is not None:
        texts += [
            (layout.internet.ipv4, "the internet segment"),
            (layout.internet.ipv6, "the internet segment"),
        ]
    found = []
    for text, name in texts:
        try:
            found.append((IPNetwork(text), name))
        except (AddrFormatError, ValueError):
            continue
    return found
