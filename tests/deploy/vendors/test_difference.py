"""What is sent to a device for each way in which it may differ: the least, in an order that it takes."""

from __future__ import annotations

import pytest

from deploy.vendors.dialects import COMWARE, VRP, Dialect
from deploy.vendors.difference import Difference, difference, owned, parse
from deploy.vendors.seals import as_shown, as_wanted, seal

PORTS = ("GigabitEthernet0/1", "GigabitEthernet0/2")

WANTED = """\
#
sysname yuanzhou
#
interface GigabitEthernet0/1
 description core-a over yz-a
 ip address 198.18.130.29 31
 ipv6 address 2001:db8:0:1::1d/127
#
interface GigabitEthernet0/2
 description core-b over yz-b
 ip address 198.18.130.31 31
 ipv6 address 2001:db8:0:1::1f/127
#
route-policy FROM-yz-a-V4 permit node 10
#
bgp 4200000013
 peer 198.18.130.28 as-number 4200000007
 peer 198.18.130.28 description core-a over yz-a
 peer 198.18.130.28 password cipher SECRET
 peer 198.18.130.28 timer keepalive 3 hold 9
 #
 ipv4-family unicast
  peer 198.18.130.28 enable
  peer 198.18.130.28 route-policy FROM-yz-a-V4 import
  peer 198.18.130.28 route-limit 48 idle-timeout 5
#
return
"""


def told(before: str, dialect: Dialect = VRP, seals: dict[str, str] | None = None) -> Difference:
    running = parse(before, as_shown({"198.18.130.28": "SECRET"}, seals or {}))
    wanted = parse(WANTED, as_wanted)
    return difference(owned(running, dialect, PORTS), owned(wanted, dialect, PORTS), dialect)


SEALED = {"198.18.130.28": seal("SECRET", "198.18.130.28", "%^%#x%^%#")}
SHOWN = WANTED.replace("cipher SECRET", "cipher %^%#x%^%#")


def test_same_in_other_words_is_no_difference() -> None:
    """Masks, upper case, dotted AS numbers, lines of the hardware and of others: nothing to do."""
    shown = (
        SHOWN.replace(" 31\n", " 255.255.255.254\n")
        .replace("2001:db8:0:1::1d", "2001:DB8:0:1::1D")
        .replace("4200000013", "64086.59917")
        .replace("4200000007", "64086.59911")
        .replace(" description core-b", " mtu 9000\n description core-b")
        .replace(
            "#\nreturn", "#\naaa\n local-user admin\n#\nip route-static 0.0.0.0 0 198.19.240.1\n#\nreturn"
        )
    )
    assert told(shown, seals=SEALED) == Difference((), ())


@pytest.mark.parametrize(
    ("found", "instead", "sent"),
    [
        ("hold 9", "hold 30", ("bgp 4200000013", "peer 198.18.130.28 timer keepalive 3 hold 9", "quit")),
        ("sysname yuanzhou", "sysname HUAWEI", ("sysname yuanzhou",)),
        (
            "interface GigabitEthernet0/2\n",
            "interface GigabitEthernet0/2\n undo dcn\n ipv6 address 2001:DB8::BAD/64\n",
            ("interface GigabitEthernet0/2", "undo ipv6 address 2001:db8::bad/64", "quit"),
        ),
        (
            " peer 198.18.130.28 as-number 4200000007",
            " peer 192.0.2.9 as-number 65000\n peer 192.0.2.9 description old\n"
            " peer 198.18.130.28 as-number 4200000007",
            ("bgp 4200000013", "undo peer 192.0.2.9", "quit"),
        ),
        (
            "route-policy FROM-yz-a-V4 permit node 10",
            "route-policy FROM-old-V4 permit node 10\n#\nroute-policy FROM-yz-a-V4 permit node 10",
            ("undo route-policy FROM-old-V4 node 10",),
        ),
        (
            "#\nroute-policy",
            "#\nip ip-prefix FROM-old index 10 permit 198.18.0.0 18\n#\nroute-policy",
            ("undo ip ip-prefix FROM-old index 10",),
        ),
        (
            "#\nroute-policy",
            "#\ninterface GigabitEthernet0/9\n description old\n traffic-policy jizuo-link inbound\n#\nroute-policy",
            ("interface GigabitEthernet0/9", "undo traffic-policy inbound", "undo description", "quit"),
        ),
    ],
)
def test_least_is_sent(found: str, instead: str, sent: tuple[str, ...]) -> None:
    assert found in SHOWN
    assert told(SHOWN.replace(found, instead), seals=SEALED).commands == sent


def test_peer_with_another_as_number_is_built_anew() -> None:
    commands = told(SHOWN.replace("4200000007", "65000"), seals=SEALED).commands
    assert commands[:3] == (
        "bgp 4200000013",
        "undo peer 198.18.130.28",
        "peer 198.18.130.28 as-number 4200000007",
    )
    assert "peer 198.18.130.28 route-limit 48 idle-timeout 5" in commands
    assert sum(command.startswith("undo") for command in commands) == 1


def test_address_leaves_its_old_port_first() -> None:
    swapped = (
        SHOWN.replace("198.18.130.29", "x")
        .replace("198.18.130.31", "198.18.130.29")
        .replace(" x ", " 198.18.130.31 ")
        .replace("::1d", "::x")
        .replace("::1f", "::1d")
        .replace("::x", "::1f")
    )
    commands = told(swapped, seals=SEALED).commands
    assert commands.index("undo ipv6 address 2001:db8:0:1::1f/127") < commands.index(
        "ipv6 address 2001:db8:0:1::1f/127"
    )
    assert commands.index("undo ipv6 address 2001:db8:0:1::1d/127") < commands.index(
        "ipv6 address 2001:db8:0:1::1d/127"
    )


def test_comware_indents_single_lines_of_the_system_view() -> None:
    shown = SHOWN.replace("\nsysname", "\n sysname").replace(
        "#\nroute-policy", "#\n ssh server enable\n#\nroute-policy"
    )
    assert told(shown, COMWARE, SEALED).commands == ()


@pytest.mark.parametrize(
    ("shown", "seals", "is_sent"),
    [
        (SHOWN, SEALED, False),
        (SHOWN, {}, True),  # nobody knows what the ciphertext is of
        (SHOWN.replace("%^%#x%^%#", "%^%#y%^%#"), SEALED, True),  # somebody changed it
        (
            SHOWN,
            {"198.18.130.28": seal("FORMER", "198.18.130.28", "%^%#x%^%#")},
            True,
        ),  # the password is another now
        (SHOWN.replace(" peer 198.18.130.28 password cipher %^%#x%^%#\n", ""), SEALED, True),
    ],
)
def test_password_is_sent_unless_it_is_known_to_be_there(
    shown: str, seals: dict[str, str], is_sent: bool
) -> None:
    found = told(shown, seals=seals)
    assert ("peer 198.18.130.28 password cipher SECRET" in found.commands) is is_sent
    assert not any("SECRET" in line for line in found.shown)
    assert any("undo peer 198.18.130.28 password" in line for line in found.commands) is False
