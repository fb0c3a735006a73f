"""Is a drill of another controller under way? A marker on the operations and off-site nodes says who holds which.

The lock of a state folder (under_way.py) is known to one controller alone. The marker is put before the city's health
is asked and taken away when all is put back; where that fails it stays, for the city is not well. It is made by `link`
(POSIX: whole or not at all, and never over another), so that of two controllers that begin at once one is refused.
"""

from __future__ import annotations

import getpass
import shlex
import socket
import subprocess
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from checks.drills.definition import DrillError
from checks.drills.held import Held
from inventories.cells import seconds
from inventories.records import City, NodeRole

#: Beside the records; not among them.
REMOTE = "/var/lib/jizuo/drill-under-way.json"
#: How a node says that another marker is there.
TAKEN = 17
#: How long a node may take to answer, in seconds.
PATIENCE = 20


class Marker(msgspec.Struct, frozen=True):
    """Who holds which drill since when; `controller` is its host and state folder, `longest` in seconds."""

    id: str
    drill: str
    who: str
    controller: str
    began: str
    longest: int


def marker_of(held: Held, state: Path, id: str, began: str) -> Marker:
    """The marker of a drill that this controller begins."""
    host = socket.gethostname()
    return Marker(
        id=id,
        drill=held.name,
        who=f"{getpass.getuser()}@{host}",
        controller=f"{host}:{state.resolve()}",
        began=began,
        longest=longest(held),
    )


def longest(held: Held) -> int:
    """How long the drill can take at most, if nobody thinks over the decision, in seconds."""
    rule = held.definition.detection
    stages = [stage for stage in held.playbooks if stage != "health"]
    return held.definition.stage_seconds * len(stages) + (seconds("within", rule.within) if rule else 0)


def marked_nodes(city: City) -> tuple[str, ...]:
    """Where markers stand: also in the other city, for a drill may end the operations node."""
    roles = (NodeRole.OPERATIONS, NodeRole.OFFSITE)
    return tuple(node.id for node in city.nodes.values() if node.role in roles)


def mark(held: Held, state: Path, own: Marker) -> list[str]:
    """Put the marker; returns the nodes that do not answer.

    Raises:
        DrillError: another controller holds a drill, or held one and left its marker; or no node answers.
    """
    missed: list[str] = []
    nodes = marked_nodes(held.city)
    for number, node in enumerate(nodes):
        done = _ask(state, node, _put(force=False), own)
        if done is not None and done.returncode == TAKEN:
            other = _read(done.stdout)
            # Its lock is ours: what this state folder's own dead tool left is not in the way.
            if other is not None and (other.id == own.id or other.controller == own.controller):
                done = _ask(state, node, _put(force=True), own)
            else:
                unmark(state, nodes[:number], own.id)
                raise DrillError(_refusal(other, node, state, held.now()))
        if done is None or done.returncode:
            missed.append(node)
    if nodes and len(missed) == len(nodes):
        raise DrillError(
            f"no node takes the marker of this drill ({', '.join(nodes)}): whether another is under way is not known"
        )
    return missed


def unmark(state: Path, nodes: Sequence[str], id: str) -> list[str]:
    """Take the marker of that drill away, and no other; returns the nodes that do not answer."""
    own = shlex.quote(f'"id":"{id}"')
    command = f"if grep -qF {own} {REMOTE} 2>/dev/null; then rm -f {REMOTE}; fi"
    found = {node: _ask(state, node, command) for node in nodes}
    return [node for node, done in found.items() if done is None or done.returncode]


def _put(*, force: bool) -> str:
    """The command that takes a marker from its input."""
    step = f"mv -fT $new {REMOTE}" if force else f"ln -T $new {REMOTE} 2>/dev/null"
    folder = str(Path(REMOTE).parent)
    return (
        f"umask 022; mkdir -p {folder} && new=$(mktemp {folder}/.drill-marker.XXXXXX) && cat >$new && "
        f"chmod 644 $new || exit 1; if {step}; then rm -f $new; else rm -f $new; cat {REMOTE}; exit {TAKEN}; fi"
    )


def _ask(
    state: Path, node: str, command: str, given: Marker | None = None
) -> subprocess.CompletedProcess[bytes] | None:
    """Run a command on a node as root; None where it does not answer."""
    remote = ["ssh", "-F", str(state / "ssh_config"), node, f"sudo sh -c {shlex.quote(command)}"]
    try:
        return subprocess.run(
            remote,
            input=msgspec.json.encode(given) if given else b"",
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _read(content: bytes) -> Marker | None:
    try:
        return msgspec.json.decode(content, type=Marker)
    except msgspec.DecodeError:
        return None


def _refusal(other: Marker | None, node: str, state: Path, now: datetime) -> str:
    """Why the drill does not begin, and the way out."""
    remove = f"ssh -F {state}/ssh_config {node} sudo rm {REMOTE}"
    if other is None:
        return f"{node} has a marker of a drill that cannot be read; see what it is, then: {remove}"
    who = f"the drill {other.id} is under way, begun {other.began} by {other.who} ({other.controller})"
    try:
        over = now > datetime.fromisoformat(other.began) + timedelta(seconds=other.longest)
    except (ValueError, TypeError):
        over = True
    if not over:
        return f"{who}, as {node} says; wait for it to end, or end it there with: jizuo drill abort"
    return (
        f"{who}, as {node} says, and is under way longer than it can take ({other.longest} s): there jizuo drill abort "
        f"puts all back. If that controller is gone, see by hand that all is as it was, then: {remove}"
    )
