"""Are the repositories kept in order by the nodes that hold them, and are all their data read in time? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from checks.backup.finding import Finding, record_of, spell
from checks.backup.limits import Limits, load_limits
from checks.backup.places import job_nodes, repositories_of
from checks.backup_state import JobState, States, Unknown
from checks.backup_state import RepositoryState as Known
from checks.record import Record, Status, timestamp
from checks.security.run import Captures, NotCollected
from inventories.backup_state import MaintenanceResult, RepositoryState, decode_repository_state
from inventories.backups.records import BackupPolicy
from inventories.records import City

#: What the node says that holds a repository; each check is followed by a colon and that node.
MAINTENANCE, DAMAGE, LOCK, FOREIGN, SIZE = HELD_CHECKS = (
    "repository-maintenance",
    "repository-damage",
    "repository-lock",
    "repository-foreign",
    "repository-size",
)
#: What the client says of a repository: whether all its data were read in time, and how far apart the clocks are.
READ, CLOCK = CLIENT_CHECKS = ("repository-read", "repository-clock")


class Untouched(msgspec.Struct, frozen=True):
    """A repository that its node has not yet looked at, and since when it holds it."""

    held_at: datetime


#: What a node says of each repository, by the name that it has there; of a node that could not be asked, why.
Held = Mapping[str, RepositoryState | Untouched | str] | Unknown


def held_of(captures: Captures) -> dict[str, Held]:
    """What the collectors of the nodes printed; of a state that cannot be read, why."""
    found: dict[str, Held] = {}
    for node, capture in captures.items():
        if isinstance(capture, NotCollected):
            found[node] = Unknown(capture.reason, capture.evidence)
            continue
        section = capture.get("repository-states")
        pairs = (line.partition("\t") for line in (section.lines if section else ()))
        found[node] = {name.rpartition(".")[0]: _read(name, text) for name, tab, text in pairs if tab}
    return found


def _read(name: str, text: str) -> RepositoryState | Untouched | str:
    try:
        if name.endswith(".held"):
            return Untouched(datetime.fromtimestamp(int(text), UTC))
        return decode_repository_state(text)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError) as error:
        return str(error)


def evaluate(
    city: City, states: States, held: Mapping[str, Held], now: datetime, limits: Limits | None = None
) -> list[Record]:
    """Hold what nodes say of the repositories that they hold, and clients of those that they use, against the policy.

    Args:
        city: The city.
        states: What each host's jobs say, from `backup_state.states_of`.
        held: What each node says of its repositories, from :func:`held_of`.
        now: The auditor's time, with offset.
        limits: The kit's own unless given.

    Returns:
        For each job, whose subject is `POLICY@NODE`, and each node that holds a repository of it, checks that end
        with a colon and that node. Of what the node itself says: `repository-maintenance` (the age of the last
        removal that went well), `repository-damage` (files), `repository-lock` (how old the oldest was when the
        node looked, in seconds), `repository-foreign` (snapshots that are not the job's), `repository-size` (bytes).
        Of what the client says: `repository-read` (the age of the part of the data that was unread for longest)
        and `repository-clock` (seconds by which the client is ahead).
    """
    limits = limits or load_limits()
    records = []
    for policy in city.backups.values():
        for client in job_nodes(city, policy):
            for node in repositories_of(policy):
                repository = _Repository(policy, client, node, now, limits)
                findings = [
                    *repository.by_its_node(held.get(node, {})),
                    *repository.by_its_client(states.get(client, {})),
                ]
                subject = f"{policy.id}@{client}"
                records += [record_of(subject, f"{check}:{node}", now, found) for check, found in findings]
    return records


class _Repository:
    """One client's repository for one policy on one node."""

    def __init__(self, policy: BackupPolicy, client: str, node: str, now: datetime, limits: Limits) -> None:
        self._policy, self._client, self._node = policy, client, node
        self._now = now
        self._limits = limits

    def by_its_node(self, said: Held) -> list[tuple[str, Finding]]:
        if isinstance(said, Unknown):
            return _all(HELD_CHECKS, Status.ERROR, said.why, said.reason)
        state = said.get(f"{self._client}-{self._policy.id}")
        if state is None:
            return _all(HELD_CHECKS, Status.FAIL, f"{self._node} holds no such repository", "not_held")
        if isinstance(state, str):
            text = f"the state on {self._node} cannot be read: {state}"
            return _all(HELD_CHECKS, Status.FAIL, text, "unreadable_state")
        if isinstance(state, Untouched):
            return self._untouched(state)
        if (state.policy, state.client, state.host) != (self._policy.id, self._client, self._node):
            text = f"the state on {self._node} is of {state.policy} of {state.client} on {state.host}"
            return _all(HELD_CHECKS, Status.FAIL, text, "foreign_state")
        return [
            (MAINTENANCE, self._maintenance(state)),
            (DAMAGE, self._damage(state)),
            (LOCK, self._lock(state)),
            (FOREIGN, self._foreign(state)),
            (SIZE, Finding(Status.PASS, state.bytes, f"{state.bytes} bytes, {state.snapshots} snapshots")),
        ]

    def _untouched(self, state: Untouched) -> list[tuple[str, Finding]]:
        """Held, and no window has come yet; or it has, and nothing happened."""
        age = (self._now - state.held_at).total_seconds()
        text = f"held since {timestamp(state.held_at.astimezone(self._now.tzinfo))} and not yet maintained"
        found = Finding(Status.PASS, None, f"{text}: its first window is to come")
        if age > self._limits.maintenance_seconds:
            found = Finding(Status.FAIL, None, text, "never")
        others = [check for check in HELD_CHECKS if check != MAINTENANCE]
        return [(MAINTENANCE, found), *_all(others, Status.NOT_APPLICABLE, text, "not_maintained")]

    def _maintenance(self, state: RepositoryState) -> Finding:
        fresh = self._age(state.prune_success_at, self._limits.maintenance_seconds, "the last removal")
        for name, step in (("check", state.check), ("removal", state.prune)):
            if step is None or step.result in (MaintenanceResult.SUCCESS, MaintenanceResult.RUNNING):
                continue
            if step.reason == "locked" and fresh.status is Status.PASS:
                continue  # A client was at work. It is tried again, and counts when nothing was removed for too long.
            why = step.error or step.reason or step.result
            text = f"{name} {step.result.value}: {why}; {fresh.evidence}"
            return Finding(Status.FAIL, fresh.value, text, step.reason or step.result.value)
        return fresh

    def _damage(self, state: RepositoryState) -> Finding:
        if state.damage is None:
            if not state.check_success_at:
                return Finding(Status.FAIL, None, f"{self._node} never found it whole", "never")
            return Finding(Status.PASS, 0, f"whole at {state.check_success_at}")
        # Damage that names no file is damage all the same.
        count = max(1, len(state.damage.packs))
        packs = ", ".join(pack[:16] for pack in state.damage.packs[:3]) or "which files is not known"
        text = (
            f"damaged since {state.damage.found_at}: {packs}; on {self._node}: python3 -m jizuo_backup.repository "
            f"heal {self._client}-{self._policy.id}"
        )
        return Finding(Status.FAIL, count, text, "damaged")

    def _lock(self, state: RepositoryState) -> Finding:
        """By the node's own clock: how long the lock had stood when it looked."""
        if not state.oldest_lock_at:
            return Finding(Status.PASS, 0, f"no lock stood at {state.written_at}")
        try:
            age = (_moment(state.written_at) - _moment(state.oldest_lock_at)).total_seconds()
        except ValueError as error:
            return Finding(Status.FAIL, None, str(error), "unreadable_state")
        text = f"a lock of {state.oldest_lock_at} stood for {spell(age)} at {state.written_at}"
        if age > self._limits.lock_seconds:
            return Finding(Status.FAIL, age, f"{text}: nobody renews it, nothing removed it", "stale_lock")
        return Finding(Status.PASS, max(age, 0), text)

    def _foreign(self, state: RepositoryState) -> Finding:
        if state.foreign:
            text = (
                f"{state.foreign} snapshots are of another host or tag: who has this client's key sent them?"
            )
            return Finding(Status.FAIL, state.foreign, text, "foreign_snapshots")
        return Finding(Status.PASS, 0, f"all {state.snapshots} snapshots are the job's")

    def by_its_client(self, said: object) -> list[tuple[str, Finding]]:
        if isinstance(said, Unknown):
            return _all(CLIENT_CHECKS, Status.ERROR, said.why, said.reason)
        state = said.get(self._policy.id) if isinstance(said, Mapping) else None
        if not isinstance(state, JobState) or (state.policy, state.host) != (self._policy.id, self._client):
            text = f"{self._client} has no state of this job that can be read"
            return _all(CLIENT_CHECKS, Status.FAIL, text, "missing_state")
        known = state.repositories.get(self._node)
        if known is None:
            text = f"{self._client} knows nothing of {self._node}: the job never came so far"
            return _all(CLIENT_CHECKS, Status.FAIL, text, "never")
        return [(READ, self._data_read(known)), (CLOCK, self._clock(known))]

    def _data_read(self, known: Known) -> Finding:
        """All data count as read when the part was that has waited longest."""
        due = self._policy.verify
        # Parts are read at checks: between two of them nothing can be.
        limit = max(due.read_all, due.check, self._policy.rpo)
        moments = known.reading.read_at if known.reading else ()
        if not moments:
            return Finding(Status.FAIL, None, "no data were read", "never")
        unread = sum(not at for at in moments)
        if unread:
            text = f"{unread} of {len(moments)} parts of the data are to be read: new, or found damaged"
            return Finding(Status.FAIL, None, text, "never")
        try:
            oldest = min(moments, key=_moment)
        except ValueError as error:
            return Finding(Status.FAIL, None, str(error), "unreadable_state")
        return self._age(oldest, limit, f"of {len(moments)} parts of the data the one unread for longest")

    def _clock(self, known: Known) -> Finding:
        offset = known.clock_offset_seconds
        if offset is None:
            return Finding(Status.NOT_APPLICABLE, None, "the last run did not learn it", "not_measured")
        text = f"{self._client} is {offset:+.1f} s from {self._node}"
        if abs(offset) > self._limits.clock_tolerance_seconds:
            return Finding(Status.FAIL, offset, f"{text}: one of the two clocks is wrong", "clock")
        return Finding(Status.PASS, offset, text)

    def _age(self, at: str, limit: int, what: str) -> Finding:
        """Hold the age of something against a limit, seconds."""
        if not at:
            return Finding(Status.FAIL, None, f"{what}: there was none", "never")
        try:
            age = (self._now - _moment(at)).total_seconds()
        except ValueError as error:
            return Finding(Status.FAIL, None, str(error), "unreadable_state")
        said = f"{what}: {at}, {spell(age)} ago, due after {spell(limit)}"
        if age < -self._limits.clock_tolerance_seconds:
            return Finding(Status.FAIL, age, f"{what}: {at}, ahead of the auditor's clock", "future")
        if age > limit:
            return Finding(Status.FAIL, age, said, "stale")
        return Finding(Status.PASS, max(age, 0), said)


def _all(checks: Iterable[str], status: Status, text: str, reason: str) -> list[tuple[str, Finding]]:
    """The same finding for every check, so that none goes missing."""
    return [(check, Finding(status, None, text, reason)) for check in checks]


def _moment(at: str) -> datetime:
    """An ISO 8601 time with its offset.

    Raises:
        ValueError: it is none.
    """
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise ValueError(f"{at} has no offset from UTC")
    return moment
