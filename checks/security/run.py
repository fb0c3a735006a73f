"""Which controls do the city's hosts meet? Asks every host once, all at the same time, and evaluates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime

import msgspec

from checks.record import Record
from checks.ssh import SecureShell, SshError
from inventories.hosts import linux_nodes
from inventories.records import City

from .evaluate import error_records, evaluate_node, require_own_collector
from .profile import Profile, load_profile
from .stream import Capture, CollectorAltered, StreamError, collector_digest, parse
from .waivers import Waiver, apply


class NotCollected(msgspec.Struct, frozen=True):
    """Why there are no facts of a host."""

    reason: str
    evidence: str


#: What each host said, or why it did not.
Captures = Mapping[str, Capture | NotCollected]


async def collect(
    nodes: Iterable[str],
    shell: SecureShell,
    *,
    requests: Mapping[str, str] | None = None,
    concurrency: int = 16,
    on_host: Callable[[str], None] | None = None,
) -> dict[str, Capture | NotCollected]:
    """Run the collector on every host, one round trip a host.

    Args:
        nodes: Their ids, which the shell's configuration knows.
        shell: How they are reached: as the audit account, whose forced command is the collector.
        requests: What the collector is asked for, by node; the facts of the security check unless given.
        concurrency: Connections at once.
        on_host: Called with each host's id when it is done, for progress.

    Returns:
        The facts of each host; of one that is unreachable, or whose collector was altered, the reason.
    """
    names = list(nodes)
    digest = collector_digest()
    found: dict[str, Capture | NotCollected] = {}
    queue = iter(names)

    async def work() -> None:
        for name in queue:
            found[name] = await _collect_one(name, shell, digest, (requests or {}).get(name, ""))
            if on_host is not None:
                on_host(name)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(names))):
            group.create_task(work())
    return {name: found[name] for name in names}


async def _collect_one(name: str, shell: SecureShell, digest: str, request: str) -> Capture | NotCollected:
    try:
        done = await shell.run(name, request=request)
        if done.status != 0 and not done.stdout:
            said = done.stderr.splitlines()[-1] if done.stderr else "nothing"
            return NotCollected(
                "collector_failed", f"{name}: the collector ended with {done.status} and said: {said}"
            )
        capture = parse(done.stdout)
        require_own_collector(capture, digest)
        return capture
    except SshError as error:
        return NotCollected(error.reason, str(error))
    except StreamError as error:
        return NotCollected("stream", f"{name}: {error}")
    except CollectorAltered as error:
        return NotCollected("collector_altered", f"{name}: {error}")


async def audit(
    city: City,
    shell: SecureShell,
    *,
    profile: Profile | None = None,
    waivers: Sequence[Waiver] = (),
    nodes: Iterable[str] | None = None,
    today: date | None = None,
) -> list[Record]:
    """Ask every node of a city and evaluate every control.

    Args:
        city: The city.
        shell: How its nodes are reached, as the audit account.
        profile: The values to hold hosts against; the kit's own unless given.
        waivers: Findings that somebody answers for.
        nodes: The ids of the nodes to ask; all unless given.
        today: The day that waivers are held against.

    Returns:
        A record a node, control and family (`error` for hosts that could not be asked), then expired waivers.
    """
    captures = await collect(linux_nodes(city) if nodes is None else nodes, shell)
    return evaluate(city, captures, profile=profile, waivers=waivers, today=today)


def evaluate(
    city: City,
    captures: Captures,
    *,
    profile: Profile | None = None,
    waivers: Sequence[Waiver] = (),
    today: date | None = None,
) -> list[Record]:
    """The records of hosts whose facts are there already; as `audit`, without a network."""
    values = profile or load_profile()
    records: list[Record] = []
    for name, capture in captures.items():
        if isinstance(capture, NotCollected):
            records.extend(error_records(name, capture.reason, capture.evidence))
        else:
            records.extend(evaluate_node(city.nodes[name], capture, values))
    return apply(records, waivers, today or datetime.now().astimezone().date())
