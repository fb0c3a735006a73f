"""Does a node have the BGP and BFD sessions of the plan, up and protected, and none beyond? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inventories.records import Family
from inventories.topology import Neighbor, RoutedNode

from .expected import ExpectedTable
from .judging import Deviation
from .observed import BfdSession, BgpSession, family_of


def session_deviations(
    node: RoutedNode, sessions: Mapping[str, BgpSession], table: ExpectedTable, family: Family
) -> Iterator[Deviation]:
    """What is wrong with the BGP sessions of a node in a family: state, AS number, number of prefixes, strangers."""
    for neighbor in node.neighbors:
        session, name = sessions.get(neighbor.remote[family]), _name(neighbor, family)
        if session is None:
            yield Deviation("no_session", f"no session with {name}")
        elif session.asn != neighbor.asn:
            yield Deviation("wrong_asn", f"{name} has AS {session.asn}, the plan {neighbor.asn}")
        elif session.state != "Established":
            yield Deviation("not_established", f"{name} is {session.state}, not Established")
        else:
            most = len(table.required[neighbor.link] | table.allowed[neighbor.link])
            if session.accepted > most:
                yield Deviation(
                    "too_many_prefixes", f"{session.accepted} prefixes from {name}, {most} in the plan"
                )
            elif not session.accepted and table.required[neighbor.link]:
                yield Deviation(
                    "no_prefixes", f"no prefix from {name}, {len(table.required[neighbor.link])} in the plan"
                )
    for address in _strangers(node, sessions, family):
        yield Deviation("unknown_session", f"session with {address}, whom the plan does not know")


def protection_deviations(
    node: RoutedNode, sessions: Mapping[str, BgpSession], family: Family
) -> Iterator[Deviation]:
    """Which sessions lack a password (RFC 2385), a limit of prefixes, or TTL security (RFC 5082)."""
    for neighbor in node.neighbors:
        session, name = sessions.get(neighbor.remote[family]), _name(neighbor, family)
        if session is None:
            continue
        if not session.authenticated:
            yield Deviation("no_password", f"no password with {name}")
        if session.limit != neighbor.limit:
            found = f"a limit of {session.limit}" if session.limit else "no limit"
            yield Deviation("no_limit", f"{found} of prefixes from {name}, {neighbor.limit} in the plan")
        if session.hops != 1:
            yield Deviation("no_ttl_security", f"{name} may stand further away than one hop")


def bfd_deviations(
    node: RoutedNode, sessions: Mapping[str, BfdSession], family: Family
) -> Iterator[Deviation]:
    """What is wrong with the BFD sessions of a node in a family."""
    for neighbor in node.neighbors:
        session, name = sessions.get(neighbor.remote[family]), _name(neighbor, family)
        if session is None:
            yield Deviation("no_bfd", f"no BFD with {name}")
        elif session.status != "up":
            diagnostic = f" ({session.diagnostic})" if session.diagnostic not in ("", "ok") else ""
            yield Deviation("bfd_down", f"BFD with {name} is {session.status}{diagnostic}")
    for address in _strangers(node, sessions, family):
        yield Deviation("unknown_session", f"BFD with {address}, whom the plan does not know")


def _strangers(node: RoutedNode, sessions: Mapping[str, object], family: Family) -> list[str]:
    known = {neighbor.remote[family] for neighbor in node.neighbors}
    return [address for address in sessions if family_of(address) is family and address not in known]


def _name(neighbor: Neighbor, family: Family) -> str:
    return f"{neighbor.node} over {neighbor.link} ({neighbor.remote[family]})"
