"""Is what is routed over plane A routed over plane B as well (一网双平面)? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from inventories.records import Family, Plane, SiteRole
from inventories.topology import Neighbor, RoutedNode

from .judging import Deviation
from .observed import BgpSession, Path


def plane_links(node: RoutedNode) -> dict[Plane, list[Neighbor]]:
    """The links of a node in each plane; empty where it does not stand in both."""
    found = {
        plane: [neighbor for neighbor in node.neighbors if neighbor.plane is plane]
        for plane in (Plane.A, Plane.B)
    }
    return found if all(found.values()) and node.role is not SiteRole.CORE else {}


def plane_deviations(
    node: RoutedNode,
    sessions: Mapping[str, BgpSession],
    table: Mapping[str, Sequence[Path]],
    family: Family,
) -> Iterator[Deviation]:
    """Where the planes differ at a node that stands in both: a prefix over one only, or as good and not used."""
    links = plane_links(node)
    dead = [plane for plane, found in links.items() if not _up(found, sessions, family)]
    for plane in dead:
        names = ", ".join(f"{neighbor.node} over {neighbor.link}" for neighbor in links[plane])
        yield Deviation("plane_down", f"nothing comes over plane {_letter(plane)}: no session with {names}")
    if dead:
        return
    addresses = {plane: {n.remote[family] for n in found} for plane, found in links.items()}
    for prefix, paths in table.items():
        over = {plane for plane, peers in addresses.items() if any(path.peer in peers for path in paths)}
        if len(over) == 1:
            (present,) = over
            (absent,) = links.keys() - over
            who = ", ".join(f"{neighbor.node} over {neighbor.link}" for neighbor in links[absent])
            yield Deviation(
                "one_plane",
                f"{prefix} comes over plane {_letter(present)} only, not over plane {_letter(absent)} ({who})",
            )
        elif over and not _used_over_both(paths, addresses):
            yield Deviation("not_shared", f"{prefix} is as near over both planes, and only one is used")


def _used_over_both(paths: Sequence[Path], addresses: Mapping[Plane, set[str]]) -> bool:
    """Whether both planes carry a prefix, unless one of them is the longer way."""
    nearest = {
        plane: min(path.length for path in paths if path.peer in peers) for plane, peers in addresses.items()
    }
    if len(set(nearest.values())) > 1:
        return True
    return all(any(path.used for path in paths if path.peer in peers) for peers in addresses.values())


def _up(neighbors: Sequence[Neighbor], sessions: Mapping[str, BgpSession], family: Family) -> bool:
    found = [sessions.get(neighbor.remote[family]) for neighbor in neighbors]
    return any(session is not None and session.state == "Established" for session in found)


def _letter(plane: Plane) -> str:
    return plane.value.upper()
