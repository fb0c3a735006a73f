"""How do the two vendors' languages differ? One table, from their command references.

VRP: Huawei NetEngine 8000 F1A Command Reference (V800, VRP8), NE20E-S2 V800R010C10 for the two-phase mode. Comware:
HP/H3C MSR Router Series Command References (V7, R0106), HPE 5710 and 12900E (Comware 7) for what the MSR's lack, HPE
FlexNetwork 5510 HI (R1121 and later) for the commit delay. Where a manual leaves open how a line is displayed,
:mod:`deploy.vendors.difference` compares it in a form that is the same either way.
"""

from __future__ import annotations

from dataclasses import dataclass

from hier_config import Platform

from inventories.records import OperatingSystemFamily


@dataclass(frozen=True)
class Dialect:
    """One vendor's language, and how its devices are talked to."""

    family: OperatingSystemFamily
    title: str
    template: str
    example_port: str
    first_port: int
    example_management_port: str
    platform: Platform
    #: netmiko's driver: it logs in, learns the prompt and turns paging off.
    driver: str
    #: Top-level lines of the running configuration that are this kit's to set and to remove.
    owned: tuple[str, ...]
    #: Lines within them that belong to the hardware or to others, and are left as they are.
    left_alone: tuple[str, ...]
    #: How a line is taken back where `undo` before the whole line is not the way: what is found, what is sent.
    undo: tuple[tuple[str, str], ...]
    #: Lines of which the device keeps the last: their key, as a pattern with groups.
    replaced: tuple[str, ...]
    #: The order in which top-level lines are sent, so that what is named is there before it is used.
    order: tuple[str, ...]
    #: How a session's password is written in clear; the device shows it enciphered.
    password: str
    #: Questions that may come, and what is answered.
    answers: tuple[tuple[str, str], ...]


#: Names of policies and lists that the templates give.
_NAMES = r"(?:FROM-\S+|REFUSED-\S+|TO-(?:ABOVE|BELOW|PROVINCE|CITY)-V[46]|OWN(?:-V[46])?|DEFAULT|SUMMARY)"
_LISTS = r"(?:2000|3001|3002|3003)"

#: Lines that both languages have.
_REPLACED = (
    r"^sysname ",
    r"^description ",
    r"^router-id ",
    r"^peer (\S+) description ",
    r"^peer (\S+) password ",
    r"^peer (\S+) timer ",
    r"^peer (\S+) route-limit ",
    r"^peer (\S+) route-policy \S+ (import|export)$",
    r"^ip address ",
    r"^ssh server acl ",
    r"^if-match ",
    r"^import-route direct",
    r"^aggregate (\S+ \S+)",
)
_UNDO = (
    (r"^undo (peer \S+) as-number .*", r"undo \1"),
    (r"^undo (peer \S+ (?:description|password|timer|route-limit)) .*", r"undo \1"),
    (r"^undo (peer \S+ default-route-advertise).*", r"undo \1"),
    (r"^undo (rule \d+) .*", r"undo \1"),
    (r"^undo (route-policy \S+) (?:permit|deny) (node \d+)", r"undo \1 \2"),
    (r"^undo (aggregate \S+ \S+).*", r"undo \1"),
    (r"^undo (import-route direct).*", r"undo \1"),
    (r"^undo (description) .*", r"undo \1"),
    (r"^undo (router-id) .*", r"undo \1"),
    (r"^undo (ssh (?:ipv6 )?server (?:ipv6 )?acl) .*", r"undo \1"),
    (r"^undo (ip(?:v6)? route-static \S+ \S+ NULL0) .*", r"undo \1"),
)

