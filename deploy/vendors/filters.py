"""Which packets may pass a router's interfaces, and who may log in? One table of rules for both families. Pure.

Every rule is stated once, in words that know no family, and spelled for IPv4 and IPv6. The few that only IPv6
has are those of its link scope, where IPv4 uses ARP, which no IP filter sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from netaddr import IPNetwork

from inventories.hosts import HostData, InterfaceKind
from inventories.records import Family

#: Numbers of the lists: 2000 to 2999 are basic (source only), 3000 to 3999 advanced, in both vendors' languages.
SSH, LAN, LINK, MANAGEMENT = 2000, 3001, 3002, 3003
#: The last rule of every list, so that what a list means does not hang on how it is used.
LAST = 1000

#: Scopes of IPv6 that do not leave a link (RFC 4291 section 2.5.6, 2.7): neighbour discovery lives there.
LINK_LOCAL = "fe80::/10"
LINK_MULTICAST = "ff02::/16"


class Rule(NamedTuple):
    """One rule of a list; an empty source or destination is any."""

    number: int
    permit: bool
    protocol: str = "ip"  # ip, icmp or tcp
    source: str = ""
    destination: str = ""
    port: int = 0
    #: Only IPv6 has it: a scope that IPv4 has not.
    link_scope: bool = False


class Filter(NamedTuple):
    """A list of one family."""

    number: int
    purpose: str
    family: Family
    rules: tuple[Rule, ...]

    @property
    def basic(self) -> bool:
        """Whether it looks at sources only."""
        return self.number < 3000


class _Places(NamedTuple):
    """What the rules speak of, in one family."""

    lan: str
    management: str
    own: str


def filters(data: HostData) -> tuple[Filter, ...]:
    """Every list of a router, IPv4's before IPv6's."""
    found: list[Filter] = []
    for family in Family:
        places = _Places(
            lan=_lan_network(data, family),
            management=data.management_prefixes[family],
            own=f"{data.management[family]}/{32 if family is Family.IPV4 else 128}",
        )
        lists = {SSH: _ssh(places), LINK: _link(places), MANAGEMENT: _management(places)}
        if places.lan:
            lists[LAN] = _lan(places)
        found += [
            Filter(number, PURPOSES[number], family, _for(family, rules))
            for number, rules in sorted(lists.items())
        ]
    return tuple(found)


#: What each list is for, as it stands in the configuration.
PURPOSES = {
    SSH: "SSH from the management network only",
    LAN: "anti-spoofing on the LAN",
    LINK: "nothing between management and extranet",
    MANAGEMENT: "the management port",
}


def _ssh(places: _Places) -> list[Rule]:
    return [Rule(5, True, source=places.management), Rule(LAST, False)]


def _lan(places: _Places) -> list[Rule]:
    return [
        Rule(5, False, destination=places.management),
        Rule(10, True, source=places.lan),
        Rule(15, True, source=LINK_LOCAL, link_scope=True),
        Rule(LAST, False),
    ]


def _link(places: _Places) -> list[Rule]:
    return [
        Rule(5, False, source=places.management),
        Rule(10, False, destination=places.management),
        Rule(LAST, True),
    ]


def _management(places: _Places) -> list[Rule]:
    return [
        Rule(5, True, "tcp", source=places.management, destination=places.own, port=22),
        Rule(10, True, "icmp", source=places.management, destination=places.own),
        Rule(15, True, "icmp", source=places.management, destination=LINK_MULTICAST, link_scope=True),
        Rule(20, True, "icmp", source=LINK_LOCAL, link_scope=True),
        Rule(LAST, False),
    ]


def _for(family: Family, rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if family is Family.IPV6 or not rule.link_scope)


def _lan_network(data: HostData, family: Family) -> str:
    """The network of the router's LAN, empty where it has none."""
    version = 4 if family is Family.IPV4 else 6
    for interface in data.interfaces:
        if interface.kind is InterfaceKind.LAN:
            networks = map(IPNetwork, interface.addresses)
            return next(str(network.cidr) for network in networks if network.version == version)
    return ""