VRP = Dialect(
    family=OperatingSystemFamily.VRP,
    title="Huawei VRP",
    template="vrp.cfg.j2",
    example_port="GigabitEthernet0/1/{}",
    first_port=0,
    example_management_port="GigabitEthernet0/0/0",
    platform=Platform.HUAWEI_VRP,
    driver="huawei_vrpv8",
    owned=(
        r"sysname ",
        r"bfd$",
        rf"acl (?:ipv6 )?number {_LISTS}\b",
        r"traffic (?:classifier|behavior|policy) jizuo-",
        rf"route-policy {_NAMES} ",
        rf"ip (?:ip-prefix|ipv6-prefix) {_NAMES} ",
        r"bgp ",
        r"ip(?:v6)? route-static \S+ \S+ NULL0",
        rf"ssh (?:ipv6 )?server acl {_LISTS}$",
    ),
    left_alone=(
        r"^(?:mtu|speed|duplex|negotiation|carrier|statistic|clock|control-flap|(?:undo )?(?:dcn|portswitch))\b",
        r"^ipv(?:4|6)-family (?:vpn|unicast-.*|multicast)",
        r"^(?:undo synchronization|private-4-byte-as|undo private-4-byte-as)",
        r"^share-mode$",
        r"^step ",
    ),
    undo=(
        *_UNDO,
        (r"^undo (peer \S+ valid-ttl-hops) .*", r"undo \1"),
        (r"^undo (ip (?:ip-prefix|ipv6-prefix) \S+ index \d+) .*", r"undo \1"),
        (r"^undo (maximum load-balancing ebgp) .*", r"undo \1"),
        (r"^undo traffic-policy \S+ (inbound)", r"undo traffic-policy \1"),
        (r"^undo (acl (?:ipv6 )?number \d+).*", r"undo \1"),
        (r"^undo (traffic classifier \S+) .*", r"undo \1"),
        (r"^undo (classifier \S+) .*", r"undo \1"),
        (r"^undo (peer \S+ bfd) min-tx.*", r"undo \1 min-tx-interval min-rx-interval detect-multiplier"),
    ),
    replaced=(
        *_REPLACED,
        r"^ssh ipv6 server acl ",
        r"^peer (\S+) valid-ttl-hops ",
        r"^peer (\S+) bfd min-tx-interval ",
        r"^maximum load-balancing ebgp ",
        r"^traffic-policy \S+ (inbound)",
    ),
    order=(
        r"sysname ",
        r"bfd$",
        r"acl ",
        r"traffic classifier ",
        r"traffic behavior ",
        r"traffic policy ",
        r"interface ",
        r"ssh ",
        r"ip ip-prefix ",
        r"ip ipv6-prefix ",
        r"route-policy ",
        r"ip route-static ",
        r"ipv6 route-static ",
        r"bgp ",
    ),
    password="cipher",  # noqa: S106 - the word of the language; it takes clear text and keeps it enciphered
    answers=(
        (r"[Aa]re you sure to continue\s*\?\s*\[Y/N\]", "Y"),
        (r"trial configuration.*\[Y/N\]", "Y"),
        (r"commit them before exiting.*\[Y\(yes\)/N\(no\)/C\(cancel\)\]", "N"),
    ),
)

COMWARE = Dialect(
    family=OperatingSystemFamily.COMWARE,
    title="H3C Comware",
    template="comware.cfg.j2",
    example_port="GigabitEthernet0/{}",
    first_port=1,
    example_management_port="M-GigabitEthernet0",
    platform=Platform.HP_COMWARE5,
    driver="hp_comware",
    owned=(
        r"sysname ",
        rf"acl (?:ipv6 )?(?:basic|advanced) {_LISTS}\b",
        rf"route-policy {_NAMES} ",
        rf"ip(?:v6)? prefix-list {_NAMES} ",
        r"bgp ",
        r"ip(?:v6)? route-static \S+ \S+ NULL0",
        rf"ssh server (?:ipv6 )?acl (?:ipv6 )?{_LISTS}$",
    ),
    left_alone=(
        r"^(?:port link-mode|mtu|speed|duplex|combo|undo shutdown|bandwidth|flow-control)\b",
        r"^address-family (?:vpn|l2vpn|link-state|ipv[46] (?:mdt|flowspec|multicast|rtfilter))",
        r"^ip vpn-instance ",
        r"^step ",
    ),
    undo=(
        *_UNDO,
        (r"^undo (peer \S+ ttl-security hops) .*", r"undo \1"),
        (r"^undo (peer \S+ bfd) .*", r"undo \1"),
        (r"^undo (ip(?:v6)? prefix-list \S+ index \d+) .*", r"undo \1"),
        (r"^undo (balance ebgp) .*", r"undo \1"),
        (r"^undo (if-match ip(?:v6)? address) .*", r"undo \1"),
        (r"^undo (bfd (?:min-\w+-interval|detect-multiplier)) .*", r"undo \1"),
        (r"^undo (packet-filter (?:ipv6 )?\d+ inbound).*", r"undo \1"),
    ),
    replaced=(
        *_REPLACED,
        r"^ssh server ipv6 acl ",
        r"^peer (\S+) ttl-security hops ",
        r"^balance ebgp ",
        r"^bfd (min-\w+-interval|detect-multiplier) ",
    ),
    order=(
        r"sysname ",
        r"acl ",
        r"interface ",
        r"ssh ",
        r"ip prefix-list ",
        r"ipv6 prefix-list ",
        r"route-policy ",
        r"ip route-static ",
        r"ipv6 route-static ",
        r"bgp ",
    ),
    password="simple",  # noqa: S106 - the word of the language
    answers=(
        (r"[Cc]ontinue\s*\?\s*\[Y/N\]", "Y"),
        (r"(?:save|overwrite).*\[Y/N\]", "Y"),
    ),
)

DIALECTS = {dialect.family: dialect for dialect in (VRP, COMWARE)}
